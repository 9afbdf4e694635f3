//! What an archive says of a suite, its `Release` file, and of its packages, `Packages` files:
//! <https://wiki.debian.org/DebianRepository/Format>.

use std::collections::BTreeMap;
use std::io::{self, Read};

use memchr::memmem;

/// A stanza of a larger package does not exist: the largest has 0.1 MB.
const LARGEST_STANZA: usize = 8 << 20;

/// How much is read at once, in bytes.
const CHUNK: usize = 256 << 10;

/// A suite, as its signed `Release` file has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Release {
    /// Such as `Debian-Security`.
    pub label: String,
    /// Such as `stable-security`.
    pub suite: String,
    /// Such as `trixie-security`.
    pub codename: String,
    /// When it was made, seconds since 1970.
    pub date: Option<u64>,
    /// Until when it counts, seconds since 1970.
    pub valid_until: Option<u64>,
    /// Its packages are not installed unless somebody asks for them, as those of backports.
    pub not_automatic: bool,
    /// What is installed from it is upgraded from it.
    pub upgrades: bool,
    /// Files are there under the name of their digest, too.
    pub by_hash: bool,
    /// Packages for all architectures are in a list of their own.
    pub all_apart: bool,
    /// SHA-256 in hex and size of its files, by path below the suite.
    pub files: BTreeMap<String, (String, u64)>,
}

impl Release {
    /// Reads the text that the signature covers.
    ///
    /// # Errors
    /// When it lists no files, or nobody can read until when it counts.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut release = Release::default();
        let (mut has_all, mut all_elsewhere) = (false, false);
        let mut list = "";
        for line in text.lines() {
            if let Some(entry) = line.strip_prefix(' ') {
                let words: Vec<&str> = entry.split_whitespace().collect();
                if let ("SHA256", [sha256, size, path]) = (list, words.as_slice())
                    && let Ok(size) = size.parse()
                {
                    let file = (sha256.to_ascii_lowercase(), size);
                    release.files.insert((*path).to_owned(), file);
                }
                continue;
            }
            let Some((name, value)) = line.split_once(':') else {
                continue;
            };
            list = name;
            let value = value.trim();
            match name {
                "Label" => value.clone_into(&mut release.label),
                "Suite" => value.clone_into(&mut release.suite),
                "Codename" => value.clone_into(&mut release.codename),
                "Date" => release.date = seconds(value),
                "Valid-Until" => {
                    let until = seconds(value);
                    release.valid_until =
                        Some(until.ok_or_else(|| format!("`{line}` is no date"))?);
                }
                "NotAutomatic" => release.not_automatic = value == "yes",
                "ButAutomaticUpgrades" => release.upgrades = value == "yes",
                "Acquire-By-Hash" => release.by_hash = value == "yes",
                "Architectures" => has_all = value.split_whitespace().any(|arch| arch == "all"),
                "No-Support-for-Architecture-all" => all_elsewhere = value == "Packages",
                _ => {}
            }
        }
        release.all_apart = has_all && !all_elsewhere;
        match release.files.is_empty() {
            true => Err("it lists no files with SHA-256".into()),
            false => Ok(release),
        }
    }

    /// Whether it is the suite that was `asked` for: one with another name and a good signature may hide what that has. By apt's
    /// rule: `bookworm/updates` is `bookworm`, too.
    pub fn is_of(&self, asked: &str) -> bool {
        let names = [
            asked,
            asked.rsplit_once('/').map_or(asked, |(name, _)| name),
        ];
        let own = [&self.suite, &self.codename];
        own.iter().all(|own| own.is_empty())
            || names.iter().any(|name| own.iter().any(|own| own == name))
    }

    /// Whether its packages are security fixes; `asked` is the name under which it was found.
    pub fn is_security(&self, asked: &str) -> bool {
        let suites = [asked, &self.suite, &self.codename];
        self.label.ends_with("-Security")
            || suites
                .iter()
                .any(|name| name.ends_with("-security") || name.ends_with("/updates"))
    }
}

/// A date as RFC 5322 has it, with `UTC` for a zone.
fn seconds(text: &str) -> Option<u64> {
    let text = text.replace("UTC", "+0000");
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text.trim());
    u64::try_from(date.ok()?.as_second()).ok()
}

/// A package that an archive offers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offer {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its source package.
    pub source: String,
    /// The version of that.
    pub source_version: String,
}

