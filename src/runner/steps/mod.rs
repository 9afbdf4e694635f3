//! Recipe steps as the files that the guest's half executes: `steps/N/…` and payloads. One file
//! for each action that needs more than its word.

mod ansible;
pub(crate) mod files;
mod packages;
mod puppet;
mod repository;
mod shell;
mod system;
pub(crate) mod users;

pub use ansible::files as playbook_files;
pub use puppet::{files as puppet_files, key_secret};

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::payload::Entry;
use super::script::variable;
use crate::address;
use crate::error::{Error, Result};
use crate::host::exec::quote;
use crate::recipe::types::{Action, PackageNames, Shell, Step, When};
use crate::yaml::beneath;

/// What steps may refer to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'a> {
    /// Directory of the recipe repository.
    pub(super) root: &'a Path,
    /// The recipe's variables.
    pub(super) vars: &'a BTreeMap<String, String>,
    /// Names of the secrets that the guest will have.
    pub(super) secrets: &'a [String],
    /// Where the collections of each requirements file were put, by its path in the recipe.
    pub(super) galaxy: &'a BTreeMap<String, PathBuf>,
}

/// One step, translated.
#[derive(Debug)]
pub(super) struct Translated {
    /// The word for the plan: the name of a file in `actions/`, or `reboot`.
    pub(super) action: &'static str,
    /// Files for `steps/N/`.
    pub(super) files: Vec<Entry>,
    /// What `payload-N.tar` holds.
    pub(super) payload: Option<Vec<Entry>>,
}

impl Translated {
    fn new(action: &'static str, files: Vec<Entry>) -> Self {
        Translated {
            action,
            files,
            payload: None,
        }
    }
}

/// Translates one step; the caller has taken out `checkpoint`.
pub(super) fn translate(step: &Step, scope: Scope<'_>) -> Result<Translated> {
    let mut translated = match &step.action {
        Action::Upgrade => Translated::new("upgrade", vec![]),
        Action::Reboot => Translated::new("reboot", vec![]),
        Action::Repository(repository) => repository::translate(repository, scope)?,
        Action::Packages(packages) => {
            Translated::new("packages", packages::translate(&packages.names))
        }
        Action::System(system) => Translated::new("system", vec![system::translate(system)]),
        Action::Users(users) => Translated::new("users", users::translate(&users.list, scope)?),
        Action::Files(files) => files::translate(files, scope)?,
        Action::Shell(shell) => Translated::new("shell", shell::translate(shell, scope)?),
        Action::Ansible(ansible) => ansible::translate(ansible, scope)?,
        Action::Puppet(puppet) => puppet::translate(puppet, scope)?,
        Action::CloudInit(cloud) => Translated::new(
            "cloud-init",
            vec![Entry::bytes(
                "user-data",
                read(scope.root, &cloud.user_data)?,
            )],
        ),
        Action::Checkpoint => return Err(Error::internal("a checkpoint is no step of a job")),
    };
    translated
        .files
        .push(Entry::bytes("name", title(step) + "\n"));
    translated
        .files
        .push(Entry::bytes("env.sh", own_environment(step, scope)?));
    Ok(translated)
}

/// What people see of a step, on one line.
pub(super) fn title(step: &Step) -> String {
    let list = |names: &[String]| match names {
        [first, second, third, _, ..] => format!("{first}, {second}, {third}, …"),
        few => few.join(", "),
    };
    let text = step.name.clone().unwrap_or_else(|| match &step.action {
        Action::Upgrade => "upgrade".into(),
        Action::Repository(repository) => format!("repository {}", repository.uri),
        Action::Packages(packages) => match &packages.names {
            PackageNames::All(names) => format!("packages {}", list(names)),
            PackageNames::ByDistro(_) => "packages".into(),
        },
        Action::System(_) => "system".into(),
        Action::Users(users) => {
            let names: Vec<String> = users.list.iter().map(|user| user.name.clone()).collect();
            format!("users {}", list(&names))
        }
        Action::Files(files) => format!("files {}", files.to),
        Action::Shell(Shell {
            script: Some(script),
            ..
        }) => format!("shell {script}"),
        Action::Shell(shell) => {
            format!("shell: {}", shell.run.as_deref().unwrap_or_default().trim())
        }
        Action::Ansible(ansible) => format!("ansible {}", ansible.playbook),
        Action::Puppet(puppet) => match (&puppet.manifest, &puppet.agent) {
            (Some(manifest), _) => format!("puppet {manifest}"),
            (None, Some(agent)) => format!("puppet agent of {}", agent.server),
            (None, None) => "puppet".into(),
        },
        Action::CloudInit(cloud) => format!("cloud-init {}", cloud.user_data),
        Action::Checkpoint => "checkpoint".into(),
        Action::Reboot => "reboot".into(),
    });
    let text = address::hide(&text);
    let line = text.lines().next().unwrap_or_default();
    line.chars().filter(|c| !c.is_control()).take(100).collect()
}

/// `DISTRO RELEASE` for the plan; `-` is any.
pub(super) fn condition(when: Option<&When>) -> Result<String> {
    let word = |value: Option<&String>| match value {
        None => Ok("-".to_owned()),
        Some(text) if !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic()) => {
            Ok(text.clone())
        }
        Some(text) => Err(Error::usage(format!("`{text}` in `when` is not one word"))),
    };
    let (distro, release) = when.map_or((None, None), |w| (w.distro.as_ref(), w.release.as_ref()));
    Ok(format!("{} {}", word(distro)?, word(release)?))
}

/// Lines that export variables.
pub(super) fn environment(values: &BTreeMap<String, String>) -> Result<String> {
    let mut lines = String::new();
    for (name, value) in values {
        let valid = !name.starts_with(|c: char| c.is_ascii_digit())
            && !name.is_empty()
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !valid {
            return Err(Error::usage(format!(
                "`{name}` is no name of an environment variable"
            )));
        }
        let _ = writeln!(lines, "export {name}={}", quote(value));
    }
    Ok(lines)
}

/// Lines that export a step's own variables; those of secrets read the guest's memory only.
fn own_environment(step: &Step, scope: Scope<'_>) -> Result<String> {
    let mut lines = environment(&step.env)?;
    for (name, secret) in &step.secrets {
        if !scope.secrets.contains(secret) {
            return Err(Error::usage(format!(
                "`{name}` is the secret `{secret}`, which is not known here"
            ))
            .hint("list it under `secrets`; steps of `instance` have no secrets"));
        }
        // Refuses what is no name.
        environment(&[(name.clone(), String::new())].into())?;
        let _ = writeln!(
            lines,
            "{name}=$(cat \"$RUN/secrets/{secret}\")\nexport {name}"
        );
    }
    Ok(lines)
}

/// The recipe's variables and the paths of its secrets, for every step.
pub(super) fn variables(scope: Scope<'_>) -> String {
    let mut lines = String::new();
    for (name, value) in scope.vars {
        let _ = writeln!(
            lines,
            "export IMGFORGE_VAR_{}={}",
            variable(name),
            quote(value)
        );
    }
    for name in scope.secrets {
        let _ = writeln!(
            lines,
            "export IMGFORGE_SECRET_{}=\"$RUN/secrets/{name}\"",
            variable(name)
        );
    }
    lines
}

/// Reads a file of the recipe repository at `root`.
fn read(root: &Path, named: &str) -> Result<Vec<u8>> {
    let path = beneath::inside(root, named)?;
    std::fs::read(&path).map_err(|cause| {
        Error::usage(format!(
            "the recipe's file {} cannot be read",
            path.display()
        ))
        .cause(cause)
    })
}
