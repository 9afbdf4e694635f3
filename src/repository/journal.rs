//! Entry points that change together: written aside, entered in a journal, then renamed in order.
//!
//! Once the journal is there, the transaction counts; whoever holds the lock next finishes it.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{below, files, served};
use crate::error::{Context as _, Error, Kind, Result};
use crate::host::durable;

pub(super) const JOURNAL: &str = ".imgforge/journal.json";
/// What clients begin with.
const INDEX: &str = "index.asc";
const ASIDE: &str = ".imgforge/transaction";

/// `.imgforge/journal.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Journal {
    version: u32,
    renames: Vec<Rename>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Rename {
    /// None: `to` is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    to: String,
}

/// A file below the root that becomes other bytes, or goes.
pub(super) type Replacement = (String, Option<Vec<u8>>);

/// Replaces files below `root`, in this order, so that after a crash either none or all are new.
pub(super) fn replace(root: &Path, changes: &[Replacement], step: &dyn Fn(&str)) -> Result<()> {
    // What cannot be carried out must not be entered in the journal.
    below::create_dir(root, ASIDE)?;
    for (to, bytes) in changes {
        let parent = inside(to)?.parent().and_then(Path::to_str);
        let parent = parent.unwrap_or_default();
        match bytes {
            // Afterwards nothing may need space.
            Some(_) => below::create_dir(root, parent)?,
            None => below::check_dir(root, parent)?,
        }
    }
    // Left by a holder of the lock that was killed before it counted.
    below::clear(root, ASIDE)?;
    let mut journal = Journal {
        version: 1,
        renames: vec![],
    };
    for (number, (to, bytes)) in changes.iter().enumerate() {
        let from = match bytes {
            Some(bytes) => {
                let from = format!("{ASIDE}/{number}");
                step("write an entry point aside");
                files::write_aside(root, &from, to, bytes)?;
                Some(from)
            }
            None => None,
        };
        journal.renames.push(Rename {
            from,
            to: to.clone(),
        });
    }
    files::sync_parent(&root.join(ASIDE).join("0"))?;
    step("write the journal");
    files::write_json(root, JOURNAL, &journal)?;
    roll_forward(root, &journal, step)
}

/// Whether a killed holder of the lock has left a transaction to be finished.
pub(super) fn is_left(root: &Path) -> bool {
    root.join(JOURNAL).exists()
}

/// Finishes the transaction of a killed holder of the lock.
pub(super) fn recover(root: &Path, step: &dyn Fn(&str)) -> Result<()> {
    match files::read_json::<Journal>(root, JOURNAL)? {
        Some(journal) if journal.version == 1 => roll_forward(root, &journal, step),
        Some(_) => Err(Error::usage(format!(
            "{} was left half-way by a newer imgforge",
            root.display()
        ))
        .hint("run that version once")),
        None => Ok(()),
    }
}

/// Copies what is signed, the keys and the records to a directory of ours, and finishes there the transaction
/// of a killed holder of the lock.
///
/// # Errors
/// When it cannot be finished, or something cannot be read.
pub(super) fn finished(root: &Path, to: &Path) -> Result<()> {
    let ends = [".asc", ".sjson", ".gpg"];
    let counts = |path: &&String| {
        path.starts_with(".imgforge/") || ends.iter().any(|end| path.ends_with(end))
    };
    let aside = below::names(root, ASIDE)?;
    let aside = aside.iter().filter(|name| name.parse::<u64>().is_ok());
    let aside = aside.map(|name| format!("{ASIDE}/{name}"));
    let there = served::entry_points(root)?;
    let there = there.into_iter().filter(|path| counts(&path));
    let read = |path: &str| match below::read(root, path) {
        // A link, or what else is no file, is not there.
        Err(error) if error.kind() == Kind::Gate => Ok(None),
        bytes => bytes,
    };
    for path in there.chain(aside).chain([JOURNAL.to_owned()]) {
        copy_to(to, &path, read(&path)?.as_deref())?;
    }
    let journal = files::read_json::<Journal>(to, JOURNAL)?;
    for Rename { from, to: path } in journal.iter().flat_map(|journal| &journal.renames) {
        inside(path)?;
        let bytes = match from {
            // This one was done before the crash.
            Some(from) if !to.join(inside(from)?).exists() => read(path)?,
            _ => None,
        };
        copy_to(to, path, bytes.as_deref())?;
    }
    recover(to, &|_| {})
}

/// Writes a file of a scratch directory, if there is one, and makes the directory that it is in.
fn copy_to(to: &Path, path: &str, bytes: Option<&[u8]>) -> Result<()> {
    let path = to.join(path);
    let dir = path.parent().unwrap_or(to);
    let written = std::fs::create_dir_all(dir).and_then(|()| match bytes {
        Some(bytes) => std::fs::write(&path, bytes),
        None => Ok(()),
    });
    written.doing(|| format!("writing {}", path.display()))
}

