//! Every parser of what others wrote, by name: for `fuzz/`, whose programs give them any bytes, and
//! for the tests, which give them the files of `fuzz/corpus/`.
//!
//! None may panic, run for seconds or take hundreds of MiB, whatever it is given.

mod updates;

use std::fs::File;
use std::io::{Cursor, Write as _};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use crate::console::lines;
use crate::fstab::{self, FileSystem, Machine};
use crate::host::imagefile::{HEAD, ImageFile};
use crate::http::{Url, exchange};
use crate::machine::Arch;
use crate::pack::read::{Layout, ReadOptions, unpack};
use crate::proxy::{promises::Promises, request, rules::AllowedFile};
use crate::recipe::Repo;
use crate::runner::{protocol, report};
use crate::scan::{self, Scanner, Subject};
use crate::store::media::tree as install_tree;
use crate::store::remote::shared_entry;
use crate::targets::tree;
use crate::ui::Ui;
use crate::units::Size;
use crate::{blame, distro, ext4, index, installers, pull, registry, sbom};

/// A parser, and what feeds it.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: &[Target] = &[
    ("advisories", updates::advisories),
    ("answers", answer_files),
    ("apt-sources", apt_sources),
    ("blocks", blocks),
    ("cyclonedx", cyclonedx),
    ("ext4", ext4_tree),
    ("ext4-scan", ext4_scan),
    ("files-index", blame::fuzzing::index),
    ("fstab", fstab),
    ("gpt", gpt),
    ("http-answer", http_answer),
    ("http-request", http_request),
    ("imagefile", imagefile),
    ("index", index_text),
    ("journal", journal),
    ("licences", updates::licences),
    ("nested", nested),
    ("owners", blame::fuzzing::packages),
    ("packages", packages),
    ("promises", promises),
    ("protocol", runner),
    ("recipe", recipe),
    ("registry", of_registries),
    ("repositories", updates::repositories),
    ("tar", tar),
    ("tar-tree", tar_tree),
    ("treeinfo", treeinfo),
    ("versions", versions),
    ("xz", xz),
];

/// The first byte chooses, the rest is the text.
fn choice(data: &[u8], of: usize) -> (usize, &[u8]) {
    match data.split_first() {
        Some((first, rest)) => (usize::from(*first) % of, rest),
        None => (0, data),
    }
}

fn text(data: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(data)
}

fn file(data: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file can be made");
    file.write_all(data)
        .expect("a temporary file can be written");
    file
}

fn answer_files(data: &[u8]) {
    let text = text(data);
    if let Some((installer, _)) = installers::sniff(&text) {
        drop(installer.judge(&text));
    }
    for installer in installers::INSTALLERS {
        drop(installer.judge(&text));
    }
}

fn apt_sources(data: &[u8]) {
    let text = text(data);
    drop(distro::apt::from_sources(&text));
    drop(distro::apt::moved(&text, "http://example.org/debian"));
    for (apt, _) in distro::all() {
        drop(distro::apt::from_host(apt, &text));
        distro::apt::names(apt, &text);
    }
}

fn blocks(data: &[u8]) {
    drop(pull::blocks::Map::parse(&text(data)));
}

fn cyclonedx(data: &[u8]) {
    drop(sbom::cyclonedx::read(data));
    drop(sbom::contents::config_of(&text(data)));
}

fn ext4_tree(data: &[u8]) {
    let file = file(data);
    drop(tree::ext4::read(file.as_file(), 0, 0));
}

fn ext4_scan(data: &[u8]) {
    let (file, subject) = (file(data), Subject::default());
    let mut scanner = Scanner::new(&subject);
    if let Ok(system) = ext4::Fs::open(file.as_file(), 0) {
        drop(system.find("/etc/os-release"));
        drop(scan::source::ext::walk(
            (file.as_file(), &system),
            "",
            &mut scanner,
        ));
    }
}

