//! How git is called. A checkout has a configuration of its own, which may name programs: file
//! system monitors, hooks, filters, tools for signatures. None of them runs here; what is asked of
//! git, git does itself, with `gpg`, `gpgsm` and `ssh-keygen` as this host has them.

use std::path::{Path, PathBuf};

use crate::error::{Context as _, Error, Kind, Result};
use crate::host::exec::Program;

/// Settings that name a program, or lead to one, for what is asked of git here. A value of the
/// command line counts more than one of a file.
const SETTINGS: &[(&str, &str)] = &[
    ("core.quotePath", "off"),
    ("core.fsmonitor", "false"),
    ("core.hooksPath", "/dev/null"),
    ("core.sshCommand", "false"),
    ("core.askPass", "false"),
    ("credential.helper", ""),
    ("gpg.program", "gpg"),
    ("gpg.openpgp.program", "gpg"),
    ("gpg.x509.program", "gpgsm"),
    ("gpg.ssh.program", "ssh-keygen"),
    ("gpg.ssh.defaultKeyCommand", ""),
    ("log.showSignature", "false"),
    ("protocol.allow", "never"),
    ("status.submoduleSummary", "false"),
];

/// No object counts for another one, nothing is fetched, written or asked.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("GIT_NO_REPLACE_OBJECTS", "1"),
    ("GIT_OPTIONAL_LOCKS", "0"),
    ("GIT_ALLOW_PROTOCOL", "none"),
    ("GIT_NO_LAZY_FETCH", "1"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_PAGER", "cat"),
];

/// A pointer of Git LFS is shorter than this, in bytes.
const SMALL: u64 = 1024;

/// git in one checkout.
#[derive(Debug)]
pub(super) struct Git {
    root: PathBuf,
    // Drivers have names of their own, so they are looked up.
    filters: Vec<String>,
    /// Where all objects are, if not in the checkout.
    objects: Option<tempfile::TempDir>,
}

impl Git {
    /// git in the checkout that `root` lies in.
    pub(super) fn at(root: &Path) -> Self {
        let mut git = Git {
            root: root.to_owned(),
            filters: vec![],
            objects: None,
        };
        let names = ["config", "-z", "--name-only", "--get-regexp", "^filter\\."];
        // It fails when there is none, and the calls that follow tell of a broken configuration.
        let names = git.call(&names).text().unwrap_or_default();
        git.filters = names.split('\0').map(str::to_owned).collect();
        git
    }

    /// The checkout's directory, or one below it.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// git with nothing but this commit, its trees and its blobs of less than [`SMALL`] bytes.
    ///
    /// git believes that an object below a tree's name is that tree, and who can write the objects
    /// of a checkout, or of what it was cloned from, can put another one there. Here it has named
    /// each of them by its content.
    ///
    /// # Errors
    /// [`Kind::Gate`] when one of the trees is not there by that name.
    pub(super) fn genuine(&self, commit: &str) -> Result<Git> {
        let doing = || "making a directory for the objects of a commit".to_owned();
        let git = Git {
            root: self.root.clone(),
            filters: self.filters.clone(),
            objects: Some(tempfile::tempdir().doing(doing)?),
        };
        let filter = format!("--filter=blob:limit={SMALL}");
        let pack = ["pack-objects", "-q", "--revs", "--stdout", "--window=0"];
        let pack = [&pack[..], &[&filter, "--missing=allow-any"]].concat();
        // As if nothing had come before the commit.
        let pack = self
            .call(&pack)
            .input(format!("--shallow {commit}\n{commit}\n"));
        self.repacked(pack, &git)
            .and_then(|()| git.call(&["ls-tree", "-r", "-d", commit]).run())
            .map_err(|cause| {
                if cause.kind() != Kind::Stage {
                    return cause;
                }
                let (short, root) = (commit.get(..12).unwrap_or(commit), self.root.display());
                Error::gate(format!(
                    "git cannot give the commit {short} of {root} with all of its trees"
                ))
                .cause(cause)
                .hint(
                    "`git fsck` tells which object is missing, or is not what its name says; \
                     make a new clone, of a repository that has the right one",
                )
            })?;
        Ok(git)
    }

    /// Takes into another directory of objects what a call packs; it may be large.
    fn repacked(&self, pack: Program, to: &Git) -> Result<()> {
        let mut packing = pack.spawn()?;
        let mut index = to.call(&["index-pack", "--stdin"]);
        index = index.stdin(packing.take_stdout());
        if let Some(objects) = &to.objects {
            index = index.leaving_room(objects.path());
        }
        let indexed = index.run();
        match (packing.wait(), indexed) {
            // What was not packed cannot be indexed.
            (Err(cause), Err(error)) if error.kind() == Kind::Stage => Err(cause.cause(error)),
            (_, Err(error)) => Err(error),
            (packed, Ok(())) => packed,
        }
    }

    /// A call with these arguments.
    pub(super) fn call(&self, args: &[&str]) -> Program {
        let mut program = Program::new("git").args(args).dir(&self.root);
        for (name, value) in ENVIRONMENT {
            program = program.env(*name, value);
        }
        // For root, git reads what belongs to who called sudo, as imgforge does.
        if let Some(caller) = std::env::var_os("SUDO_UID") {
            program = program.env("SUDO_UID", caller);
        }
        if let Some(objects) = &self.objects {
            program = program.env("GIT_OBJECT_DIRECTORY", objects.path());
        }
        let filters = self.filters.iter().filter_map(|name| {
            let off = match name.rsplit('.').next()? {
                "clean" | "smudge" | "process" => "",
                "required" => "false",
                _ => return None,
            };
            Some((name.as_str(), off))
        });
        let fixed = SETTINGS.iter().map(|(name, value)| (*name, *value));
        let settings: Vec<(&str, &str)> = fixed.chain(filters).collect();
        program = program.env("GIT_CONFIG_COUNT", settings.len().to_string());
        for (at, (name, value)) in settings.into_iter().enumerate() {
            program = program
                .env(format!("GIT_CONFIG_KEY_{at}"), name)
                .env(format!("GIT_CONFIG_VALUE_{at}"), value);
        }
        program
    }
}
