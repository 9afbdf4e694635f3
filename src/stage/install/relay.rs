//! Where an installer fetches from: the mirrors that the recipe allows, through our proxy.
//!
//! A guest on QEMU's user network reaches the proxy on loopback; another one goes to the first
//! mirror that works by itself, with the host's own `http_proxy`. What the installed system is told
//! is never the proxy.

use std::collections::BTreeMap;
use std::path::Path;

use super::SourcesFile;
use crate::address::{self, Address, Mirror};
use crate::distro::apt::{self, Archive};
use crate::distro::chosen::{chosen, named_mirrors};
use crate::distro::{self, Apt, Distro, Suite, mirror};
use crate::error::{Error, Result};
use crate::http::Url;
use crate::lock::{Fetched, Fetching, Record};
use crate::machine::Network;
use crate::proxy::{HOST_OF_GUEST, Proxy, Route, Settings};
use crate::recipe::types::MediaPlace;
use crate::stage::Context;

/// What an installation fetches from.
#[derive(Debug)]
pub struct Relay {
    mirrors: Mirrors,
    proxy: Option<Proxy>,
    vars: BTreeMap<String, String>,
    image: Option<SourcesFile>,
}

/// The mirrors of a build.
#[derive(Debug, Default)]
struct Mirrors {
    distro: Option<&'static Distro>,
    /// In order of preference; the first one works.
    main: Vec<String>,
    security: Vec<String>,
    /// What the installed system gets, where it is told.
    sources: String,
}

impl Relay {
    /// Chooses the mirrors for the system `os` and starts the proxy. `tree` is the address of an
    /// install tree, if there is one. With `vouched_only` the proxy relays nothing over plain http that
    /// no digest vouches for.
    ///
    /// # Errors
    /// When a named mirror does not carry the distribution, or the proxy cannot start.
    pub fn start(
        context: &Context<'_>,
        os: &str,
        tree: Option<&MediaPlace>,
        scratch: &Path,
        vouched_only: bool,
    ) -> Result<Relay> {
        let machine = &context.recipe().machine;
        let (mirrors, image) = choose(context, os, tree.and_then(address), scratch)?;
        let tree = tree.map(|tree| mirrors.place(tree)).transpose()?;
        let tree = tree.as_ref().and_then(address);
        let routes = mirrors.routes(tree);
        let host_proxy = host_proxy();
        if machine.network != Network::User {
            if let Some(locked) = context.fetching.locked() {
                return Err(unbound(locked.file(), &machine.network));
            }
            reachable(&machine.network, &routes, host_proxy.as_deref())?;
            context.fetching.add(unseen(&routes));
        }
        let proxy = match machine.network {
            Network::User if !routes.is_empty() => Some(Proxy::start(Settings {
                routes: routes.clone(),
                vouched_only,
                ..context.relay(scratch, "proxy.log")
            })?),
            _ => None,
        };
        let port = proxy.as_ref().map(Proxy::port);
        let vars = variables(&mirrors, tree, &routes, port, host_proxy.as_deref());
        Ok(Relay {
            mirrors,
            proxy,
            vars,
            image,
        })
    }

    /// What answer files are told, by the full names of the variables.
    pub fn vars(&self) -> &BTreeMap<String, String> {
        &self.vars
    }

    /// The proxy's port on loopback.
    pub fn port(&self) -> Option<u16> {
        self.proxy.as_ref().map(Proxy::port)
    }

    /// How addresses of the proxy begin as the guest sees them; empty where it sees none.
    pub fn own(&self) -> String {
        let port = self.port().into_iter();
        port.map(|port| format!("http://{HOST_OF_GUEST}:{port}/"))
            .collect()
    }

    /// Tells the proxy what files of the install tree at `tree` must be, by their paths below it.
    ///
    /// # Errors
    /// When an index of packages among them is not what it must be.
    pub fn vouch(&self, tree: &str, sums: &[(String, String)]) -> Result<()> {
        match &self.proxy {
            Some(proxy) => proxy.vouch(tree, sums),
            None => Ok(()),
        }
    }

    /// Bytes that the guest has fetched so far.
    pub fn activity(&self) -> u64 {
        self.proxy.as_ref().map_or(0, Proxy::activity)
    }

    /// The address of a place of the recipe's media: `mirror:PATH` is below the first mirror.
    ///
    /// # Errors
    /// When it is below a mirror and none is known.
    pub fn place(&self, place: &MediaPlace) -> Result<MediaPlace> {
        self.mirrors.place(place)
    }

    /// Ends the proxy: what was fetched, which `fetching` hears of too, and what the finished image is told
    /// when its recipe says `mirrors: {image: default}`.
    pub fn finish(self, fetching: &Fetching) -> (Vec<Fetched>, Option<SourcesFile>) {
        let record = self.proxy.map(Proxy::finish).unwrap_or_default();
        let fetched = record.fetched.clone();
        fetching.add(record);
        (fetched, self.image)
    }
}

