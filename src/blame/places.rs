//! Paths as a kernel follows them, through the links of an index.

use std::collections::HashMap;

use super::index::File;

/// How many links a path may go through, as on Linux.
const LINKS: usize = 40;

/// The files of an index, as a kernel finds them by their paths.
pub(super) struct Places<'f> {
    files: HashMap<&'f str, &'f File>,
}

impl<'f> Places<'f> {
    pub(super) fn new(files: &'f [File]) -> Self {
        let named = files.iter().map(|file| (file.path.as_str(), file));
        Places {
            files: named.collect(),
        }
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
