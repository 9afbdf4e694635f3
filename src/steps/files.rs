//! `files`: what the recipe repository gives to the guest.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Declared;
use super::entry::{ArchiveEntry, Content, collect};
use super::kind::{About, Check, Form, Kind, Scope, Translated};
use crate::access::{Mode, Owner};
use crate::error::{Context as _, Error, Result};
use crate::yaml::checker::{Role, Wants, at};
use crate::yaml::node::{Node, Value};
use crate::yaml::{beneath, template};

/// Places whose files nobody declares, as they are gone after a while anyway.
const PASSING: &[&str] = &["/tmp/", "/var/tmp/"];

/// What a `files` step writes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Written", into = "Written")]
pub struct Files {
    /// Where it comes from.
    pub source: Source,
    /// Absolute path in the guest.
    pub to: String,
    /// Permissions; default: those of the file.
    pub mode: Option<Mode>,
    /// Default: root.
    pub owner: Option<Owner>,
}

/// Where the content of files comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// A file or a directory of the recipe repository.
    Path {
        /// Where it is.
        path: String,
        /// Whether its files are strict templates.
        template: bool,
    },
    /// The text itself.
    Content(String),
}

/// `files:`.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(rename = "Files", extend("x-either" = ["from", "content"]))]
struct Written {
    /// A file or a directory of the recipe repository; or `content`, exactly one. A link is followed, within the repository; links in a directory stay links.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    /// The text itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    content: Option<String>,
    /// Absolute path in the guest.
    to: String,
    /// Octal permissions, quoted: `"0644"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mode: Option<Mode>,
    /// `user` or `user:group`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    owner: Option<Owner>,
    /// The file is a strict template.
    #[serde(default)]
    template: bool,
}

impl TryFrom<Written> for Files {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, &'static str> {
        let Written { template, .. } = written;
        let source = match (written.from, written.content) {
            (Some(path), None) => Source::Path { path, template },
            (None, Some(text)) => Source::Content(text),
            _ => return Err("`files` has either `from` or `content`"),
        };
        Ok(Files {
            source,
            to: written.to,
            mode: written.mode,
            owner: written.owner,
        })
    }
}

impl From<Files> for Written {
    fn from(files: Files) -> Self {
        let (from, content, template) = match files.source {
            Source::Path { path, template } => (Some(path), None, template),
            Source::Content(text) => (None, Some(text), false),
        };
        Written {
            from,
            content,
            to: files.to,
            mode: files.mode,
            owner: files.owner,
            template,
        }
    }
}

pub(super) const ABOUT: About = About {
    script: Some(include_str!("files.sh")),
    declares: true,
    ..About::new(Form::Map)
};

impl Kind for Files {
    fn title(&self) -> String {
        format!("files {}", self.to)
    }

    fn check(&self, cx: &mut Check<'_, '_>, node: &Node) {
        cx.guest_path("to", &self.to, at(node, "to"));
        match &self.source {
            Source::Path { path, template } => {
                let named = at(node, "from");
                if let Some(file) = cx.local(named, path, Role::Step, Wants::Either)
                    && *template
                {
                    cx.templates(&file, named.loc, 0);
                }
            }
            Source::Content(_) => {
                if at(node, "template").as_text() == Some("true") {
                    cx.wrong(
                        node.key_loc("template"),
                        "`template` is for files",
                        "`content` has its variables expanded already: remove `template`",
                    );
                }
            }
        }
        if let Some(Node {
            value: Value::Scalar { text, plain: true },
            loc,
            ..
        }) = node.get("mode")
        {
            cx.wrong(
                *loc,
                "permissions are written in quotes",
                format!("YAML reads `{text}` as a number: write `\"{text}\"`"),
            );
        }
    }

    fn files(&self, _: &Path) -> Vec<String> {
        match &self.source {
            Source::Path { path, .. } => vec![path.clone()],
            Source::Content(_) => vec![],
        }
    }

    fn declares(&self, root: &Path) -> Result<Declared> {
        let entries = self.entries(root)?;
        let paths = entries.iter().map(|entry| format!("/{}", entry.path));
        let stays = |path: &String| !PASSING.iter().any(|dir| path.starts_with(dir));
        Ok(Declared {
            files: paths.filter(stays).collect(),
            ..Declared::default()
        })
    }

    fn translate(&self, scope: Scope<'_>) -> Result<Option<Translated>> {
        let mut entries = self.entries(scope.root)?;
        if let Source::Path { template: true, .. } = self.source {
            entries
                .iter_mut()
                .try_for_each(|entry| render(entry, scope))?;
        }
        let paths: String = entries.iter().map(|it| format!("/{}\n", it.path)).collect();
        let owner = self.owner.as_ref().map(Owner::to_string);
        Ok(Some(Translated {
            payload: Some(entries),
            files: vec![
                ArchiveEntry::bytes("paths", paths),
                ArchiveEntry::bytes("owner", owner.unwrap_or_default()),
            ],
        }))
    }
}

