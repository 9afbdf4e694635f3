//! import: an existing disk image as the base.
//!
//! An image of others is a file to distrust: it is converted, never used in place, and one that
//! refers to other files of the host is refused.

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::error::{Context as _, Error, Result};
use crate::host::exec::Program;
use crate::host::interrupt;
use crate::stage::install::{Facts, Installed, to_qcow2};
use crate::ui::{StageUi, Unit};
use crate::units::Size;

/// Everything that an import depends on.
#[derive(Debug)]
pub struct Input<'a> {
    /// An absolute path, or a URL.
    pub image: &'a str,
    /// SHA-256 of the file as it is, 64 hex digits; needed for a URL.
    pub sha256: Option<&'a str>,
    /// Virtual size of the disk to make; never less than the image's own.
    pub size: Size,
    /// Private scratch directory on the store's file system.
    pub scratch: &'a Path,
    /// The qcow2 file to make.
    pub disk: &'a Path,
    /// Where progress goes.
    pub ui: &'a StageUi,
}

/// Fetches, verifies, unpacks and converts the image.
///
/// # Errors
/// When it is missing, has another digest, is no disk image, refers to other files, or is larger
/// than the machine's disk.
pub fn run(input: &Input<'_>) -> Result<Installed> {
    let file = if is_url(input.image) {
        fetch(input)?
    } else {
        PathBuf::from(input.image)
    };
    verify(input, &file)?;
    let plain = unpack(input, &file)?;
    let plain = plain.as_deref().unwrap_or(&file);
    let info = inspect(plain, input.image)?;
    let size = Size::bytes(info.virtual_size);
    if size > input.size {
        return Err(Error::usage(format!(
            "the image {} has a disk of {size}, the machine's has {}",
            input.image, input.size
        ))
        .hint(format!(
            "write `machine: {{disk: {size}}}` or more; a disk never shrinks"
        )));
    }
    input.ui.step("converting the image");
    to_qcow2(plain, &info.format, input.disk)?;
    if size < input.size {
        Program::new("qemu-img")
            .args(["resize", "-q", "-f", "qcow2"])
            .arg(input.disk)
            .arg(input.size.as_bytes().to_string())
            .run()?;
    }
    Ok(Installed {
        disk: input.disk.to_owned(),
        size: input.size,
        facts: Facts {
            osinfo: None,
            product: None,
            expand: None,
            sources: None,
        },
    })
}

/// Whether an image is a URL.
pub fn is_url(image: &str) -> bool {
    image.starts_with("http://") || image.starts_with("https://")
}

/// Downloads to the scratch directory.
fn fetch(input: &Input<'_>) -> Result<PathBuf> {
    if input.sha256.is_none() {
        return Err(
            Error::usage(format!("the import of {} has no digest", input.image))
                .hint("write `sha256:` beside `image:`"),
        );
    }
    input.ui.step("downloading the image");
    let path = input.scratch.join("download");
    let failed = |cause: &dyn std::fmt::Display| {
        Error::stage(format!("downloading {} failed", input.image))
            .cause(cause)
            .hint("check the address and http_proxy, then run the same command again")
    };
    let mut file = File::create(&path).doing(|| format!("writing {}", path.display()))?;
    let (mut done, mut total, mut heard) = (0u64, None, Instant::now());
    let download = download(input.image.to_owned());
    loop {
        interrupt::check()?;
        match download.recv_timeout(Duration::from_millis(100)) {
            Ok(Ok(Part::Length(length))) => total = length,
            Ok(Ok(Part::Bytes(bytes))) => {
                file.write_all(&bytes)
                    .doing(|| format!("writing {}", path.display()))?;
                done += bytes.len() as u64;
                input.ui.progress(done, total.unwrap_or(done), Unit::Bytes);
            }
            Ok(Err(cause)) => return Err(failed(&cause)),
            Err(RecvTimeoutError::Disconnected) => return Ok(path),
            Err(RecvTimeoutError::Timeout) if heard.elapsed() > SILENCE => {
                let limit = crate::units::elapsed(SILENCE);
                return Err(failed(&format!("the server said nothing for {limit}")));
            }
            Err(RecvTimeoutError::Timeout) => continue,
        }
        heard = Instant::now();
    }
}

/// A server that says nothing for so long has failed.
const SILENCE: Duration = Duration::from_secs(60);

/// What comes of a download; it has ended when its sender is gone.
enum Part {
    Length(Option<u64>),
    Bytes(Vec<u8>),
}

/// Downloads in a thread, because a read from a silent server can be neither limited nor
/// interrupted. The thread ends with the receiver or the process.
fn download(url: String) -> Receiver<Result<Part, String>> {
    let (send, receive) = sync_channel(4);
    std::thread::spawn(move || {
        let read = || -> Result<(), String> {
            let mut response = ureq::get(&url).call().map_err(|e| e.to_string())?;
            let length = response.headers().get("content-length");
            let total = length.and_then(|v| v.to_str().ok()?.parse().ok());
            let mut sent = send.send(Ok(Part::Length(total)));
            let mut body = response.body_mut().as_reader();
            while sent.is_ok() {
                let mut bytes = vec![0u8; 1 << 18];
                match body.read(&mut bytes).map_err(|e| e.to_string())? {
                    0 => break,
                    read => bytes.truncate(read),
                }
                sent = send.send(Ok(Part::Bytes(bytes)));
            }
            Ok(())
        };
        if let Err(cause) = read() {
            // Nobody listens any more: then nobody needs to know.
            drop(send.send(Err(cause)));
        }
    });
    receive
}

