//! What every kind of step answers, and what it is asked with.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};

use super::Declared;
use super::entry::ArchiveEntry;
use super::packages::{DISTRIBUTIONS, PackageNames};
use super::tools::{Fetched, Tools};
use crate::error::{Error, Result};
use crate::host::exec::quote;
use crate::text::nearest;
use crate::toolbox::{Contents, Request, Toolbox};
use crate::yaml::beneath;
use crate::yaml::checker::Checker;
use crate::yaml::node::Node;
use crate::yaml::problem::{Problem, list_words};
use crate::yaml::source::Loc;

/// What is known of a kind of step before one is read.
#[derive(Debug)]
pub struct About {
    /// How it may be written beside its long form.
    pub form: Form,
    /// What runs in the guest; without it, the runner itself does the work.
    pub script: Option<&'static str>,
    /// Further files of the runner in the guest: paths, and texts.
    pub files: &'static [(&'static str, &'static str)],
    /// The programs that the script runs, which are not installed in the guest.
    pub toolbox: Option<&'static Contents>,
    /// Whether what is done so far is kept: the steps that follow have a key of their own.
    pub keeps: bool,
    /// Whether [`Kind::declares`] says something, so that seal reads the files of the step again.
    pub declares: bool,
    /// Why it is no step of `instance`: what is wrong, and what to do.
    pub only_builds: Option<[&'static str; 2]>,
}

impl About {
    /// A kind without a script.
    pub const fn new(form: Form) -> Self {
        About {
            form,
            script: None,
            files: &[],
            toolbox: None,
            keeps: false,
            declares: false,
            only_builds: None,
        }
    }
}

/// How an action may be written beside its long form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `- upgrade`; it has only the common options.
    Word,
    /// Nothing but a map of its options.
    Map,
    /// `- users: […]`, short for this key.
    List(&'static str),
    /// `- shell: PATH`, short for this key.
    Text(&'static str),
    /// `- packages: […]` or by distribution, short for this key.
    Names(&'static str),
}

impl Form {
    /// What a message says is expected, where that is more than a map.
    pub fn expects(self) -> Option<&'static str> {
        match self {
            Form::List(_) => Some("a list or a map of options"),
            Form::Text(_) => Some("a file's path or a map of options"),
            Form::Names(_) => Some("a list of names or a map of options"),
            Form::Word | Form::Map => None,
        }
    }

    /// The short forms of an action, for the reference.
    pub fn short(self, action: &str) -> Option<String> {
        match self {
            Form::Word => Some(format!("`- {action}`")),
            Form::Map => None,
            Form::List(key) => Some(format!("`- {action}: […]` for `{key}`")),
            Form::Text(key) => Some(format!("`- {action}: PATH` for `{key}`")),
            Form::Names(key) => Some(format!(
                "`- {action}: […]` or `- {action}: {{debian: […], rhel: […]}}` for `{key}`"
            )),
        }
    }
}

/// What the options of a step answer.
pub trait Kind {
    /// What people see of a step that has no name.
    fn title(&self) -> String;

    /// Checks the options, which are written at `node`.
    fn check(&self, _cx: &mut Check<'_, '_>, _node: &Node) {}

    /// The files and directories of the recipe repository at `root` that the step reads, relative
    /// to it.
    fn files(&self, _root: &Path) -> Vec<String> {
        vec![]
    }

    /// The packages that the step installs.
    fn packages(&self) -> Option<&PackageNames> {
        None
    }

    /// Fetches with its [`About::toolbox`] what else the step is made of; its files are below `root`.
    fn fetch(
        &self,
        _request: &Request<'_>,
        _toolbox: &Toolbox,
        _root: &Path,
    ) -> Result<Option<Fetched>> {
        Ok(None)
    }

    /// Whether no lock below `root` says yet what exactly [`Kind::fetch`] fetches.
    fn lacks_lock(&self, _root: &Path) -> bool {
        false
    }

    /// Writes the lock of what was fetched; its path.
    fn write_lock(&self, _root: &Path, _tools: &Tools) -> Result<Option<PathBuf>> {
        Ok(None)
    }

    /// What the step puts into the image on purpose.
    ///
    /// # Errors
    /// When a file that the step names cannot be read.
    fn declares(&self, _root: &Path) -> Result<Declared> {
        Ok(Declared::default())
    }

    /// Addresses that the image has on purpose.
    fn addresses(&self) -> Vec<&str> {
        vec![]
    }

    /// Secrets of its own by name, which stay in the state directory `state`; made where they are
    /// missing.
    ///
    /// # Errors
    /// When one can be neither read nor made.
    fn secrets(&self, _state: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
        Ok(BTreeMap::new())
    }

    /// Those of its own secrets that were made already.
    fn kept_secrets(&self, _state: &Path) -> BTreeMap<String, Vec<u8>> {
        BTreeMap::new()
    }

    /// What the guest gets; nothing where there is nothing to do in it.
    ///
    /// # Errors
    /// When a file that the step names cannot be used.
    fn translate(&self, scope: Scope<'_>) -> Result<Option<Translated>>;
}

/// What steps may refer to.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// Directory of the recipe repository.
    pub root: &'a Path,
    /// The recipe's variables.
    pub vars: &'a BTreeMap<String, String>,
    /// Names of the secrets that the guest will have.
    pub secrets: &'a [String],
    /// What was fetched for them.
    pub tools: &'a Tools,
}

/// A step as the files that the guest's script reads.
#[derive(Debug, Default)]
pub struct Translated {
    /// Files for `steps/N/`.
    pub files: Vec<ArchiveEntry>,
    /// What `payload-N.tar` holds.
    pub payload: Option<Vec<ArchiveEntry>>,
}

impl From<Vec<ArchiveEntry>> for Translated {
    fn from(files: Vec<ArchiveEntry>) -> Self {
        Translated {
            files,
            payload: None,
        }
    }
}

/// What the checks of steps look at.
pub struct Check<'c, 'a> {
    /// Where mistakes go, and where files are.
    pub checker: &'c mut Checker<'a>,
    /// Names of the recipe's secrets.
    pub secrets: Vec<&'c str>,
    /// Whether these are the steps of `instance`.
    pub instance: bool,
    /// The system that an installer puts on the disk, in libosinfo's words.
    pub os: Option<&'c str>,
    /// The users of the steps so far, and where they are declared.
    pub users: BTreeMap<String, Loc>,
}

impl std::fmt::Debug for Check<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Check")
            .field("instance", &self.instance)
            .finish_non_exhaustive()
    }
}

