//! Recipe steps as the files that the guest's half executes: `steps/N/…` and payloads.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::payload::{Content, Entry};
use super::script::{quote, variable};
use crate::error::{Context as _, Error, Result};
use crate::recipe::template;
use crate::recipe::types::{
    Action, Files, PackageNames, Repository, Shell, Step, System, User, When,
};

/// What steps may refer to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'a> {
    /// Directory of the recipe repository.
    pub(super) root: &'a Path,
    /// The recipe's variables.
    pub(super) vars: &'a BTreeMap<String, String>,
    /// Names of the secrets that the guest will have.
    pub(super) secrets: &'a [String],
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
        Action::Repository(repository) => self::repository(repository, scope)?,
        Action::Packages(packages) => Translated::new("packages", names(&packages.names)),
        Action::System(system) => Translated::new("system", vec![self::system(system)]),
        Action::Users(users) => Translated::new("users", self::users(&users.list, scope)?),
        Action::Files(files) => self::files(files, scope)?,
        Action::Shell(shell) => Translated::new("shell", self::shell(shell, scope)?),
        Action::Ansible(_) => return Err(later("ansible")),
        Action::Puppet(_) => return Err(later("puppet")),
        Action::CloudInit(_) => return Err(later("cloud-init")),
        Action::Checkpoint => return Err(Error::internal("a checkpoint is no step of a job")),
    };
    translated
        .files
        .push(Entry::bytes("name", title(step) + "\n"));
    translated
        .files
        .push(Entry::bytes("env.sh", environment(&step.env)?));
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
        Action::Ansible(_) => "ansible".into(),
        Action::Puppet(_) => "puppet".into(),
        Action::CloudInit(_) => "cloud-init".into(),
        Action::Checkpoint => "checkpoint".into(),
        Action::Reboot => "reboot".into(),
    });
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

fn later(action: &str) -> Error {
    Error::usage(format!("`{action}` is not available yet"))
        .hint("take the step out of the recipe, or do its work with `shell`")
}

fn repository(repository: &Repository, scope: Scope<'_>) -> Result<Translated> {
    let id = repository
        .id
        .clone()
        .unwrap_or_else(|| repository_id(&repository.uri));
    if id.is_empty()
        || !id
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    {
        return Err(Error::usage(format!("`{id}` is no name for a repository"))
            .hint("give the step an `id` of letters, digits, `.`, `_` and `-`"));
    }
    for (what, value) in [
        ("uri", &repository.uri),
        ("suite", repository.suite.as_ref().unwrap_or(&id)),
    ] {
        if value.is_empty() || value.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(Error::usage(format!(
                "`{value}` is no `{what}` of a repository"
            )));
        }
    }
    let mut settings = format!("uri={}\nid={}\n", quote(&repository.uri), quote(&id));
    if let Some(suite) = &repository.suite {
        let _ = writeln!(settings, "suite={}", quote(suite));
    }
    let _ = writeln!(
        settings,
        "components={}",
        quote(&repository.components.join(" "))
    );
    let mut files = vec![Entry::bytes("repository.sh", settings)];
    if let Some(key) = &repository.key {
        let name = Path::new(key)
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        files.push(Entry::bytes("key", read(&scope.root.join(key))?));
        files.push(Entry::bytes("key-name", name.into_owned()));
    }
    Ok(Translated::new("repository", files))
}

/// A name from the address: its host and path, without what file names of apt cannot have.
fn repository_id(uri: &str) -> String {
    let address = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || c == '.' {
            c
        } else {
            '-'
        }
    };
    let id: String = address
        .trim_matches('/')
        .chars()
        .map(plain)
        .take(60)
        .collect();
    id.trim_matches(['-', '.']).to_owned()
}

fn names(names: &PackageNames) -> Vec<Entry> {
    let text = |names: &[String]| {
        names
            .iter()
            .fold(String::new(), |text, name| text + name + "\n")
    };
    match names {
        PackageNames::All(all) => vec![Entry::bytes("names", text(all))],
        PackageNames::ByDistro(map) => map
            .iter()
            .map(|(distro, names)| Entry::bytes(format!("names.{distro}"), text(names)))
            .collect(),
    }
}

