//! Archives of the Debian family: where the packages come from, and how a guest is told.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Apt, Suite};

/// Packages that make a bootable, reachable machine of a minimal system.
pub(super) const BOOT_PACKAGES: &[&str] = &[
    // Of priority "required" on Debian only.
    "apt",
    "systemd-sysv",
    "udev",
    "dbus",
    "initramfs-tools",
    "zstd",
    "kmod",
    "e2fsprogs",
    "grub2-common",
    "iproute2",
    "ca-certificates",
    "login",
    "passwd",
];

/// The format line of `apt-get indextargets` that [`from_host`] reads.
pub const INDEXTARGETS_FORMAT: &str = "$(ORIGIN)|$(CODENAME)|$(REPO_URI)";

/// The addresses of one distribution's archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// The archive itself.
    pub main: String,
    /// Security updates; `None` where they are in the archive itself (Ubuntu) or nowhere known.
    pub security: Option<String>,
}

impl Archive {
    /// The archive at one address.
    pub fn at(main: impl Into<String>) -> Self {
        Archive {
            main: main.into(),
            security: None,
        }
    }
}

/// The host's own archive of `distro`, from what `apt-get indextargets` printed. Addresses that
/// a guest cannot reach, such as directories and media, do not count.
pub fn from_host(distro: &Apt, printed: &str) -> Option<Archive> {
    let targets: Vec<(&str, &str)> = printed
        .lines()
        .filter_map(|line| {
            let mut fields = line.splitn(3, '|');
            let (origin, codename, uri) = (fields.next()?, fields.next()?, fields.next()?);
            let usable = uri.starts_with("http://") || uri.starts_with("https://");
            (origin == distro.origin && usable).then_some((codename, uri.trim_end_matches('/')))
        })
        .collect();
    let find = |suffix: &str| {
        let is_ours = |codename: &str| {
            let base = codename.strip_suffix(suffix);
            base.is_some_and(|base| distro.suites.iter().any(|suite| suite.name == base))
        };
        let target = targets.iter().find(|(codename, _)| is_ours(codename));
        target.map(|(_, uri)| (*uri).to_owned())
    };
    let main = find("")?;
    // Ubuntu's Release files call every pocket by the suite's code name.
    let security = find("-security").filter(|security| *security != main);
    Some(Archive { main, security })
}

/// What `apt-get indextargets` printed, with the mirrors of a list (`mirror+file:/etc/apt/mirrors/…`)
/// in its place, best first; `read` gets its path or address.
pub fn with_lists(printed: &str, read: impl Fn(&str) -> String) -> String {
    let mut lists: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut out = String::new();
    for line in printed.lines() {
        let (head, uri) = line.rsplit_once('|').unwrap_or(("", line));
        let list = match uri.split_once("mirror+") {
            Some(("", list)) => Some(list.replacen("copy:", "file:", 1)),
            _ => uri
                .strip_prefix("mirror:")
                .map(|rest| format!("http:{rest}")),
        };
        let Some(list) = list else {
            let _ = writeln!(out, "{line}");
            continue;
        };
        let place = match list.strip_prefix("file:") {
            Some(path) => format!("/{}", path.trim_start_matches('/')),
            None => list,
        };
        let place = place.trim_end_matches('/').to_owned();
        let mirrors = lists
            .entry(place)
            .or_insert_with_key(|place| mirrors(&read(place)));
        for mirror in mirrors {
            let _ = writeln!(out, "{head}|{mirror}");
        }
    }
    out
}

/// The addresses of a list of mirrors, those of a smaller `priority:` first.
pub fn mirrors(list: &str) -> Vec<String> {
    let entry = |line: &str| {
        let mut words = line.split('#').next()?.split_whitespace();
        let uri = words.next()?.to_owned();
        let priority = words.find_map(|word| word.strip_prefix("priority:")?.parse().ok());
        Some((priority.unwrap_or(u32::MAX), uri))
    };
    let mut all: Vec<(u32, String)> = list.lines().filter_map(entry).collect();
    all.sort_by_key(|(priority, _)| *priority);
    all.into_iter().map(|(_, uri)| uri).collect()
}

/// Whether the host has any source of the distribution.
pub fn names(distro: &Apt, printed: &str) -> bool {
    let of = |line: &str| line.split('|').next() == Some(distro.origin);
    printed.lines().any(of)
}

