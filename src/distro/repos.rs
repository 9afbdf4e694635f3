//! Where the package managers of RPM's family and of Alpine get packages from: dnf.conf(5), apk-repositories(5).

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// How an address leads to a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Way {
    /// A repository of RPM packages.
    Rpm,
    /// A list of such, an address a line.
    MirrorList,
    /// A list of such, in XML.
    Metalink,
    /// A repository of Alpine's.
    Apk,
}

/// The words of the ways.
const WAYS: &[(&str, Way)] = &[
    ("rpm", Way::Rpm),
    ("rpm-mirrorlist", Way::MirrorList),
    ("rpm-metalink", Way::Metalink),
    ("apk", Way::Apk),
];

/// A repository that a system names. Written as a line: `rpm [id=baseos signed=yes] ADDRESS`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repo {
    /// What is at the address.
    pub way: Way,
    /// The address, without a slash at its end.
    pub uri: String,
    /// Its name there; empty for Alpine's.
    pub id: String,
    /// The system takes its index only with a signature.
    pub signed: bool,
}

impl fmt::Display for Repo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let way = WAYS.iter().find(|(_, way)| *way == self.way);
        f.write_str(way.map_or("rpm", |(word, _)| word))?;
        let id = (!self.id.is_empty()).then(|| format!("id={}", self.id));
        let signed = self.signed.then(|| "signed=yes".to_owned());
        let options: Vec<String> = id.into_iter().chain(signed).collect();
        if !options.is_empty() {
            write!(f, " [{}]", options.join(" "))?;
        }
        write!(f, " {}", self.uri)
    }
}

impl FromStr for Repo {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let wrong = || format!("`{line}` is no repository");
        let (word, rest) = line.split_once(' ').ok_or_else(wrong)?;
        let (_, way) = WAYS
            .iter()
            .find(|(known, _)| *known == word)
            .ok_or_else(wrong)?;
        let (options, uri) = match rest.strip_prefix('[') {
            Some(rest) => rest.split_once("] ").ok_or_else(wrong)?,
            None => ("", rest),
        };
        let option = |name: &str| {
            let mut all = options.split(' ').filter_map(|it| it.split_once('='));
            all.find(|(found, _)| *found == name)
                .map(|(_, value)| value)
        };
        Ok(Repo {
            way: *way,
            uri: uri.to_owned(),
            id: option("id").unwrap_or_default().to_owned(),
            signed: option("signed") == Some("yes"),
        })
    }
}

/// The repositories of a file of dnf's or zypper's, with the values of variables such as `releasever`.
pub fn of_ini(text: &str, variables: &BTreeMap<String, String>) -> Vec<Repo> {
    let mut found = vec![];
    let mut fields: BTreeMap<String, String> = BTreeMap::new();
    let mut id = String::new();
    let mut last = String::new();
    for line in text.lines().chain(["[]"]) {
        let plain = line.trim();
        if plain.is_empty() || plain.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = plain.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
            found.extend(of_section(&id, &fields, variables));
            fields.clear();
            name.clone_into(&mut id);
        } else if line.starts_with([' ', '\t']) {
            if let Some(value) = fields.get_mut(&last) {
                value.push(' ');
                value.push_str(plain);
            }
        } else if let Some((name, value)) = plain.split_once('=') {
            name.trim().to_ascii_lowercase().clone_into(&mut last);
            fields.insert(last.clone(), value.trim().to_owned());
        }
    }
    found
}

fn of_section(
    id: &str,
    fields: &BTreeMap<String, String>,
    variables: &BTreeMap<String, String>,
) -> Option<Repo> {
    let field = |name: &str| fields.get(name).map(String::as_str);
    let on = |value: &str| matches!(&*value.to_ascii_lowercase(), "1" | "yes" | "true" | "on");
    let ways = [
        ("baseurl", Way::Rpm),
        ("mirrorlist", Way::MirrorList),
        ("metalink", Way::Metalink),
    ];
    if id == "main" || id.is_empty() || !field("enabled").is_none_or(on) {
        return None;
    }
    let (way, uri) = ways.iter().find_map(|(name, way)| {
        let words = field(name)?.split([' ', ',']);
        Some((*way, words.into_iter().find(|word| !word.is_empty())?))
    })?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    Some(Repo {
        way,
        uri: replaced(uri, variables).trim_end_matches('/').to_owned(),
        id: id.chars().filter(|c| plain(*c)).collect(),
        signed: field("repo_gpgcheck").is_some_and(on),
    })
}