/// Reads a `Packages` file of any length, a stanza at a time, and gives `found` those whose names are `wanted`.
///
/// # Errors
/// When it cannot be read, or is no such file.
pub fn scan(
    mut from: impl Read,
    wanted: &dyn Fn(&str) -> bool,
    found: &mut dyn FnMut(Offer),
) -> io::Result<()> {
    let mut buffer: Vec<u8> = Vec::with_capacity(2 * CHUNK);
    let separator = memmem::Finder::new(b"\n\n");
    loop {
        let before = buffer.len();
        let read = (&mut from).take(CHUNK as u64).read_to_end(&mut buffer)?;
        let end = read == 0;
        // A separator may begin at the end of what was read before.
        let mut start = 0;
        let mut search = before.saturating_sub(1);
        while let Some(at) = separator.find(&buffer[search.max(start)..]) {
            let stop = search.max(start) + at;
            judge(&buffer[start..stop], wanted, found);
            start = stop + 2;
            search = start;
        }
        buffer.drain(..start);
        if end {
            judge(&buffer, wanted, found);
            return Ok(());
        }
        if buffer.len() > LARGEST_STANZA {
            let error = "this is no list of packages: it has no blank lines";
            return Err(io::Error::new(io::ErrorKind::InvalidData, error));
        }
    }
}

fn judge(stanza: &[u8], wanted: &dyn Fn(&str) -> bool, found: &mut dyn FnMut(Offer)) {
    let field = |name: &str| {
        let start = match stanza.strip_prefix(name.as_bytes()) {
            Some(_) => name.len(),
            None => {
                let line = [b"\n", name.as_bytes()].concat();
                memmem::find(stanza, &line)? + line.len()
            }
        };
        let rest = &stanza[start..];
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        std::str::from_utf8(&rest[..end]).ok().map(str::trim)
    };
    let Some(name) = field("Package:").filter(|name| wanted(name)) else {
        return;
    };
    let Some(version) = field("Version:") else {
        return;
    };
    let source = field("Source:").unwrap_or(name);
    let (source, source_version) = match source.split_once(" (") {
        Some((source, version)) => (source, version.trim_end_matches(')')),
        None => (source, version),
    };
    found(Offer {
        name: name.to_owned(),
        version: version.to_owned(),
        source: source.to_owned(),
        source_version: source_version.to_owned(),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_tells_files_dates_and_what_it_is() {
        let text = "Origin: Debian\nLabel: Debian-Security\nSuite: stable-security\nCodename: trixie-security\n\
                    Date: Sat, 15 Nov 2025 10:00:00 UTC\nValid-Until: Sat, 22 Nov 2025 10:00:00 UTC\n\
                    Acquire-By-Hash: yes\nMD5Sum:\n 00 1 main/binary-amd64/Packages\nSHA256:\n \
                    AB 12 main/binary-amd64/Packages.xz\n broken\n";
        let release = Release::read(text).unwrap();
        assert_eq!(release.date, Some(1_763_200_800));
        assert_eq!(release.valid_until, Some(1_763_805_600));
        assert!(release.by_hash && release.is_security("x") && !release.not_automatic);
        let files: Vec<_> = release.files.iter().collect();
        assert_eq!(files.len(), 1);
        assert_eq!(
            release.files["main/binary-amd64/Packages.xz"],
            ("ab".into(), 12)
        );
        for (suite, security) in [("noble-security", true), ("noble-updates", false)] {
            let text = "Suite: noble\nSHA256:\n aa 1 x\n";
            let release = Release::read(text).unwrap();
            assert_eq!(release.is_security(suite), security, "{suite}");
        }
        assert!(Release::read("Suite: x\n").is_err());
    }

    /// Gives a byte at a time: separators are found wherever a read ends.
    struct Drop<'a>(&'a [u8]);

    impl Read for Drop<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let most = buffer.len().min(1);
            self.0.read(&mut buffer[..most])
        }
    }

    #[test]
    fn packages_are_found_wherever_a_read_ends() {
        let mut text = String::new();
        for number in 0..3000 {
            text += &format!(
                "Package: p{number}\nArchitecture: amd64\nVersion: 1:{number}-2+b1\n\
                 Source: s{number} (1:{number}-2)\nDescription: x\n Package: no\n\n"
            );
        }
        text += "Section: last\nPackage: last\nVersion: 1\n";
        let read = |from: &mut dyn Read| {
            let mut offers = vec![];
            let wanted = |name: &str| matches!(name, "p0" | "p2999" | "last" | "no");
            scan(from, &wanted, &mut |offer| offers.push(offer)).unwrap();
            offers
        };
        let offers = read(&mut text.as_bytes());
        assert_eq!(offers, read(&mut Drop(text.as_bytes())));
        let found: Vec<_> = offers
            .iter()
            .map(|o| format!("{} {} {} {}", o.name, o.version, o.source, o.source_version))
            .collect();
        assert_eq!(
            found,
            [
                "p0 1:0-2+b1 s0 1:0-2",
                "p2999 1:2999-2+b1 s2999 1:2999-2",
                "last 1 last 1"
            ]
        );
    }

    #[test]
    fn what_is_no_list_is_refused_before_it_fills_the_memory() {
        let endless = io::repeat(b'x').take(1 << 40);
        let error = scan(endless, &|_| true, &mut |_| {}).unwrap_err();
        assert!(error.to_string().contains("no list of packages"));
    }
}
