//! The credentials that this user has for a registry, as `podman login` and `docker login` write them: see
//! containers-auth.json(5) and <https://docs.docker.com/reference/cli/docker/login>.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::Deserialize;

use crate::address::OciAddress;
use crate::error::{Error, Kind, Result};
use crate::host::exec::{Program, find};

/// A helper that asks somebody has so long.
const HELPER: Duration = Duration::from_secs(60);

/// Who asks.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Credentials {
    /// A user with a password.
    Password {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// A token that stands for a user, which a registry's token service takes.
    Identity(String),
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials")
    }
}

impl Credentials {
    /// `Authorization`, of a password.
    pub(super) fn basic(&self) -> Option<String> {
        match self {
            Credentials::Password { user, password } => {
                let pair = BASE64_STANDARD.encode(format!("{user}:{password}"));
                Some(format!("Basic {pair}"))
            }
            Credentials::Identity(_) => None,
        }
    }
}

/// A file of credentials.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct File {
    auths: BTreeMap<String, Login>,
    creds_store: Option<String>,
    cred_helpers: BTreeMap<String, String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Login {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

/// What a helper answers.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Helped {
    username: String,
    secret: String,
}

/// The credentials for a repository, of the first file that has some.
///
/// # Errors
/// When a file or a helper has some that cannot be read.
pub(super) fn of(address: &OciAddress) -> Result<Option<Credentials>> {
    for path in files() {
        if let Some(found) = in_file(&path, address)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Where the credentials of this user may be.
fn files() -> Vec<PathBuf> {
    let dir = |name: &str| {
        std::env::var_os(name)
            .filter(|dir| !dir.is_empty())
            .map(PathBuf::from)
    };
    if let Some(file) = dir("REGISTRY_AUTH_FILE") {
        return vec![file];
    }
    let home = std::env::home_dir();
    let config = dir("XDG_CONFIG_HOME").or_else(|| Some(home.as_ref()?.join(".config")));
    let docker = dir("DOCKER_CONFIG").or_else(|| Some(home.as_ref()?.join(".docker")));
    let podman = [dir("XDG_RUNTIME_DIR"), config];
    let podman = podman
        .into_iter()
        .flatten()
        .map(|dir| dir.join("containers/auth.json"));
    podman
        .chain(docker.map(|dir| dir.join("config.json")))
        .collect()
}

fn in_file(path: &Path, address: &OciAddress) -> Result<Option<Credentials>> {
    let unread = |cause: String| {
        Error::host(format!(
            "{}, which has credentials, cannot be read",
            path.display()
        ))
        .cause(cause)
    };
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(unread(cause.to_string())),
    };
    // What serde says of a mistake may show a password.
    let file: File = serde_json::from_slice(&text).map_err(|cause| {
        let (line, column) = (cause.line(), cause.column());
        unread(format!(
            "it is not a file of credentials: line {line}, column {column}"
        ))
    })?;
    let host = address.host();
    let names = names(&host);
    for name in names {
        if let Some(helper) = file.cred_helpers.get(*name) {
            return helped(helper, name);
        }
    }
    // The longest name counts: HOST/PATH before HOST.
    let plain = |name: &str| {
        let name = name.split_once("://").map_or(name, |(_, rest)| rest);
        let name = name.trim_end_matches('/');
        name.trim_end_matches("/v1")
            .trim_end_matches("/v2")
            .to_owned()
    };
    let whole = names
        .iter()
        .map(|host| format!("{}/{}", plain(host), address.name()));
    let whole: Vec<String> = whole.collect();
    let fits = |name: &str| {
        let name = plain(name);
        let below = whole.iter().any(|whole| {
            let rest = whole.strip_prefix(&name);
            rest.is_some_and(|rest| rest.starts_with('/') || rest.is_empty())
        });
        below.then_some(name.len())
    };
    let best = file
        .auths
        .iter()
        .filter_map(|(name, login)| Some((fits(name)?, login)));
    if let Some((_, login)) = best.max_by_key(|(len, _)| *len)
        && let Some(found) = login.credentials().map_err(unread)?
    {
        return Ok(Some(found));
    }
    match &file.creds_store {
        Some(helper) => helped(helper, names[0]),
        None => Ok(None),
    }
}

/// What logins at a registry are called. That of Docker has several names; `docker login` and its helpers
/// know the first.
fn names<'h>(host: &'h &'h str) -> &'h [&'h str] {
    const DOCKER: &[&str] = &[
        "https://index.docker.io/v1/",
        "index.docker.io",
        "docker.io",
        "registry-1.docker.io",
    ];
    match DOCKER.contains(host) {
        true => DOCKER,
        false => std::slice::from_ref(host),
    }
}

impl Login {
    fn credentials(&self) -> Result<Option<Credentials>, String> {
        if let Some(token) = self
            .identitytoken
            .as_ref()
            .filter(|token| !token.is_empty())
        {
            return Ok(Some(Credentials::Identity(token.clone())));
        }
        if let (Some(user), Some(password)) = (&self.username, &self.password) {
            let (user, password) = (user.clone(), password.clone());
            return Ok(Some(Credentials::Password { user, password }));
        }
        let Some(auth) = self.auth.as_ref().filter(|auth| !auth.is_empty()) else {
            return Ok(None);
        };
        let bytes = BASE64_STANDARD.decode(auth.trim()).ok();
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        let pair = text.as_deref().and_then(|text| text.split_once(':'));
        let Some((user, password)) = pair else {
            return Err("`auth` is not USER:PASSWORD in base64".into());
        };
        Ok(Some(Credentials::Password {
            user: user.to_owned(),
            password: password.trim_end_matches('\0').to_owned(),
        }))
    }
}

/// Asks the program `docker-credential-NAME`.
fn helped(name: &str, host: &str) -> Result<Option<Credentials>> {
    let program = format!("docker-credential-{name}");
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !name.chars().all(plain) || find(&program).is_none() {
        return Err(Error::host(format!(
            "`{program}`, which has the credentials for {host}, is not on PATH"
        ))
        .hint(format!(
            "install it, or log in without it: `podman login {host}`"
        )));
    }
    let call = Program::at(&program).arg("get").input(host).timeout(HELPER);
    let answer = match call.output() {
        Ok(answer) => answer,
        Err(error) if matches!(error.kind(), Kind::Interrupted(_)) => return Err(error),
        // It has none; a registry that needs some says so.
        Err(_) => return Ok(None),
    };
    let helped: Helped = serde_json::from_slice(&answer).map_err(|_| {
        Error::host(format!(
            "`{program}` answered something else than credentials"
        ))
    })?;
    Ok(Some(match helped.username.as_str() {
        "<token>" => Credentials::Identity(helped.secret),
        _ => Credentials::Password {
            user: helped.username,
            password: helped.secret,
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Result<Option<Credentials>> {
        found_for("registry.example.org:5000/team/imgforge", text)
    }

    fn found_for(address: &str, text: &str) -> Result<Option<Credentials>> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let address = format!("oci://{address}");
        in_file(file.path(), &address.parse().unwrap())
    }

    fn user(name: &str) -> Option<Credentials> {
        Some(Credentials::Password {
            user: name.into(),
            password: "a:b".into(),
        })
    }

    #[test]
    fn the_nearest_login_counts() {
        let auth = |name: &str| BASE64_STANDARD.encode(format!("{name}:a:b"));
        let (far, near, other) = (auth("far"), auth("near"), auth("other"));
        let host = "registry.example.org:5000";
        for (auths, expected) in [
            (format!(r#""{host}":{{"auth":"{far}"}}"#), user("far")),
            (
                format!(r#""{host}":{{"auth":"{far}"}},"{host}/team":{{"auth":"{near}"}}"#),
                user("near"),
            ),
            (
                format!(r#""https://{host}/v1/":{{"auth":"{far}"}}"#),
                user("far"),
            ),
            (
                format!(
                    r#""{host}/tea":{{"auth":"{other}"}},"registry.example.org":{{"auth":"{other}"}}"#
                ),
                None,
            ),
            (format!(r#""{host}":{{}}"#), None),
            (
                format!(r#""{host}":{{"identitytoken":"t"}}"#),
                Some(Credentials::Identity("t".into())),
            ),
        ] {
            let text = format!(r#"{{"auths":{{{auths}}},"HttpHeaders":{{}}}}"#);
            assert_eq!(found(&text).unwrap(), expected, "{text}");
        }
    }

    /// `docker login` without a host writes the first, `podman login docker.io` the second.
    #[test]
    fn the_login_of_dockers_own_registry_has_an_old_name() {
        let auth = BASE64_STANDARD.encode("far:a:b");
        for name in ["https://index.docker.io/v1/", "docker.io", "docker.io/team"] {
            let text = format!(r#"{{"auths":{{"{name}":{{"auth":"{auth}"}}}}}}"#);
            for host in ["docker.io", "index.docker.io", "registry-1.docker.io"] {
                let address = format!("{host}/team/imgforge");
                assert_eq!(
                    found_for(&address, &text).unwrap(),
                    user("far"),
                    "{name} {host}"
                );
            }
            assert_eq!(found(&text).unwrap(), None, "{name}");
        }
    }

    /// What is wrong with a file of passwords is told without one.
    #[test]
    fn a_mistake_is_told_without_the_password() {
        for text in [
            r#"{"auths":{"registry.example.org:5000":{"auth":["hunter2"]}}}"#,
            r#"{"auths":{"registry.example.org:5000":{"auth":"hunter2"}}}"#,
            r#"{"auths": hunter2"#,
            r#"{"credHelpers":{"registry.example.org:5000":"no/such-hunter"}}"#,
        ] {
            let error = found(text).unwrap_err().render();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
