//! Which libvirt daemon runs the guests.
//!
//! An ordinary user gets `qemu:///session`, which libvirt starts by itself. Root gets
//! `qemu:///system` where a daemon answers, else [`private`](super::private).
//!
//! A session needs neither systemd nor D-Bus nor `XDG_RUNTIME_DIR`, only a `HOME`. Its daemon
//! stays for two minutes after the last connection. A system daemon in its default
//! configuration, where guests run as a user of their own, runs ours as imgforge's user.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::domain::Domain;
use super::expected::Expected;
use super::libvirt::{self, Connect, Refused};
use super::private::Daemon;
use super::raw;
use super::runtime::Runtime;
use super::spec::Spec;
use crate::error::{Error, Result};
use crate::store::ledger::Ledger;

/// Sockets of the host's own daemons, the monolithic and the modular one.
const SYSTEM_SOCKETS: [&str; 2] = ["/run/libvirt/libvirt-sock", "/run/libvirt/virtqemud-sock"];

/// How to reach libvirt.
#[derive(Debug)]
pub struct Options<'a> {
    /// The URI of `--connect`, if given.
    pub uri: Option<&'a str>,
    /// Ports on this host's loopback that every guest reaches.
    pub host_ports: &'a [u16],
    /// Whether guests reach the one port of [`Spec::relay`], and nothing else.
    pub isolated: bool,
    /// The file of imgforge's program, which is started once more in a guest's network.
    pub program: &'a Path,
    /// Where the socket directory and the private daemon are written down.
    pub ledger: &'a Ledger,
}

/// A connection to libvirt; clones share it. What it started ends with the last of them.
#[derive(Debug, Clone)]
pub struct Connection {
    pub(super) link: Arc<Link>,
}

/// Fields are dropped in this order: the events, the connection, the daemon, the sockets.
pub(super) struct Link {
    pub(super) events: raw::Hub,
    pub(super) connect: Arc<Connect>,
    /// Owner of the QEMU processes, as a label; `None` for a session.
    pub(super) label: Option<String>,
    /// Whether it is an ordinary user's session, which starts a program of ours in place of QEMU.
    pub(super) session: bool,
    pub(super) host_ports: Vec<u16>,
    pub(super) isolated: bool,
    pub(super) program: PathBuf,
    uri: String,
    pub(super) private: Option<Daemon>,
    pub(super) runtime: Runtime,
}

impl Link {
    /// Whether each guest on the network `user` has a name space of its own: the host's daemon starts QEMU
    /// where it is itself.
    pub(super) fn has_own_networks(&self) -> bool {
        self.private.is_some() || self.session
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link")
            .field("uri", &self.uri)
            .field("private", &self.private)
            .finish_non_exhaustive()
    }
}

impl Connection {
    /// Connects; starts a daemon of our own where root has none.
    ///
    /// # Errors
    /// When the URI is not usable, or libvirt does not answer.
    pub fn open(options: &Options<'_>) -> Result<Connection> {
        raw::start_event_loop(libvirt::library()?)
            .map_err(|cause| Error::host("libvirt's event loop does not start").cause(cause))?;
        let root = rustix::process::geteuid().is_root();
        let daemon = SYSTEM_SOCKETS.iter().any(|path| Path::new(path).exists());
        let runtime = Runtime::new(options.ledger)?;
        match choose(options.uri, root, daemon)? {
            Target::Uri(uri) => {
                let connect = match connect(&uri) {
                    // A socket that nobody serves any more is no daemon.
                    Err(_) if options.uri.is_none() && root => {
                        return Self::private(runtime, options);
                    }
                    other => other?,
                };
                Self::of(connect, uri, None, runtime, options)
            }
            Target::Private => Self::private(runtime, options),
        }
    }

    fn private(runtime: Runtime, options: &Options<'_>) -> Result<Connection> {
        let daemon = Daemon::start(runtime.path(), options.ledger)?;
        let connect = connect(daemon.uri()).map_err(|error| daemon.explain(error))?;
        let uri = daemon.uri().to_owned();
        Self::of(connect, uri, Some(daemon), runtime, options)
    }

