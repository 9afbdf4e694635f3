//! Where mmdebstrap fetches from: the mirrors, through our proxy, which writes down what comes.

use super::{Proxy, Route, Settings};
use crate::address;
use crate::distro::Apt;
use crate::distro::apt::Archive;
use crate::error::Result;
use crate::lock::{Fetching, Record};

/// The archive as mmdebstrap sees it.
#[derive(Debug)]
pub struct ArchiveRelay {
    proxy: Option<Proxy>,
    archive: Option<Archive>,
    locked: bool,
    /// Mirrors that nobody can read on their way: directories of this host.
    direct: Vec<String>,
}

impl ArchiveRelay {
    /// Starts the proxy, as `settings` say but for their routes, for what of `archive` comes by HTTP.
    ///
    /// # Errors
    /// When it cannot start, or a lock binds the build and does not say where it fetches from: mmdebstrap would
    /// go to its own mirrors, past the proxy.
    pub fn start(
        settings: &Settings,
        distro: &Apt,
        archive: Option<&Archive>,
    ) -> Result<ArchiveRelay> {
        let (mut routes, mut direct) = (vec![], vec![]);
        let main = archive.map(|archive| (distro.id.to_owned(), &archive.main));
        let security = archive.and_then(|archive| archive.security.as_ref());
        let security = security.map(|at| (format!("{}-security", distro.id), at));
        for (name, at) in main.into_iter().chain(security) {
            match at.starts_with("http") {
                true => routes.push(Route::new(&name, [at])),
                false => direct.push(address::hide(at).into_owned()),
            }
        }
        if let Some(locked) = &settings.locked {
            if archive.is_none() {
                return Err(locked.lacks(&format!("the archive of {}", distro.origin)));
            }
            for mirror in &direct {
                if !locked.passes(mirror) {
                    return Err(locked.lacks(mirror));
                }
            }
        }
        let proxy = match routes.is_empty() {
            true => None,
            false => Some(Proxy::start(Settings {
                routes: routes.clone(),
                ..settings.clone()
            })?),
        };
        let seen = |at: &String| {
            let mut routes = routes.iter();
            let route = routes.find(|route| route.mirrors[0] == at.trim_end_matches('/'));
            match (route, &proxy) {
                (Some(route), Some(proxy)) => proxy.for_host(&route.name),
                _ => at.clone(),
            }
        };
        let archive = archive.map(|archive| Archive {
            main: seen(&archive.main),
            security: archive.security.as_ref().map(seen),
        });
        Ok(ArchiveRelay {
            archive,
            proxy,
            locked: settings.locked.is_some(),
            direct,
        })
    }

    /// Where the packages are.
    pub fn archive(&self) -> Option<&Archive> {
        self.archive.as_ref()
    }

    /// mmdebstrap's options for it. apt's own user is none that the proxy knows; the host's proxy is ours to
    /// ask. Indexes that a lock names were valid when they were fetched.
    pub fn options(&self) -> Vec<&'static str> {
        let mut options = vec![];
        if self.proxy.is_some() {
            options.push(r#"--aptopt=APT::Sandbox::User "root""#);
            options.push(r#"--aptopt=Acquire::http::Proxy "DIRECT""#);
        }
        if self.locked {
            options.push(r#"--aptopt=Acquire::Check-Valid-Until "false""#);
        }
        options
    }

    /// Ends the proxy; `fetching` hears what it relayed.
    pub fn finish(self, fetching: &Fetching) {
        fetching.add(Record {
            not_locked: self.direct.into_iter().collect(),
            ..self.proxy.map(Proxy::finish).unwrap_or_default()
        });
    }
}
