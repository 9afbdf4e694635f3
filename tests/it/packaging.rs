//! What `make install` and `make deb` give works from where they put it.

use std::path::Path;

use crate::support::{IMGFORGE as PROGRAM, Run as _, external};

#[track_caller]
fn run(program: &str, args: &[&str]) -> String {
    let mut command = external(program);
    let command = command.args(args).current_dir(env!("CARGO_MANIFEST_DIR"));
    command.said().ok().out
}

fn check_tree(prefix: &Path) {
    let version = run(
        prefix.join("bin/imgforge").to_str().unwrap(),
        &["--version"],
    );
    assert_eq!(
        version.trim(),
        format!("imgforge {}", env!("CARGO_PKG_VERSION"))
    );
    let share = prefix.join("share");
    for file in [
        "man/man1/imgforge.1.gz",
        "man/man1/imgforge-build.1.gz",
        "bash-completion/completions/imgforge",
        "imgforge/recipes/debian-mini.yaml",
        "imgforge/firstboot/banner.sh",
        "doc/imgforge/guide.md",
        "doc/imgforge/systemd/imgforge-nightly.timer",
        "doc/imgforge/systemd/imgforge.sysusers",
        "doc/imgforge/SECURITY.md",
    ] {
        assert!(share.join(file).is_file(), "{file} is missing");
    }
    let recipes = share.join("imgforge");
    let plan = ["-C", recipes.to_str().unwrap(), "validate"];
    run(prefix.join("bin/imgforge").to_str().unwrap(), &plan);
}

#[test]
fn an_installed_tree_is_complete_and_its_recipes_are_good() {
    let dir = tempfile::tempdir().unwrap();
    run(
        "scripts/install.sh",
        &[dir.path().to_str().unwrap(), "/usr/local", PROGRAM],
    );
    check_tree(&dir.path().join("usr/local"));
}

#[test]
fn the_package_unpacks_to_the_same() {
    // A program with its symbols, which the package of a release has not, is not worth compressing.
    let mut build = external("scripts/deb.sh");
    build.env("DPKG_DEB_COMPRESSOR_TYPE", "none").arg(PROGRAM);
    let build = build.current_dir(env!("CARGO_MANIFEST_DIR"));
    build.said().ok();
    let name = format!("dist/imgforge_{}_amd64.deb", env!("CARGO_PKG_VERSION"));
    let dir = tempfile::tempdir().unwrap();
    run("dpkg-deb", &["-x", &name, dir.path().to_str().unwrap()]);
    check_tree(&dir.path().join("usr"));
    let depends = run("dpkg-deb", &["-f", &name, "Depends"]);
    assert!(
        depends.contains("libguestfs0") && depends.contains("libvirt0"),
        "{depends}"
    );
}

/// Rescue systems have neither libvirt nor libguestfs, which are loaded when they are needed.
#[test]
fn the_program_needs_no_library_but_those_of_c() {
    let said = run("readelf", &["--dynamic", "--wide", PROGRAM]);
    let needed = said.lines().filter(|line| line.contains("(NEEDED)"));
    let names = needed.filter_map(|line| line.split(['[', ']']).nth(1));
    let mut others = names.filter(|name| {
        let of_c = ["libc.so.", "libm.so.", "libgcc_s.so.", "ld-linux"];
        !of_c.iter().any(|own| name.starts_with(own))
    });
    assert!(said.contains("libc.so."), "{said}");
    assert_eq!(others.next(), None, "{said}");
}

/// The units where systemd looks for them, with a program that is there.
fn units(dir: &Path) -> std::path::PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/systemd");
    for name in ["imgforge-nightly.service", "imgforge-nightly.timer"] {
        let unit = std::fs::read_to_string(source.join(name)).unwrap();
        // The program is not installed where a test runs.
        let unit = unit.replace("ExecStart=imgforge", &format!("ExecStart={PROGRAM}"));
        std::fs::write(dir.join(name), unit).unwrap();
    }
    source
}

#[test]
fn systemd_accepts_the_units() {
    let dir = tempfile::tempdir().unwrap();
    units(dir.path());
    let unit = dir.path().join("imgforge-nightly.timer");
    run(
        "systemd-analyze",
        &["verify", "--man=no", unit.to_str().unwrap()],
    );
}

/// systemd's own measure, of 0 to 100: a unit without any protection has 96.
#[test]
fn the_nightly_build_has_few_rights() {
    let dir = tempfile::tempdir().unwrap();
    let source = units(dir.path());
    let unit = dir.path().join("imgforge-nightly.service");
    let judge = |limit: &str| {
        let words = ["security", "--offline=yes", "--no-pager", limit];
        run(
            "systemd-analyze",
            &[&words[..], &[unit.to_str().unwrap()]].concat(),
        )
    };
    judge("--threshold=63");
    // Its user is one that the file beside it makes.
    let users = source.join("imgforge.sysusers");
    let root = dir.path().join("root");
    std::fs::create_dir_all(root.join("etc")).unwrap();
    let root_option = format!("--root={}", root.display());
    run("systemd-sysusers", &[&root_option, users.to_str().unwrap()]);
    let passwd = std::fs::read_to_string(root.join("etc/passwd")).unwrap();
    assert!(passwd.starts_with("imgforge:x:"), "{passwd}");
    let text = std::fs::read_to_string(&unit).unwrap();
    assert!(text.contains("\nUser=imgforge\n"), "{text}");
    for device in imgforge::host::accel::devices() {
        let allowed = format!("\nDeviceAllow=/dev/{device} rw\n");
        assert!(
            text.contains(&allowed),
            "a guest cannot open {device}: {text}"
        );
    }
}