impl<'a> Deref for Check<'_, 'a> {
    type Target = Checker<'a>;

    fn deref(&self) -> &Checker<'a> {
        self.checker
    }
}

impl DerefMut for Check<'_, '_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        self.checker
    }
}

impl Check<'_, '_> {
    /// Reports what is no distribution; `also` are words that were meant perhaps.
    pub(super) fn distro(&mut self, distro: &str, node: &Node, also: &[&str]) {
        if DISTRIBUTIONS.contains(&distro) || node.damaged {
            return;
        }
        let problem = Problem::new(node.loc, format!("there is no distribution `{distro}`"));
        let words = DISTRIBUTIONS.iter().chain(also).copied();
        self.problems.push(match nearest(distro, words) {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem.help(format!(
                "the distributions are {}",
                list_words(DISTRIBUTIONS.iter().copied())
            )),
        });
    }

    /// Reports what is no absolute path in the guest.
    pub(super) fn guest_path(&mut self, key: &str, path: &str, node: &Node) {
        let clean = path.starts_with('/')
            && !path.split('/').any(|part| part == "..")
            && !path.contains(char::is_control);
        if !clean && !node.damaged {
            self.wrong(
                node.loc,
                format!("`{key}` is an absolute path in the guest, and this is `{path}`"),
                "begin it with `/`, without `..`",
            );
        }
    }

    /// Reports a secret that the recipe does not declare.
    pub(super) fn secret(&mut self, name: &str, node: &Node) {
        if self.secrets.contains(&name) || node.damaged {
            return;
        }
        let problem = Problem::new(node.loc, format!("there is no secret `{name}`"));
        let problem = problem.did_you_mean(name, self.secrets.iter().copied());
        self.problems
            .push(problem.help(format!("declare it: `secrets: {{{name}: {{env: …}}}}`")));
    }
}

/// Reads a file of the recipe repository at `root`.
///
/// # Errors
/// When it cannot be read, or is none of the repository.
pub(super) fn read(root: &Path, named: &str) -> Result<Vec<u8>> {
    let path = beneath::inside(root, named)?;
    std::fs::read(&path).map_err(|cause| {
        Error::usage(format!(
            "the recipe's file {} cannot be read",
            path.display()
        ))
        .cause(cause)
    })
}

/// Settings for a script that reads them as shell.
pub(super) fn settings(values: &[(&str, &str)]) -> String {
    values
        .iter()
        .fold(String::new(), |mut text, (name, value)| {
            let _ = writeln!(text, "{name}={}", quote(value));
            text
        })
}
