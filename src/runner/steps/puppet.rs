//! `puppet`: a manifest with its modules, or one run of the agent.

use std::fmt::Write as _;
use std::path::Path;

use super::{Scope, Translated, environment, files::collect, read};
use crate::error::{Error, Result};
use crate::recipe::types::{Puppet, PuppetAgent};
use crate::runner::payload::Entry;
use crate::runner::script::quote;

/// How long the agent waits for its certificate, in seconds, where the recipe says nothing.
const USUAL_WAIT: u64 = 300;

/// The secret that brings the private key of the agent named `certname`.
pub fn key_secret(certname: &str) -> String {
    format!("puppet.{certname}")
}

/// The files and directories of the recipe repository at `root` that the step reads, relative to it.
pub fn files(puppet: &Puppet, root: &Path) -> Vec<String> {
    let mut files: Vec<String> = puppet.manifest.iter().cloned().collect();
    files.extend(puppet.modules.iter().cloned());
    if let Some(hiera) = &puppet.hiera {
        files.push(hiera.clone());
        // Where a hierarchy's paths start by Puppet's own rules.
        for name in ["data", "hieradata"] {
            let data = Path::new(hiera).with_file_name(name);
            if root.join(&data).is_dir() {
                files.push(data.to_string_lossy().into_owned());
            }
        }
    }
    files.extend(puppet.agent.as_ref().and_then(|agent| agent.ca.clone()));
    files
}

pub(super) fn translate(puppet: &Puppet, scope: Scope<'_>) -> Result<Translated> {
    match &puppet.agent {
        Some(agent) => self::agent(agent, scope),
        None => manifest(puppet, scope),
    }
}

fn manifest(puppet: &Puppet, scope: Scope<'_>) -> Result<Translated> {
    let mut tree = vec![];
    for path in files(puppet, scope.root) {
        collect(&scope.root.join(&path), path, None, &mut tree)?;
    }
    let manifest = puppet.manifest.as_deref().unwrap_or_default();
    let settings = [
        ("manifest", manifest.to_owned()),
        ("modules", puppet.modules.join(" ")),
        ("hiera", puppet.hiera.clone().unwrap_or_default()),
        ("tags", puppet.tags.join(",")),
    ];
    Ok(Translated {
        payload: Some(tree),
        ..Translated::new("puppet", common(&settings, &puppet.facts)?)
    })
}

fn agent(agent: &PuppetAgent, scope: Scope<'_>) -> Result<Translated> {
    if !scope.secrets.contains(&key_secret(&agent.certname)) {
        return Err(Error::usage(
            "Puppet's agent has no key here: it runs only in `configure`",
        ));
    }
    let wait = agent.wait.map_or(USUAL_WAIT, |span| span.as_seconds());
    let settings = [
        ("server", agent.server.clone()),
        ("certname", agent.certname.clone()),
        ("environment", agent.environment.clone().unwrap_or_default()),
        ("tags", agent.tags.join(",")),
        ("wait", wait.to_string()),
    ];
    let mut files = common(&settings, &agent.facts)?;
    if let Some(ca) = &agent.ca {
        files.push(Entry::bytes("ca.pem", read(&scope.root.join(ca))?));
    }
    Ok(Translated::new("puppet", files))
}

fn common(
    settings: &[(&str, String)],
    facts: &std::collections::BTreeMap<String, String>,
) -> Result<Vec<Entry>> {
    let text = settings
        .iter()
        .fold(String::new(), |mut text, (name, value)| {
            let _ = writeln!(text, "{name}={}", quote(value));
            text
        });
    let facts = facts
        .iter()
        .map(|(name, value)| (format!("FACTER_{name}"), value.clone()));
    Ok(vec![
        Entry::bytes("puppet.sh", text),
        Entry::bytes("facts.sh", environment(&facts.collect())?),
    ])
}
