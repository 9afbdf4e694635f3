//! What steps take from this host, beside the files of the recipe: programs of a toolbox, and what
//! was fetched with them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Step;
use crate::error::Result;
use crate::toolbox::{Contents, Kept, Request, Toolbox, toolbox};

/// What a step has fetched.
#[derive(Debug)]
pub struct Fetched {
    /// The step's word for it; equal names mean the same.
    pub name: String,
    /// Where it lies.
    pub dir: PathBuf,
    /// Holds it in the store.
    pub kept: Kept,
}

/// What the steps of a job take; held while the guest runs, so that nothing of it leaves the store.
#[derive(Debug, Default)]
pub struct Tools {
    toolbox: Option<Toolbox>,
    fetched: BTreeMap<String, Fetched>,
}

impl Tools {
    /// Makes, or finds in the store, what `steps` need in a guest of the release `codename`; their
    /// files are below `root`.
    ///
    /// # Errors
    /// When the release has no toolbox, or something cannot be fetched.
    pub fn prepare<'s>(
        request: &Request<'_>,
        steps: impl IntoIterator<Item = &'s Step>,
        root: &Path,
        codename: &str,
    ) -> Result<Tools> {
        let steps = steps.into_iter();
        let steps: Vec<_> = steps
            .filter_map(|step| Some((step, step.action.about().toolbox?)))
            .collect();
        let mut contents: Vec<&'static Contents> = steps.iter().map(|(_, it)| *it).collect();
        contents.sort_by_key(|one| one.word);
        contents.dedup();
        if contents.is_empty() {
            return Ok(Tools::default());
        }
        let toolbox = toolbox(request, &contents, codename)?;
        let mut fetched = BTreeMap::new();
        for (step, _) in steps {
            if let Some(one) = step.action.kind().fetch(request, &toolbox, root)? {
                fetched.insert(one.name.clone(), one);
            }
        }
        let toolbox = Some(toolbox);
        Ok(Tools { toolbox, fetched })
    }

    /// The toolbox's disk, if some step needs one.
    pub fn disk(&self) -> Option<PathBuf> {
        self.toolbox.as_ref().map(Toolbox::disk)
    }

    /// Where that lies which a step has fetched under this name.
    pub fn fetched(&self, name: &str) -> Option<&Path> {
        self.fetched.get(name).map(|one| one.dir.as_path())
    }
}
