//! What an operation is: its words, its work, and the examples that prove it.

use super::GuestRoot;
use crate::error::Result;

/// One thing that sealing does. The constructors make one that runs by default, on every guest,
/// and that virt-sysprep has as well.
#[derive(Debug)]
pub struct Operation {
    /// Its name in recipes.
    pub name: &'static str,
    /// What it does, in a few words, for progress and lists.
    pub heading: &'static str,
    /// What exactly it does, for the documentation.
    pub doc: &'static str,
    /// Does it.
    pub run: Run,
    /// Whether `default` contains it.
    pub default: bool,
    /// The package format of the guests that it is for (`deb`, `rpm`); `None`: all.
    pub only: Option<&'static str>,
    /// Grows when the function of [`Run`], or a pattern in it, makes other disks than before. Images that
    /// use the operation are sealed again then, as they are when [`Run::Remove`]'s patterns change.
    pub version: u32,
    /// What its function takes from others' tables.
    pub taking: fn() -> Vec<&'static str>,
    /// Whose operation it is.
    pub origin: Origin,
    /// Examples, without the `/` at their beginning and written down by hand, so that they judge
    /// the operation: files that go.
    pub gone: &'static [&'static str],
    /// Files that lose all content.
    pub emptied: &'static [&'static str],
    /// Files with their content before and afterwards.
    pub edited: &'static [(&'static str, &'static str, &'static str)],
    /// Empty files that are made.
    pub made: &'static [&'static str],
    /// Files near those that stay as they are.
    pub stay: &'static [&'static str],
}

/// The work of an operation.
#[derive(Debug, Clone, Copy)]
pub enum Run {
    /// Removes these files and trees, see [`GuestRoot::remove`].
    Remove(&'static [&'static str]),
    /// Removes what these match but for directories, see [`GuestRoot::remove_files`].
    RemoveFiles(&'static [&'static str]),
    /// On the mounted file systems.
    Files(OnFiles),
    /// On the disks, after all others and while nothing is mounted.
    Devices(OnFiles),
}

/// The work of an operation that more than patterns describe.
pub type OnFiles = for<'s, 'g> fn(&'s mut GuestRoot<'g>) -> Result<()>;

/// Whose operation it is; the reference is virt-sysprep 1.48.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// virt-sysprep's: it does the same.
    VirtSysprep,
    /// virt-sysprep's since this version.
    Newer(&'static str),
    /// virt-sysprep has none such.
    Imgforge,
}

type Text = &'static str;
type Texts = &'static [&'static str];

impl Operation {
    const fn new(name: Text, heading: Text, doc: Text, run: Run) -> Self {
        Operation {
            name,
            heading,
            doc,
            run,
            default: true,
            only: None,
            version: 1,
            taking: Vec::new,
            origin: Origin::VirtSysprep,
            gone: &[],
            emptied: &[],
            edited: &[],
            made: &[],
            stay: &[],
        }
    }

    /// Removes files and trees.
    pub(super) const fn removes(name: Text, heading: Text, doc: Text, patterns: Texts) -> Self {
        Self::new(name, heading, doc, Run::Remove(patterns))
    }

    /// Removes what is no directory.
    pub(super) const fn removes_files(name: Text, heading: Text, doc: Text, paths: Texts) -> Self {
        Self::new(name, heading, doc, Run::RemoveFiles(paths))
    }

    /// Works on the mounted file systems.
    pub(super) const fn files(name: Text, heading: Text, doc: Text, run: OnFiles) -> Self {
        Self::new(name, heading, doc, Run::Files(run))
    }

    /// Works on the disks, while nothing is mounted.
    pub(super) const fn devices(name: Text, heading: Text, doc: Text, run: OnFiles) -> Self {
        Self::new(name, heading, doc, Run::Devices(run))
    }

    /// `default` does not contain it.
    pub(super) const fn off(self) -> Self {
        let default = false;
        Operation { default, ..self }
    }

    /// It is for guests with these packages.
    pub(super) const fn only(self, format: Text) -> Self {
        let only = Some(format);
        Operation { only, ..self }
    }

    /// The function works otherwise than before.
    pub const fn version(self, version: u32) -> Self {
        Operation { version, ..self }
    }

    /// The function takes these patterns from others' tables.
    pub(super) const fn taking(self, taking: fn() -> Vec<Text>) -> Self {
        Operation { taking, ..self }
    }

    /// virt-sysprep has none such.
    pub(super) const fn ours(self) -> Self {
        let origin = Origin::Imgforge;
        Operation { origin, ..self }
    }

    /// virt-sysprep has it since `version`.
    pub(super) const fn newer(self, version: Text) -> Self {
        let origin = Origin::Newer(version);
        Operation { origin, ..self }
    }

    /// Examples of files that go.
    pub(super) const fn gone(self, gone: Texts) -> Self {
        Operation { gone, ..self }
    }

    /// Examples of files that lose all content.
    pub(super) const fn emptied(self, emptied: Texts) -> Self {
        Operation { emptied, ..self }
    }

    /// Examples of files with their content before and afterwards.
    pub(super) const fn edited(self, edited: &'static [(Text, Text, Text)]) -> Self {
        Operation { edited, ..self }
    }

    /// Examples of empty files that are made.
    pub(super) const fn made(self, made: Texts) -> Self {
        Operation { made, ..self }
    }

    /// Examples of files that stay as they are.
    pub(super) const fn stay(self, stay: Texts) -> Self {
        Operation { stay, ..self }
    }

    /// What the disks depend on that it works on: its version, the guests that it is for, and the
    /// patterns that it removes or takes from others' tables, with what is done to them. Those in a
    /// function are not seen.
    pub fn input(&self) -> (u32, Option<Text>, Text, Vec<Text>) {
        let (work, patterns) = match self.run {
            Run::Remove(patterns) => ("remove", patterns),
            Run::RemoveFiles(patterns) => ("remove files", patterns),
            Run::Files(_) => ("files", &[][..]),
            Run::Devices(_) => ("devices", &[][..]),
        };
        let patterns = [patterns, &(self.taking)()].concat();
        (self.version, self.only, work, patterns)
    }

    /// Whether it is for guests with packages of this format.
    pub fn is_for(&self, format: &str) -> bool {
        self.only.is_none_or(|only| only == format)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_and_version_are_inputs_of_the_disk() {
        let operation = |patterns| Operation::removes("a", "A", "Removes.", patterns);
        let input = |operation: Operation| format!("{:?}", operation.input());
        let one = input(operation(&["/a"]));
        assert_eq!(one, r#"(1, None, "remove", ["/a"])"#);
        let changed = operation(&["/a"]).version(2);
        let files = Operation::removes_files("a", "A", "Removes.", &["/a"]);
        let taking = operation(&["/a"]).taking(|| vec!["/c"]);
        let narrowed = operation(&["/a"]).only("rpm");
        for other in [operation(&["/a", "/b"]), changed, files, taking, narrowed] {
            assert_ne!(input(other), one);
        }
    }
}
