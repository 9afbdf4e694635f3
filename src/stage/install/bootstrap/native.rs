//! Programs of this host for a tree whose own are translated.
//!
//! QEMU translates a small program for 15 to 35 ms, each time, and a bootstrap starts thousands. What is in a package
//! or in a line of text is the same whoever looks: so `PATH` in the tree begins with these while packages are
//! installed. They run where the guest's own would, with the same rights.
//!
//! What is started by its place (`/bin/sh` of scripts, all of what makes the initrd) is found by its first bytes:
//! where QEMU is registered in a name space of ours, so is this host's program instead of the guest's. No file of
//! the guest is another one for that, so what copies programs into boot images copies the guest's. Where only the
//! host registers QEMU, `PATH` has to do.

use std::path::Path;

use crate::host::exec::{Program, quote};

/// Where they are in the tree, so that a link to it leads below `/usr/lib` as scripts want it; no host has this.
/// Short: `ld.so` in it takes the place of the path of the dynamic loader in each program.
const PLACE: &str = "/usr/lib/.imgforge";

/// What dpkg and scripts start most, by the time that it takes; none knows an architecture.
const PROGRAMS: &str = "dpkg-deb dpkg-split tar rm sed grep cp mv ln mkdir rmdir readlink realpath basename \
                        dirname test chmod chown cat touch sort uniq tr cut head wc mktemp stat find expr id \
                        sh env cpio gzip xz zstd";

/// What knows one, or has modules that do, and so does the same for some arguments only.
const FOR_SOME: &str = "perl dpkg";

/// Has mmdebstrap put them there by `native`, which is `native.sh`, and start what it starts with their `PATH`; and
/// has `register`, which is `register.sh`, register them where `qemu` is registered as well.
pub(super) fn first(
    mmdebstrap: Program,
    native: &Path,
    register: &Path,
    qemu: Option<&Path>,
) -> Program {
    let path = std::env::var("PATH").unwrap_or_default();
    let [script, register] = [native, register].map(|path| quote(&path.to_string_lossy()));
    let qemu = quote(&qemu.unwrap_or(Path::new("")).to_string_lossy());
    // apt has a path of its own.
    mmdebstrap
        .env("PATH", format!("{PLACE}:{path}"))
        .arg(format!(
            "--aptopt=DPkg::Path \"{PLACE}:/usr/sbin:/usr/bin:/sbin:/bin\""
        ))
        .arg(format!(
            "--extract-hook=sh {script} \"$1\" {PLACE} {qemu} {PROGRAMS} : {FOR_SOME} && sh {register} \"$1\" {PLACE}"
        ))
}

/// What has programs of the tree `$1` found as the guest finds them, before boot images are made of them: this
/// host's are not in `PATH` then, but registered.
pub(super) fn guests_first(register: &Path) -> String {
    let register = quote(&register.to_string_lossy());
    format!(
        "sh {register} \"$1\" {PLACE}\n\
         PATH=${{PATH#{PLACE}:}}\n\
         while read -r link; do\n\
         case $link in /*/*) ;; *) rm \"$1$link\" ;; esac\n\
         done <\"$1{PLACE}/LINKS\"\n"
    )
}

