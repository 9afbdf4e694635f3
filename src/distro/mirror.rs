//! Which mirror a build fetches from: the recipe's, the site's, the host's own, the tool's default.

use std::path::Path;
use std::time::Duration;

use super::apt::{self, Archive};
use super::{Apt, Suite};
use crate::address::{Address, Mirror};
use crate::error::{Context as _, Error, Result};
use crate::host::exec::{Program, quote};
use crate::host::tools;
use crate::http::{Client, Limits, Url};
use crate::machine::Arch;
use crate::ui::StageUi;

/// A mirror that does not answer soon is left for the next one.
const LIMITS: Limits = Limits {
    stall: Duration::from_secs(20),
    connect: Duration::from_secs(20),
    retries: 0,
    pause: Duration::from_secs(1),
    redirects: 10,
};

/// The largest list of mirrors, in bytes.
const LARGEST_LIST: u64 = 1 << 20;

/// Chooses the archive of packages for `arch` by what the recipe says, `build`, and the mirrors of imgforge.yaml, `site`;
/// `None` is the tool's default.
///
/// # Errors
/// When mirrors are named and none of them carries the suite for the architecture.
pub fn choose(
    build: &Mirror,
    site: &[Address],
    distro: &'static Apt,
    suite: &Suite,
    arch: Arch,
    ui: &StageUi,
) -> Result<Option<Archive>> {
    // Ubuntu has one archive for x86 and another for all else.
    let own = distro.id != "ubuntu" || !arch.is_foreign();
    match build {
        Mirror::Default => Ok(None),
        Mirror::Host => Ok(match first_that_answers(site, suite, arch)? {
            Some(archive) => Some(archive),
            None if own => of_host(distro, suite, arch, ui),
            None => None,
        }),
        Mirror::At(address) => first_that_answers(std::slice::from_ref(address), suite, arch),
    }
}

/// The host's own archive; a host without apt has none. Says so where apt has one that this build cannot
/// use.
fn of_host(distro: &Apt, suite: &Suite, arch: Arch, ui: &StageUi) -> Option<Archive> {
    let printed = Program::new("apt-get")
        .args(["indextargets", "--format", apt::INDEXTARGETS_FORMAT])
        .text()
        .ok()?;
    let known = apt::names(distro, &printed);
    let printed = apt::with_lists(&printed, |list| {
        mirror_list(list).unwrap_or_else(|why| {
            ui.ui().warning(format!(
                "the host's list of mirrors {list} cannot be read: {why}"
            ));
            String::new()
        })
    });
    let found = apt::from_host(distro, &printed);
    if found.is_none() && known {
        ui.ui().notice(format!(
            "the host's own apt has no mirror of {} that a build reaches: the default is used",
            distro.origin
        ));
    }
    // What the host's own apt uses has the host's own architecture.
    found.filter(|archive| {
        let lacks = (arch
            .is_foreign()
            .then(|| answers(&archive.main, suite.name, arch)))
        .and_then(Result::err);
        if let Some(why) = &lacks {
            ui.ui().notice(format!(
                "the host's own mirror has nothing for {}: the default is used ({why})",
                arch.as_str()
            ));
        }
        lacks.is_none()
    })
}

/// A list of mirrors, as apt-transport-mirror(1) finds it.
fn mirror_list(place: &str) -> Result<String, String> {
    let url = Url::parse_or_path(place).map_err(|error| error.to_string())?;
    let read = match url.local() {
        Some(path) => std::fs::read(path).map_err(|cause| cause.to_string())?,
        None => Client::to(&url, LIMITS)
            .and_then(|client| client.read(&url, LARGEST_LIST))
            .map_err(|error| error.to_string())?,
    };
    Ok(String::from_utf8_lossy(&read).into_owned())
}

