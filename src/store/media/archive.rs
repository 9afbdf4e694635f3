//! Installers of Debian's and Ubuntu's archives, by the archive's own signature: its `InRelease`
//! covers the `SHA256SUMS` of each installer, and those cover the kernel and the initrd.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::failed;
use super::tree::LARGEST_INDEX;
use crate::distro::{self, Apt};
use crate::error::{Error, Result};
use crate::gpg::verify_any;
use crate::http::{Client, Url};

/// Where installers lie in an archive, and what is signed about them.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    /// `…/dists/SUITE/`.
    root: Url,
    suite: String,
    /// `main/installer-amd64/current/images/`.
    below: String,
}

impl Place {
    /// The place of a directory `images/`, if it is in an archive.
    fn of(images: &Url) -> Option<Self> {
        let text = images.secret_text();
        let (before, rest) = text.split_once("/dists/")?;
        let (suite, below) = rest.split_once('/')?;
        let in_archive = below.contains("/installer-") && below.ends_with('/');
        in_archive.then(|| {
            Some(Place {
                root: Url::parse(&format!("{before}/dists/{suite}/")).ok()?,
                suite: suite.to_owned(),
                below: below.to_owned(),
            })
        })?
    }
}

/// The `SHA256SUMS` of the installers in the directory `images`, as `sums` if that is what the
/// archive has signed; nothing when the directory is in no archive, or the archive has signed
/// nothing about it. `keyring` says which keys count for an archive.
///
/// # Errors
/// When the signature does not count, or the file is another one than was signed.
pub(super) fn signed(
    client: &Client,
    images: &Url,
    sums: &[u8],
    keyring: impl Fn(&Apt) -> Result<PathBuf>,
) -> Result<bool> {
    let Some(place) = Place::of(images) else {
        return Ok(false);
    };
    let url = place.root.join("InRelease")?;
    let release = client.read_optional(&url, LARGEST_INDEX);
    let Some(release) = release.map_err(|error| failed(&url, error))? else {
        return Ok(false);
    };
    let Some(archive) = archive_of(&String::from_utf8_lossy(&release)) else {
        return Ok(false);
    };
    let wrong = |error: Error| {
        error
            .within(format!("{url} is not to be trusted"))
            .hint("another mirror may be right; a proxy in between may have changed or kept it")
    };
    let keyring = keyring(archive)?;
    let text = verify_any(&release, &keyring).map_err(wrong)?;
    check(&text, &place.suite).map_err(wrong)?;
    let path = format!("{}SHA256SUMS", place.below);
    let Some(promised) = digest(&text, &path) else {
        return Ok(false);
    };
    if hex::encode(Sha256::digest(sums)) != promised {
        let error = Error::gate(format!("{images}SHA256SUMS is not what {url} has signed"));
        return Err(error.hint("the mirror may be changing at this moment: try again, or another"));
    }
    Ok(true)
}

/// The keyring of the host for an archive.
pub(super) fn of_host(archive: &Apt) -> Result<PathBuf> {
    archive.check_keyring()?;
    Ok(Path::new(archive.keyring).to_owned())
}

/// The archive that a release file says it is of; the signature decides whether it is.
fn archive_of(release: &str) -> Option<&'static Apt> {
    let origin = field(release, "Origin")?;
    let mut known = distro::DISTROS.iter().filter_map(|distro| distro.apt);
    known.find(|apt| apt.origin == origin)
}

fn field<'t>(release: &'t str, name: &str) -> Option<&'t str> {
    let value = |line: &'t str| line.strip_prefix(name)?.strip_prefix(':').map(str::trim);
    release.lines().find_map(value)
}

/// Whether a verified release file is of this suite, and counts still.
fn check(release: &str, suite: &str) -> Result<()> {
    let names = ["Codename", "Suite"].map(|name| field(release, name));
    if !names.contains(&Some(suite)) {
        let other = names[0].or(names[1]).unwrap_or("no suite");
        return Err(Error::gate(format!("it is of {other}, not of {suite}")));
    }
    let Some(end) = field(release, "Valid-Until") else {
        return Ok(());
    };
    let time = jiff::fmt::rfc2822::parse(&end.replace("UTC", "+0000"));
    match time.map(|time| time.timestamp()) {
        Ok(time) if time > Timestamp::now() => Ok(()),
        _ => Err(Error::gate(format!("it was valid until {end}"))),
    }
}

/// The SHA-256 of a file in a verified release file.
fn digest<'t>(release: &'t str, path: &str) -> Option<&'t str> {
    let mut section = release
        .lines()
        .skip_while(|line| *line != "SHA256:")
        .skip(1);
    let mut lines = section.by_ref().take_while(|line| line.starts_with(' '));
    lines.find_map(|line| {
        let mut words = line.split_whitespace();
        let (digest, _, listed) = (words.next()?, words.next()?, words.next()?);
        (listed == path).then_some(digest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn installers_of_an_archive_are_known_by_their_place() {
        let images = "http://u:p@m/debian/dists/trixie/main/installer-amd64/current/images/";
        let place = Place::of(&Url::parse(images).unwrap()).unwrap();
        let root = "http://u:p@m/debian/dists/trixie/";
        assert_eq!(place.root.secret_text(), root);
        assert_eq!(
            (place.suite.as_str(), place.below.as_str()),
            ("trixie", "main/installer-amd64/current/images/")
        );
        for other in [
            "http://m/daily/amd64/images/",
            "http://m/dists/trixie/main/images/",
        ] {
            assert_eq!(Place::of(&Url::parse(other).unwrap()), None);
        }
    }

    #[test]
    fn a_release_is_of_its_suite_and_counts_for_a_time() {
        let release = "Origin: Debian\nSuite: stable\nCodename: trixie\n";
        assert_eq!(archive_of(release).unwrap().id, "debian");
        assert!(archive_of("Origin: Somebody\n").is_none());
        check(release, "trixie").unwrap();
        check(release, "stable").unwrap();
        let error = check(release, "forky").unwrap_err();
        assert_eq!(error.message(), "it is of trixie, not of forky");
        let until = |time: &str| format!("{release}Valid-Until: {time}\n");
        check(&until("Sat, 21 Nov 2099 09:15:44 UTC"), "trixie").unwrap();
        for over in ["Sat, 21 Nov 2020 09:15:44 UTC", "never"] {
            assert!(check(&until(over), "trixie").is_err(), "{over}");
        }
    }

    #[test]
    fn only_the_sha256_of_a_release_counts() {
        let release =
            "MD5Sum:\n aa 5 main/a\nSHA256:\n bb 5 main/a\n cc 6 main/b\nSHA512:\n dd 7 main/c\n";
        assert_eq!(digest(release, "main/a"), Some("bb"));
        assert_eq!(digest(release, "main/b"), Some("cc"));
        assert_eq!(digest(release, "main/c"), None);
    }
}
