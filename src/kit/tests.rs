//! Kits that were changed on their way.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use super::*;
use crate::digest::Sha256;
use crate::error::{Error, Kind, Result};
use crate::gpg::{Keyring, Signer};
use crate::ui::Ui;

struct Toy {
    dir: tempfile::TempDir,
    signer: Signer,
}

impl Toy {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let signer = Signer::own(dir.path(), &Ui::silent()).unwrap();
        Toy { dir, signer }
    }

    fn keyring(&self) -> Keyring {
        Keyring::read(&self.signer.public_key().unwrap(), None).unwrap()
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("kit.tar")
    }

    /// Writes a kit, and reads its bytes.
    fn written(&self, manifest: &Manifest, sources: &BTreeMap<Sha256, Source>) -> Vec<u8> {
        let file = File::create(self.path()).unwrap();
        write(manifest, sources, &self.signer, &file).unwrap();
        std::fs::read(self.path()).unwrap()
    }

    fn open(&self, bytes: &[u8]) -> Result<Kit> {
        std::fs::write(self.path(), bytes).unwrap();
        Kit::open(&self.path(), &self.keyring())
    }

    fn refused(&self, bytes: &[u8]) -> Error {
        let error = self.open(bytes).unwrap_err();
        assert_eq!(error.kind(), Kind::Gate, "{}", error.render());
        assert!(error.hint_text().is_some(), "{}", error.render());
        error
    }
}

const RECIPE: &[u8] = b"name: web\n";
const PACKAGE: &[u8] = &[7; 1500];

fn manifest() -> (Manifest, BTreeMap<Sha256, Source>) {
    let mut manifest = Manifest::default();
    manifest.images = vec![Image {
        name: "web".into(),
        lock: "recipes/web.lock".into(),
    }];
    manifest.directories = vec![Directory {
        path: "recipes".into(),
        mode: 0o755,
    }];
    manifest.files = vec![RecipeFile {
        path: "recipes/web.yaml".into(),
        mode: 0o644,
        sha256: Sha256::of(RECIPE),
        size: RECIPE.len() as u64,
    }];
    let sha256 = Sha256::of(PACKAGE);
    manifest.contents = vec![Content {
        named: format!("sha256:{sha256}"),
        sha256,
        size: PACKAGE.len() as u64,
    }];
    let sources = [RECIPE, PACKAGE]
        .map(|bytes| (Sha256::of(bytes), Source::Bytes(bytes.to_vec())))
        .into();
    (manifest, sources)
}

#[test]
fn what_is_written_is_read_and_equal_each_time() {
    let toy = Toy::new();
    let (manifest, sources) = manifest();
    let bytes = toy.written(&manifest, &sources);
    let kit = toy.open(&bytes).unwrap();
    assert_eq!(kit.manifest, manifest);
    assert_eq!(kit.bytes(&Sha256::of(RECIPE), 100).unwrap(), RECIPE);
    assert_eq!(kit.bytes(&Sha256::of(PACKAGE), 2000).unwrap(), PACKAGE);
    assert!(kit.bytes(&Sha256::of(PACKAGE), 1000).is_err());
    // All but the signature, which has a time.
    let contents = |bytes: &[u8]| {
        let at = bytes.windows(6).position(|window| window == b"blobs/");
        bytes[at.unwrap()..].to_vec()
    };
    assert_eq!(
        contents(&toy.written(&manifest, &sources)),
        contents(&bytes)
    );
    // Another program reads it, too.
    let tar = crate::host::exec::Program::new("tar");
    let listed = tar.arg("-tf").arg(toy.path()).text().unwrap();
    assert_eq!(listed.lines().next(), Some("manifest.asc"));
    assert_eq!(listed.lines().count(), 3, "{listed}");
}

#[test]
fn a_changed_or_cut_kit_is_refused_wherever_that_is() {
    let toy = Toy::new();
    let (manifest, sources) = manifest();
    let bytes = toy.written(&manifest, &sources);
    let first = bytes
        .windows(6)
        .position(|window| window == b"blobs/")
        .unwrap();
    let find = |text: &str| {
        bytes
            .windows(text.len())
            .position(|found| found == text.as_bytes())
    };
    let signed = find("imgforge-kit").unwrap()..find("-----BEGIN PGP SIGNATURE").unwrap() - 4;
    let recipe = first + 512..first + 512 + RECIPE.len();
    let package = bytes.len() - 1024 - 1536..bytes.len() - 1024 - 36;
    let spots = signed.step_by(37).chain(first..first + 70).chain(recipe);
    for at in spots.chain(package.step_by(211)) {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        toy.refused(&changed);
    }
    for end in [
        0,
        1,
        511,
        512,
        1000,
        first,
        first + 512,
        bytes.len() - 1500,
        bytes.len() - 1024,
        bytes.len() - 1,
    ] {
        toy.refused(&bytes[..end]);
    }
    let longer = [bytes.as_slice(), b"more"].concat();
    assert!(
        toy.refused(&longer).render().contains("does not end"),
        "more"
    );
    toy.open(&bytes).unwrap();
}

#[test]
fn another_key_is_refused() {
    let (toy, other) = (Toy::new(), Toy::new());
    let (manifest, sources) = manifest();
    let bytes = other.written(&manifest, &sources);
    let error = toy.refused(&bytes);
    assert!(
        error.hint_text().unwrap().contains("--key FILE"),
        "{}",
        error.render()
    );
}

