//! `imgforge.yaml`, at the root of a recipe repository.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::engine::EngineConfig;
use super::schema;
use crate::address::{Address, OciAddress};
use crate::channels::ChannelRules;
use crate::gpg::Signers;
use crate::host::accel::Setting;
use crate::units::{Size, Span};
use crate::yaml::de;
use crate::yaml::include::Reader;
use crate::yaml::node::{Node, Value};
use crate::yaml::problem::Problem;
use crate::yaml::{checker, vars, walk};

/// Less than this no publisher keeps up with.
const SHORTEST: Span = Span::seconds(3600);

/// Name of the file.
pub const FILE: &str = "imgforge.yaml";

/// What a recipe repository says about the place where it is built and published.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Config {
    /// Directory of layers, logs and locks; default: `/var/lib/imgforge` for root,
    /// `$XDG_STATE_HOME/imgforge` for a user. Relative paths start at this file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Repositories of published images, by name.
    pub repositories: BTreeMap<String, RepositoryPlace>,
    /// The key that signs: anything that gpg knows; `GNUPGHOME` is honoured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signing_key: Option<String>,
    /// Package mirrors by distribution, tried in order.
    pub mirrors: BTreeMap<String, Vec<Address>>,
    /// Variables of every recipe; the recipe's own win.
    pub vars: BTreeMap<String, String>,
    /// The store of layers.
    pub store: StoreConfig,
    /// Who runs the jobs of a build on other machines.
    pub engine: EngineConfig,
    /// Publishes only from a clean checkout of a commit whose signature git verifies, and only
    /// what was made of its very bytes.
    pub require_signed_commits: bool,
    /// Who builds, as a URI, for the provenance of what is published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub builder: Option<String>,
    /// What runs the guests' instructions.
    pub accel: Setting,
    /// Ports of this host's loopback that guests on the network `user` reach at 10.0.2.2, beside
    /// imgforge's own proxy: services that builds need, such as a Puppet server. Default: none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub host_ports: Vec<u16>,
    /// Where `imgforge updates` looks for fixes.
    pub updates: UpdatesConfig,
    /// Which vulnerabilities packages have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub advisories: Vec<AdvisoryFile>,
    /// OpenVEX documents, which say what of it does not apply, and why; relative paths start at this file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub vex: Vec<String>,
}

/// A file with advisories.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct AdvisoryFile {
    /// Its format.
    pub format: AdvisoryFormat,
    /// Its path or address; relative paths start at this file.
    pub from: String,
}

/// Formats of files with advisories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AdvisoryFormat {
    /// OSV's: a zip or a directory with a file each, one file of one or of many.
    Osv,
    /// That of Debian's security tracker.
    DebianTracker,
}

/// Where `imgforge updates` looks for fixes.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct UpdatesConfig {
    /// Files of public keys by which indexes of packages count, beside the keyrings of the
    /// distributions on this host; relative paths start at this file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keyrings: Vec<String>,
}

/// A repository of published images.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RepositoryPlace {
    /// The directory that `publish` writes; relative paths start at this file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The address under which clients find it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<Address>,
    /// The file of the public key that clients of this host trust; relative paths start at this
    /// file. Default: the key that `imgforge pull` remembers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The fingerprint of that key: without `key` it is taken from gpg's keyring or from the
    /// repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// The channel that `index.asc` at its root stands for; default: `stable`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_channel: Option<String>,
    /// What is special about a channel, by its name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub channels: BTreeMap<String, ChannelRules>,
    /// A file with the trusted keys, armoured or not, kept outside the repository: who can write
    /// there cannot change it. Default: the key that this host signs it
    /// with, else the one that it had at first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_signers: Option<String>,
    /// How long what is signed counts: an old index cannot be served for longer. Every publication
    /// renews it in time, and `channel renew` does; default: `90d`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_for: Option<Span>,
    /// Programs that get each change of the repository as JSON on standard input, after it counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<HookCall>,
}

impl Config {
    /// The files of the checkout at `root` that count when a repository is changed: the programs of
    /// hooks, files among their arguments, and public keys.
    pub fn files(&self, root: &Path) -> Vec<PathBuf> {
        let named = self.repositories.values().flat_map(|place| {
            let programs = place.hooks.iter().filter_map(|hook| hook.run.first());
            let arguments = place.hooks.iter().flat_map(|hook| hook.run.iter().skip(1));
            // One without a `/` is found on PATH.
            let programs = programs.filter(|program| program.contains('/'));
            let keys = place.key.iter().chain(&place.allowed_signers);
            programs.chain(arguments).chain(keys)
        });
        let outer = |path: &PathBuf| path.components().any(|part| part == Component::ParentDir);
        let paths = named
            .map(|name| root.join(name))
            .map(|path| match outer(&path) {
                true => path.canonicalize().unwrap_or(path),
                false => path,
            });
        let mut files: Vec<PathBuf> = paths
            .filter(|path| path.starts_with(root) && path.is_file())
            .collect();
        files.sort();
        files.dedup();
        files
    }
}