fn fstab(data: &[u8]) {
    let text = text(data);
    drop(fstab::swap_files(&text));
    let (fstab, crypttab) = text.split_once('\0').unwrap_or((&text, ""));
    let system = |name: &str, place, uuid: &str| FileSystem {
        name: name.into(),
        place,
        uuid: uuid.into(),
        kind: "ext4".into(),
        ..FileSystem::default()
    };
    let systems = [
        system("/dev/sda1", Some((0, 1)), "0000-0001"),
        system("/dev/sda2", Some((0, 2)), "0000-0002"),
        system("/dev/vg/home", None, "0000-0003"),
    ];
    let machine = Machine {
        systems: &systems,
        root: 0,
        fstab,
        crypttab,
    };
    drop(machine.layout(|_| Some(true)));
}

fn gpt(data: &[u8]) {
    let file = file(data);
    for sector in [512, 4096] {
        drop(scan::source::table::gpt(file.as_file(), sector));
    }
    drop(crate::gpt::Table::parse(data).map(|table| table.partitions()));
}

/// The first byte chooses: an entry of the shared store, what a registry wants before it gives something.
fn of_registries(data: &[u8]) {
    match choice(data, 2) {
        (0, rest) => shared_entry(rest),
        (_, rest) => registry::challenge(&text(rest)),
    }
}

fn http_answer(data: &[u8]) {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut parsed = httparse::Response::new(&mut headers);
    if let Ok(httparse::Status::Complete(length)) = parsed.parse(data) {
        let mut response = ureq::http::Response::builder().status(parsed.code.unwrap_or(200));
        for header in parsed.headers.iter() {
            response = response.header(header.name, header.value);
        }
        let head = response.body(()).map(|response| exchange::head(&response));
        drop(exchange::words(&text(&data[length..])));
        if let Ok(head) = head
            && let (Some(to), Ok(url)) = (head.location, Url::parse("http://example.org/a/b?c"))
        {
            drop(url.join(&to));
        }
    }
    if let Ok(url) = Url::parse(&text(data)) {
        drop((
            url.as_directory(),
            url.local(),
            url.join("../x"),
            url.below("a/b"),
        ));
        drop(url.to_string());
    }
}

fn http_request(data: &[u8]) {
    let mut reader = request::Reader::new(data);
    while let Ok(Some(request)) = reader.next() {
        for total in [0, 1, 1000, u64::MAX] {
            request::part(request.range.as_deref(), total);
        }
    }
}

fn imagefile(data: &[u8]) {
    let file = file(data);
    let head = &data[..data.len().min(HEAD)];
    for found in [
        ImageFile::by_head(head),
        ImageFile::of(file.path()).unwrap_or(ImageFile::Raw),
    ] {
        drop((found.called(), found.remedy(), found.qemu()));
        if let Ok(unpacked) = found.unpacked(data) {
            let mut some = std::io::Read::take(unpacked, 16 << 20);
            drop(std::io::copy(&mut some, &mut std::io::sink()));
        }
    }
}

fn index_text(data: &[u8]) {
    let text = text(data);
    drop(index::clients::verdict(&text));
    drop(index::Claims::parse(&text));
    let Ok(entries) = index::parse(&text).and_then(|sections| index::check(&sections)) else {
        return;
    };
    // What is written is read as it was.
    if let Ok(written) = index::write(&entries) {
        let sections = index::parse(&written).expect("what was written can be read");
        let again = index::check(&sections).expect("what was written is right");
        assert_eq!(again, entries);
    }
}

fn journal(data: &[u8]) {
    if let Ok(journal) = report::Journal::parse(data, "0123456789abcdef", 5) {
        let _ = (journal.complete(5), journal.failed_step());
    }
}

/// A file of any kind, with all that is in it. squashfs is unpacked by another program.
fn nested(data: &[u8]) {
    if memchr::memmem::find(data, b"hsqs").is_none() {
        scanned("/srv/some/file", data);
    }
}

fn packages(data: &[u8]) {
    const PLACES: [&str; 6] = [
        "/var/lib/dpkg/status",
        "/var/lib/dpkg/info/x.md5sums",
        "/var/lib/rpm/rpmdb.sqlite",
        "/etc/passwd",
        "/etc/shadow",
        "/root/.ssh/authorized_keys",
    ];
    let (place, data) = choice(data, PLACES.len());
    scanned(PLACES[place], data);
}

