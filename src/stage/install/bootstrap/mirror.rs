//! Which mirror a build fetches from: the recipe's, the site's, the host's own, the tool's default.

use std::path::Path;
use std::time::Duration;

use crate::distro::apt::{self, Archive};
use crate::distro::{Apt, Suite};
use crate::error::{Context as _, Error, Result};
use crate::host::exec::Program;
use crate::http::{Client, Limits, Url};

/// A mirror that does not answer soon is left for the next one.
const LIMITS: Limits = Limits {
    stall: Duration::from_secs(20),
    connect: Duration::from_secs(20),
    retries: 0,
    pause: Duration::from_secs(1),
    redirects: 10,
};

/// Chooses the archive by what the recipe says, `build`, and the mirrors of imgforge.yaml, `site`;
/// `None` is the tool's default.
///
/// # Errors
/// When mirrors are named and none of them carries the suite.
pub fn choose(
    build: &str,
    site: &[String],
    distro: &'static Apt,
    suite: &Suite,
) -> Result<Option<Archive>> {
    match build {
        "default" => Ok(None),
        "host" => Ok(match first_that_answers(site, suite)? {
            Some(archive) => Some(archive),
            None => of_host(distro),
        }),
        address => first_that_answers(&[address.to_owned()], suite),
    }
}

/// The host's own archive; a host without apt has none.
fn of_host(distro: &Apt) -> Option<Archive> {
    let printed = Program::new("apt-get")
        .args(["indextargets", "--format", apt::INDEXTARGETS_FORMAT])
        .text()
        .ok()?;
    apt::from_host(distro, &printed)
}

/// The first of `addresses` that carries the suite; an error when there are some and none does.
fn first_that_answers(addresses: &[String], suite: &Suite) -> Result<Option<Archive>> {
    let mut causes = vec![];
    for address in addresses {
        let main = address.trim_end_matches('/').to_owned();
        match answers(&main, suite.name) {
            Ok(()) => {
                // By convention the security archive lies beside the archive itself.
                let security = format!("{main}-security");
                let there = main.ends_with("/debian")
                    && answers(&security, &format!("{}-security", suite.name)).is_ok();
                return Ok(Some(Archive {
                    main,
                    security: there.then_some(security),
                }));
            }
            Err(cause) => causes.push(format!("{main}: {cause}")),
        }
    }
    if causes.is_empty() {
        return Ok(None);
    }
    let error = Error::stage(format!("no mirror serves the suite `{}`", suite.name))
        .hint("check `mirrors:` in the recipe and in imgforge.yaml, and http_proxy");
    Err(causes
        .into_iter()
        .fold(error, |error, cause| error.cause(cause)))
}

/// Whether the archive has the suite's index, signed inside or beside.
fn answers(archive: &str, suite: &str) -> Result<(), String> {
    has(archive, suite, "InRelease").or_else(|why| has(archive, suite, "Release").map_err(|_| why))
}

fn has(archive: &str, suite: &str, name: &str) -> Result<(), String> {
    let path = format!("{archive}/dists/{suite}/{name}");
    if let Some(local) = path.strip_prefix("file://") {
        let there = std::path::Path::new(local).is_file();
        return there
            .then_some(())
            .ok_or_else(|| format!("no file {local}"));
    }
    let asked = Url::parse(&path).and_then(|url| {
        let client = Client::to(&url, LIMITS)?;
        client.open(&url).map(drop)
    });
    asked.map_err(|error| match error.causes().first() {
        Some(cause) => format!("{}: {cause}", error.message()),
        None => error.message().to_owned(),
    })
}

/// The archive that mmdebstrap would use by itself: the distribution's own addresses.
///
/// # Errors
/// When mmdebstrap fails.
pub fn tool_default(scratch: &Path, suite: &Suite) -> Result<Option<Archive>> {
    let file = scratch.join("default.sources");
    let hook = format!(
        r#"--setup-hook=cat "$1"/etc/apt/sources.list >'{}'"#,
        file.display()
    );
    Program::new("mmdebstrap")
        .args(["--mode=chrootless", "--variant=custom", "--format=null"])
        .args(["--quiet", "--skip=update", &hook, suite.name, "/dev/null"])
        .env("TMPDIR", scratch)
        .run()?;
    let printed = std::fs::read_to_string(&file).doing(|| format!("reading {}", file.display()))?;
    Ok(apt::from_sources(&printed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distro::suite;

    #[test]
    fn a_mirror_without_the_suite_is_named_with_its_cause() {
        let (_, trixie) = suite("trixie").unwrap();
        let dir = tempfile::tempdir().unwrap();
        let address = format!("file://{}", dir.path().display());
        let error = first_that_answers(std::slice::from_ref(&address), trixie).unwrap_err();
        assert!(
            error
                .render()
                .contains(&format!("caused by: {address}: no file"))
        );
        let release = dir.path().join("dists/trixie");
        std::fs::create_dir_all(&release).unwrap();
        std::fs::write(release.join("InRelease"), "").unwrap();
        let found = first_that_answers(&["file:///nowhere".into(), address.clone()], trixie);
        assert_eq!(found.unwrap(), Some(Archive::at(address)));
        assert_eq!(first_that_answers(&[], trixie).unwrap(), None);
    }
}
