//! Paths as a kernel follows them, through the links of an index.

use std::cell::Cell;
use std::collections::HashMap;

use super::index::File;

/// How many links a path may go through, as on Linux.
const LINKS: usize = 40;

/// What may be looked up, in bytes of paths: a desktop's packages take some hundred MB. A guest can write links of which
/// each path takes a second.
const MOST: u64 = 8 << 30;

/// The files of an index, as a kernel finds them by their paths.
pub(super) struct Places<'f> {
    files: HashMap<&'f str, &'f File>,
    left: Cell<u64>,
}

impl<'f> Places<'f> {
    pub(super) fn new(files: &'f [File]) -> Self {
        let named = files.iter().map(|file| (file.path.as_str(), file));
        Places {
            files: named.collect(),
            left: Cell::new(MOST),
        }
    }

    /// Whether it has not looked for all that it was asked for: links were not followed then.
    pub(super) fn gave_up(&self) -> bool {
        self.left.get() == 0
    }

    /// Whether it is a directory, or a link to one: many packages have the name of it.
    pub(super) fn leads_to_dir(&self, path: &str) -> bool {
        let end = self.follow(path, true);
        self.files
            .get(end.as_str())
            .is_some_and(|file| file.is_dir())
    }

    /// The path without links in its directories; the file itself may be one.
    pub(super) fn real(&self, path: &str) -> String {
        self.follow(path, false)
    }

    /// Where a link leads in the end.
    pub(super) fn target(&self, link: &File) -> String {
        self.follow(&link.path, true)
    }

    fn follow(&self, path: &str, last: bool) -> String {
        let mut left: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
        let (mut real, mut links) = (String::new(), 0);
        while let Some(part) = left.pop() {
            match part.as_str() {
                "" | "." => continue,
                ".." => {
                    real.truncate(real.rfind('/').unwrap_or(0));
                    continue;
                }
                _ => {}
            }
            let next = format!("{real}/{part}");
            self.left
                .set(self.left.get().saturating_sub(next.len() as u64));
            if self.gave_up() {
                return path.to_owned();
            }
            let link = self.files.get(next.as_str());
            let link = link.filter(|file| file.is_link() && (last || !left.is_empty()));
            let Some(link) = link.filter(|_| links < LINKS) else {
                real = next;
                continue;
            };
            links += 1;
            if link.content.starts_with('/') {
                real.clear();
            }
            left.extend(link.content.split('/').rev().map(str::to_owned));
        }
        if real.is_empty() { "/".into() } else { real }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_that_take_too_long_are_not_followed() {
        let link = |path: &str, content: &str| File {
            path: path.into(),
            mode: 0o120_777,
            content: content.into(),
            ..File::default()
        };
        let files = [link("/lib", "usr/lib"), link("/long", &"x/".repeat(2000))];
        let places = Places::new(&files);
        places.left.set(10_000);
        assert_eq!(places.real("/lib/a"), "/usr/lib/a");
        assert!(!places.gave_up());
        assert_eq!(places.real("/long/a"), "/long/a");
        assert!(places.gave_up());
        assert_eq!(places.real("/lib/a"), "/lib/a");
    }
}