/// What a guest on another network fetches by itself, past the proxy.
fn unseen(routes: &[Route]) -> Record {
    let mirrors = routes.iter().flat_map(|route| &route.mirrors);
    Record {
        not_locked: mirrors.map(|at| address::hide(at).into_owned()).collect(),
        ..Record::default()
    }
}

fn unbound(lock: &str, network: &Network) -> Error {
    Error::usage(format!("{lock} binds only guests on the network `user`"))
        .cause(format!("on `{network}` the installer fetches by itself"))
        .hint("write `machine: {network: user}`, or build without --locked")
}

fn no_mirror(distro: Option<&Distro>) -> Error {
    let (name, id) = distro.map_or(("this system", "NAME"), |d| (d.name, d.id));
    Error::usage(format!("no mirror of {name} is known")).hint(format!(
        "add `mirrors: {{{id}: [https://…]}}` to imgforge.yaml, or `mirrors: {{build: https://…}}` to the recipe"
    ))
}

fn choose(
    context: &Context<'_>,
    os: &str,
    tree: Option<&str>,
    scratch: &Path,
) -> Result<(Mirrors, Option<SourcesFile>)> {
    let Some(distro) = distro::by_osinfo(os) else {
        return Ok((Mirrors::default(), None));
    };
    let recipe = context.recipe();
    let (build, arch) = (&recipe.mirrors.build, recipe.machine.arch);
    let site = context.config.mirrors.get(distro.id);
    let site = site.map(Vec::as_slice).unwrap_or_default();
    let Some((apt, suite)) = distro::suite_by_osinfo(os) else {
        let main = named(build, site, &distro.tree_ends(arch), tree);
        let mirrors = Mirrors {
            distro: Some(distro),
            main,
            ..Mirrors::default()
        };
        return Ok((mirrors, None));
    };
    let default = mirror::tool_default(scratch, apt, suite, arch)?;
    let chosen = chosen(context.fetching, &named_mirrors(build, site), || {
        mirror::choose(build, site, apt, suite, arch, context.ui)
    })?;
    let image = default.as_ref().map(|archive| SourcesFile {
        path: format!("/{}", apt::sources_path(apt)),
        text: apt::sources(apt, suite, archive, &[]),
        build: String::new(),
    });
    let mirrors = match chosen.or(default) {
        Some(archive) => of_archive(distro, apt, suite, archive, build, site),
        None => Mirrors {
            distro: Some(distro),
            ..Mirrors::default()
        },
    };
    let image = image.map(|file| SourcesFile {
        build: mirrors.sources.clone(),
        ..file
    });
    Ok((mirrors, image))
}

/// The mirrors that a recipe or imgforge.yaml names for a distribution without apt; else what
/// stands before one of the `ends` that addresses of its install trees have.
fn named(build: &Mirror, site: &[Address], ends: &[String], tree: Option<&str>) -> Vec<String> {
    match build {
        Mirror::At(address) => vec![trimmed(address.as_str())],
        _ if !site.is_empty() => site.iter().map(|m| trimmed(m.as_str())).collect(),
        _ => {
            let tree = tree.filter(|tree| tree.starts_with("http")).map(trimmed);
            let before = |tree: &String| {
                let before = ends.iter().find_map(|end| tree.strip_suffix(end));
                before.map(trimmed)
            };
            tree.as_ref().and_then(before).into_iter().collect()
        }
    }
}

/// The text of a place that is an address.
fn address(place: &MediaPlace) -> Option<&str> {
    match place {
        MediaPlace::Address(address) => Some(address.as_str()),
        MediaPlace::Mirror(_) | MediaPlace::Path(_) => None,
    }
}

fn trimmed(address: &str) -> String {
    address.trim_end_matches('/').to_owned()
}

fn of_archive(
    distro: &'static Distro,
    apt: &Apt,
    suite: &Suite,
    archive: Archive,
    build: &Mirror,
    site: &[Address],
) -> Mirrors {
    let seen_by_guest = Archive {
        main: for_guest(&archive.main),
        security: archive.security.as_deref().map(for_guest),
    };
    let sources = apt::sources(apt, suite, &seen_by_guest, &[]);
    let mut main = vec![archive.main];
    let mut security: Vec<String> = archive.security.into_iter().collect();
    // The others stand in when the first one fails in the middle of the installation.
    let others = site.iter().filter(|_| *build == Mirror::Host);
    let others = others.map(|other| trimmed(other.as_str()));
    for other in others.filter(|other| other.starts_with("http")) {
        if !main.contains(&other) {
            if other.ends_with("/debian") && !security.is_empty() {
                security.push(format!("{other}-security"));
            }
            main.push(other);
        }
    }
    Mirrors {
        distro: Some(distro),
        main,
        security,
        sources,
    }
}

