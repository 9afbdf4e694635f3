//! Programs of this host for a tree whose own are translated.
//!
//! QEMU translates a small program for 15 to 35 ms, each time, and a bootstrap starts thousands. What is in a package
//! or in a line of text is the same whoever looks: so `PATH` in the tree begins with these while packages are
//! installed. They run where the guest's own would. What makes the boot images finds the guest's own only: it copies
//! programs into them.

use std::path::Path;

use crate::host::exec::{Program, quote};

/// Where they are in the tree, so that a link to it leads below `/usr/lib` as scripts want it; no host has this.
const PLACE: &str = "/usr/lib/.imgforge-native";

/// What dpkg and scripts start most, by the time that it takes; none knows an architecture.
const PROGRAMS: &str = "dpkg-deb dpkg-split tar rm sed grep cp mv ln mkdir rmdir readlink realpath basename \
                        dirname test chmod chown cat touch sort uniq tr cut head wc mktemp stat find expr id";

/// Has mmdebstrap put them there by `script`, which is `native.sh`, and start what it starts with their `PATH`.
pub(super) fn first(mmdebstrap: Program, script: &Path) -> Program {
    let path = std::env::var("PATH").unwrap_or_default();
    let script = quote(&script.to_string_lossy());
    // apt has a path of its own.
    mmdebstrap
        .env("PATH", format!("{PLACE}:{path}"))
        .arg(format!(
            "--aptopt=DPkg::Path \"{PLACE}:/usr/sbin:/usr/bin:/sbin:/bin\""
        ))
        .arg(format!(
            "--extract-hook=sh {script} \"$1\" {PLACE} {PROGRAMS}"
        ))
}

/// What takes them out of the tree `$1` again, and fails where a package's files are in their place: one of this
/// host's architecture, where the other is foreign.
pub(super) fn removal() -> String {
    format!(
        "here=$1{PLACE}\n\
         if ! (cd \"$here/lib\" && cksum -- *) | cmp -s - \"$here/SUMS\"; then\n\
         echo 'packages of the host'\\''s architecture cannot be bootstrapped: install them in `configure`' >&2\n\
         exit 1\nfi\n\
         while read -r link; do if [ -L \"$1$link\" ]; then rm \"$1$link\"; fi; done <\"$here/LINKS\"\n\
         rm -r \"$here\"\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::namespace::as_guest_root;

    #[test]
    fn programs_of_the_host_run_in_a_tree_without_any_and_leave_nothing_there() {
        let dir = tempfile::tempdir().unwrap();
        let (tree, script) = (dir.path().join("tree"), dir.path().join("native.sh"));
        std::fs::create_dir_all(tree.join("usr/lib")).unwrap();
        std::os::unix::fs::symlink("usr/lib", tree.join("lib")).unwrap();
        std::fs::write(&script, include_str!("native.sh")).unwrap();
        let listed = |dir: &Path| {
            let found = as_guest_root("find").arg(dir).args(["-printf", "%P %l\n"]);
            let mut lines: Vec<_> = found.text().unwrap().lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        let before = listed(&tree);
        // `ldd` is a script.
        let programs = ["basename", "ldd", "no-such-program", "sed"];
        let put = as_guest_root("sh").arg(&script).arg(&tree).arg(PLACE);
        put.args(programs).run().unwrap();
        let native = tree.join(PLACE.trim_start_matches('/'));
        let mut names: Vec<_> = std::fs::read_dir(&native)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["LINKS", "SUMS", "basename", "lib", "sed"]);
        let name = as_guest_root("sh").args(["-c", "chroot \"$0\" \"$1/basename\" usr/bin"]);
        assert_eq!(name.arg(&tree).arg(PLACE).text().unwrap(), "bin");
        let remove = || {
            as_guest_root("sh")
                .args(["-e", "-c", &removal(), "sh"])
                .arg(&tree)
        };
        let foreign = native.join("lib/libforeign.so.1");
        std::fs::write(&foreign, "").unwrap();
        let refused = remove().run().unwrap_err().render();
        assert!(refused.contains("install them in `configure`"), "{refused}");
        std::fs::remove_file(&foreign).unwrap();
        remove().run().unwrap();
        assert_eq!(listed(&tree), before);
    }
}
