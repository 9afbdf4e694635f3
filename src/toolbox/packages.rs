//! A toolbox's packages: unpacked by mmdebstrap, through our proxy.

use std::path::Path;

use super::Request;
use crate::distro::chosen::{chosen, named_mirrors};
use crate::distro::{Apt, Suite, apt, mirror};
use crate::error::{Context as _, Result};
use crate::host::namespace::as_guest_root;
use crate::lock::Fetching;
use crate::proxy::{ArchiveRelay, Settings};

/// Merges `/usr` before anything is unpacked: no package of Debian 12 or Ubuntu 22.04 does that, and
/// their loader lies in `/lib`, which nobody but a maintainer's script makes a link.
const MERGED_USR: &str = r#"--setup-hook=set -e; for dir in bin sbin lib lib64; do mkdir -p "$1/usr/$dir"; ln -s "usr/$dir" "$1/$dir"; done"#;

/// Unpacks the packages, and what they need, as the directory `tree` in `dir`; `fetching` hears what came.
///
/// # Errors
/// When one cannot be fetched.
pub(super) fn unpack(
    request: &Request<'_>,
    packages: &[&str],
    (distro, suite): (&'static Apt, &Suite),
    dir: &Path,
    fetching: &Fetching,
) -> Result<()> {
    let site = request.mirrors.get(distro.id);
    let site = site.map(Vec::as_slice).unwrap_or_default();
    let archive = chosen(fetching, &named_mirrors(request.mirror, site), || {
        let (arch, ui) = (request.arch, request.ui);
        let found = mirror::choose(request.mirror, site, distro, suite, arch, ui)?;
        match found {
            // mmdebstrap's own choice must be this distribution's.
            None => mirror::tool_default(dir, distro, suite, arch),
            found => Ok(found),
        }
    })?;
    let settings = Settings {
        routes: vec![],
        cache: request.cache.clone(),
        scratch: dir.join("proxy"),
        log: request.log.to_owned(),
        vouched_only: false,
        locked: fetching.locked().cloned(),
        open: None,
    };
    let relay = ArchiveRelay::start(&settings, distro, archive.as_ref())?;
    let unpacked = fetch(request, packages, (distro, suite), dir, &relay);
    relay.finish(fetching);
    drop(std::fs::remove_dir_all(settings.scratch));
    unpacked
}

fn fetch(
    request: &Request<'_>,
    packages: &[&str],
    (distro, suite): (&'static Apt, &Suite),
    dir: &Path,
    relay: &ArchiveRelay,
) -> Result<()> {
    let sources = dir.join("toolbox.sources");
    let mut program = as_guest_root("mmdebstrap")
        .args(["--mode=root", "--format=directory", "--variant=extract"])
        .arg(MERGED_USR)
        .arg(format!("--architectures={}", request.arch.debian))
        // No program of the packages is started.
        .arg("--skip=check/qemu")
        .arg(format!("--keyring={}", distro.keyring))
        .arg(format!("--components={}", distro.components.join(",")))
        .arg(r#"--aptopt=Acquire::Languages "none""#)
        .arg(r#"--aptopt=APT::Install-Recommends "false""#)
        .arg("--aptopt=Acquire::Retries 3")
        .args(relay.options())
        .arg(format!("--include={}", packages.join(",")))
        .arg(suite.name)
        .arg(dir.join("tree"));
    if let Some(archive) = relay.archive() {
        let text = apt::sources(distro, suite, archive, &[]);
        std::fs::write(&sources, text).doing(|| format!("writing {}", sources.display()))?;
        program = program.arg(&sources);
    }
    let ui = request.ui.clone();
    program
        .scratch(dir)
        .hint("see the log; `imgforge doctor` checks tools, keyrings and mirrors")
        .lines(move |line| ui.line(line))?;
    drop(std::fs::remove_file(sources));
    Ok(())
}
