//! Where a system's package manager gets packages from: sources.list(5), in both of its formats.

use std::fmt;
use std::str::FromStr;

use super::{Apt, all};

/// Packages of one suite in one archive. Written as a line of a `sources.list`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Source {
    /// Address of the archive, without a slash at its end.
    pub uri: String,
    /// The suite, such as `trixie-security`; with a slash at its end for an archive without suites.
    pub suite: String,
    /// Its components, such as `main`.
    pub components: Vec<String>,
    /// The only architectures that are wanted, in dpkg's words; empty for all.
    pub archs: Vec<String>,
    /// Path of the keyring in the guest, where one is named.
    pub signed_by: Option<String>,
}

impl Source {
    /// The distribution that this is a suite of, by the suite's name and the archive's.
    pub fn distro(&self) -> Option<&'static Apt> {
        let name = self.uri.rsplit('/').next().unwrap_or_default();
        let ours = |apt: &Apt| {
            let ends = ["", "-security", "-ports", "-archive", "-debug"];
            let named = name.strip_prefix(apt.id);
            named.is_some_and(|end| ends.contains(&end))
        };
        let mut known = all();
        let found = known.find(|(apt, suite)| {
            let pocket = self.suite.strip_prefix(suite.name);
            ours(apt) && pocket.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        });
        found.map(|(apt, _)| apt)
    }

    /// Whether it is the distribution's own archive, of which each mirror has the same: by its keyring, or by
    /// its host. Others lie at `…/debian`, too, and have suites of the same names.
    pub fn is_own(&self, apt: &Apt) -> bool {
        let key = self.signed_by.as_deref().unwrap_or_default();
        let key = key.rsplit('/').next().unwrap_or_default();
        let host = self.uri.split('/').nth(2).unwrap_or_default();
        let host = host.rsplit('@').next().unwrap_or_default();
        let host = host.split(':').next().unwrap_or_default();
        key.starts_with(&format!("{}-archive-", apt.id))
            || host.ends_with(&format!(".{}", apt.domain))
    }

    /// Whether the archive is one of security updates only, as Debian's is.
    pub fn is_beside(&self) -> bool {
        self.uri.ends_with("-security")
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("deb ")?;
        let archs = (!self.archs.is_empty()).then(|| format!("arch={}", self.archs.join(",")));
        let key = self
            .signed_by
            .as_ref()
            .map(|key| format!("signed-by={key}"));
        let options: Vec<String> = archs.into_iter().chain(key).collect();
        if !options.is_empty() {
            write!(f, "[{}] ", options.join(" "))?;
        }
        write!(f, "{} {}", self.uri, self.suite)?;
        self.components
            .iter()
            .try_for_each(|name| write!(f, " {name}"))
    }
}

impl FromStr for Source {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        of_line(line).ok_or_else(|| format!("`{line}` is no line of a sources.list"))
    }
}

/// The sources of a file: deb822 for a name that ends in `.sources`, else lines. What is disabled, is about
/// sources of packages, or cannot be understood does not count.
pub fn read(name: &str, text: &str) -> Vec<Source> {
    match name.ends_with(".sources") {
        true => of_stanzas(text),
        false => text.lines().filter_map(of_line).collect(),
    }
}

fn of_line(line: &str) -> Option<Source> {
    let line = line.split('#').next()?.trim();
    let mut rest = line.strip_prefix("deb")?;
    if !rest.starts_with([' ', '\t', '[']) {
        return None;
    }
    rest = rest.trim_start();
    let (mut archs, mut signed_by) = (vec![], None);
    if let Some(options) = rest.strip_prefix('[') {
        let (options, behind) = options.split_once(']')?;
        for option in options.split_whitespace() {
            match option.split_once('=') {
                Some(("arch", list)) => archs = list.split(',').map(str::to_owned).collect(),
                Some(("signed-by", list)) => signed_by = key_file(list),
                _ => {}
            }
        }
        rest = behind;
    }
    let mut words = rest.split_whitespace().map(str::to_owned);
    Some(Source {
        uri: words.next()?.trim_end_matches('/').to_owned(),
        suite: words.next()?,
        components: words.collect(),
        archs,
        signed_by,
    })
}