/// Compares the digest; a file without one is taken as it is.
fn verify(input: &Input<'_>, file: &Path) -> Result<()> {
    let doing = || format!("reading {}", file.display());
    let mut from = File::open(file)
        .doing(doing)
        .map_err(|e| e.hint("check `image:` of the recipe's `import:`"))?;
    let Some(expected) = input.sha256 else {
        return Ok(());
    };
    input.ui.step("verifying the image");
    let mut hasher = Sha256::new();
    let mut buffer = vec![0u8; 1 << 20];
    loop {
        interrupt::check()?;
        match from.read(&mut buffer).doing(doing)? {
            0 => break,
            read => hasher.update(&buffer[..read]),
        }
    }
    let found = hex::encode(hasher.finalize());
    if found.eq_ignore_ascii_case(expected) {
        return Ok(());
    }
    Err(Error::stage(format!(
        "{} is not the file that the recipe names",
        input.image
    ))
    .cause(format!("expected sha256 {expected}, found {found}"))
    .hint("if the file was changed on purpose, write its new digest into the recipe"))
}

/// Unpacks xz and gzip, by their first bytes; `None` when the file is not compressed.
fn unpack(input: &Input<'_>, file: &Path) -> Result<Option<PathBuf>> {
    let doing = || format!("unpacking {}", file.display());
    let mut head = Vec::new();
    let from = File::open(file).doing(doing)?;
    (&from).take(6).read_to_end(&mut head).doing(doing)?;
    let reader = BufReader::new(File::open(file).doing(doing)?);
    let plain: Box<dyn Read> = match head.as_slice() {
        [0xfd, b'7', b'z', b'X', b'Z', 0] => {
            Box::new(xz2::read::XzDecoder::new_multi_decoder(reader))
        }
        [0x1f, 0x8b, ..] => return gunzip(input, file).map(Some),
        _ => return Ok(None),
    };
    input.ui.step("unpacking the image");
    let path = input.scratch.join("image");
    write_sparse(plain, &path).doing(doing)?;
    Ok(Some(path))
}

fn gunzip(input: &Input<'_>, file: &Path) -> Result<PathBuf> {
    input.ui.step("unpacking the image");
    let path = input.scratch.join("image");
    let mut running = Program::new("gzip").args(["-dc", "--"]).arg(file).spawn()?;
    let written = write_sparse(running.take_stdout(), &path);
    // First what ended the copy: gzip only fails of it.
    written.doing(|| format!("unpacking {}", file.display()))?;
    running.wait()?;
    Ok(path)
}

/// Copies, leaving holes where there are only zeros.
fn write_sparse(mut from: impl Read, to: &Path) -> Result<()> {
    const BLOCK: usize = 64 << 10;
    use std::os::unix::fs::FileExt as _;
    let doing = || format!("writing {}", to.display());
    let file = File::create(to).doing(doing)?;
    let mut offset = 0u64;
    let mut block = Vec::with_capacity(BLOCK);
    loop {
        interrupt::check()?;
        block.clear();
        let read = (&mut from).take(BLOCK as u64).read_to_end(&mut block);
        let read = read.doing(|| "reading compressed data".into())?;
        if read == 0 {
            return file.set_len(offset).doing(doing);
        }
        if block.iter().any(|byte| *byte != 0) {
            file.write_all_at(&block, offset).doing(doing)?;
        }
        offset += read as u64;
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Info {
    format: String,
    virtual_size: u64,
    #[serde(default)]
    backing_filename: Option<String>,
    #[serde(default)]
    format_specific: Option<serde_json::Value>,
}

/// What qemu-img says of the file; the formats are raw and qcow2, and nothing but the file counts.
fn inspect(file: &Path, image: &str) -> Result<Info> {
    let info: Info = Program::new("qemu-img")
        .args(["info", "--output=json"])
        .arg(file)
        .hint("the image may be damaged: compare its digest")
        .json()?;
    let data_file = info
        .format_specific
        .as_ref()
        .and_then(|specific| specific.pointer("/data/data-file"));
    let refers = info.backing_filename.as_deref();
    if let Some(other) = refers.or_else(|| data_file.and_then(|v| v.as_str())) {
        return Err(Error::stage(format!(
            "the image {image} refers to another file, {other}, and is refused"
        ))
        .hint("make it one file: qemu-img convert -O qcow2 IMAGE NEW"));
    }
    match info.format.as_str() {
        "qcow2" => Ok(info),
        // Anything at all is "raw": a disk that boots has a boot signature in its first sector.
        "raw" if has_boot_signature(file)? => Ok(info),
        "raw" => Err(Error::stage(format!("{image} is not a disk image"))
            .cause("its first sector has no partition table")
            .hint("import takes raw and qcow2 disks, also compressed with xz or gzip")),
        other => Err(Error::stage(format!(
            "{image} has the format {other}, which import does not take"
        ))
        .hint("qemu-img convert -O qcow2 IMAGE NEW")),
    }
}

fn has_boot_signature(file: &Path) -> Result<bool> {
    let mut sector = Vec::new();
    File::open(file)
        .and_then(|file| file.take(512).read_to_end(&mut sector))
        .doing(|| format!("reading {}", file.display()))?;
    Ok(sector.get(510..) == Some(&[0x55, 0xaa]))
}

#[cfg(test)]
mod tests;