impl RepositoryPlace {
    /// Whose signatures count for whoever publishes, pulls, copies or checks; relative paths start
    /// at `root`.
    pub fn signers(&self, root: &Path) -> Signers {
        match &self.allowed_signers {
            Some(allowed) => Signers::of_file(root.join(allowed)),
            None => Signers {
                keys: self.key.as_ref().map(|key| root.join(key)),
                fingerprint: self.fingerprint.clone(),
                ..Signers::default()
            },
        }
    }
}

/// A program that runs after a change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct HookCall {
    /// The program and its arguments; a path with a `/` starts at this file.
    pub run: Vec<String>,
    /// It is ended after this time; default: `60s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
}

/// The store of layers.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct StoreConfig {
    /// Beyond this size the least recently used layers go; default: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_size: Option<Size>,
    /// Beyond this size the least recently used packages and index files of mirrors go; default: `8GiB`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_size: Option<Size>,
    /// Beyond this size the least recently used packed blocks go; default: `10GiB`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_cache: Option<Size>,
    /// The store that this site's builders share: a repository of its own in a registry, which a build asks
    /// for what is not here, before it works.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote: Option<OciAddress>,
    /// Whether what is finished here is put there, too, signed by `signing-key`.
    pub push: bool,
    /// A file with the trusted keys of the shared store, as gpg exports them; relative paths start at
    /// this file. Entries that none of them has signed are not used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_signers: Option<String>,
}

/// Reads the file at `root`, if there is one. Mistakes go to the reader's problems. The second
/// value is the `vars:` map with its places.
pub fn read(reader: &mut Reader, root: &Path) -> (Config, Option<Node>) {
    let path = root.join(FILE);
    if path
        .symlink_metadata()
        .is_err_and(|error| error.kind() == ErrorKind::NotFound)
    {
        return (Config::default(), None);
    }
    let Some((_, Some(mut tree))) = reader.parse(&path, None) else {
        return (Config::default(), None);
    };
    let problems = &mut reader.problems;
    if !matches!(tree.value, Value::Map(_)) {
        let message = format!("{FILE} is a map of keys, and this is {}", tree.kind());
        problems.push(Problem::new(tree.loc, message));
        return (Config::default(), None);
    }
    walk::check(problems, &mut tree, schema::config());
    let mut ignored = BTreeMap::new();
    vars::collect(problems, tree.get("vars"), &mut ignored);
    let config: Config = match de::from_node(&tree) {
        Ok(config) => config,
        Err(misfit) => {
            problems.push(Problem::new(misfit.at.unwrap_or(tree.loc), misfit.message));
            Config::default()
        }
    };
    check(reader, &config, &tree);
    (config, tree.remove("vars").map(|entry| entry.value))
}

fn check(reader: &mut Reader, config: &Config, tree: &Node) {
    let problems = &mut reader.problems;
    let store = tree.get("store");
    if let Some(remote) = store.and_then(|store| store.entry("remote"))
        && config.store.allowed_signers.is_none()
    {
        let message = "`remote` needs `allowed-signers`";
        let help = "name a file of public keys: anybody who can write to the registry could put any disk there";
        problems.push(Problem::new(remote.key_loc, message).help(help));
    }
    for (name, place) in &config.repositories {
        let node = tree.get("repositories").and_then(|all| all.entry(name));
        let Some(entry) = node else { continue };
        if let Some(message) = checker::bad_word(name, "a repository") {
            problems.push(Problem::new(entry.key_loc, message));
        }
        if place.path.is_none() && place.url.is_none() && !entry.value.damaged {
            let message = format!("the repository `{name}` has neither `path` nor `url`");
            problems.push(Problem::new(entry.key_loc, message));
        }
        for channel in place.channels.keys().chain(&place.default_channel) {
            if let Some(message) = checker::bad_word(channel, "a channel") {
                problems.push(Problem::new(entry.value.loc, message));
            }
        }
        if place.valid_for.is_some_and(|span| span < SHORTEST) {
            let message = format!("`valid-for` is at least {SHORTEST}");
            problems.push(Problem::new(entry.value.loc, message));
        }
        if place.hooks.iter().any(|hook| hook.run.is_empty()) {
            let message = "a hook's `run` names a program, then its arguments";
            problems.push(Problem::new(entry.value.loc, message));
        }
    }
}
