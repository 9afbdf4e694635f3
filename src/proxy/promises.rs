//! What the index files that pass say of other files: their digests and sizes.
//!
//! Debian's `Release` and `Packages`, and `repomd.xml` and the primary list of rpm repositories.
//! Who forges an index as well gains nothing: a package manager believes signed ones only, and what
//! is kept is compared with the index of each build again.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Result};
use std::os::unix::fs::FileExt as _;
use std::sync::{Mutex, MutexGuard};

use super::rules::{AllowedFile, by_name};
use crate::http::decoded;
use crate::mutex::Unpoisoned as _;

/// The most that an index may decode to, in bytes: Debian's largest has 60 MiB, Fedora's 250.
const LARGEST: u64 = 1 << 30;

/// The longest line or element that is looked at, in bytes.
const LONGEST: u64 = 64 << 10;

/// What is remembered, in bytes: of ten times the files that a release has.
const MOST: usize = 256 << 20;

/// Memory of the decoders, in bytes.
const MEMORY: u64 = 256 << 20;

/// What a file must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Promise {
    /// In lower case.
    pub(crate) sha256: String,
    pub(crate) size: Option<u64>,
}

/// Promises by route and path, and the length of all names together.
#[derive(Debug, Default)]
struct Known {
    files: HashMap<(usize, String), Promise>,
    bytes: usize,
}

/// What the index files of a build have promised.
#[derive(Debug, Default)]
pub(crate) struct Promises {
    known: Mutex<Known>,
    /// What counts more.
    vouched: Mutex<HashMap<(usize, String), Promise>>,
    /// Digests of the index files that were read.
    read: Mutex<HashSet<String>>,
}

impl Promises {
    /// What the file must be, by its name or an index.
    pub(crate) fn of(&self, route: usize, path: &str) -> Option<Promise> {
        let file = (route, decoded(path));
        if let Some(promise) = self.vouched().get(&file) {
            return Some(promise.clone());
        }
        if let Some(sha256) = by_name(path) {
            let sha256 = sha256.to_ascii_lowercase();
            return Some(Promise { sha256, size: None });
        }
        self.known().files.get(&file).cloned()
    }

    /// What a file must be, whatever an index says of it: what is added first counts.
    pub(crate) fn add(&self, route: usize, path: &str, promise: Promise) {
        let file = (route, decoded(path));
        self.vouched().insert(file, promise);
    }

    /// The lists of packages, in forms that can be read here, that a `repomd.xml` at `path` names.
    pub(crate) fn primary(&self, path: &str, file: &File) -> Vec<String> {
        let mut found = vec![];
        let path = decoded(path);
        if let Some(index @ Index::Rpm(_)) = index(&path) {
            let is_list = |name: &str| name.contains("primary.xml") && !name.ends_with(".zck");
            let keep = |name: String, _| found.extend(Some(name).filter(|name| is_list(name)));
            drop(promises(index, file, keep));
        }
        found
    }

    fn vouched(&self) -> MutexGuard<'_, HashMap<(usize, String), Promise>> {
        self.vouched.lock().unpoisoned()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unpoisoned()
    }

    /// Reads a file that passes, if it is an index. One that cannot be read promises nothing more.
    pub(crate) fn learn(&self, wanted: &AllowedFile, sha256: &str, file: &File) {
        let path = decoded(&wanted.path);
        let Some(index) = index(&path) else { return };
        let mut read = self.read.lock().unpoisoned();
        if !read.insert(format!("{} {path} {sha256}", wanted.route)) {
            return;
        }
        drop(read);
        let keep = |path: String, promise: Promise| {
            let mut known = self.known();
            // A promise takes some 200 bytes besides.
            let bytes = path.len() + 200;
            if known.bytes + bytes <= MOST {
                known.bytes += bytes;
                known.files.insert((wanted.route, path), promise);
            }
        };
        drop(promises(index, file, keep));
    }
}

/// What may be in a file, and what its names are relative to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Index<'p> {
    Release(&'p str),
    Packages(&'p str),
    Rpm(&'p str),
}

fn index(path: &str) -> Option<Index<'_>> {
    let (dir, name) = path.rsplit_once('/')?;
    if let Some((root, _)) = path.split_once("/repodata/") {
        return Some(Index::Rpm(root));
    }
    let root = path.split_once("/dists/").map_or(dir, |(root, _)| root);
    match name {
        "InRelease" | "Release" => Some(Index::Release(dir)),
        _ if name.split('.').next() == Some("Packages") => Some(Index::Packages(root)),
        _ if path.contains("/by-hash/") => Some(Index::Packages(root)),
        _ => None,
    }
}

/// Reads a file from its beginning, whoever else reads it.
struct At<'f>(&'f File, u64);