/// The archive that a `sources.list` or a deb822 file names: the first address, and the first
/// one that carries a `-security` suite if it differs.
pub fn from_sources(text: &str) -> Option<Archive> {
    let mut found: Vec<(String, String)> = vec![];
    for line in text.lines().map(str::trim) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["URIs:", uri, ..] => found.push(((*uri).to_owned(), String::new())),
            ["Suites:", suites @ ..] => {
                if let Some(last) = found.last_mut() {
                    last.1 = suites.join(" ");
                }
            }
            ["deb", rest @ ..] => {
                let mut rest = rest.iter().skip_while(|word| !word.contains(':'));
                if let (Some(uri), Some(suite)) = (rest.next(), rest.next()) {
                    found.push(((*uri).to_owned(), (*suite).to_owned()));
                }
            }
            _ => {}
        }
    }
    let clean = |uri: &str| uri.trim_end_matches('/').to_owned();
    let main = clean(&found.first()?.0);
    let security = found
        .iter()
        .find(|(_, suites)| suites.contains("-security"))
        .map(|(uri, _)| clean(uri))
        .filter(|uri| *uri != main);
    Some(Archive { main, security })
}

/// Where the guest keeps its sources, without the leading slash.
pub fn sources_path(distro: &Apt) -> String {
    format!("etc/apt/sources.list.d/{}.sources", distro.id)
}

/// The guest's sources in deb822 format. `components` empty: the distribution's default.
pub fn sources(distro: &Apt, suite: &Suite, archive: &Archive, components: &[String]) -> String {
    let components = if components.is_empty() {
        distro.components.join(" ")
    } else {
        components.join(" ")
    };
    let mut out = String::new();
    let mut stanza = |uri: &str, suites: &[String]| {
        let gap = if out.is_empty() { "" } else { "\n" };
        let _ = write!(
            out,
            "{gap}Types: deb\nURIs: {uri}\nSuites: {}\nComponents: {components}\nSigned-By: {}\n",
            suites.join(" "),
            distro.keyring
        );
    };
    let named = |suffix: &str| format!("{}{suffix}", suite.name);
    // Debian's archive has no security suite: without an address of its own it is left out.
    let in_main = |pocket: &str| pocket != "-security" || distro.id == "ubuntu";
    let mut main = vec![named("")];
    main.extend(
        suite
            .pockets
            .iter()
            .filter(|pocket| {
                in_main(pocket) && !(**pocket == "-security" && archive.security.is_some())
            })
            .map(|pocket| named(pocket)),
    );
    stanza(&archive.main, &main);
    if let Some(security) = &archive.security
        && suite.pockets.contains(&"-security")
    {
        stanza(security, &[named("-security")]);
    }
    out
}