    fn of(
        connect: Connect,
        uri: String,
        private: Option<Daemon>,
        runtime: Runtime,
        options: &Options<'_>,
    ) -> Result<Connection> {
        // A daemon that hangs is noticed after 5 x 24 seconds; a slow disk keeps one from answering for some.
        drop(connect.set_keep_alive(5, 24));
        let label = label(
            &uri,
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw(),
        );
        let connect = Arc::new(connect);
        Ok(Connection {
            link: Arc::new(Link {
                events: raw::Hub::new(&connect),
                connect,
                session: label.is_none(),
                label,
                host_ports: options.host_ports.to_vec(),
                isolated: options.isolated,
                program: options.program.to_owned(),
                uri,
                private,
                runtime,
            }),
        })
    }

    /// The URI in use; other programs reach the same daemon with it while this connection lives.
    pub fn uri(&self) -> &str {
        &self.link.uri
    }

    /// Whether the daemon is our own.
    pub fn is_private(&self) -> bool {
        self.link.private.is_some()
    }

    /// Names of all domains that the daemon knows, for `doctor` and tests.
    ///
    /// # Errors
    /// When libvirt does not answer.
    pub fn domain_names(&self) -> Result<Vec<String>> {
        let fail = |cause: Refused| failed("libvirt does not list its domains", &cause);
        let domains = self.link.connect.domains().map_err(fail)?;
        domains
            .into_iter()
            .map(|domain| domain.name().map_err(fail))
            .collect()
    }

    /// Starts a guest: written down, created paused, listened to, then resumed.
    ///
    /// # Errors
    /// When libvirt or QEMU refuses; nothing is left running then.
    pub fn start(&self, spec: &Spec, ledger: &Ledger) -> Result<Domain> {
        Domain::start(Arc::clone(&self.link), spec, ledger)
    }
}

impl Connection {
    /// Prepares for a guest that another program will create by the name, the UUID and the
    /// sockets of [`Expected::place`].
    ///
    /// # Errors
    /// When the ledger or the sockets cannot be written.
    pub fn expect(&self, spec: &Spec, ledger: &Ledger) -> Result<Expected> {
        Expected::new(Arc::clone(&self.link), spec, ledger)
    }
}

/// An error of libvirt as ours.
pub(super) fn failed(what: &str, cause: &Refused) -> Error {
    Error::stage(what).cause(cause.message())
}

fn connect(uri: &str) -> Result<Connect> {
    Connect::open(libvirt::library()?, uri).map_err(|cause| refused(uri, cause.message()))
}

/// Why there is no connection, and what to do about it.
fn refused(uri: &str, cause: &str) -> Error {
    let words = [
        "authentication",
        "access denied",
        "Permission denied",
        "polkit",
    ];
    let forbidden = words.iter().any(|word| cause.contains(word));
    let error = if forbidden {
        Error::host(format!("libvirt does not let this user in at {uri}"))
    } else {
        Error::host(format!("libvirt does not answer at {uri}"))
    };
    error.cause(cause).hint(if forbidden {
        "leave --connect away (an ordinary user's guests run under qemu:///session), or join the group: \
         sudo usermod -aG libvirt $USER"
    } else {
        "`imgforge doctor` says what is missing; --connect URI names another daemon"
    })
}

/// Where to connect to.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    Uri(String),
    Private,
}

fn choose(uri: Option<&str>, root: bool, daemon: bool) -> Result<Target> {
    Ok(match uri {
        Some("private") if root => Target::Private,
        Some("private") => {
            let why = "only root has a daemon of its own";
            return Err(Error::usage(format!("`private` cannot be used: {why}"))
                .hint("a session is of a user's `XDG_RUNTIME_DIR`: set another one"));
        }
        Some(uri) => {
            check_local(uri)?;
            Target::Uri(uri.to_owned())
        }
        None if !root => Target::Uri("qemu:///session".into()),
        None if daemon => Target::Uri("qemu:///system".into()),
        None => Target::Private,
    })
}

