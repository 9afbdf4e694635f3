//! `repository`: a package source and its key.

use std::fmt::Write as _;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::entry::ArchiveEntry;
use super::kind::{About, Check, Form, Kind, Scope, Translated, read};
use crate::address::Address;
use crate::error::Result;
use crate::host::exec::quote;
use crate::yaml::checker::{Role, Wants, at, bad_word};
use crate::yaml::node::Node;

/// `repository:`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Repository {
    /// Address of the repository.
    pub uri: Address,
    /// Public key, a file of the recipe repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// File name in the guest's package manager; default: from the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Suite (apt); default: the guest's release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suite: Option<String>,
    /// Components (apt).
    #[serde(default)]
    pub components: Vec<String>,
}

pub(super) const ABOUT: About = About {
    script: Some(include_str!("repository.sh")),
    ..About::new(Form::Map)
};

impl Kind for Repository {
    fn title(&self) -> String {
        format!("repository {}", self.uri)
    }

    fn check(&self, cx: &mut Check<'_, '_>, node: &Node) {
        if let Some(key) = &self.key {
            cx.local(at(node, "key"), key, Role::Step, Wants::File);
        }
        if let Some(id) = &self.id
            && let Some(message) = bad_word(id, "a repository")
        {
            cx.problem(at(node, "id").loc, message);
        } else if self.id().is_empty() {
            let help = "give the step an `id` of letters, digits, `.`, `_` and `-`";
            cx.wrong(
                node.loc,
                "no name for the repository can be made from the address",
                help,
            );
        }
        let blank = |c: char| c.is_whitespace() || c.is_control();
        if let Some(suite) = &self.suite
            && (suite.is_empty() || suite.contains(blank))
        {
            let suite_at = at(node, "suite").loc;
            cx.problem(
                suite_at,
                format!("`{suite}` is not a suite of a repository"),
            );
        }
    }

    fn files(&self, _: &Path) -> Vec<String> {
        self.key.iter().cloned().collect()
    }

    fn addresses(&self) -> Vec<&str> {
        vec![self.uri.as_str()]
    }

    fn translate(&self, scope: Scope<'_>) -> Result<Option<Translated>> {
        let id = self.id();
        let mut settings = format!("uri={}\nid={}\n", quote(self.uri.as_str()), quote(&id));
        if let Some(suite) = &self.suite {
            let _ = writeln!(settings, "suite={}", quote(suite));
        }
        let _ = writeln!(settings, "components={}", quote(&self.components.join(" ")));
        let mut files = vec![ArchiveEntry::bytes("repository.sh", settings)];
        if let Some(key) = &self.key {
            let name = Path::new(key)
                .file_name()
                .unwrap_or_default()
                .to_string_lossy();
            files.push(ArchiveEntry::bytes("key", read(scope.root, key)?));
            files.push(ArchiveEntry::bytes("key-name", name.into_owned()));
        }
        Ok(Some(files.into()))
    }
}

impl Repository {
    /// Its name in the guest: the address has one in its host and path, without what file names of
    /// apt cannot have.
    fn id(&self) -> String {
        if let Some(id) = &self.id {
            return id.clone();
        }
        let plain = |c: char| match c.is_ascii_alphanumeric() || c == '.' {
            true => c,
            false => '-',
        };
        let name = self.uri.rest().trim_matches('/').chars().map(plain);
        let name: String = name.take(60).collect();
        name.trim_matches(['-', '.']).to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{read, translate};

    #[test]
    fn a_repository_has_a_name_of_its_own_or_of_its_address() {
        let root = tempfile::tempdir().unwrap();
        let read = |text: &str| read(root.path(), text);
        let steps = read("- repository: {uri: \"https://deb.example/a b/\"}\n").unwrap_err();
        assert_eq!(steps, ["`https://deb.example/a b/` is not an address"]);
        let steps = read("- repository: {uri: \"https://deb.example/a+b/\"}\n").unwrap();
        let settings = &translate(root.path(), &steps[0]).0["repository.sh"];
        assert!(settings.contains("id=deb.example-a-b\n"), "{settings}");
        let refused = read("- repository: {uri: \"https://-\", suite: a b}").unwrap_err();
        let nameless = "no name for the repository can be made from the address";
        assert_eq!(refused, [nameless, "`a b` is not a suite of a repository"]);
    }
}
