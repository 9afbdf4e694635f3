//! `puppet`: a manifest with its modules, or one run of the agent.

mod key;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::entry::{ArchiveEntry, collect};
use super::kind::{About, Check, Form, Kind, Scope, Translated, read, settings};
use super::step::environment;
use crate::error::{Error, Result};
use crate::units::Span;
use crate::yaml::beneath;
use crate::yaml::checker::{Role, Wants, at};
use crate::yaml::node::Node;

/// How long the agent waits for its certificate, in seconds, where the recipe says nothing.
const USUAL_WAIT: u64 = 300;

/// What a `puppet` step runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Written", into = "Written")]
pub enum Puppet {
    /// A manifest of the recipe repository.
    Manifest(Manifest),
    /// One run of the agent.
    Agent(PuppetAgent),
}

/// A manifest, with what it is applied with.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// The manifest, a file of the recipe repository.
    pub path: String,
    /// Directories with modules.
    pub modules: Vec<String>,
    /// Hiera's configuration, a file of the recipe repository.
    pub hiera: Option<String>,
    /// Extra facts.
    pub facts: BTreeMap<String, String>,
    /// Only these tags.
    pub tags: Vec<String>,
    /// Whether the code gets facts of old names.
    pub legacy_facts: bool,
}

/// `puppet:`: `manifest` or `agent`, exactly one.
#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(rename = "Puppet", extend("x-either" = ["manifest", "agent"]))]
struct Written {
    /// A manifest, a file of the recipe repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    manifest: Option<String>,
    /// Directories with modules.
    #[serde(default)]
    modules: Vec<String>,
    /// Hiera's configuration, a file of the recipe repository; `data/` beside it comes along.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hiera: Option<String>,
    /// Extra facts of the manifest's run.
    #[serde(default)]
    facts: BTreeMap<String, String>,
    /// Only these tags of the manifest.
    #[serde(default)]
    tags: Vec<String>,
    /// Gives the code facts of old names such as `$::osfamily`, which Puppet 8 leaves out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    legacy_facts: bool,
    /// One run of the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    agent: Option<PuppetAgent>,
}

/// One run of the Puppet agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PuppetAgent {
    /// Host name of the server, or `HOST:PORT` where the port is not 8140.
    pub server: String,
    /// Environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// Name of the agent's certificate. Its key stays on the host that builds, so that the next
    /// build is the same agent for the server.
    pub certname: String,
    /// The authority's certificate, a file of the recipe repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// Extra facts.
    #[serde(default)]
    pub facts: BTreeMap<String, String>,
    /// Only these tags.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Sends facts of old names such as `osfamily`, which Puppet 8 leaves out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub legacy_facts: bool,
    /// How long the agent waits until the server signs its certificate; default: 5m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<Span>,
}

impl TryFrom<Written> for Puppet {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, &'static str> {
        match (written.manifest, written.agent) {
            (Some(path), None) => Ok(Puppet::Manifest(Manifest {
                path,
                modules: written.modules,
                hiera: written.hiera,
                facts: written.facts,
                tags: written.tags,
                legacy_facts: written.legacy_facts,
            })),
            (None, Some(agent)) => Ok(Puppet::Agent(agent)),
            _ => Err("`puppet` has either `manifest` or `agent`"),
        }
    }
}

impl From<Puppet> for Written {
    fn from(puppet: Puppet) -> Self {
        match puppet {
            Puppet::Agent(agent) => Written {
                agent: Some(agent),
                ..Written::default()
            },
            Puppet::Manifest(manifest) => Written {
                manifest: Some(manifest.path),
                modules: manifest.modules,
                hiera: manifest.hiera,
                facts: manifest.facts,
                tags: manifest.tags,
                legacy_facts: manifest.legacy_facts,
                agent: None,
            },
        }
    }
}

pub(super) const ABOUT: About = About {
    script: Some(include_str!("../puppet.sh")),
    ..About::new(Form::Map)
};

impl Kind for Puppet {
    fn title(&self) -> String {
        match self {
            Puppet::Manifest(manifest) => format!("puppet {}", manifest.path),
            Puppet::Agent(agent) => format!("puppet agent of {}", agent.server),
        }
    }

    fn check(&self, cx: &mut Check<'_, '_>, node: &Node) {
        match self {
            Puppet::Manifest(manifest) => manifest.check(cx, node),
            Puppet::Agent(agent) => agent.check(cx, at(node, "agent")),
        }
    }

    fn files(&self, root: &Path) -> Vec<String> {
        match self {
            Puppet::Manifest(manifest) => manifest.files(root),
            Puppet::Agent(agent) => agent.ca.iter().cloned().collect(),
        }
    }

    fn secrets(&self, state: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
        match self {
            Puppet::Manifest(_) => Ok(BTreeMap::new()),
            Puppet::Agent(agent) => {
                let key = key::of(state, &agent.certname)?;
                Ok(BTreeMap::from([(agent.secret(), key)]))
            }
        }
    }

    fn kept_secrets(&self, state: &Path) -> BTreeMap<String, Vec<u8>> {
        let Puppet::Agent(agent) = self else {
            return BTreeMap::new();
        };
        let key = key::kept(state, &agent.certname);
        key.map(|key| (agent.secret(), key)).into_iter().collect()
    }

