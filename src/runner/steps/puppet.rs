//! `puppet`: a manifest with its modules, or one run of the agent.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use super::{Scope, Translated, environment, files::collect, read};
use crate::error::{Error, Result};
use crate::host::exec::quote;
use crate::recipe::types::{Puppet, PuppetAgent};
use crate::runner::payload::Entry;
use crate::yaml::beneath;

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
        // Where a hierarchy's paths start by Puppet's own rules, and where it says.
        let text = std::fs::read_to_string(root.join(hiera)).unwrap_or_default();
        let mut names: BTreeSet<String> = ["data", "hieradata"].map(str::to_owned).into();
        data_directories(&serde_yaml::from_str(&text).unwrap_or_default(), &mut names);
        for name in names {
            let data = Path::new(hiera).with_file_name(name);
            if root.join(&data).is_dir() {
                files.push(data.to_string_lossy().into_owned());
            }
        }
    }
    files.extend(puppet.agent.as_ref().and_then(|agent| agent.ca.clone()));
    files
}

/// The directories that a `hiera.yaml` names, as far as they are relative and known before a run.
fn data_directories(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| data_directories(item, found)),
        Value::Object(entries) => {
            for (key, value) in entries {
                match value.as_str().filter(|_| key == "datadir") {
                    Some(dir) => {
                        let known = dir.split("%{").next().unwrap_or_default();
                        let known = known.trim_end_matches('/');
                        if !known.is_empty() && !known.starts_with('/') && !known.contains("..") {
                            found.insert(known.to_owned());
                        }
                    }
                    None => data_directories(value, found),
                }
            }
        }
        _ => {}
    }
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
        collect(&beneath::inside(scope.root, &path)?, path, None, &mut tree)?;
    }
    let manifest = puppet.manifest.as_deref().unwrap_or_default();
    let settings = [
        ("manifest", manifest.to_owned()),
        ("modules", puppet.modules.join(" ")),
        ("hiera", puppet.hiera.clone().unwrap_or_default()),
        ("tags", puppet.tags.join(",")),
        ("legacy_facts", legacy(puppet.legacy_facts)),
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
    let (server, port) = agent.server.split_once(':').unwrap_or((&agent.server, ""));
    let settings = [
        ("server", server.to_owned()),
        ("port", port.to_owned()),
        ("certname", agent.certname.clone()),
        ("environment", agent.environment.clone().unwrap_or_default()),
        ("tags", agent.tags.join(",")),
        ("legacy_facts", legacy(agent.legacy_facts)),
        ("wait", wait.to_string()),
    ];
    let mut files = common(&settings, &agent.facts)?;
    if let Some(ca) = &agent.ca {
        files.push(Entry::bytes("ca.pem", read(scope.root, ca)?));
    }
    Ok(Translated::new("puppet", files))
}

/// As the script takes it.
fn legacy(wanted: bool) -> String {
    if wanted { "yes".into() } else { String::new() }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_brings_the_data_that_its_hierarchy_names() {
        let root = tempfile::tempdir().unwrap();
        for dir in ["puppet/data", "puppet/site", "puppet/other"] {
            std::fs::create_dir_all(root.path().join(dir)).unwrap();
        }
        let hiera = "version: 5\ndefaults: {datadir: data}\n\
                     hierarchy:\n- {name: site, datadir: 'site/%{facts.role}', path: a.yaml}\n";
        std::fs::write(root.path().join("puppet/hiera.yaml"), hiera).unwrap();
        let puppet: Puppet = serde_json::from_value(serde_json::json!({
            "manifest": "puppet/site.pp", "hiera": "puppet/hiera.yaml",
        }))
        .unwrap();
        let wanted = [
            "puppet/site.pp",
            "puppet/hiera.yaml",
            "puppet/data",
            "puppet/site",
        ];
        assert_eq!(files(&puppet, root.path()), wanted);
    }
}
