//! What is refused of a name with several architectures, and what is not.

use super::*;

#[test]
fn nothing_is_published_on_a_parent_that_is_not() {
    let site = World::publishing();
    let recipe = "install: {import: {image: disk.raw}}\n\
        machine: {disk: 1GiB, arch: [x86_64, aarch64]}\n";
    site.image("base", recipe);
    site.image("kid", "from: base\nmachine: {arch: aarch64}\n");
    site.disk_file("disk.raw");
    site.ok(&["build", "base", "--until", "install"]);
    site.finish("base:aarch64", &site.disk("base"));
    site.finish("kid", &site.disk("kid"));
    // The other architecture of the base is not built, and cannot be here.
    let said = site.run(&["build", "--all", "--publish"]).exits(1);
    said.says(&[
        "`base` was not handed over",
        "kid (it builds on base:x86_64)",
    ]);
    assert!(!site.path("repo/index.asc").exists());
    // Built, and not published, it needs the base of its own architecture.
    let said = site.run(&["build", "--all"]).exits(1);
    assert!(!said.err.contains("it builds on"), "{}", said.err);
}