/// The sources `text`, as [`sources`] writes them, with `address` in place of the archive's. By
/// convention Debian's security updates lie beside the archive; where nothing says so, they are left
/// out. Ubuntu's are in it.
pub fn moved(text: &str, address: &str) -> String {
    let address = address.trim_end_matches('/');
    let stanzas = text.split("\n\n").filter_map(|stanza| {
        let suites = stanza
            .lines()
            .find_map(|line| line.strip_prefix("Suites: "))?;
        let to = match suites.ends_with("-security") && !suites.contains(' ') {
            true if address.ends_with("/debian") => format!("{address}-security"),
            true if !stanza.contains("/ubuntu") => return None,
            _ => address.to_owned(),
        };
        let moved = |line: &str| match line.starts_with("URIs: ") {
            true => format!("URIs: {to}\n"),
            false => format!("{line}\n"),
        };
        Some(stanza.lines().map(moved).collect::<String>())
    });
    stanzas.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distro::suite;

    const HOST: &str = "\
Debian|bookworm-security|http://mirror.example/debian-security/
Debian Backports|bookworm-backports|http://backports.example/debian/
Debian|bookworm|cdrom://[Debian]/
Debian|bookworm-updates|http://mirror.example/debian/
Debian|bookworm|http://mirror.example/debian/
. nodistro|nodistro|https://deb.example/node/
";

    #[test]
    fn the_hosts_mirror_serves_every_suite_of_the_same_distribution() {
        let (debian, _) = suite("trixie").unwrap();
        let (ubuntu, _) = suite("noble").unwrap();
        let expected = Archive {
            main: "http://mirror.example/debian".into(),
            security: Some("http://mirror.example/debian-security".into()),
        };
        assert_eq!(from_host(debian, HOST), Some(expected));
        assert_eq!(from_host(ubuntu, HOST), None);
        assert_eq!(from_host(debian, ""), None);
        assert_eq!(from_host(debian, "Debian|trixie|file:/srv/mirror/"), None);
    }

    #[test]
    fn lists_of_mirrors_are_read_and_the_best_of_several_is_taken() {
        // As Debian's cloud images have it; with the other forms of apt-transport-mirror(1).
        let printed = "Debian|trixie|mirror+file:/etc/apt/mirrors/debian.list/\n\
                       Debian|trixie-security|mirror+file:/etc/apt/mirrors/security.list\n\
                       Other|x|mirror://lists.example/x\nOther|y|mirror+https://lists.example/y\n\
                       Debian|trixie|http://second.example/debian/\n";
        let read = |place: &str| match place {
            "/etc/apt/mirrors/debian.list" => {
                "# ours\nhttp://b.example/debian\tpriority:2\nhttp://a.example/debian/ priority:1 type:deb\n"
            }
            "/etc/apt/mirrors/security.list" => "https://s.example/debian-security",
            "http://lists.example/x" | "https://lists.example/y" => "ftp://o.example/",
            other => panic!("{other}"),
        };
        let (debian, _) = suite("trixie").unwrap();
        let whole = with_lists(printed, |place| read(place).to_owned());
        let found = from_host(debian, &whole).unwrap();
        assert_eq!(found.main, "http://a.example/debian");
        assert_eq!(found.security.unwrap(), "https://s.example/debian-security");
        assert!(whole.contains("Other|x|ftp://o.example/\n"), "{whole}");
        let nothing = with_lists("Debian|trixie|mirror+file:/gone\n", |_| String::new());
        assert_eq!(from_host(debian, &nothing), None);
        assert!(names(debian, "Debian|trixie|cdrom:[x]") && !names(debian, "Other|x|y"));
    }

    #[test]
    fn sources_of_both_formats_are_read() {
        let list = "# a comment\ndeb [arch=amd64] http://a.example/ubuntu/ noble main\n\
                    deb http://b.example/ubuntu noble-security main\n";
        let deb822 = "Types: deb\nURIs: http://a.example/ubuntu/\nSuites: noble noble-updates\n\n\
                      Types: deb\nURIs: http://b.example/ubuntu\nSuites: noble-security\n";
        let expected = Archive {
            main: "http://a.example/ubuntu".into(),
            security: Some("http://b.example/ubuntu".into()),
        };
        assert_eq!(from_sources(list).as_ref(), Some(&expected));
        assert_eq!(from_sources(deb822).as_ref(), Some(&expected));
        assert_eq!(from_sources("# nothing\n"), None);
    }

    #[test]
    fn debian_has_its_security_updates_elsewhere() {
        let (debian, trixie) = suite("trixie").unwrap();
        let archive = Archive {
            main: "http://a.example/debian".into(),
            security: Some("http://a.example/debian-security".into()),
        };
        insta::assert_snapshot!(sources(debian, trixie, &archive, &["main".into(), "contrib".into()]), @r"
        Types: deb
        URIs: http://a.example/debian
        Suites: trixie trixie-updates
        Components: main contrib
        Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

        Types: deb
        URIs: http://a.example/debian-security
        Suites: trixie-security
        Components: main contrib
        Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
        ");
        let alone = sources(debian, trixie, &Archive::at("http://a.example/debian"), &[]);
        assert!(!alone.contains("security"));
    }

    #[test]
    fn sources_move_to_another_mirror() {
        for (name, from, to) in [
            (
                "trixie",
                "http://a.example/debian",
                "http://b.example/debian",
            ),
            (
                "noble",
                "http://a.example/ubuntu",
                "http://b.example/ubuntu",
            ),
        ] {
            let (distro, suite) = suite(name).unwrap();
            let at = |main: &str, security: &str| {
                let archive = Archive {
                    main: main.into(),
                    security: (!security.is_empty()).then(|| security.into()),
                };
                sources(distro, suite, &archive, &[])
            };
            let beside = |main: &str| match name {
                "trixie" => format!("{main}-security"),
                _ => String::new(),
            };
            let original = at(from, &beside(from));
            assert_eq!(moved(&original, &format!("{to}/")), at(to, &beside(to)));
        }
        let (debian, trixie) = suite("trixie").unwrap();
        let archive = Archive {
            main: "http://a.example/debian".into(),
            security: Some("http://a.example/debian-security".into()),
        };
        let moved = moved(
            &sources(debian, trixie, &archive, &[]),
            "http://b.example/apt",
        );
        assert_eq!(
            moved,
            sources(debian, trixie, &Archive::at("http://b.example/apt"), &[])
        );
    }

    #[test]
    fn ubuntu_has_them_in_the_archive() {
        let (ubuntu, noble) = suite("noble").unwrap();
        insta::assert_snapshot!(sources(ubuntu, noble, &Archive::at("http://a.example/ubuntu"), &[]), @r"
        Types: deb
        URIs: http://a.example/ubuntu
        Suites: noble noble-updates noble-security
        Components: main universe
        Signed-By: /usr/share/keyrings/ubuntu-archive-keyring.gpg
        ");
    }
}