/// A mirror on the host's loopback has another address in the guest.
fn for_guest(address: &str) -> String {
    let moved = || {
        let rest = address.strip_prefix("http://")?;
        let end = rest.find('/').unwrap_or(rest.len());
        let user = rest[..end].rfind('@').map_or(0, |at| at + 1);
        let (user, host) = rest.split_at(user);
        let local = ["127.0.0.1", "localhost", "[::1]"].iter();
        let behind = local.filter_map(|local| host.strip_prefix(local)).next()?;
        let whole = behind.is_empty() || behind.starts_with([':', '/']);
        whole.then(|| format!("http://{user}{HOST_OF_GUEST}{behind}"))
    };
    moved().unwrap_or_else(|| address.to_owned())
}

/// Only a guest on the user network reaches the loopback of the host.
fn reachable(network: &Network, routes: &[Route], host_proxy: Option<&str>) -> Result<()> {
    let first = routes.iter().filter_map(|route| route.mirrors.first());
    let mirrors = first.map(|address| ("the mirror", address.as_str()));
    let proxy = host_proxy.map(|address| ("http_proxy", address));
    let lost = mirrors
        .chain(proxy)
        .find(|(_, address)| for_guest(address) != **address);
    match lost {
        None => Ok(()),
        Some((what, address)) => {
            // Addresses can hold passwords.
            let shown = Url::parse(address).map_or_else(|_| what.to_owned(), |url| url.to_string());
            Err(Error::usage(format!(
                "a guest on the network `{network}` does not reach {what}, {shown}: it is on this host's loopback"
            ))
            .hint("give it an address that the guest's network reaches, or write `machine: {network: user}`"))
        }
    }
}

/// The host's proxy for plain HTTP.
fn host_proxy() -> Option<String> {
    ["http_proxy", "HTTP_PROXY", "all_proxy"]
        .iter()
        .find_map(|name| std::env::var(name).ok())
        .filter(|value| !value.is_empty())
}

impl Mirrors {
    fn place(&self, place: &MediaPlace) -> Result<MediaPlace> {
        match (place, self.main.first()) {
            (MediaPlace::Mirror(path), Some(mirror)) => {
                Ok(format!("{mirror}/{}", path.trim_start_matches('/')).into())
            }
            (MediaPlace::Mirror(_), None) => Err(no_mirror(self.distro)),
            (place, _) => Ok(place.clone()),
        }
    }

    fn routes(&self, tree: Option<&str>) -> Vec<Route> {
        let id = self.distro.map_or("mirror", |distro| distro.id);
        let mut routes = vec![];
        for (name, mirrors) in [
            (id.to_owned(), &self.main),
            (format!("{id}-security"), &self.security),
        ] {
            if !mirrors.is_empty() {
                routes.push(Route::new(&name, mirrors));
            }
        }
        let tree = tree.filter(|tree| tree.starts_with("http")).map(trimmed);
        if let Some(tree) = tree.filter(|tree| below(&routes, tree).is_none()) {
            routes.push(Route::new("tree", [tree]));
        }
        routes
    }
}

/// The route that an address belongs to, and the path below it.
fn below<'r>(routes: &'r [Route], address: &str) -> Option<(&'r Route, String)> {
    routes.iter().find_map(|route| {
        let rest = |mirror: &String| {
            let rest = address.strip_prefix(mirror.as_str())?;
            (rest.is_empty() || rest.starts_with('/')).then(|| rest.to_owned())
        };
        Some((route, route.mirrors.iter().find_map(rest)?))
    })
}

/// What answer files are told; `port` is the proxy's.
fn variables(
    mirrors: &Mirrors,
    tree: Option<&str>,
    routes: &[Route],
    port: Option<u16>,
    host_proxy: Option<&str>,
) -> BTreeMap<String, String> {
    let seen = |address: &str| match (port, below(routes, address)) {
        (Some(port), Some((route, path))) => {
            format!("http://{HOST_OF_GUEST}:{port}/{}{path}", route.name)
        }
        _ => for_guest(address),
    };
    let first = |list: &[String]| list.first().map(|m| seen(m)).unwrap_or_default();
    let (main, security) = (first(&mirrors.main), first(&mirrors.security));
    let tree = tree.map(trimmed);
    let packages = mirrors.distro.map(|d| d.packages.join(" "));
    let proxy = host_proxy.filter(|_| port.is_none()).map(for_guest);
    let (main_host, main_path) = parts(&main);
    let (security_host, security_path) = parts(&security);
    let vars = [
        ("mirror_host", main_host),
        ("mirror_path", main_path),
        ("mirror", main),
        ("security_host", security_host),
        ("security_path", security_path),
        ("security", security),
        ("tree", tree.map(|tree| seen(&tree)).unwrap_or_default()),
        ("sources", mirrors.sources.clone()),
        ("packages", packages.unwrap_or_default()),
        ("proxy", proxy.unwrap_or_default()),
    ];
    vars.into_iter()
        .map(|(name, value)| (format!("imgforge_{name}"), value))
        .collect()
}

/// Host with port, and path, as debian-installer asks for them.
fn parts(address: &str) -> (String, String) {
    let rest = address.split_once("://").map_or("", |(_, rest)| rest);
    let slash = rest.find('/').unwrap_or(rest.len());
    (rest[..slash].to_owned(), rest[slash..].to_owned())
}

#[cfg(test)]
mod tests;