/// The first of `addresses` that carries the suite for `arch`; an error when there are some and none does.
fn first_that_answers(addresses: &[Address], suite: &Suite, arch: Arch) -> Result<Option<Archive>> {
    let mut causes = vec![];
    for address in addresses {
        let main = address.as_str().trim_end_matches('/').to_owned();
        match answers(&main, suite.name, arch) {
            Ok(()) => {
                // By convention the security archive lies beside the archive itself.
                let security = format!("{main}-security");
                let there = main.ends_with("/debian")
                    && answers(&security, &format!("{}-security", suite.name), arch).is_ok();
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
    let error = Error::stage(format!(
        "no mirror serves the suite `{}` for {}",
        suite.name,
        arch.as_str()
    ))
    .hint("check `mirrors:` in the recipe and in imgforge.yaml, and http_proxy");
    Err(causes
        .into_iter()
        .fold(error, |error, cause| error.cause(cause)))
}

/// How lists of packages are compressed, by the ends of their names, the usual one first.
const COMPRESSED: &[&str] = &[".xz", ".gz", "", ".bz2", ".zst", ".lz4", ".lzma"];

/// Whether the archive has the suite's index, signed inside or beside, and packages of `arch`: a partial mirror has the
/// whole one's index, which names all architectures.
fn answers(archive: &str, suite: &str, arch: Arch) -> Result<(), String> {
    has(archive, suite, "InRelease")
        .or_else(|why| has(archive, suite, "Release").map_err(|_| why))?;
    let list = |end: &&str| format!("main/binary-{}/Packages{end}", arch.debian);
    let mut lists = COMPRESSED.iter().map(list);
    let first = lists
        .next()
        .map_or(Ok(()), |list| has(archive, suite, &list));
    first.or_else(
        |why| match lists.any(|list| has(archive, suite, &list).is_ok()) {
            true => Ok(()),
            false => Err(why),
        },
    )
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

/// The archive that mmdebstrap would use by itself for `arch`: the distribution's own addresses.
///
/// # Errors
/// When mmdebstrap fails, or takes the suite for one of another distribution.
pub fn tool_default(
    scratch: &Path,
    distro: &Apt,
    suite: &Suite,
    arch: Arch,
) -> Result<Option<Archive>> {
    let file = scratch.join("default.sources");
    let hook = format!(
        r#"--setup-hook=cat "$1"/etc/apt/sources.list >{}"#,
        quote(&file.to_string_lossy())
    );
    Program::new("mmdebstrap")
        .args(["--mode=chrootless", "--variant=custom", "--format=null"])
        .arg(format!("--architectures={}", arch.debian))
        .args(["--quiet", "--skip=update", "--skip=check/qemu", &hook])
        .args([suite.name, "/dev/null"])
        .scratch(scratch)
        .run()?;
    let printed = std::fs::read_to_string(&file).doing(|| format!("reading {}", file.display()))?;
    let archive = apt::from_sources(&printed);
    match archive
        .as_ref()
        .and_then(|archive| other_vendor(distro, archive))
    {
        Some(vendor) => Err(Error::host(format!(
            "mmdebstrap takes {} for a release of {vendor}",
            suite.product
        ))
        .cause("without the package distro-info-data it knows no suite")
        .hint(tools::install_line(&["distro-info-data"]))),
        None => Ok(archive),
    }
}

/// The distribution that an archive belongs to by its address, if that is another one.
fn other_vendor(distro: &Apt, archive: &Archive) -> Option<&'static str> {
    let name = archive.main.rsplit('/').next().unwrap_or_default();
    let others = [("debian", "Debian"), ("ubuntu", "Ubuntu")];
    let mut others = others.into_iter().filter(|(id, _)| *id != distro.id);
    others.find_map(|(id, vendor)| name.starts_with(id).then_some(vendor))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distro::suite;
    use crate::ui::Ui;

    #[test]
    fn no_distribution_is_told_the_archive_of_another() {
        let (debian, _) = suite("trixie").unwrap();
        let (ubuntu, _) = suite("noble").unwrap();
        for (distro, address, other) in [
            (debian, "http://mirror.example/debian", None),
            (ubuntu, "http://archive.ubuntu.com/ubuntu", None),
            (ubuntu, "http://old-releases.example/mirror", None),
            (ubuntu, "http://mirror.example/debian", Some("Debian")),
            (ubuntu, "http://a.example/debian-archive", Some("Debian")),
            (debian, "http://archive.ubuntu.com/ubuntu", Some("Ubuntu")),
        ] {
            assert_eq!(
                other_vendor(distro, &Archive::at(address)),
                other,
                "{address}"
            );
        }
    }

    #[test]
    fn a_directory_may_have_any_name() {
        let dir = tempfile::tempdir().unwrap();
        let scratch = dir.path().join("it's here; false");
        std::fs::create_dir(&scratch).unwrap();
        let (debian, trixie) = suite("trixie").unwrap();
        for arch in Arch::ALL {
            let archive = tool_default(&scratch, debian, trixie, *arch);
            let archive = archive.unwrap().unwrap();
            assert!(archive.main.starts_with("http"), "{archive:?}");
        }
    }

    #[test]
    fn ubuntu_has_an_archive_for_x86_and_another_for_all_else() {
        let dir = tempfile::tempdir().unwrap();
        let (ubuntu, noble) = suite("noble").unwrap();
        let (ui, host) = (Ui::silent().stage("image", "install"), Mirror::Host);
        for (arch, main) in [
            (Arch::X86_64, "http://archive.ubuntu.com/ubuntu"),
            (Arch::Aarch64, "http://ports.ubuntu.com/ubuntu-ports"),
            (Arch::Riscv64, "http://ports.ubuntu.com/ubuntu-ports"),
        ] {
            let archive = tool_default(dir.path(), ubuntu, noble, arch).unwrap();
            let archive = archive.unwrap();
            assert_eq!(archive.main, main);
            let sources = apt::sources(ubuntu, noble, &archive, &[]);
            assert!(sources.contains(&format!("URIs: {main}\nSuites: noble ")));
            if arch.is_foreign() {
                let chosen = choose(&host, &[], ubuntu, noble, arch, &ui).unwrap();
                assert_eq!(chosen, None);
            }
        }
    }

    #[test]
    fn a_mirror_without_the_suite_is_named_with_its_cause() {
        let (_, trixie) = suite("trixie").unwrap();
        let dir = tempfile::tempdir().unwrap();
        let address = format!("file://{}", dir.path().display());
        let here: Address = address.parse().unwrap();
        let find = |addresses: &[Address], arch| first_that_answers(addresses, trixie, arch);
        let only_here = std::slice::from_ref(&here);
        let error = find(only_here, Arch::X86_64).unwrap_err().render();
        assert!(error.contains(&format!("caused by: {address}: no file")));
        let release = dir.path().join("dists/trixie");
        std::fs::create_dir_all(&release).unwrap();
        std::fs::write(release.join("InRelease"), "").unwrap();
        let lists = |arch: &str| {
            let lists = release.join(format!("main/binary-{arch}"));
            std::fs::create_dir_all(&lists).unwrap();
            lists
        };
        std::fs::write(lists("amd64").join("Packages.gz"), "").unwrap();
        let two = ["file:///nowhere".parse().unwrap(), here.clone()];
        let found = Some(Archive::at(address));
        assert_eq!(find(&two, Arch::X86_64).unwrap(), found);
        assert_eq!(find(&[], Arch::X86_64).unwrap(), None);
        // It has the index of the whole archive, and not all of its architectures.
        let error = find(only_here, Arch::Aarch64).unwrap_err().render();
        assert!(error.contains("`trixie` for aarch64"), "{error}");
        assert!(error.contains("main/binary-arm64/Packages.xz"), "{error}");
        std::fs::write(lists("arm64").join("Packages.xz"), "").unwrap();
        assert_eq!(find(&two, Arch::Aarch64).unwrap(), found);
    }
}