impl Read for At<'_> {
    fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        let read = self.0.read_at(into, self.1)?;
        self.1 += read as u64;
        Ok(read)
    }
}

fn promises(index: Index<'_>, file: &File, keep: impl FnMut(String, Promise)) -> Result<()> {
    let mut head = [0; 6];
    let read = file.read_at(&mut head, 0)?;
    let from = At(file, 0);
    let plain: Box<dyn Read + '_> = match &head[..read] {
        [0xfd, b'7', b'z', b'X', b'Z', 0] => {
            let stream = xz2::stream::Stream::new_stream_decoder(MEMORY, xz2::stream::CONCATENATED);
            Box::new(xz2::read::XzDecoder::new_stream(from, stream?))
        }
        [0x1f, 0x8b, ..] => Box::new(flate2::read::MultiGzDecoder::new(from)),
        [b'B', b'Z', b'h', ..] => Box::new(bzip2::read::MultiBzDecoder::new(from)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd::Decoder::new(from)?),
        _ => Box::new(from),
    };
    let mut plain = BufReader::new(plain.take(LARGEST));
    match index {
        Index::Release(dir) => release(&mut plain, dir, keep),
        Index::Packages(root) => packages(&mut plain, root, keep),
        Index::Rpm(root) => rpm(&mut plain, root, keep),
    }
}