/// What takes them out of the tree `$1` again, and fails where a package's files are in their place: one of this
/// host's architecture, where the other is foreign.
pub(super) fn removal() -> String {
    format!(
        "here=$1{PLACE}\n\
         for entry in /proc/sys/fs/binfmt_misc/native-*; do\n\
         if [ -e \"$entry\" ]; then echo -1 >\"$entry\"; fi\ndone\n\
         if ! (cd \"$here/lib\" && cksum -- *) | cmp -s - \"$here/SUMS\"; then\n\
         echo 'packages of the host'\\''s architecture cannot be bootstrapped: install them in `configure`' >&2\n\
         exit 1\nfi\n\
         while read -r link; do if [ -L \"$1$link\" ]; then rm \"$1$link\"; fi; done <\"$here/LINKS\"\n\
         rm -r \"$here\"\n"
    )
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::host::foreign::{self, tests::ends_with_42};
    use crate::host::namespace::as_guest_root;
    use crate::machine::Arch;

    /// A tree with directories as every distribution of today has them, and both scripts beside it.
    fn tree(dir: &Path) -> PathBuf {
        let tree = dir.join("tree");
        for (link, to) in [("lib", "usr/lib"), ("bin", "usr/bin"), ("sbin", "usr/sbin")] {
            std::fs::create_dir_all(tree.join(to)).unwrap();
            std::os::unix::fs::symlink(to, tree.join(link)).unwrap();
        }
        // Perl opens it.
        std::fs::create_dir(tree.join("dev")).unwrap();
        std::fs::write(tree.join("dev/null"), "").unwrap();
        std::fs::write(dir.join("native.sh"), include_str!("native.sh")).unwrap();
        std::fs::write(dir.join("register.sh"), include_str!("register.sh")).unwrap();
        tree
    }

    fn listed(dir: &Path) -> Vec<String> {
        let found = as_guest_root("find").arg(dir).args(["-printf", "%P %l\n"]);
        let mut lines: Vec<_> = found.text().unwrap().lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }

    #[test]
    fn programs_of_the_host_run_in_a_tree_without_any_and_leave_nothing_there() {
        let dir = tempfile::tempdir().unwrap();
        let (tree, script) = (tree(dir.path()), dir.path().join("native.sh"));
        let before = listed(&tree);
        // `ldd` is a script.
        let programs = ["basename", "ldd", "no-such-program", "sed"];
        let put = as_guest_root("sh").arg(&script).arg(&tree).arg(PLACE);
        put.arg("").args(programs).run().unwrap();
        let native = tree.join(PLACE.trim_start_matches('/'));
        let mut names: Vec<_> = std::fs::read_dir(&native)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(
            names,
            ["LINKS", "SUMS", "basename", "ld.so", "lib", "sed", "some"]
        );
        let name = as_guest_root("sh").args(["-c", "chroot \"$0\" \"$1/basename\" usr/bin"]);
        assert_eq!(name.arg(&tree).arg(PLACE).text().unwrap(), "bin");
        assert!(!tree.join("lib64").exists());
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

    /// Every program of this guest ends with 42.
    #[test]
    fn a_registered_program_is_this_hosts_by_its_place_and_its_arguments_until_it_is_taken_out() {
        const SCRIPT: &str = r#"place=$1 qemu=$2 removal=$3
sh native.sh "$PWD/tree" "$place" "$qemu" basename readlink sh : dpkg perl
sh register.sh "$PWD/tree" "$place"
said() { code=0; chroot tree "$@" || code=$?; echo "$code"; }
calls() {
    said /usr/bin/basename a/b
    said /usr/lib/basename a/b
    said /bin/other
    said /usr/bin/ld.so
    said /bin/sh -c 'basename c/d; exit 7'
    said dpkg --compare-versions 1 lt 2
    said dpkg --compare-versions 1 gt 2
    said dpkg --print-architecture
    said /usr/sbin/update-rc.d e
    said perl -e 'print 1'
}
calls
sh -e -c "$removal" sh "$PWD/tree"
calls"#;
        for arch in Arch::ALL.iter().filter(|arch| arch.is_foreign()) {
            let dir = tempfile::tempdir().unwrap();
            let tree = tree(dir.path());
            let program = ends_with_42(*arch, dir.path());
            for path in [
                "bin/basename",
                "lib/basename",
                "bin/other",
                "bin/ld.so",
                "bin/dpkg",
                "bin/sh",
                "bin/perl",
            ] {
                std::fs::copy(&program, tree.join(path)).unwrap();
            }
            let script = tree.join("sbin/update-rc.d");
            std::fs::write(&script, "#!/usr/bin/perl -w\nprint \"@ARGV $^W\\n\";").unwrap();
            std::fs::set_permissions(&script, program.metadata().unwrap().permissions()).unwrap();
            let before = listed(&tree);
            let way = foreign::find(*arch).unwrap();
            let qemu = way.registering().unwrap_or(Path::new(""));
            let shell = way
                .as_guest_root(*arch, "sh")
                .args(["-e", "-c", SCRIPT, "sh", PLACE]);
            let said = shell
                .arg(qemu)
                .arg(removal())
                .dir(dir.path())
                .text()
                .unwrap();
            let translated = ["42"; 10];
            let first = match way.registering() {
                Some(_) => vec![
                    "b", "0", "42", "42", "42", "d", "7", "0", "1", "42", "e 1", "0", "42",
                ],
                None => translated.to_vec(),
            };
            let words: Vec<_> = said.lines().collect();
            assert_eq!(words, [&first[..], &translated].concat(), "{arch:?}");
            assert_eq!(listed(&tree), before);
        }
    }
}
