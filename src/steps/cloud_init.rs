//! `cloud-init`: one run of the guest's own cloud-init.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::entry::ArchiveEntry;
use super::kind::{About, Check, Form, Kind, Scope, Translated, read};
use crate::error::Result;
use crate::yaml::checker::{Role, Wants, at};
use crate::yaml::node::Node;

/// `cloud-init:`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct CloudInit {
    /// User data, a file of the recipe repository.
    pub user_data: String,
}

pub(super) const ABOUT: About = About {
    script: Some(include_str!("cloud-init.sh")),
    only_builds: Some([
        "`cloud-init` cannot run in `instance`",
        "a machine's own cloud-init reads its user data from the cloud",
    ]),
    ..About::new(Form::Text("user-data"))
};

impl Kind for CloudInit {
    fn title(&self) -> String {
        format!("cloud-init {}", self.user_data)
    }

    fn check(&self, cx: &mut Check<'_, '_>, node: &Node) {
        cx.local(
            at(node, "user-data"),
            &self.user_data,
            Role::Step,
            Wants::File,
        );
    }

    fn files(&self, _: &Path) -> Vec<String> {
        vec![self.user_data.clone()]
    }

    fn translate(&self, scope: Scope<'_>) -> Result<Option<Translated>> {
        let data = read(scope.root, &self.user_data)?;
        Ok(Some(vec![ArchiveEntry::bytes("user-data", data)].into()))
    }
}
