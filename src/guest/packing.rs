//! Files of the guest as an archive in a pipe, which a thread of ours reads while it is written.

use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;

use super::Guestfs;
use crate::error::{Context as _, Error, Result};
use crate::host::interrupt;

/// From here on tar(1) of the appliance asks the file systems where files have holes.
const SPARSELY: &str = r#"
tar=$(command -v tar) && [ ! -e "$tar.imgforge" ] && mv "$tar" "$tar.imgforge" &&
  printf '#!/bin/sh\nexec %s.imgforge --sparse "$@"\n' "$tar" >"$tar" && chmod 755 "$tar"; true
"#;

impl Guestfs {
    /// Lets the holes of files be holes in every archive from here on: a file of any size may be
    /// one hole.
    ///
    /// # Errors
    /// When the appliance has no shell.
    pub(crate) fn pack_sparsely(&self) -> Result<()> {
        self.debug("sh", &[SPARSELY]).map(drop)
    }

    /// Packs a directory of the guest, without the trees at these paths, each `./…`, and gives the
    /// archive to `read`, which may end before it. Returns what that made of it, and whether all
    /// could be packed.
    ///
    /// # Errors
    /// When `read` has one, or on an interrupt.
    pub(crate) fn packed<T: Send>(
        &self,
        dir: &str,
        without: &[String],
        read: impl FnOnce(&mut File) -> Result<T> + Send,
    ) -> Result<(T, Result<()>)> {
        // Each is a line of a file: better packed once more than something else left out.
        let without = without.iter().filter(|path| !path.contains('\n'));
        let without: Vec<String> = without.map(|path| literal(path)).collect();
        let without: Vec<&str> = without.iter().map(String::as_str).collect();
        let (ours, theirs) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
            .map_err(std::io::Error::from)
            .doing(|| "making a pipe".into())?;
        let name = PathBuf::from(format!("/dev/fd/{}", theirs.as_raw_fd()));
        let (written, made) = std::thread::scope(|scope| {
            // A session is used by one thread at a time; the reader is another.
            let reader = scope.spawn(move || {
                let mut archive = File::from(ours);
                let result = read(&mut archive);
                if result.is_ok() {
                    // An archive's padding would block its writer.
                    drop(std::io::copy(&mut archive, &mut std::io::sink()));
                }
                result
            });
            let written = self.tar_out_without(dir, &name, &without);
            drop(theirs);
            let panicked = || Err(Error::internal("the thread that reads an archive panicked"));
            (written, reader.join().unwrap_or_else(|_| panicked()))
        });
        interrupt::check()?;
        Ok((made?, written))
    }
}

/// A pattern of glob(3) or tar(1) that matches only this text. Blanks go into brackets, as tar(1)
/// takes those at a pattern's end for none of it.
pub(crate) fn literal(text: &str) -> String {
    let mut pattern = String::new();
    for c in text.chars() {
        match c {
            '\\' | '*' | '?' | '[' | ']' | '{' | '}' | ',' => pattern.extend(['\\', c]),
            c if c.is_ascii_whitespace() || c == '\x0b' => pattern.extend(['[', c, ']']),
            c => pattern.push(c),
        }
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::exec::Program;

    #[test]
    fn a_literal_pattern_matches_only_its_text() {
        assert_eq!(literal("/a{b,c}[d]*"), "/a\\{b\\,c\\}\\[d\\]\\*");
        let names = [
            "*", "?", "[a]", "[!a]", "\\", "\\*", "a", "a ", "a\t", "a\x0b", " ", "#a", "{a,b}",
            "b", "a*", "@snap", "-x", "a\r",
        ];
        let dir = tempfile::tempdir().unwrap();
        let [tree, patterns] = ["tree", "patterns"].map(|name| dir.path().join(name));
        for name in names {
            std::fs::create_dir_all(tree.join(name).join("below")).unwrap();
        }
        for name in names {
            // As libguestfs gives them to tar(1).
            std::fs::write(&patterns, literal(&format!("./{name}")) + "\n").unwrap();
            let tar = Program::new("tar").args(["-cf", "-", "-X"]).arg(&patterns);
            let archive = tar.arg("-C").arg(&tree).arg(".").output().unwrap();
            let mut archive = tar::Archive::new(archive.as_slice());
            let members = archive.entries().unwrap().map(|member| {
                let path = member.unwrap().path().unwrap().into_owned();
                path.to_str()
                    .unwrap()
                    .trim_start_matches("./")
                    .trim_end_matches('/')
                    .to_owned()
            });
            let mut members: Vec<String> = members.filter(|path| !path.is_empty()).collect();
            let all = names.iter().filter(|other| **other != name);
            let mut wanted: Vec<String> = all
                .flat_map(|other| [(*other).to_owned(), format!("{other}/below")])
                .collect();
            members.sort();
            wanted.sort();
            assert_eq!(members, wanted, "{name:?}");
        }
    }
}
