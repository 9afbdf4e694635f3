//! What the scan has to know about a recipe's image.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use super::Basis;
use crate::address::Mirror;
use crate::error::Result;
use crate::host::exec::Program;
use crate::recipe::secrets;
use crate::scan::{Declared, Known, Subject};
use crate::stage::Context;
use crate::stage::seal::Sealed;
use crate::steps::{self, Step};
use crate::store::Layer;

/// Where a hash of a password belongs.
const SHADOW: &[&str] = &["/etc/shadow"];

/// The secrets of the recipe, and what belongs into its image.
///
/// # Errors
/// When a secret has no value: then nobody could look for it.
pub fn subject(context: &Context<'_>, sealed: &Layer<Sealed>) -> Result<Subject> {
    subject_with(context, sealed, &[])
}

/// As [`subject`], of a disk on which more steps have run.
///
/// # Errors
/// As [`subject`], and when a file that a step names cannot be read.
pub fn subject_with(
    context: &Context<'_>,
    sealed: &Layer<Sealed>,
    steps: &[Step],
) -> Result<Subject> {
    let recipe = context.recipe();
    let basis = Basis::of(context.resolved, context.config);
    let secrets = secrets::values(basis.secrets, &context.resolved.root)?;
    let facts = sealed.facts();
    let mut declared = facts.declared.clone();
    declared.add(steps::declared(steps, &context.files.root())?);
    let root = &context.resolved.root;
    let mut subject = Subject {
        known: known(&secrets::hidden(recipe, root, context.host.state())),
        declared: Declared::from(&declared),
        luks_keys: secrets::luks_keys(recipe, &context.resolved.root),
    };
    let hashes = secrets.values().filter(|value| is_hash(value));
    let text = |value: &Vec<u8>| String::from_utf8_lossy(value).trim().to_owned();
    subject.declared.hashes.extend(hashes.map(text));
    let steps = recipe.configure.iter().chain(steps);
    repositories(&mut subject.declared, steps);
    let sources = facts.install.sources.as_ref();
    let sources = sources.map(|file| file.text.as_str());
    mirrors(&mut subject.declared, &basis, sources);
    Ok(subject)
}

/// What to look for; a hash of a password belongs into /etc/shadow.
pub fn known(secrets: &BTreeMap<String, Vec<u8>>) -> Known {
    let mut known = Known::default();
    for (name, value) in secrets {
        let belongs = if is_hash(value) { SHADOW } else { &[] };
        known.add(name, value, belongs);
    }
    known
}

/// Whether a value is what crypt(3) makes of a password.
fn is_hash(value: &[u8]) -> bool {
    value.starts_with(b"$") && value.iter().filter(|byte| **byte == b'$').count() >= 3
}

fn repositories<'s>(declared: &mut Declared, steps: impl Iterator<Item = &'s Step>) {
    for step in steps {
        let addresses = step.action.kind().addresses();
        declared.hosts.extend(addresses.into_iter().flat_map(hosts));
    }
}

fn mirrors(declared: &mut Declared, basis: &Basis<'_>, sources: Option<&str>) {
    declared.hosts.extend(hosts(basis.mirrors.image.as_str()));
    // Whoever wants the build's mirror in the image has said so.
    declared.any_host = basis.mirrors.image == Mirror::Host;
    let Some(sources) = sources else { return };
    declared.hosts.extend(hosts(sources));
    let all = basis.hosts.iter().cloned().chain(hosts(of_host()));
    declared.build_hosts = all.filter(|host| !declared.hosts.contains(host)).collect();
}

/// Where this host fetches its own packages from, as a text; a host without apt says nothing.
fn of_host() -> &'static str {
    static SAID: OnceLock<String> = OnceLock::new();
    SAID.get_or_init(|| {
        let format = ["indextargets", "--format", "$(REPO_URI)"];
        let apt = Program::new("apt-get").args(format);
        apt.text().unwrap_or_default()
    })
}

/// The hosts of all addresses in a text.
pub(super) fn hosts(text: &str) -> BTreeSet<String> {
    let addresses = text.split("://").skip(1);
    addresses
        .map(|rest| {
            let end = rest
                .find(|c: char| c == '/' || c.is_whitespace())
                .unwrap_or(rest.len());
            let host = rest[..end].rsplit('@').next().unwrap_or_default();
            let port = host.rfind(':').filter(|at| !host[*at..].contains(']'));
            host[..port.unwrap_or(host.len())].to_ascii_lowercase()
        })
        .filter(|host| !host.is_empty())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_from_addresses_of_every_form() {
        let text =
            "URIs: http://a.example/debian https://u:p@B.example:8080/x\nftp://[fd00::1]:21/";
        let expected = ["[fd00::1]", "a.example", "b.example"].map(String::from);
        assert_eq!(hosts(text), BTreeSet::from(expected));
        assert!(hosts("default host").is_empty());
    }

    #[test]
    fn a_hash_of_a_password_belongs_into_shadow() {
        assert!(is_hash(b"$y$j9T$salt$hash") && is_hash(b"$6$salt$hash"));
        assert!(!is_hash(b"hunter2") && !is_hash(b"$ecret"));
    }
}