/// Disks and sockets are files of this host, so the daemon must be this host's as well.
fn check_local(uri: &str) -> Result<()> {
    let wrong = |why: &str| {
        Err(Error::usage(format!("`{uri}` cannot be used: {why}"))
            .hint("use qemu:///system, qemu:///session, or qemu:///system?socket=PATH"))
    };
    let Some((scheme, rest)) = uri.split_once("://") else {
        return wrong("it is not a libvirt URI");
    };
    let (driver, transport) = scheme.split_once('+').unwrap_or((scheme, "unix"));
    if driver != "qemu" {
        return wrong("guests run under QEMU only");
    }
    let host = rest.split(['/', '?']).next().unwrap_or_default();
    if transport != "unix" || !host.is_empty() {
        return wrong("the disks are files of this machine, which a remote daemon does not see");
    }
    Ok(())
}

/// QEMU runs as whoever runs imgforge, so that no file has to change its owner. In a session it
/// does so anyway, and libvirt has no such label there.
fn label(uri: &str, uid: u32, gid: u32) -> Option<String> {
    let session = uri
        .split('?')
        .next()
        .is_some_and(|u| u.ends_with("/session"));
    (uid == 0 || !session).then(|| format!("+{uid}:+{gid}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_gets_the_daemon_that_works() {
        let uri = |text: &str| Target::Uri(text.into());
        for (given, root, daemon, target) in [
            (None, false, false, uri("qemu:///session")),
            (None, false, true, uri("qemu:///session")),
            (None, true, true, uri("qemu:///system")),
            (None, true, false, Target::Private),
            (Some("qemu:///system"), false, false, uri("qemu:///system")),
            (Some("private"), true, true, Target::Private),
            (
                Some("qemu+unix:///system?socket=/s"),
                true,
                true,
                uri("qemu+unix:///system?socket=/s"),
            ),
        ] {
            assert_eq!(
                choose(given, root, daemon).unwrap(),
                target,
                "{given:?} {root} {daemon}"
            );
        }
    }

    #[test]
    fn a_user_who_may_not_is_told_so() {
        let error = refused(
            "qemu:///system",
            "authentication unavailable: no polkit agent available",
        );
        assert!(
            error.message().contains("does not let this user in"),
            "{error}"
        );
        assert!(error.hint_text().unwrap().contains("usermod -aG libvirt"));
        let error = refused(
            "qemu:///system",
            "Failed to connect socket: No such file or directory",
        );
        assert!(error.message().contains("does not answer"), "{error}");
        assert_eq!(error.kind(), crate::error::Kind::Host);
    }

    #[test]
    fn remote_and_foreign_daemons_are_refused_with_a_reason() {
        for (uri, why) in [
            ("qemu+ssh://host/system", "remote daemon"),
            ("qemu://host/system", "remote daemon"),
            ("qemu+tcp:///system", "remote daemon"),
            ("xen:///system", "QEMU only"),
            ("nonsense", "not a libvirt URI"),
        ] {
            let error = choose(Some(uri), true, true).unwrap_err();
            assert_eq!(error.kind(), crate::error::Kind::Usage);
            assert!(error.message().contains(why), "{error}");
        }
    }

    #[test]
    fn qemu_runs_as_the_user_where_libvirt_lets_it() {
        assert_eq!(label("qemu:///session", 1000, 100), None);
        assert_eq!(label("qemu:///session", 0, 0).as_deref(), Some("+0:+0"));
        assert_eq!(
            label("qemu:///system?socket=/x", 0, 0).as_deref(),
            Some("+0:+0")
        );
        assert_eq!(
            label("qemu:///system", 1000, 100).as_deref(),
            Some("+1000:+100")
        );
    }
}