fn system(system: &System) -> Entry {
    let swap = system.swap.map(|size| size.as_bytes().to_string());
    let settings = [
        ("timezone", &system.timezone),
        ("locale", &system.locale),
        ("keyboard", &system.keyboard),
        ("hostname", &system.hostname),
        ("swap", &swap),
    ];
    let mut text = String::new();
    for (name, value) in settings {
        if let Some(value) = value {
            let _ = writeln!(text, "{name}={}", quote(value));
        }
    }
    Entry::bytes("system.sh", text)
}

fn users(users: &[User], scope: Scope<'_>) -> Result<Vec<Entry>> {
    let mut files = vec![];
    let mut list = String::new();
    for user in users {
        let name = &user.name;
        let valid = |name: &str| {
            name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && name
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        };
        if let Some(wrong) = std::iter::once(name)
            .chain(&user.groups)
            .find(|n| !valid(n))
        {
            return Err(Error::usage(format!(
                "`{wrong}` is no name of a user or group"
            )));
        }
        let _ = writeln!(list, "{name}");
        let mut add = |file: &str, text: String| {
            files.push(Entry::bytes(format!("users/{name}/{file}"), text));
        };
        add(
            "groups",
            user.groups
                .iter()
                .fold(String::new(), |all, group| all + group + "\n"),
        );
        add("keys", keys(&user.ssh_keys, scope)?);
        if let Some(shell) = &user.shell {
            add("shell", shell.clone());
        }
        if user.system {
            add("system", String::new());
        }
        if user.sudo {
            add("sudo", String::new());
        }
        if let Some(secret) = &user.password {
            if !scope.secrets.contains(secret) {
                return Err(Error::usage(format!(
                    "the password of {name} is the secret `{secret}`, which is not known here"
                ))
                .hint("list it under `secrets`; steps of `instance` have no secrets"));
            }
            add("password", secret.clone());
        }
    }
    files.push(Entry::bytes("list", list));
    Ok(files)
}

fn keys(keys: &[String], scope: Scope<'_>) -> Result<String> {
    let mut lines = String::new();
    for key in keys {
        let text = match key.split_once(' ') {
            Some((kind, _))
                if kind.starts_with("ssh-")
                    || kind.starts_with("ecdsa-")
                    || kind.starts_with("sk-") =>
            {
                key.clone()
            }
            _ => String::from_utf8_lossy(&read(&scope.root.join(key))?).into_owned(),
        };
        for line in text
            .lines()
            .map(str::trim)
            .filter(|l| !l.is_empty() && !l.starts_with('#'))
        {
            let _ = writeln!(lines, "{line}");
        }
    }
    Ok(lines)
}

fn shell(shell: &Shell, scope: Scope<'_>) -> Result<Vec<Entry>> {
    let words: Vec<String> = shell.args.iter().map(|arg| quote(arg)).collect();
    let args = Entry::bytes("args.sh", format!("set -- {}\n", words.join(" ")));
    let Some(script) = &shell.script else {
        let run = shell.run.clone().unwrap_or_default();
        return Ok(vec![Entry::bytes("run", run + "\n"), args]);
    };
    let bytes = read(&scope.root.join(script))?;
    if !bytes.starts_with(b"#!") {
        return Err(
            Error::usage(format!("the script {script} has no `#!` line"))
                .hint("its first line names the interpreter, such as `#!/bin/sh`"),
        );
    }
    Ok(vec![
        Entry {
            mode: 0o700,
            ..Entry::bytes("script", bytes)
        },
        args,
    ])
}