/// A tar of the very same manifest with other members.
#[test]
fn members_that_nobody_has_signed_are_refused() {
    let toy = Toy::new();
    let (manifest, sources) = manifest();
    let bytes = toy.written(&manifest, &sources);
    let mut archive = tar::Archive::new(bytes.as_slice());
    let members: Vec<(Vec<u8>, Vec<u8>)> = archive
        .entries()
        .unwrap()
        .map(|entry| {
            let mut entry = entry.unwrap();
            let header = entry.header().as_bytes().to_vec();
            let mut content = vec![];
            std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
            (header, content)
        })
        .collect();
    let written = |members: &[(Vec<u8>, Vec<u8>)]| {
        let mut all = vec![];
        for (header, content) in members {
            all.extend(header);
            all.extend(content);
            all.resize(all.len().next_multiple_of(512), 0);
        }
        all.resize(all.len() + 1024, 0);
        all
    };
    assert_eq!(written(&members), bytes);
    let member = |kind: tar::EntryType, name: &str, link: &str| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
        if !link.is_empty() {
            header.set_link_name(link).unwrap();
        }
        header.set_size(0);
        header.set_cksum();
        (header.as_bytes().to_vec(), vec![])
    };
    let blob = format!("blobs/{}", Sha256::of(PACKAGE));
    for (kind, name, link) in [
        (tar::EntryType::Regular, "../../etc/passwd", ""),
        (tar::EntryType::Regular, "/etc/passwd", ""),
        (tar::EntryType::Regular, "blobs/x", ""),
        (tar::EntryType::Symlink, &blob, "/etc/passwd"),
        (tar::EntryType::Link, &blob, "manifest.asc"),
        (tar::EntryType::Char, &blob, ""),
        (tar::EntryType::Directory, "blobs/", ""),
        (tar::EntryType::XHeader, "pax", ""),
        (tar::EntryType::GNULongName, "././@LongLink", ""),
    ] {
        for at in 1..=members.len() {
            let mut more = members.clone();
            more.insert(at, member(kind, name, link));
            toy.refused(&written(&more));
            if at < members.len() {
                more.remove(at + 1);
                toy.refused(&written(&more));
            }
        }
    }
    let mut swapped = members.clone();
    swapped.swap(1, 2);
    toy.refused(&written(&swapped));
    toy.refused(&written(&members[1..]));
    toy.refused(&written(&members[..2]));
    let twice = [members.clone(), members[2..].to_vec()].concat();
    toy.refused(&written(&twice));
}

/// Also by somebody who counts.
#[test]
fn a_manifest_that_leads_elsewhere_is_refused() {
    let wrong = |change: &dyn Fn(&mut Manifest)| {
        let (mut manifest, _) = manifest();
        change(&mut manifest);
        let text = serde_json::to_string(&manifest).unwrap();
        let error = Manifest::read(&text).unwrap_err();
        assert_eq!(error.kind(), Kind::Gate, "{}", error.render());
    };
    wrong(&|manifest| manifest.files[0].path = "../x".into());
    wrong(&|manifest| manifest.directories[0].path = "/etc".into());
    wrong(&|manifest| manifest.files[0].mode = 0o4755);
    wrong(&|manifest| manifest.files.push(manifest.files[0].clone()));
    wrong(&|manifest| {
        let mut other = manifest.files[0].clone();
        other.path = "other".into();
        other.size += 1;
        manifest.files.push(other);
    });
    let (manifest, _) = manifest();
    let text = serde_json::to_string(&manifest).unwrap();
    assert_eq!(Manifest::read(&text).unwrap(), manifest);
    for (from, to) in [
        ("\"version\":1", "\"version\":2"),
        ("imgforge-kit", "kit"),
        ("\"mode\"", "\"node\""),
    ] {
        assert!(text.contains(from));
        assert!(Manifest::read(&text.replacen(from, to, 1)).is_err(), "{to}");
    }
}

#[test]
fn a_content_that_is_another_one_is_not_exported() {
    let toy = Toy::new();
    let (manifest, mut sources) = manifest();
    let damaged = toy.dir.path().join("damaged");
    for content in [vec![8; 1500], vec![7; 1499]] {
        std::fs::write(&damaged, content).unwrap();
        let source = Source::File(
            damaged.clone(),
            "http://mirror.example.debian.org/x.deb".into(),
        );
        sources.insert(Sha256::of(PACKAGE), source);
        let file = File::create(toy.path()).unwrap();
        let error = write(&manifest, &sources, &toy.signer, &file).unwrap_err();
        assert!(
            error.render().contains("x.deb is not what"),
            "{}",
            error.render()
        );
        assert!(error.hint_text().unwrap().contains("--locked"));
    }
}

#[test]
fn a_directory_and_a_pipe_that_nobody_writes_to_are_no_kits() {
    let toy = Toy::new();
    let pipe = toy.dir.path().join("pipe");
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, kind, rustix::fs::Mode::RUSR, 0).unwrap();
    for path in [Path::new("/"), &pipe] {
        let error = Kit::open(path, &toy.keyring()).unwrap_err();
        assert_eq!(error.kind(), Kind::Usage);
        assert!(error.render().contains("copy it into a file"), "{error}");
    }
}