impl Files {
    /// What the step writes, before templates are expanded.
    fn entries(&self, root: &Path) -> Result<Vec<ArchiveEntry>> {
        let to = self.to.trim_start_matches('/');
        if !self.to.starts_with('/') || to.split('/').any(|part| part == "..") {
            return Err(Error::usage(format!(
                "`{}` is not an absolute path",
                self.to
            )));
        }
        let mode = self.mode.map(Mode::bits);
        let mut entries = vec![];
        match &self.source {
            Source::Path { path, .. } => {
                let source = beneath::inside(root, path)?;
                let name = source.file_name().unwrap_or_default().to_string_lossy();
                // A trailing slash names the directory that the file goes into.
                let path = if source.is_file() && (to.is_empty() || to.ends_with('/')) {
                    format!("{to}{name}")
                } else {
                    to.trim_end_matches('/').to_owned()
                };
                collect(&source, path, mode, &mut entries)?;
            }
            Source::Content(text) => entries.push(ArchiveEntry {
                mode: mode.unwrap_or(0o644),
                ..ArchiveEntry::bytes(to, text.as_bytes())
            }),
        }
        Ok(entries)
    }
}

fn render(entry: &mut ArchiveEntry, scope: Scope<'_>) -> Result<()> {
    let text = match &entry.content {
        Content::Bytes(bytes) => bytes.clone(),
        Content::File(path) => {
            std::fs::read(path).doing(|| format!("reading {}", path.display()))?
        }
        _ => return Ok(()),
    };
    let text = String::from_utf8_lossy(&text);
    let rendered = template::render(&text, scope.vars, &format!("for /{}", entry.path))?;
    entry.content = Content::Bytes(rendered.into_bytes());
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// As cp -H and rsync with a link as their argument.
    #[test]
    fn a_link_that_a_recipe_names_is_what_it_leads_to_and_one_below_stays_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        std::fs::create_dir_all(root.join("real/site")).unwrap();
        std::fs::write(root.join("real/motd"), "hello\n").unwrap();
        std::fs::write(root.join("real/site/a"), "a").unwrap();
        symlink("a", root.join("real/site/below")).unwrap();
        symlink("real/motd", root.join("motd")).unwrap();
        symlink("real", root.join("near")).unwrap();
        symlink("real/site", root.join("site")).unwrap();
        let of = |from: &str, to: &str| {
            let path = from.to_owned();
            let files = Files {
                source: Source::Path {
                    path,
                    template: false,
                },
                to: to.into(),
                mode: None,
                owner: None,
            };
            let mut all = vec![];
            for entry in files.entries(root).unwrap() {
                let what = match entry.content {
                    Content::File(path) => std::fs::read_to_string(path).unwrap(),
                    Content::Link(to) => format!("-> {}", to.display()),
                    other => format!("{other:?}"),
                };
                all.push(format!("{} {:o} {what}", entry.path, entry.mode));
            }
            all.join("|")
        };
        assert_eq!(of("motd", "/etc/motd"), "etc/motd 644 hello\n");
        assert_eq!(of("motd", "/etc/"), "etc/motd 644 hello\n");
        assert_eq!(of("near/motd", "/etc/m"), "etc/m 644 hello\n");
        let copied = "srv/a 644 a|srv/below 777 -> a";
        assert_eq!(of("site", "/srv"), copied);
        assert_eq!(of("real/site", "/srv"), copied);
    }

    #[test]
    fn permissions_and_owners_are_refused_where_they_are_written() {
        let root = tempfile::tempdir().unwrap();
        let read = |options: &str| {
            let text = format!("- files: {{content: x, to: /x, {options}}}");
            super::super::testing::read(root.path(), &text)
        };
        let step = read("mode: \"640\", owner: \"root:adm\"")
            .unwrap()
            .remove(0);
        let written = serde_json::to_value(&step.action).unwrap();
        let expected = serde_json::json!({"files": {
            "content": "x", "to": "/x", "mode": "640", "owner": "root:adm", "template": false,
        }});
        assert_eq!(written, expected);
        let refused = |options: &str| read(options).unwrap_err().join("|");
        assert_eq!(refused("mode: \"0999\""), "`0999` are no permissions");
        assert_eq!(refused("mode: 0644"), "permissions are written in quotes");
        assert_eq!(
            refused("owner: \"root:a b\""),
            "`a b` is not a valid name for a group"
        );
    }
}