fn scanned(path: &str, data: &[u8]) {
    let subject = Subject::default();
    let mut scanner = Scanner::new(&subject);
    let entry = scan::FileEntry::new(path.into(), 0o100_644, (0, 0), data.len() as u64);
    drop(scanner.take(&entry, &mut Cursor::new(data)));
    drop(scanner.finish());
}

fn promises(data: &[u8]) {
    const PATHS: [&str; 3] = [
        "/dists/stable/InRelease",
        "/dists/stable/main/binary-amd64/Packages",
        "/os/repodata/primary.xml",
    ];
    let (path, data) = choice(data, PATHS.len());
    let wanted = AllowedFile {
        route: 0,
        path: PATHS[path].into(),
        immutable: false,
        promise: None,
    };
    let file = file(data);
    Promises::default().learn(&wanted, "", file.as_file());
}

/// What a guest says, in pieces as they may come.
fn runner(data: &[u8]) {
    let (size, data) = choice(data, 64);
    let (mut parser, mut screen) = (protocol::Parser::default(), lines::Screen::default());
    for piece in data.chunks(size + 1) {
        drop(parser.push(piece));
        drop(screen.push(piece));
    }
    drop(lines::plain(&text(data)));
}

fn recipe(data: &[u8]) {
    thread_local! {
        static REPO: (tempfile::TempDir, PathBuf) = {
            let dir = tempfile::tempdir().expect("a temporary directory can be made");
            let path = dir.path().join("recipes");
            std::fs::create_dir(&path).expect("a directory can be made");
            (dir, path.join("web.yaml"))
        };
    }
    REPO.with(|(dir, path): &(tempfile::TempDir, PathBuf)| {
        std::fs::write(path, data).expect("a recipe can be written");
        let repo = Repo::open(dir.path()).expect("a directory with recipes is a repository");
        if let Ok(problems) = repo.validate_files(std::slice::from_ref(path), &[]) {
            drop(problems.render(false));
        }
        drop(repo.load("web", &[]));
    });
}

fn tar(data: &[u8]) {
    if memchr::memmem::find(data, b"hsqs").is_none() {
        drop(scan::tar(data, &Subject::default()));
    }
}

fn tar_tree(data: &[u8]) {
    drop(tree::archive::list(file(data).path()));
}

fn treeinfo(data: &[u8]) {
    let text = text(data);
    drop(install_tree::treeinfo(&text, Arch::default()));
    drop(install_tree::sums(&text, Arch::default()));
}

fn versions(data: &[u8]) {
    let text = text(data);
    let (one, other) = text.split_once('\n').unwrap_or((&text, ""));
    for kind in ["deb", "rpm", "apk", "x"].map(sbom::package::Kind::of_format) {
        let there = sbom::version::compare(kind, one, other);
        let back = sbom::version::compare(kind, other, one);
        assert_eq!(there, back.reverse(), "{one:?} {other:?}");
    }
}

fn xz(data: &[u8]) {
    let file = file(data);
    let Ok(layout) = File::open(file.path())
        .map_err(drop)
        .and_then(|file| Layout::read(&file).map_err(drop))
    else {
        return;
    };
    let options = ReadOptions {
        threads: NonZeroUsize::new(1),
        memory: Some(Size::mib(64)),
        largest: Some(Size::mib(64)),
        plain: false,
    };
    let out: &Path = &file.path().with_extension("raw");
    if layout.size() <= Size::mib(64).as_bytes() {
        drop(unpack(
            file.path(),
            out,
            &options,
            &Ui::silent().stage("fuzz", "xz"),
        ));
        drop(std::fs::remove_file(out));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Also what once was too much for a parser.
    #[test]
    fn every_parser_takes_its_files() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
        for (name, target) in TARGETS {
            let files = std::fs::read_dir(corpus.join(name)).expect(name);
            let files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
            assert!(!files.is_empty(), "{name} has no files");
            for file in files {
                target(&std::fs::read(file).unwrap());
            }
        }
        let dirs = std::fs::read_dir(corpus).unwrap().count();
        assert_eq!(dirs, TARGETS.len(), "each directory belongs to a parser");
    }
}