/// The first of several keys that is a file; none where the key itself stands there.
fn key_file(list: &str) -> Option<String> {
    if list.contains("-----BEGIN") {
        return None;
    }
    let mut words = list.split([',', ' ', '\n']);
    let file = words.find(|word| word.starts_with('/'));
    file.map(str::to_owned)
}

fn of_stanzas(text: &str) -> Vec<Source> {
    let mut found = vec![];
    let mut fields: Vec<(String, String)> = vec![];
    for line in text.lines().chain([""]) {
        if line.starts_with('#') {
            continue;
        }
        if line.trim().is_empty() {
            found.extend(of_fields(&fields));
            fields.clear();
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push('\n');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    found
}

fn of_fields(fields: &[(String, String)]) -> Vec<Source> {
    let value = |name: &str| {
        let field = fields.iter().find(|(found, _)| found == name);
        field.map_or("", |(_, value)| value.as_str())
    };
    let words = |name: &str| -> Vec<String> {
        let words = value(name).split_whitespace();
        words.map(str::to_owned).collect()
    };
    let off = ["no", "false", "0", "off", "disable", "without"];
    if !words("types").iter().any(|kind| kind == "deb") || off.contains(&value("enabled")) {
        return vec![];
    }
    let (uris, suites) = (words("uris"), words("suites"));
    let pairs = uris
        .iter()
        .flat_map(|uri| suites.iter().map(move |suite| (uri, suite)));
    pairs
        .map(|(uri, suite)| Source {
            uri: uri.trim_end_matches('/').to_owned(),
            suite: suite.clone(),
            components: words("components"),
            archs: words("architectures"),
            signed_by: key_file(value("signed-by")),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(name: &str, text: &str) -> Vec<String> {
        let sources = read(name, text);
        sources.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn both_formats_become_lines_that_read_back() {
        let deb822 = "# ours\nTypes: deb deb-src\nURIs: http://a.example/debian/\nSuites: trixie trixie-updates\n\
                      Components: main contrib\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n\
                      Types: deb\nURIs: http://a.example/debian\nSuites: sid\nComponents: main\nEnabled: no\n\n\
                      Types: deb-src\nURIs: http://a.example/debian\nSuites: forky\nComponents: main\n\n\
                      types: deb\nuris: https://b.example/node\nsuites: nodistro\ncomponents: main\n\
                      architectures: amd64\nsigned-by:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n /abc\n";
        let found = lines("x.sources", deb822);
        insta::assert_snapshot!(found.join("\n"), @r"
        deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://a.example/debian trixie main contrib
        deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://a.example/debian trixie-updates main contrib
        deb [arch=amd64] https://b.example/node nodistro main
        ");
        assert_eq!(lines("sources.list", &found.join("\n")), found);
        let list = "deb-src http://a.example/debian trixie main\n#deb http://x/ y z\n\
                    deb [ arch=amd64,i386 signed-by=/k.gpg ] http://a.example/ubuntu/ noble main # note\n\
                    deb http://c.example/flat ./\ndebris\ndeb\ndeb [broken http://x y\n";
        let flat = "deb http://c.example/flat ./";
        let noble = "deb [arch=amd64,i386 signed-by=/k.gpg] http://a.example/ubuntu noble main";
        assert_eq!(lines("sources.list", list), [noble, flat]);
    }

    #[test]
    fn a_suite_and_the_name_of_its_archive_tell_the_distribution() {
        let distro = |line: &str| {
            let source: Source = line.parse().unwrap();
            source.distro().map(|apt| apt.id)
        };
        for (line, id) in [
            ("deb http://a.example/debian trixie main", Some("debian")),
            (
                "deb http://a/debian-security trixie-security main",
                Some("debian"),
            ),
            (
                "deb http://a/ubuntu-ports noble-updates main",
                Some("ubuntu"),
            ),
            ("deb http://a/debian noble main", None),
            ("deb http://a/node trixie main", None),
            ("deb http://a/debian-of-mine trixie main", None),
            ("deb http://a/debian trixiest main", None),
        ] {
            assert_eq!(distro(line), id, "{line}");
        }
    }
}
