//! Programs of this host, with all that they load, for a system of its architecture.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::error::{Context as _, Error, Result};
use crate::host::exec::{self, Program};
use crate::host::tools;
use crate::targets::ramdisk::initrd::Member;

/// What [`crate::deploy::install`] calls, and the packages that have it.
const CALLED: [(&str, &str); 6] = [
    // busybox has a setpriv that cannot do what is asked of it.
    ("setpriv", "util-linux"),
    ("prlimit", "util-linux"),
    ("gpg", "gpg"),
    ("e2fsck", "e2fsprogs"),
    ("resize2fs", "e2fsprogs"),
    ("debugfs", "e2fsprogs"),
];

/// imgforge itself and what it calls, below `usr/bin`; libraries where they are on this host.
///
/// # Errors
/// When one is not installed.
pub(super) fn members() -> Result<Vec<Member>> {
    let own = std::env::current_exe().doing(|| "finding this program".into())?;
    let mut all = vec![("imgforge", own)];
    for (program, package) in CALLED {
        let path = exec::find(program).ok_or_else(|| {
            Error::host(format!(
                "`{program}` is needed on a medium, and is not installed"
            ))
            .hint(format!("install it: {}", tools::install_line(&[package])))
        })?;
        all.push((program, path));
    }
    let mut files: BTreeMap<String, PathBuf> = BTreeMap::new();
    for (name, path) in all {
        let said = Program::new("ldd").arg(&path).text()?;
        for library in libraries(&said)? {
            files.insert(library.trim_start_matches('/').into(), library.into());
        }
        files.insert(format!("usr/bin/{name}"), path);
    }
    let member = |(name, path): (String, PathBuf)| {
        let bytes = std::fs::read(&path).doing(|| format!("reading {}", path.display()))?;
        Ok(Member {
            path: name,
            mode: 0o755,
            bytes,
        })
    };
    files.into_iter().map(member).collect()
}

/// The files that `ldd` says a program loads.
fn libraries(said: &str) -> Result<Vec<&str>> {
    let mut all = vec![];
    for line in said.lines().map(str::trim) {
        let (name, found) = line.split_once(" => ").unwrap_or((line, line));
        if found.starts_with("not found") {
            return Err(Error::host(format!("the library {name} is not installed")));
        }
        let path = found.split(" (").next().unwrap_or_default();
        if path.starts_with('/') {
            all.push(path);
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_a_program_loads_is_known() {
        let said = "\tlinux-vdso.so.1 (0x00007ffd)\n\
                    \tlibz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x00007f76)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f76)\n";
        let found = libraries(said).unwrap();
        assert_eq!(
            found,
            [
                "/lib/x86_64-linux-gnu/libz.so.1",
                "/lib64/ld-linux-x86-64.so.2"
            ]
        );
        assert!(libraries("\tstatically linked\n").unwrap().is_empty());
        let error = libraries("\tlibz.so.1 => not found\n").unwrap_err();
        assert!(error.message().contains("libz.so.1"), "{error}");
    }
}
