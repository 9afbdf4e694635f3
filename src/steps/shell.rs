//! `shell`: a script or a line.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::entry::ArchiveEntry;
use super::kind::{About, Check, Form, Kind, Scope, Translated, read};
use crate::error::{Error, Result};
use crate::host::exec::quote;
use crate::yaml::checker::{Role, Wants, at};
use crate::yaml::node::Node;

/// What a `shell` step runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Written", into = "Written")]
pub enum Shell {
    /// A script of the recipe repository.
    Script {
        /// Where it is.
        path: String,
        /// Its arguments.
        args: Vec<String>,
    },
    /// A command line for `/bin/sh -e`.
    Run(String),
}

/// `shell:`: `script` or `run`, exactly one.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(rename = "Shell", extend("x-either" = ["script", "run"]))]
struct Written {
    /// A script of the recipe repository; its first line names the interpreter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    script: Option<String>,
    /// A command line for `/bin/sh -e`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    run: Option<String>,
    /// Arguments of the script.
    #[serde(default)]
    args: Vec<String>,
}

impl TryFrom<Written> for Shell {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, &'static str> {
        match (written.script, written.run) {
            (Some(path), None) => Ok(Shell::Script {
                path,
                args: written.args,
            }),
            (None, Some(line)) => Ok(Shell::Run(line)),
            _ => Err("`shell` has either `script` or `run`"),
        }
    }
}

impl From<Shell> for Written {
    fn from(shell: Shell) -> Self {
        let (script, run, args) = match shell {
            Shell::Script { path, args } => (Some(path), None, args),
            Shell::Run(line) => (None, Some(line), vec![]),
        };
        Written { script, run, args }
    }
}

pub(super) const ABOUT: About = About {
    script: Some(include_str!("shell.sh")),
    ..About::new(Form::Text("script"))
};

impl Kind for Shell {
    fn title(&self) -> String {
        match self {
            Shell::Script { path, .. } => format!("shell {path}"),
            Shell::Run(line) => format!("shell: {}", line.trim()),
        }
    }

    fn check(&self, cx: &mut Check<'_, '_>, node: &Node) {
        match self {
            Shell::Script { path, .. } => {
                let named = at(node, "script");
                if let Some(file) = cx.local(named, path, Role::Step, Wants::File)
                    && let Some((what, help)) = bad_script(&file)
                {
                    cx.wrong(named.loc, format!("{path} {what}"), help);
                }
            }
            Shell::Run(line) => {
                cx.not_empty("run", line.trim().is_empty(), at(node, "run"));
                if node
                    .get("args")
                    .is_some_and(|args| !args.items().is_empty())
                {
                    cx.wrong(
                        node.key_loc("args"),
                        "`args` are for a script",
                        "put them into `run`",
                    );
                }
            }
        }
    }

    fn files(&self, _: &Path) -> Vec<String> {
        match self {
            Shell::Script { path, .. } => vec![path.clone()],
            Shell::Run(_) => vec![],
        }
    }

    fn translate(&self, scope: Scope<'_>) -> Result<Option<Translated>> {
        let set = |args: &[String]| {
            let words: Vec<String> = args.iter().map(|arg| quote(arg)).collect();
            ArchiveEntry::bytes("args.sh", format!("set -- {}\n", words.join(" ")))
        };
        let files = match self {
            Shell::Run(line) => vec![ArchiveEntry::bytes("run", format!("{line}\n")), set(&[])],
            Shell::Script { path, args } => {
                let bytes = read(scope.root, path)?;
                if !bytes.starts_with(b"#!") {
                    return Err(Error::usage(format!("the script {path} has no `#!` line"))
                        .hint("its first line names the interpreter, such as `#!/bin/sh`"));
                }
                let script = ArchiveEntry {
                    mode: 0o700,
                    ..ArchiveEntry::bytes("script", bytes)
                };
                vec![script, set(args)]
            }
        };
        Ok(Some(files.into()))
    }
}

/// Why the guest's kernel cannot start a script: what is wrong with it, and what to do.
fn bad_script(path: &Path) -> Option<(&'static str, &'static str)> {
    use std::io::{BufRead as _, Read as _};
    let mut first = vec![];
    // The kernel looks at no more than 256 bytes, see execve(2).
    let read = std::fs::File::open(path)
        .and_then(|file| std::io::BufReader::new(file.take(256)).read_until(b'\n', &mut first));
    if let Err(_) | Ok(0) = read {
        return Some((
            "does not name its interpreter",
            "let the script's first line be `#!/bin/sh`, for example",
        ));
    }
    let save = "save it as UTF-8 without a byte order mark";
    if first.starts_with(b"\xef\xbb\xbf") {
        Some((
            "begins with a byte order mark, so its `#!` is not seen",
            save,
        ))
    } else if first.starts_with(b"\xff\xfe") || first.starts_with(b"\xfe\xff") {
        Some(("is written in UTF-16, which no interpreter reads", save))
    } else if !first.starts_with(b"#!") {
        Some((
            "does not name its interpreter",
            "let the script's first line be `#!/bin/sh`, for example",
        ))
    } else if first.ends_with(b"\r\n") {
        Some((
            "has the line ends of Windows, so its interpreter is not found",
            "save it with the line ends of Unix: `sed -i 's/\\r$//' FILE`",
        ))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{read, translate};

    #[test]
    fn a_script_or_a_line_and_never_both() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("a.sh"), "#!/bin/sh\n").unwrap();
        let read = |text: &str| read(root.path(), text);
        let steps =
            read("- shell: a.sh\n- shell: {script: a.sh, args: [it's]}\n- shell: {run: ls}\n");
        let steps = steps.unwrap();
        let sent: Vec<_> = steps
            .iter()
            .map(|step| translate(root.path(), step).0)
            .collect();
        assert_eq!(sent[0]["script"], "#!/bin/sh\n");
        assert_eq!(sent[1]["args.sh"], "set -- \"it's\"\n");
        assert_eq!(
            (&*sent[2]["run"], &*sent[2]["name"]),
            ("ls\n", "shell: ls\n")
        );
        let refused = |text: &str| read(text).unwrap_err();
        let both = "`shell` has both `script` and `run`";
        assert_eq!(refused("- shell: {run: ls, script: a.sh}"), [both]);
        assert_eq!(refused("- shell: {}"), ["`shell` needs `script` or `run`"]);
        let text = "- shell: {run: ls, args: [x]}";
        assert_eq!(refused(text), ["`args` are for a script"]);
    }
}