fn roll_forward(root: &Path, journal: &Journal, step: &dyn Fn(&str)) -> Result<()> {
    let mut parents = BTreeSet::new();
    for Rename { from, to } in &journal.renames {
        let path = inside(to)?;
        if path.ends_with(INDEX) {
            // What it leads to is there before it, after a power loss, too.
            sync_all(&mut parents)?;
        }
        step("rename an entry point");
        let done = match from {
            Some(from) => below::rename(root, inside(from)?, path),
            None => below::remove(root, path),
        };
        let name = to;
        let to = root.join(path);
        match done {
            // This one was done before the crash.
            Err(cause)
                if cause.kind() == std::io::ErrorKind::NotFound
                    && to.exists() == from.is_some() => {}
            result => {
                result.map_err(|cause| below::explained(root, name, "writing", cause))?;
            }
        }
        parents.extend(to.parent().filter(|dir| dir.is_dir()).map(Path::to_owned));
    }
    sync_all(&mut parents)?;
    step("remove the journal");
    let removed = below::remove(root, Path::new(JOURNAL));
    removed.map_err(|cause| below::explained(root, JOURNAL, "removing", cause))?;
    files::sync_parent(&root.join(JOURNAL))
}

/// Makes the names in these directories last.
fn sync_all(dirs: &mut BTreeSet<PathBuf>) -> Result<()> {
    let doing = |dir: &Path| format!("syncing {}", dir.display());
    let synced = |dir: PathBuf| durable::sync_dir(&dir).doing(|| doing(&dir));
    std::mem::take(dirs).into_iter().try_for_each(synced)
}

/// A damaged journal must not lead out of the repository.
pub(super) fn inside(path: &str) -> Result<&Path> {
    let plain = |part| matches!(part, Component::Normal(_));
    let path = Path::new(path);
    if path.components().all(plain) && path.file_name().is_some() {
        return Ok(path);
    }
    Err(Error::gate(format!(
        "the journal or a record names {}, outside the repository",
        path.display()
    ))
    .hint("no imgforge wrote that: move .imgforge/journal.json away if it is there, then `imgforge repo verify`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_cannot_lead_out_of_the_repository() {
        for path in ["/etc/passwd", "../x", "a/../../x", ""] {
            assert!(inside(path).is_err(), "{path}");
        }
        assert!(inside("channels/nightly/index.asc").is_ok());
    }

    /// What cannot be finished must not count: nobody could lock the repository any more.
    #[test]
    fn what_leads_out_is_refused_before_it_counts() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("repo");
        std::fs::create_dir_all(root.join(".imgforge")).unwrap();
        std::os::unix::fs::symlink("..", root.join("link")).unwrap();
        for path in ["../out", "/out", "link/out"] {
            let changes = [("a", "new"), (path, "out")];
            let changes = changes.map(|(to, text)| (to.to_owned(), Some(text.into())));
            assert!(replace(&root, &changes, &|_| {}).is_err(), "{path}");
            assert!(!is_left(&root) && !root.join("a").exists(), "{path}");
            assert!(!dir.path().join("out").exists());
        }
    }

    /// A web server that tells files apart by time and size must see each one.
    #[test]
    fn what_replaces_a_file_is_later_by_a_second() {
        use std::time::UNIX_EPOCH;
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join(".imgforge")).unwrap();
        let path = dir.path().join("index.asc");
        let seconds = || {
            let time = std::fs::metadata(&path).unwrap().modified().unwrap();
            time.duration_since(UNIX_EPOCH).unwrap().as_secs()
        };
        let mut last = 0;
        for text in ["one", "two", "six"] {
            let change = [("index.asc".to_owned(), Some(text.into()))];
            replace(dir.path(), &change, &|_| {}).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
            assert!(seconds() > last, "{text}");
            last = seconds();
            files::write(dir.path(), "index.asc", b"key").unwrap();
            assert!(seconds() > last, "{text}");
            last = seconds();
        }
    }

    #[test]
    fn whatever_the_moment_of_a_kill_all_or_nothing_is_new() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("repo");
        std::fs::create_dir_all(root.join(".imgforge")).unwrap();
        let change = |text: &str| {
            let mut change = ["a", "b/c"]
                .map(|to| (to.to_owned(), Some(text.as_bytes().to_vec())))
                .to_vec();
            if text == "new" {
                change.push(("gone".into(), None));
            }
            change
        };
        std::fs::write(root.join("gone"), "old").unwrap();
        replace(&root, &change("old"), &|_| {}).unwrap();

        let moments = std::cell::RefCell::new(vec![]);
        let snapshot = |step: &str| {
            let mut moments = moments.borrow_mut();
            let copy = dir.path().join(moments.len().to_string());
            crate::host::exec::Program::new("cp")
                .arg("-a")
                .arg(&root)
                .arg(&copy)
                .run()
                .unwrap();
            moments.push((step.to_owned(), copy));
        };
        replace(&root, &change("new"), &snapshot).unwrap();
        let moments = moments.into_inner();
        assert_eq!(moments.len(), 7);
        for (step, copy) in moments {
            recover(&copy, &|_| {}).unwrap();
            let read = |name: &str| std::fs::read_to_string(copy.join(name)).unwrap();
            let expected = if step.starts_with("write") {
                "old"
            } else {
                "new"
            };
            assert_eq!(
                (read("a").as_str(), read("b/c").as_str()),
                (expected, expected),
                "{step}"
            );
            assert_eq!(copy.join("gone").exists(), expected == "old", "{step}");
            assert!(!copy.join(JOURNAL).exists(), "{step}");
        }
    }
}
