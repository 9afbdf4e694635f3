//! The texts that a recipe is made of, and places in them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Number of a text within its [`Sources`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(u32);

/// A range of bytes in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Loc {
    /// The text.
    pub file: FileId,
    /// First byte.
    pub start: usize,
    /// Byte after the last.
    pub end: usize,
}

/// A text: a file of the repository, or something typed on the command line.
#[derive(Debug, Clone)]
pub struct Source {
    /// The name that people see: the path relative to the repository's root.
    pub name: String,
    /// The file; absent for the command line.
    pub path: Option<PathBuf>,
    /// What it says.
    pub text: Arc<str>,
}

/// All texts of one operation.
#[derive(Debug, Clone, Default)]
pub struct Sources(Vec<Source>);

impl Sources {
    /// Adds a text.
    pub fn add(&mut self, name: impl Into<String>, path: Option<&Path>, text: &str) -> FileId {
        self.0.push(Source {
            name: name.into(),
            path: path.map(Path::to_path_buf),
            text: text.into(),
        });
        FileId(self.0.len() as u32 - 1)
    }

    /// A text by its number.
    pub fn get(&self, file: FileId) -> &Source {
        &self.0[file.0 as usize]
    }

    /// The bytes of a place, empty if it lies outside of its text.
    pub fn slice(&self, at: Loc) -> &str {
        self.get(at.file).text.get(at.start..at.end).unwrap_or("")
    }

    /// Line of a place, counted from 1.
    pub fn line(&self, at: Loc) -> usize {
        let text = self.get(at.file).text.as_bytes();
        1 + text[..at.start.min(text.len())]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count()
    }

    /// Where a value comes from, for people: `recipes/web.yaml:12`, or `--var`.
    pub fn origin(&self, at: Loc) -> String {
        let source = self.get(at.file);
        match source.path {
            Some(_) => format!("{}:{}", source.name, self.line(at)),
            None => source.name.clone(),
        }
    }
}

impl FileId {
    /// The beginning of the text.
    pub fn start(self) -> Loc {
        self.range(0, 0)
    }

    /// A range of bytes.
    pub fn range(self, start: usize, end: usize) -> Loc {
        Loc {
            file: self,
            start,
            end,
        }
    }
}