/// The longest address, and the longest value of a variable, in bytes: a guest can write variables of variables, of
/// which each doubles what it is in.
const LONGEST: usize = 4096;
const VALUE: usize = 512;

/// A text with `$NAME` and `${NAME}` replaced; what is not known stays, and all of what becomes too long.
fn replaced(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut out = text.to_owned();
    // The longer ones first: `releasever_major` begins with `releasever`.
    let short = |(_, value): &(&String, &String)| value.len() <= VALUE;
    let mut names: Vec<(&String, &String)> = variables.iter().filter(short).collect();
    names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    for (name, value) in names {
        for place in [format!("${{{name}}}"), format!("${name}")] {
            out = out.replace(&place, value);
            if out.len() > LONGEST {
                return text.chars().take(LONGEST / 4).collect();
            }
        }
    }
    out
}

/// Those of Alpine's list; what has a tag is installed only by who asks for it.
pub fn of_apk(text: &str) -> Vec<Repo> {
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with(['#', '@']));
    let repos = lines.map(|line| Repo {
        way: Way::Apk,
        uri: line.trim_end_matches('/').to_owned(),
        id: String::new(),
        signed: true,
    });
    repos.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_every_family_become_lines_that_read_back() {
        let text = "[main]\ngpgcheck=1\n[baseos]\nname=Base $releasever\n\
                    mirrorlist=https://a.example/list?arch=$basearch&repo=BaseOS-$releasever$rltype\n\
                    #baseurl=http://dl.example/$contentdir/\ngpgcheck=1\nenabled=1\n\n\
                    [extras]\nbaseurl = https://a.example/${releasever_major}/extras/\n  https://b.example/x\n\
                    repo_gpgcheck=1\n[off]\nbaseurl=https://a.example/off\nenabled=0\n\
                    [fedora]\nmetalink=https://a.example/metalink?repo=fedora-$releasever&arch=$basearch\n[none]\n";
        let variables = [
            ("releasever", "9"),
            ("releasever_major", "9"),
            ("basearch", "x86_64"),
            ("rltype", ""),
        ];
        let variables = variables
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let repos = of_ini(text, &variables);
        let lines: Vec<String> = repos.iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "rpm-mirrorlist [id=baseos] https://a.example/list?arch=x86_64&repo=BaseOS-9",
                "rpm [id=extras signed=yes] https://a.example/9/extras",
                "rpm-metalink [id=fedora] https://a.example/metalink?repo=fedora-9&arch=x86_64",
            ]
        );
        let again: Vec<Repo> = lines.iter().map(|line| line.parse().unwrap()).collect();
        assert_eq!(again, repos);
        let alpine = "https://a.example/alpine/v3.20/main\n# x\n@testing https://a.example/edge\n\n/media/cdrom/apks\n";
        let lines: Vec<String> = of_apk(alpine).iter().map(ToString::to_string).collect();
        assert_eq!(
            lines,
            [
                "apk [signed=yes] https://a.example/alpine/v3.20/main",
                "apk [signed=yes] /media/cdrom/apks"
            ]
        );
        assert!("deb http://a x y".parse::<Repo>().is_err());
    }

    #[test]
    fn variables_of_variables_make_no_address_without_an_end() {
        let names = 'a'..='v';
        let next = |name: char| char::from_u32(u32::from(name) + 1).unwrap();
        let variables = names.map(|name| {
            let next = next(name);
            (name.to_string(), format!("${next}${next}"))
        });
        let repos = of_ini("[x]\nbaseurl=https://h/$a\n", &variables.collect());
        assert_eq!(repos[0].uri, "https://h/$a");
        let long = [("a".to_owned(), "x".repeat(1 << 20))].into();
        assert_eq!(of_ini("[x]\nbaseurl=https://h/$a\n", &long), repos);
    }
}
