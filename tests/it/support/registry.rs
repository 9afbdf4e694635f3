//! docker-registry on loopback, as Debian has it; it is killed with the test.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use imgforge::http::Limits;
use imgforge::registry::Registry;

use super::program::{external, under};
use crate::patience::wait_for;

/// `builder` with the password `hunter2`, as htpasswd(1) writes it.
const USERS: &str = "builder:$2b$04$Bb0qiaD76KHGrJZp99lcrOTr3haFq6X3.yDhjMiUEQuCZp4YD4YVm\n";

/// What a registry is like.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Kind {
    /// Only `builder` may use it.
    pub(crate) locked: bool,
    /// It takes nothing.
    pub(crate) readonly: bool,
    /// It lets nobody remove anything, as upstream sets it up.
    pub(crate) keeps: bool,
    /// Its disk has room for no larger file than 200 KB.
    pub(crate) full: bool,
}

/// A registry, and where it has its data.
pub(crate) struct Service {
    dir: PathBuf,
    child: Option<Child>,
    address: SocketAddr,
    /// Its configuration, where it wants tokens.
    tokens: Option<String>,
}

impl Service {
    /// Starts a registry with its data in the new directory `dir`.
    pub(crate) fn start(dir: &Path, kind: Kind) -> Self {
        std::fs::create_dir_all(dir).unwrap();
        let mut service = Service {
            dir: dir.to_owned(),
            child: None,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            tokens: None,
        };
        service.restart(kind);
        service
    }

    /// Starts it again, with this configuration of tokens.
    pub(crate) fn want_tokens(&mut self, tokens: String) {
        self.tokens = Some(tokens);
        self.restart(Kind::default());
    }

    /// Starts it again, at the same address, with the same data.
    pub(crate) fn restart(&mut self, kind: Kind) {
        self.kill();
        let mut config = format!(
            "version: 0.1\nstorage:\n  filesystem: {{rootdirectory: {}}}\n  delete: {{enabled: {}}}\n\
             \x20 maintenance: {{readonly: {{enabled: {}}}}}\nhttp: {{addr: '{}', secret: of-a-test}}\n",
            self.dir.join("data").display(),
            !kind.keeps,
            kind.readonly,
            self.address,
        );
        if kind.locked {
            let users = self.dir.join("users");
            std::fs::write(&users, USERS).unwrap();
            config += &format!(
                "auth: {{htpasswd: {{realm: r, path: {}}}}}\n",
                users.display()
            );
        }
        if let Some(tokens) = &self.tokens {
            config += tokens;
        }
        std::fs::write(self.dir.join("config.yml"), config).unwrap();
        std::fs::write(self.log(), "").unwrap();
        let log = std::fs::File::create(self.log()).unwrap();
        let mut command: Command = external("docker-registry");
        command.arg("serve").arg(self.dir.join("config.yml"));
        if kind.full {
            command = under(&["prlimit", "--fsize=200000", "--"], &command);
        }
        command.stdout(Stdio::null()).stderr(log);
        self.child = Some(command.spawn().unwrap());
        let mut found = None;
        wait_for("docker-registry to listen", || {
            let text = std::fs::read_to_string(self.log()).unwrap();
            let ended = self.child.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "docker-registry ended: {text}");
            let at = text.split_once("listening on ").map(|(_, rest)| rest);
            let at = at.and_then(|rest| rest.split(['"', '\n', ' ', ',']).next()?.parse().ok());
            found = at.or(found);
            found.is_some()
        });
        self.address = found.unwrap();
    }

    fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// The requests since it was started: method and path of each that was answered.
    pub(crate) fn requests(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.log()).unwrap();
        let value = |line: &str, name: &str| {
            let (_, rest) = line.split_once(&format!("{name}="))?;
            Some(
                rest.trim_start_matches('"')
                    .split(['"', ' '])
                    .next()?
                    .to_owned(),
            )
        };
        let answered = text
            .lines()
            .filter(|line| line.contains("msg=\"response completed"));
        let requests = answered.filter_map(|line| {
            let (method, uri) = (
                value(line, "http.request.method")?,
                value(line, "http.request.uri")?,
            );
            Some(format!("{method} {}", uri.split('?').next()?))
        });
        requests.collect()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of a repository in it.
    pub(crate) fn oci(&self, name: &str) -> String {
        format!("oci://{}/{name}", self.address)
    }

    /// A client of a repository in it.
    pub(crate) fn client(&self, name: &str) -> Registry {
        client(&self.oci(name))
    }

    /// The file of a blob.
    pub(crate) fn blob(&self, sha256: &str) -> PathBuf {
        let blobs = self.dir.join("data/docker/registry/v2/blobs/sha256");
        blobs.join(&sha256[..2]).join(sha256).join("data")
    }
}

/// A client of the repository `x` at an address.
pub(crate) fn client_at(address: SocketAddr) -> Registry {
    client(&format!("oci://{address}/x"))
}

fn client(address: &str) -> Registry {
    let limits = Limits {
        retries: 2,
        pause: std::time::Duration::from_millis(10),
        ..Limits::default()
    };
    Registry::open(&address.parse().unwrap(), limits).unwrap()
}

impl Drop for Service {
    fn drop(&mut self) {
        self.kill();
    }
}