fn files(files: &Files, scope: Scope<'_>) -> Result<Translated> {
    let mode = match files
        .mode
        .as_deref()
        .map(|m| (m, u32::from_str_radix(m, 8)))
    {
        None => None,
        Some((_, Ok(mode))) if mode <= 0o7777 => Some(mode),
        Some((text, _)) => {
            return Err(Error::usage(format!(
                "`{text}` is no mode; write octal digits, as in \"0644\""
            )));
        }
    };
    let to = files.to.trim_start_matches('/');
    if !files.to.starts_with('/') || to.split('/').any(|part| part == "..") {
        return Err(Error::usage(format!("`{}` is no absolute path", files.to)));
    }
    let mut entries = vec![];
    match (&files.from, &files.content) {
        (Some(from), _) => {
            let source = scope.root.join(from);
            let name = source
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            // A trailing slash names the directory that the file goes into.
            let path = if source.is_file() && (to.is_empty() || to.ends_with('/')) {
                format!("{to}{name}")
            } else {
                to.trim_end_matches('/').to_owned()
            };
            collect(&source, path, mode, &mut entries)?;
        }
        (None, content) => {
            let bytes = content.clone().unwrap_or_default();
            entries.push(Entry {
                mode: mode.unwrap_or(0o644),
                ..Entry::bytes(to, bytes)
            });
        }
    }
    if files.template {
        entries
            .iter_mut()
            .try_for_each(|entry| render(entry, scope))?;
    }
    let paths = entries.iter().fold(String::new(), |all, entry| {
        format!("{all}/{}\n", entry.path)
    });
    let owner = files.owner.clone().unwrap_or_default();
    Ok(Translated {
        payload: Some(entries),
        ..Translated::new(
            "files",
            vec![Entry::bytes("paths", paths), Entry::bytes("owner", owner)],
        )
    })
}

/// Files and links below `source`. Directories only when empty: in the guest a directory of the
/// same name may be a link, which an archive's own entry would replace.
fn collect(source: &Path, path: String, mode: Option<u32>, entries: &mut Vec<Entry>) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let doing = || format!("reading {}", source.display());
    let meta = std::fs::symlink_metadata(source).doing(doing)?;
    if path.contains('\n') {
        return Err(Error::usage(format!(
            "the name of {} has a line break",
            source.display()
        )));
    }
    if meta.is_dir() {
        let mut children: Vec<PathBuf> = std::fs::read_dir(source)
            .doing(doing)?
            .map(|child| child.map(|c| c.path()).doing(doing))
            .collect::<Result<_>>()?;
        children.sort();
        if children.is_empty() {
            entries.push(Entry {
                path,
                mode: 0o755,
                content: Content::Dir,
            });
            return Ok(());
        }
        for child in children {
            let name = child
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let below = if path.is_empty() {
                name
            } else {
                format!("{path}/{name}")
            };
            collect(&child, below, mode, entries)?;
        }
    } else if meta.is_symlink() {
        let target = std::fs::read_link(source).doing(doing)?;
        entries.push(Entry {
            path,
            mode: 0o777,
            content: Content::Link(target),
        });
    } else if meta.is_file() {
        let usual = if meta.permissions().mode() & 0o111 == 0 {
            0o644
        } else {
            0o755
        };
        let content = Content::File(source.to_owned());
        entries.push(Entry {
            path,
            mode: mode.unwrap_or(usual),
            content,
        });
    } else {
        return Err(Error::usage(format!(
            "{} is neither a file nor a directory",
            source.display()
        )));
    }
    Ok(())
}

fn render(entry: &mut Entry, scope: Scope<'_>) -> Result<()> {
    let text = match &entry.content {
        Content::Bytes(bytes) => bytes.clone(),
        Content::File(path) => read(path)?,
        _ => return Ok(()),
    };
    let text = String::from_utf8_lossy(&text);
    let rendered = template::render(&text, scope.vars, &format!("for /{}", entry.path))?;
    entry.content = Content::Bytes(rendered.into_bytes());
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|cause| {
        Error::usage(format!(
            "the recipe's file {} cannot be read",
            path.display()
        ))
        .cause(cause)
    })
}
