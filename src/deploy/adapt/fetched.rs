//! A machine file that another host has: what is fetched counts only if it has the digest that was named.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use super::Own;
use super::files::bad_path;
use crate::digest::Sha256;
use crate::error::{Context as _, Error, Result};
use crate::http::{Client, Url};

/// No machine file, and no archive of one, is larger, in bytes.
const LARGEST: u64 = 64 << 20;

/// The name of a machine file in an archive.
const NAME: &str = "machine.yaml";

/// Where a machine file is, and what it has to be: `URL#sha256=HEX`.
#[derive(Debug, Clone)]
pub struct MachineUrl {
    url: Url,
    sha256: Sha256,
}

impl FromStr for MachineUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (url, sha256) = text
            .rsplit_once("#sha256=")
            .ok_or("what is fetched needs its digest: write URL#sha256=HEX")?;
        Ok(MachineUrl {
            url: Url::parse(url).map_err(|error| error.to_string())?,
            sha256: sha256.parse()?,
        })
    }
}

impl fmt::Display for MachineUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.url)
    }
}

impl Own {
    /// Fetches a machine file, or a tar archive with `machine.yaml` and the files that it names, and reads it in
    /// `scratch`.
    ///
    /// # Errors
    /// When it cannot be fetched, or is not what was named; and as [`Own::read`].
    pub fn fetch(client: &Client, place: &MachineUrl, scratch: &Path) -> Result<Own> {
        let bytes = client.read(&place.url, LARGEST)?;
        let found = Sha256::of(&bytes);
        if found != place.sha256 {
            return Err(
                Error::gate(format!("{place} is not the machine file that was named"))
                    .cause(format!("expected sha256 {}, found {found}", place.sha256))
                    .hint("name the digest of what is there now, if it is right: sha256sum FILE"),
            );
        }
        let file = scratch.join(NAME);
        let doing = || format!("reading {place}");
        // As ustar(5) has it.
        match bytes.get(257..262) == Some(b"ustar") {
            true => unpack(&bytes, scratch, place)?,
            false => std::fs::write(&file, &bytes).doing(doing)?,
        }
        Own::read(&file).map_err(|error| error.within(format!("{place} cannot be used")))
    }
}

/// Unpacks regular files: no link, and no path out of the directory.
fn unpack(bytes: &[u8], scratch: &Path, place: &MachineUrl) -> Result<()> {
    let doing = || format!("unpacking {place}");
    let mut archive = tar::Archive::new(bytes);
    for entry in archive.entries().doing(doing)? {
        let mut entry = entry.doing(doing)?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let path = path.trim_start_matches("./");
        if let Some(why) = bad_path(&format!("/{path}")) {
            return Err(Error::stage(format!(
                "{place} has a file `{path}`, which {why}"
            )));
        }
        let to = scratch.join(path);
        std::fs::create_dir_all(to.parent().unwrap_or(scratch)).doing(doing)?;
        let mut file = std::fs::File::create(&to).doing(doing)?;
        std::io::copy(&mut entry, &mut file).doing(doing)?;
    }
    match scratch.join(NAME).is_file() {
        true => Ok(()),
        false => Err(Error::stage(format!("{place} has no {NAME}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_fetched_needs_its_digest() {
        let hex = "0a".repeat(32);
        let place: MachineUrl = format!("http://h/a.tar#sha256={hex}").parse().unwrap();
        assert_eq!(place.sha256.as_str(), hex);
        for bad in [
            "http://h/a",
            "http://h/a#sha256=0a",
            "a.yaml#sha256=",
            "http://h/a#md5=0a",
        ] {
            assert!(bad.parse::<MachineUrl>().is_err(), "{bad}");
        }
        let odd = format!("http://h/a#sha256={}", "g".repeat(64));
        assert!(odd.parse::<MachineUrl>().is_err());
    }

    #[test]
    fn an_archive_brings_no_file_out_of_its_directory() {
        let dir = tempfile::tempdir().unwrap();
        let place: MachineUrl = format!("http://h/a#sha256={}", "0".repeat(64))
            .parse()
            .unwrap();
        let packed = |path: &str| {
            let mut archive = tar::Builder::new(vec![]);
            let mut header = tar::Header::new_ustar();
            header.as_ustar_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_size(1);
            header.set_cksum();
            archive.append(&header, &b"x"[..]).unwrap();
            archive.into_inner().unwrap()
        };
        for bad in ["../a", "a/../../b", "/etc/a"] {
            let error = unpack(&packed(bad), dir.path(), &place).unwrap_err();
            assert!(error.message().contains("has a file"), "{error}");
        }
        unpack(&packed("./machine.yaml"), dir.path(), &place).unwrap();
        let error = unpack(&packed("other.yaml"), &dir.path().join("none"), &place);
        assert!(error.unwrap_err().message().contains("has no machine.yaml"));
    }
}
