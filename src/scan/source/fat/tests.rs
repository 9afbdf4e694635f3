use std::collections::BTreeMap;
use std::os::unix::fs::FileExt as _;

use super::super::parts;
use super::*;
use crate::host::exec::Program;
use crate::scan::{NOT_SEARCHED, ScanReport, Subject};

/// A key that every rule book knows.
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7Yc3zq9vXwB2k\n-----END PRIVATE KEY-----\n";

struct Image(tempfile::TempDir);

impl Image {
    fn new(bits: &str) -> Self {
        let image = Image(tempfile::tempdir().unwrap());
        File::create(image.path())
            .unwrap()
            .set_len(64 << 20)
            .unwrap();
        let made = Program::new("mkfs.vfat").args(["-F", bits, "-n", "ESP"]);
        made.arg(image.path()).run().unwrap();
        image
    }

    fn path(&self) -> std::path::PathBuf {
        self.0.path().join("image")
    }

    fn mtool(&self, name: &'static str, words: &[&str]) {
        let tool = Program::new(name).arg("-i").arg(self.path());
        tool.args(words).run().unwrap();
    }

    fn put(&self, name: &str, content: &[u8]) {
        let from = self.0.path().join("from");
        std::fs::write(&from, content).unwrap();
        self.mtool("mcopy", &[from.to_str().unwrap(), &format!("::{name}")]);
    }

    fn volume(&self) -> Volume {
        parts::volumes(&self.path()).unwrap().remove(0)
    }

    /// Where these bytes are first.
    fn find(&self, bytes: &[u8]) -> u64 {
        let all = std::fs::read(self.path()).unwrap();
        memchr::memmem::find(&all, bytes).unwrap() as u64
    }

    fn write(&self, at: u64, bytes: &[u8]) {
        let file = File::options().write(true).open(self.path()).unwrap();
        file.write_all_at(bytes, at).unwrap();
    }

    /// Every file and directory, with its content.
    fn all(&self) -> BTreeMap<String, Vec<u8>> {
        let (file, mut system) = open(&self.path(), &self.volume()).unwrap();
        let mut all = BTreeMap::new();
        let faults = visit(&file, &mut system, |path, item, runs| {
            let mut content = vec![];
            let mut runs = Runs::new(&file, runs).take(item.size);
            runs.read_to_end(&mut content).unwrap();
            all.insert(path.to_owned(), content);
            Ok(())
        });
        let faults = faults.unwrap();
        assert_eq!((faults.damage_report(), faults.shadowed()), (None, None));
        all
    }

    fn walked(&self) -> ScanReport {
        let subject = Subject::default();
        let mut scanner = Scanner::new(&subject);
        walk(&self.path(), &self.volume(), "", &mut scanner).unwrap();
        scanner.finish()
    }

    /// What is not searched, and the paths of keys.
    fn found(&self) -> (Vec<String>, Vec<String>) {
        let (unsearched, keys): (Vec<_>, Vec<_>) = self
            .walked()
            .findings
            .into_iter()
            .partition(|found| found.rule == NOT_SEARCHED);
        (
            unsearched.into_iter().map(|found| found.detail).collect(),
            keys.into_iter().map(|found| found.path).collect(),
        )
    }

    fn accounted(&self) -> Option<String> {
        let subject = Subject::default();
        let mut scanner = Scanner::new(&subject);
        account(&File::open(self.path()).unwrap(), &mut scanner).unwrap();
        scanner.finish().findings.pop().map(|found| found.detail)
    }
}

#[test]
fn all_of_a_clean_fat_is_read_and_nothing_is_lost() {
    for bits in ["12", "16", "32"] {
        let image = Image::new(bits);
        let mut wanted = BTreeMap::new();
        for dir in [
            "EFI",
            "EFI/BOOT",
            "loader",
            "a long name of a directory",
            "gone",
        ] {
            image.mtool("mmd", &[&format!("::{dir}")]);
            wanted.insert(format!("/{dir}"), vec![]);
        }
        let mut noise = vec![0; 300_000];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        for (name, content) in [
            ("EFI/BOOT/BOOTX64.EFI", &noise[..]),
            ("EFI/BOOT/grub.cfg", b"search.fs_uuid\n"),
            ("loader/entries-of-2026 and more \u{e4}.conf", b"title\n"),
            ("empty", b""),
            ("HIDDEN.SYS", b"hidden"),
            ("deleted.bin", &noise[..100_000]),
            ("behind.bin", &noise[..200_000]),
        ] {
            image.put(name, content);
            wanted.insert(format!("/{name}"), content.to_vec());
        }
        image.mtool("mattrib", &["+h", "+s", "::HIDDEN.SYS"]);
        image.mtool("mdel", &["::deleted.bin"]);
        image.mtool("mrd", &["::gone"]);
        for gone in ["/deleted.bin", "/gone"] {
            wanted.remove(gone);
        }
        // In pieces, where the other was, and a directory of several clusters.
        image.put("pieces.bin", &noise[..150_000]);
        wanted.insert("/pieces.bin".into(), noise[..150_000].to_vec());
        let many = image.0.path().join("many");
        std::fs::create_dir(&many).unwrap();
        wanted.insert("/many".into(), vec![]);
        for number in 0..400 {
            let name = format!("a rather long name of a file, number {number}");
            std::fs::write(many.join(&name), &name).unwrap();
            wanted.insert(format!("/many/{name}"), name.into_bytes());
        }
        image.mtool("mcopy", &["-s", many.to_str().unwrap(), "::"]);
        let all = image.all();
        assert_eq!(
            all.keys().collect::<Vec<_>>(),
            wanted.keys().collect::<Vec<_>>()
        );
        assert!(all == wanted, "{bits}");
        assert_eq!(image.found(), (vec![], vec![]), "{bits}");
        assert_eq!(image.accounted(), None);
    }
}