/// The next piece up to `end`, which is cut off; a very long one comes in parts.
fn piece(from: &mut impl BufRead, end: u8) -> Result<Option<String>> {
    let mut bytes = vec![];
    if from.take(LONGEST).read_until(end, &mut bytes)? == 0 {
        return Ok(None);
    }
    if bytes.last() == Some(&end) {
        bytes.pop();
    }
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

fn below(root: &str, path: &str) -> String {
    format!("{root}/{}", path.trim_start_matches("./"))
}

fn promise(sha256: &str, size: &str) -> Option<Promise> {
    let shaped = sha256.len() == 64 && sha256.bytes().all(|b| b.is_ascii_hexdigit());
    shaped.then(|| Promise {
        sha256: sha256.to_ascii_lowercase(),
        size: size.parse().ok(),
    })
}

fn release(
    from: &mut impl BufRead,
    dir: &str,
    mut keep: impl FnMut(String, Promise),
) -> Result<()> {
    let mut inside = false;
    while let Some(line) = piece(from, b'\n')? {
        if !line.starts_with(' ') {
            inside = line.trim_end() == "SHA256:";
            continue;
        }
        let mut words = line.split_whitespace();
        if let (true, Some(sum), Some(size), Some(path)) =
            (inside, words.next(), words.next(), words.next())
            && let Some(promise) = promise(sum, size)
        {
            keep(below(dir, path), promise);
        }
    }
    Ok(())
}

fn packages(
    from: &mut impl BufRead,
    root: &str,
    mut keep: impl FnMut(String, Promise),
) -> Result<()> {
    let (mut name, mut size, mut sum) = (String::new(), String::new(), String::new());
    let mut first = true;
    loop {
        let line = piece(from, b'\n')?;
        let text = line.as_deref().map(str::trim_end).unwrap_or_default();
        // What else is called by its digest, such as a list of contents, is no list of packages.
        if std::mem::take(&mut first) && !text.starts_with("Package:") {
            return Ok(());
        }
        match text.split_once(':') {
            Some(("Filename", value)) => value.trim().clone_into(&mut name),
            Some(("Size", value)) => value.trim().clone_into(&mut size),
            Some(("SHA256", value)) => value.trim().clone_into(&mut sum),
            _ if text.is_empty() => {
                if let (false, Some(promise)) = (name.is_empty(), promise(&sum, &size)) {
                    keep(below(root, &name), promise);
                }
                for text in [&mut name, &mut size, &mut sum] {
                    text.clear();
                }
            }
            _ => {}
        }
        if line.is_none() {
            return Ok(());
        }
    }
}

/// The elements `package` of a primary list and `data` of a repomd.xml are of one form.
fn rpm(from: &mut impl BufRead, root: &str, mut keep: impl FnMut(String, Promise)) -> Result<()> {
    let (mut name, mut size, mut sum) = (String::new(), String::new(), String::new());
    let mut last = String::new();
    while let Some(piece) = piece(from, b'>')? {
        let (text, tag) = piece.split_once('<').unwrap_or((&piece, ""));
        let attribute = |name: &str| {
            let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
            Some(rest.split_once('"')?.0.replace("&amp;", "&"))
        };
        match tag.split_whitespace().next().unwrap_or_default() {
            "location" => name = attribute("href").unwrap_or_default(),
            "size" => size = attribute("package").unwrap_or_default(),
            "/size" => text.trim().clone_into(&mut size),
            "/checksum" if last.contains("type=\"sha256\"") => text.trim().clone_into(&mut sum),
            "/package" | "/data" => {
                if let (false, Some(promise)) = (name.is_empty(), promise(&sum, &size)) {
                    keep(below(root, &name), promise);
                }
                for text in [&mut name, &mut size, &mut sum] {
                    text.clear();
                }
            }
            _ => {}
        }
        tag.clone_into(&mut last);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn learned(path: &str, bytes: &[u8]) -> HashMap<(usize, String), Promise> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        let all = Promises::default();
        let wanted = AllowedFile {
            route: 3,
            path: path.to_owned(),
            immutable: false,
            promise: None,
        };
        all.learn(&wanted, "digest", &file);
        all.known().files.clone()
    }

    fn expected(path: &str, digit: &str, size: u64) -> ((usize, String), Promise) {
        let (sha256, size) = (digit.repeat(64), Some(size));
        ((3, path.to_owned()), Promise { sha256, size })
    }

    fn gz(text: &str) -> Vec<u8> {
        let mut to = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
        to.write_all(text.as_bytes()).unwrap();
        to.finish().unwrap()
    }

    fn xz(text: &str) -> Vec<u8> {
        let mut to = xz2::write::XzEncoder::new(vec![], 1);
        to.write_all(text.as_bytes()).unwrap();
        to.finish().unwrap()
    }

    #[test]
    fn debians_index_files_promise_packages_and_each_other() {
        let (a, b) = ("a".repeat(64), "B".repeat(64));
        let packages = format!(
            "Package: x\nSize: 7\nFilename: pool/x_1.deb\nSHA256: {a}\nDescription: Size: 9\n\n\
             Package: libstdc++6\nFilename: ./pool/libstdc++6.deb\nSHA256: {b}\nSize: 8\n"
        );
        let all = HashMap::from([
            expected("/pool/x_1.deb", "a", 7),
            expected("/pool/libstdc++6.deb", "b", 8),
        ]);
        let hash = "0".repeat(64);
        let dir = "/dists/s/main/binary-amd64";
        assert_eq!(
            learned(&format!("{dir}/Packages"), packages.as_bytes()),
            all
        );
        assert_eq!(learned(&format!("{dir}/Packages.gz"), &gz(&packages)), all);
        let by_hash = format!("{dir}/by-hash/SHA256/{hash}");
        assert_eq!(learned(&by_hash, &xz(&packages)), all);
        assert!(learned(&by_hash, b"bin/x  utils/Package\n").is_empty());
        let release = format!(
            "Suite: s\nMD5Sum:\n {a} 1 main/x\nSHA256:\n {a} 5 main/binary-amd64/Packages\nEnd: x\n {b} 1 y\n"
        );
        let all = HashMap::from([expected(&format!("{dir}/Packages"), "a", 5)]);
        assert_eq!(learned("/dists/s/InRelease", release.as_bytes()), all);
        assert!(learned("/dists/s/other", release.as_bytes()).is_empty());
    }

    #[test]
    fn rpms_index_files_promise_packages_and_each_other() {
        let (a, b) = ("a".repeat(64), "b".repeat(64));
        let primary = format!(
            "<?xml version=\"1.0\"?>\n<metadata packages=\"1\"><package type=\"rpm\">\n  \
             <checksum type=\"sha256\" pkgid=\"YES\">{a}</checksum>\n  \
             <size package=\"7\" installed=\"9\" archive=\"10\"/>\n\
             <location href=\"Packages/x-1.rpm\"/>\n</package></metadata>"
        );
        let path = format!("/os/repodata/{}-primary.xml.gz", "0".repeat(64));
        let all = HashMap::from([expected("/os/Packages/x-1.rpm", "a", 7)]);
        assert_eq!(learned(&path, &gz(&primary)), all);
        let repomd = format!(
            "<repomd><data type=\"primary\"><checksum type=\"sha256\">{a}</checksum>\
             <open-checksum type=\"sha256\">{b}</open-checksum>\
             <location href=\"repodata/primary.xml.gz\"/><size>5</size><open-size>6</open-size></data></repomd>"
        );
        let all = HashMap::from([expected("/os/repodata/primary.xml.gz", "a", 5)]);
        assert_eq!(learned("/os/repodata/repomd.xml", repomd.as_bytes()), all);
    }

    #[test]
    fn a_damaged_index_promises_what_came_before() {
        let packages = format!(
            "Package: x\nSize: 7\nFilename: pool/x.deb\nSHA256: {}\n\n{}",
            "a".repeat(64),
            "Package: y\n".repeat(100_000)
        );
        let mut bytes = gz(&packages);
        bytes.truncate(bytes.len() - 20);
        let all = HashMap::from([expected("/pool/x.deb", "a", 7)]);
        assert_eq!(
            learned("/dists/s/main/binary-amd64/Packages.gz", &bytes),
            all
        );
    }
}
