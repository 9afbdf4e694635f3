//! What somebody else does after the plan of a build: before its first stage the tools are asked for
//! their versions.

use super::*;
use crate::support::names;

/// The `PATH` of a build during which `script` runs once.
fn meanwhile(world: &World, script: &str) -> String {
    let real = imgforge::host::exec::find("qemu-img").unwrap();
    let (done, real) = (world.path("done"), real.display());
    let once = format!("[ -e {0} ] || {{ touch {0}; {script}; }}", done.display());
    world.script("qemu-img", &format!("{once}\nexec {real} \"$@\""))
}

#[test]
fn artifacts_go_to_the_directory_that_was_named_when_the_build_began() {
    let world = family();
    proven(&world);
    let [out, moved, etc] = ["out", "moved", "etc"].map(|name| world.path(name));
    for dir in [&out, &etc] {
        std::fs::create_dir(dir).unwrap();
    }
    let swap = "mv out moved; ln -s etc out";
    let swap = format!("(cd {}; {swap})", world.path("").display());
    let path = meanwhile(&world, &swap);
    let build = ["build", "small", "-o", out.to_str().unwrap()];
    world.command(&build).env("PATH", path).said().ok();
    assert!(out.is_symlink(), "it was exchanged");
    assert_eq!(names(&etc), [""; 0]);
    let made = names(&moved);
    assert!(made.len() == 1 && made[0].ends_with(".xz"), "{made:?}");
}

#[test]
fn a_result_that_is_evicted_after_the_plan_is_not_made_under_its_key() {
    let world = family();
    world.ok(&INSTALL);
    let before = key(&world, "small", "install");
    let entry = world.path(&format!("state/store/{before}"));
    let path = meanwhile(&world, &format!("rm -r {}", entry.display()));
    let build = ["build", "small", "--until", "seal"];
    let lost = world.command(&build).env("PATH", path).said().exits(1);
    lost.says(&[
        "the result of the install stage that this build was planned with is gone",
        "hint: build again",
    ]);
    assert!(!entry.exists());
    world.ok(&INSTALL);
    assert_ne!(key(&world, "small", "install"), before);
}