    fn translate(&self, scope: Scope<'_>) -> Result<Option<Translated>> {
        match self {
            Puppet::Manifest(manifest) => manifest.translate(scope),
            Puppet::Agent(agent) => agent.translate(scope),
        }
        .map(Some)
    }
}

impl Manifest {
    fn check(&self, cx: &mut Check<'_, '_>, node: &Node) {
        cx.local(at(node, "manifest"), &self.path, Role::Step, Wants::File);
        for (modules, node) in self.modules.iter().zip(at(node, "modules").items()) {
            cx.local(node, modules, Role::Step, Wants::Directory);
        }
        if let Some(hiera) = &self.hiera {
            cx.local(at(node, "hiera"), hiera, Role::Step, Wants::File);
        }
        check_facts(cx, node.get("facts"));
    }

    fn files(&self, root: &Path) -> Vec<String> {
        let mut files = vec![self.path.clone()];
        files.extend(self.modules.iter().cloned());
        let Some(hiera) = &self.hiera else {
            return files;
        };
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
        files
    }

    fn translate(&self, scope: Scope<'_>) -> Result<Translated> {
        let mut tree = vec![];
        for path in self.files(scope.root) {
            collect(&beneath::inside(scope.root, &path)?, path, None, &mut tree)?;
        }
        let settings = settings(&[
            ("manifest", &self.path),
            ("modules", &self.modules.join(" ")),
            ("hiera", self.hiera.as_deref().unwrap_or_default()),
            ("tags", &self.tags.join(",")),
            ("legacy_facts", legacy(self.legacy_facts)),
        ]);
        Ok(Translated {
            payload: Some(tree),
            files: common(settings, &self.facts)?,
        })
    }
}

impl PuppetAgent {
    /// The name of the secret that brings its private key.
    fn secret(&self) -> String {
        format!("puppet.{}", self.certname)
    }

    fn check(&self, cx: &mut Check<'_, '_>, node: &Node) {
        if cx.instance {
            let help = "its key is there only during a build: move it to `configure`";
            cx.wrong(node.loc, "Puppet's agent cannot run in `instance`", help);
        }
        let named = at(node, "server");
        if !is_server(&self.server) && !named.damaged {
            let message = format!("`{}` is not a valid name of a server", self.server);
            cx.wrong(named.loc, message, "write `HOST` or `HOST:PORT`");
        }
        let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
        let name = at(node, "certname");
        if (self.certname.is_empty() || !self.certname.chars().all(word)) && !name.damaged {
            let message = format!("`{}` is not a valid name for a certificate", self.certname);
            let help = "use lower-case letters, digits, `.`, `_` and `-`";
            cx.wrong(name.loc, message, help);
        }
        check_facts(cx, node.get("facts"));
        if let Some(ca) = &self.ca {
            cx.local(at(node, "ca"), ca, Role::Step, Wants::File);
        }
    }

    fn translate(&self, scope: Scope<'_>) -> Result<Translated> {
        if !scope.secrets.contains(&self.secret()) {
            return Err(Error::usage(
                "Puppet's agent has no key here: it runs only in `configure`",
            ));
        }
        let wait = self.wait.map_or(USUAL_WAIT, |span| span.as_seconds());
        let (server, port) = self.server.split_once(':').unwrap_or((&self.server, ""));
        let settings = settings(&[
            ("server", server),
            ("port", port),
            ("certname", &self.certname),
            (
                "environment",
                self.environment.as_deref().unwrap_or_default(),
            ),
            ("tags", &self.tags.join(",")),
            ("legacy_facts", legacy(self.legacy_facts)),
            ("wait", &wait.to_string()),
        ]);
        let mut files = common(settings, &self.facts)?;
        if let Some(ca) = &self.ca {
            files.push(ArchiveEntry::bytes("ca.pem", read(scope.root, ca)?));
        }
        Ok(files.into())
    }
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

/// `HOST` or `HOST:PORT`.
fn is_server(text: &str) -> bool {
    let (host, port) = text.split_once(':').unwrap_or((text, "8140"));
    let word = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    let first = |c: char| c.is_ascii_alphanumeric();
    host.starts_with(first) && host.chars().all(word) && port.parse().is_ok_and(|n: u16| n > 0)
}

/// Reports what is not a valid name of a fact.
fn check_facts(cx: &mut Check<'_, '_>, node: Option<&Node>) {
    for entry in node.map_or(&[][..], Node::entries) {
        let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if !entry.key.chars().all(word) {
            cx.problem(
                entry.key_loc,
                format!("`{}` is not a valid name for a fact", entry.key),
            );
        }
    }
}

/// As the script takes it.
fn legacy(wanted: bool) -> &'static str {
    if wanted { "yes" } else { "" }
}

fn common(settings: String, facts: &BTreeMap<String, String>) -> Result<Vec<ArchiveEntry>> {
    let facts = facts
        .iter()
        .map(|(name, value)| (format!("FACTER_{name}"), value.clone()));
    Ok(vec![
        ArchiveEntry::bytes("puppet.sh", settings),
        ArchiveEntry::bytes("facts.sh", environment(&facts.collect())?),
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
        assert_eq!(puppet.files(root.path()), wanted);
    }
}
