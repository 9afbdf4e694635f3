//! Paths of a recipe repository stay in it, through whatever links they lead.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use crate::error::{Error, Result};

/// As many links as Linux follows.
const LINKS: usize = 40;

/// Where a path really leads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Real {
    /// The path without links, relative to the root; the end of it need not exist.
    pub path: PathBuf,
    /// The links on the way, relative to the root.
    pub links: Vec<PathBuf>,
}

/// Follows `named`, which is relative to `root`, and stays in it: links within the repository are
/// fine, one that leads out of it is not. A link that is an absolute path starts anew at the root.
///
/// # Errors
/// Why it does not stay, in a few words.
pub fn resolve(root: &Path, named: &Path) -> Result<Real, String> {
    let whole = root.canonicalize().unwrap_or_else(|_| root.to_owned());
    let mut real = Real::default();
    let mut todo: VecDeque<OsString> = parts(named);
    while let Some(part) = todo.pop_front() {
        match Path::new(&part).components().next() {
            Some(Component::Normal(name)) => real.path.push(name),
            Some(Component::ParentDir) => {
                if !real.path.pop() {
                    return Err(out(&real));
                }
                continue;
            }
            Some(Component::RootDir | Component::Prefix(_)) => return Err(out(&real)),
            _ => continue,
        }
        let Ok(to) = std::fs::read_link(root.join(&real.path)) else {
            continue;
        };
        real.links.push(real.path.clone());
        if real.links.len() > LINKS {
            return Err(format!("it leads through more than {LINKS} links"));
        }
        real.path.pop();
        let to = if to.is_absolute() {
            let inside = to.strip_prefix(&whole).or_else(|_| to.strip_prefix(root));
            let inside = inside.map_err(|_| out(&real))?.to_owned();
            real.path = PathBuf::new();
            inside
        } else {
            to
        };
        for part in parts(&to).into_iter().rev() {
            todo.push_front(part);
        }
    }
    Ok(real)
}

/// The path of `named` in the repository at `root`.
///
/// # Errors
/// When it leads out of it.
pub fn inside(root: &Path, named: impl AsRef<Path>) -> Result<PathBuf> {
    let named = named.as_ref();
    resolve(root, named).map_err(|why| {
        Error::usage(format!("`{}`: {why}", named.display()))
            .hint("put the file itself into the repository, or a copy of it")
    })?;
    Ok(root.join(named))
}

fn parts(path: &Path) -> VecDeque<OsString> {
    let parts = path.components().map(|part| part.as_os_str().to_owned());
    parts.collect()
}

fn out(real: &Real) -> String {
    match real.links.last() {
        Some(link) => format!("the link {} leads out of the repository", link.display()),
        None => "it leads out of the repository".into(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_may_lead_anywhere_within_the_repository() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        std::fs::create_dir_all(root.join("real/deep")).unwrap();
        std::fs::write(root.join("real/deep/file"), "").unwrap();
        for (to, link) in [
            ("real", "near"),
            ("../real/deep", "real/back"),
            ("/etc", "etc"),
            ("../..", "real/up"),
            ("round", "round"),
            ("near/back/file", "chain"),
        ] {
            symlink(to, root.join(link)).unwrap();
        }
        symlink(root.join("real/deep"), root.join("absolute")).unwrap();
        let leads = |named: &str| resolve(root, Path::new(named));
        for named in [
            "near/deep/file",
            "absolute/file",
            "chain",
            "./real/../near/back/file",
        ] {
            let real = leads(named).unwrap();
            assert_eq!(real.path, Path::new("real/deep/file"), "{named}");
        }
        assert_eq!(
            leads("near/not/there").unwrap().path,
            Path::new("real/not/there")
        );
        assert_eq!(
            leads("chain").unwrap().links,
            ["chain", "near", "real/back"].map(PathBuf::from)
        );
        for (named, why) in [
            ("etc/hostname", "the link etc leads out"),
            ("real/up/x", "the link real/up leads out"),
            ("../x", "it leads out"),
            ("/etc/hostname", "it leads out"),
            ("round", "more than 40 links"),
        ] {
            let said = leads(named).unwrap_err();
            assert!(said.contains(why), "{named}: {said}");
        }
        let error = inside(root, "etc/hostname").unwrap_err().render();
        assert!(
            error.contains("etc/hostname") && error.contains("hint: "),
            "{error}"
        );
    }
}