#[test]
fn what_mtools_leave_out_is_searched() {
    for bits in ["12", "16", "32"] {
        let image = Image::new(bits);
        image.put("FIRST.TXT", b"");
        image.put("SITE.KEY", KEY.as_bytes());
        let all = |keys: &[&str]| (vec![], keys.iter().map(|key| (*key).to_owned()).collect());
        assert_eq!(image.found(), all(&["/SITE.KEY"]));
        image.write(image.find(b"FIRST   TXT"), &[0; 32]);
        assert_eq!(image.found(), all(&["/SITE.KEY"]), "{bits}");
        // A directory with the long name of the one above it; mtools take what is behind zeroes
        // for free.
        let image = Image::new(bits);
        image.put("SITE.KEY", KEY.as_bytes());
        image.mtool("mmd", &["::Ab"]);
        image.put("Ab/OTHER.KEY", KEY.as_bytes());
        assert_eq!(image.accounted(), None);
        image.write(image.find(b"A\0b\0\0\0\xff\xff"), b".\0.\0");
        assert_eq!(
            image.found(),
            all(&["/../OTHER.KEY", "/SITE.KEY"]),
            "{bits}"
        );
        let why = image.accounted().unwrap();
        assert!(why.starts_with("the name of /.. is that of"), "{why}");
    }
}

#[test]
fn clusters_that_are_no_files_are_told() {
    for bits in ["12", "16", "32"] {
        let image = Image::new(bits);
        image.put("SITE.KEY", KEY.as_bytes());
        image.put("BIG.BIN", &vec![7; 1 << 20]);
        let [key, big] = [b"SITE    KEY", b"BIG     BIN"].map(|name| image.find(name));
        let (_, mut system) = open(&image.path(), &image.volume()).unwrap();
        let cluster = system.cluster;
        let bytes = std::fs::read(image.path()).unwrap();
        let first = |at: u64| u32::from(bytes[at as usize + 26]);
        assert!(system.file(first(big), 1 << 20).whole);
        // The size is less than what it has, and nothing; nobody's at all.
        for (at, change, lost) in [
            (big + 28, &((1 << 20) - cluster as u32).to_le_bytes()[..], 1),
            (big + 28, &[0; 4], (1 << 20) / cluster),
            (key, b"\xe5", (1 << 20) / cluster + 1),
        ] {
            image.write(at, change);
            let why = format!("{lost} clusters of its FAT are in use");
            let found = image.found().0;
            assert!(
                found.len() == 1 && found[0].starts_with(&why),
                "{bits}: {found:?}"
            );
            assert_eq!(image.accounted().as_ref(), Some(&found[0]));
        }
        // It has less than its size.
        image.write(big + 28, &(2u32 << 20).to_le_bytes());
        let found = image.found().0;
        assert!(
            found[0].starts_with("1 of its files") && found[0].contains("/BIG.BIN; 1 "),
            "{found:?}"
        );
    }
}

#[test]
fn bad_clusters_are_no_finding() {
    for (bits, bad) in [
        ("12", &b"\xf7\x0f"[..]),
        ("16", b"\xf7\xff"),
        ("32", b"\xf7\xff\xff\x0f"),
    ] {
        let image = Image::new(bits);
        image.put("SITE.KEY", KEY.as_bytes());
        let bytes = std::fs::read(image.path()).unwrap();
        let short = |at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
        let at = short(14) * short(11) + 500 * bits.parse::<usize>().unwrap() / 8;
        image.write(at as u64, bad);
        assert_eq!(
            image.found(),
            (vec![], vec!["/SITE.KEY".to_owned()]),
            "{bits}"
        );
        // Any other mark is of a file.
        image.write(at as u64, &vec![0xff; bad.len() - 1]);
        assert_eq!(image.found().0.len(), 1, "{bits}");
    }
}

#[test]
fn names_that_share_their_clusters_are_told_and_read_once() {
    let image = Image::new("16");
    image.put("BIG.BIN", &vec![7u8; 3 << 20]);
    let once = image.walked();
    assert_eq!((once.files, once.findings.len()), (1, 0));
    // The same entry of the directory again, under other names; and a directory in itself.
    let at = image.find(b"BIG     BIN");
    let mut entry = std::fs::read(image.path()).unwrap()[at as usize..][..32].to_vec();
    for number in 1..=8u8 {
        entry[3] = b'0' + number;
        image.write(at + 32 * u64::from(number), &entry);
    }
    image.mtool("mmd", &["::IN"]);
    let own =
        std::fs::read(image.path()).unwrap()[image.find(b"IN         ") as usize..][..32].to_vec();
    let first = u32::from(u16::from_le_bytes([own[26], own[27]]));
    let (_, system) = open(&image.path(), &image.volume()).unwrap();
    image.write(system.place(first) + 64, &own);
    let found = image.found().0;
    assert!(
        found[0].starts_with("9 of its files and directories are damaged"),
        "{found:?}"
    );
    assert_eq!(image.walked().bytes, once.bytes);
}
