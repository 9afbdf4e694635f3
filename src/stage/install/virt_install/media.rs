//! What boots the installer, as virt-install takes it.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use crate::digest::Sha256;
use crate::error::{Context as _, Error, Result};
use crate::host::exec::Program;
use crate::http::Url;
use crate::installers::Installer;
use crate::machine::{Arch, KERNEL_HEAD};
use crate::recipe::types::{Media, MediaPlace};
use crate::stage::install::relay::Relay;
use crate::store;
use crate::store::files::Files;
use crate::store::media::{InstallerDigests, MediaFile};

/// Media that are on this host, or a tree that virt-install reads itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InstallSource {
    /// An install tree: a URL or a directory.
    Tree(String),
    /// An ISO image; its kernel and initrd where virt-install does not find them itself.
    Iso {
        /// The file.
        iso: PathBuf,
        /// Paths of kernel and initrd in it.
        boot: Option<(&'static str, &'static str)>,
    },
    /// A kernel and an initrd.
    Boot {
        /// The kernel.
        kernel: PathBuf,
        /// The initrd.
        initrd: PathBuf,
    },
}

/// What boots the installer; the store keeps it while this lives.
#[derive(Debug)]
pub struct Medium {
    /// As virt-install takes it.
    pub source: InstallSource,
    from_tree: bool,
    _held: Vec<MediaFile>,
}

impl Medium {
    /// What the kernel command line says about it: where the rest of a tree is, as the guest reaches
    /// it, to an installer that has to be told.
    pub fn kernel_args(&self, installer: &Installer, relay: &Relay) -> Option<String> {
        let arg = installer.tree_arg?;
        let tree = relay.vars().get("imgforge_tree")?;
        let named = self.from_tree && !tree.is_empty();
        named.then(|| format!("{arg}{tree}"))
    }
}

/// Where media can be.
#[derive(Debug, Clone, Copy)]
pub struct Places<'a> {
    /// Root of the recipe repository, where relative paths start.
    pub root: &'a Path,
    /// What was taken of the media that are on this host.
    pub files: &'a Files,
    /// Knows the mirrors.
    pub relay: &'a Relay,
    /// Downloads, verifies and keeps.
    pub store: &'a store::media::Media<'a>,
    /// What the recipe says about a kernel over plain http.
    pub kernel: InstallerDigests<'a>,
    /// And about an initrd.
    pub initrd: InstallerDigests<'a>,
    /// And about a tree's `.treeinfo`.
    pub info: InstallerDigests<'a>,
}

/// The address of an install tree, as the recipe writes it.
pub fn tree(media: &Media) -> Option<&MediaPlace> {
    match media {
        Media::Location(tree) => Some(tree),
        Media::Iso(_) | Media::Boot(_) => None,
    }
}

/// The path of a medium on this host, written as a path or an address.
pub fn local(root: &Path, place: &MediaPlace) -> PathBuf {
    let url = match place {
        MediaPlace::Address(address) => Url::parse(address.as_str()).ok(),
        MediaPlace::Mirror(_) | MediaPlace::Path(_) => None,
    };
    let path = url.and_then(|url| url.local());
    path.unwrap_or_else(|| root.join(String::from(place.clone())))
}

/// Finds the media of a recipe; what is elsewhere is downloaded.
///
/// # Errors
/// When they are not there, cannot be had, or are not what they should be.
pub fn find(media: &Media, installer: &Installer, places: &Places<'_>) -> Result<Medium> {
    let resolve = |place: &MediaPlace| {
        let place = places.relay.place(place)?;
        if let MediaPlace::Address(address) = &place
            && !address.is_file()
        {
            return Ok::<_, Error>(place.into());
        }
        let path = local(places.root, &place);
        let path = places.files.copy(&path).unwrap_or(path);
        Ok(path.display().to_string())
    };
    let (source, held) = match media {
        Media::Location(tree) if matches!(places.relay.place(tree)?, MediaPlace::Address(_)) => {
            let at = resolve(tree)?;
            let Places {
                kernel,
                initrd,
                info,
                ..
            } = places;
            let tree = places.store.tree(&at, kernel, initrd, info)?;
            places.relay.vouch(&at, tree.sums())?;
            let (kernel, initrd) = (tree.kernel().path(), tree.initrd().path());
            (boot(kernel, initrd)?, tree.into_files())
        }
        Media::Location(directory) => (InstallSource::Tree(resolve(directory)?), vec![]),
        Media::Iso(iso) => {
            let file = resolve(&iso.place())?;
            let file = places.store.file(&file, iso.sha256().map(Sha256::as_str))?;
            (self::iso(file.path(), installer)?, vec![file])
        }
        Media::Boot(files) => {
            let file =
                |place: &MediaPlace, vouched| places.store.boot_file(&resolve(place)?, vouched);
            let kernel = file(&files.kernel, &places.kernel)?;
            let initrd = file(&files.initrd, &places.initrd)?;
            (boot(kernel.path(), initrd.path())?, vec![kernel, initrd])
        }
    };
    let head = match &source {
        InstallSource::Boot { kernel, .. } => Some((&**kernel, beginning(kernel, 0)?)),
        InstallSource::Iso {
            iso,
            boot: Some((kernel, _)),
        } => match offset(iso, kernel) {
            Some(at) => Some((Path::new(*kernel), beginning(iso, at)?)),
            None => None,
        },
        InstallSource::Iso { .. } | InstallSource::Tree(_) => None,
    };
    if let Some((kernel, head)) = head {
        starts(kernel, &head, places.store.arch)?;
    }
    Ok(Medium {
        source,
        from_tree: matches!(media, Media::Location(_)),
        _held: held,
    })
}

/// The source of a verified ISO image.
///
/// # Errors
/// When it is not there.
pub fn iso(file: &Path, installer: &Installer) -> Result<InstallSource> {
    present(file, "the ISO image", "iso")?;
    Ok(InstallSource::Iso {
        iso: file.to_owned(),
        boot: installer
            .iso_boot
            .filter(|boot| offset(file, boot.0).is_some()),
    })
}

/// The source of a kernel and an initrd.
///
/// # Errors
/// When one of them is not there.
pub fn boot(kernel: &Path, initrd: &Path) -> Result<InstallSource> {
    present(kernel, "the installer's kernel", "boot")?;
    present(initrd, "the installer's initrd", "boot")?;
    Ok(InstallSource::Boot {
        kernel: kernel.to_owned(),
        initrd: initrd.to_owned(),
    })
}

/// Asks whether machines of this architecture start the installer's kernel: UEFI passes over another one
/// without a word.
fn starts(kernel: &Path, head: &[u8], arch: Arch) -> Result<()> {
    match Arch::of_kernel(head).filter(|own| *own != arch) {
        None => Ok(()),
        Some(own) => Err(Error::usage(format!(
            "the installer's kernel {} is for {}, and the recipe's machine is {}",
            kernel.file_name().unwrap_or_default().to_string_lossy(),
            own.as_str(),
            arch.as_str()
        ))
        .hint(format!(
            "take the media for {}, or write `machine: {{arch: {}}}`",
            arch.as_str(),
            own.as_str()
        ))),
    }
}

/// The first bytes of the kernel that begins at this byte of a file.
fn beginning(file: &Path, at: u64) -> Result<Vec<u8>> {
    let mut head = vec![];
    let read = File::open(file).and_then(|mut file| {
        file.seek(SeekFrom::Start(at))?;
        file.take(KERNEL_HEAD.into()).read_to_end(&mut head)
    });
    read.doing(|| format!("reading {}", file.display()))?;
    Ok(head)
}

fn present(file: &Path, what: &str, key: &str) -> Result<()> {
    if file.is_file() {
        return Ok(());
    }
    Err(
        Error::stage(format!("{what} {} is not there", file.display())).hint(format!(
            "put it there, or change `media: {{{key}: …}}` of the recipe"
        )),
    )
}

/// The byte at which a file of an ISO image begins; `None` where it has none. What cannot be read is for
/// virt-install to complain about.
fn offset(iso: &Path, file: &str) -> Option<u64> {
    let xorriso = Program::new("xorriso")
        .args(["-report_about", "SORRY", "-indev"])
        .arg(iso)
        .args(["-find", &format!("/{file}"), "-exec", "report_lba"]);
    let text = xorriso.on_foreign_file().seeing(iso).text().ok()?;
    // File data lba:  0 ,       33 ,        3 ,     5000 , '/casper/vmlinuz'
    let mut lines = text.lines();
    let numbers = lines.find_map(|line| line.strip_prefix("File data lba:"))?;
    let block: u64 = numbers.split(',').nth(1)?.trim().parse().ok()?;
    block.checked_mul(2048)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_in_an_iso_image_is_read_where_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let (tree, iso) = (dir.path().join("tree"), dir.path().join("a.iso"));
        std::fs::create_dir_all(tree.join("casper")).unwrap();
        let mut head = vec![0; 0x80];
        head[..2].copy_from_slice(b"MZ");
        head[0x3c] = 0x40;
        head[0x40..0x46].copy_from_slice(b"PE\0\0\x64\xaa");
        std::fs::write(tree.join("casper/vmlinuz"), &head).unwrap();
        let made = Program::new("xorriso").args(["-as", "mkisofs", "-quiet", "-o"]);
        made.arg(&iso).arg(&tree).run().unwrap();
        assert_eq!(offset(&iso, "casper/initrd"), None);
        let at = offset(&iso, "casper/vmlinuz").unwrap();
        let found = beginning(&iso, at).unwrap();
        assert!(found.starts_with(&head), "{at}");
        let kernel = Path::new("casper/vmlinuz");
        starts(kernel, &found, Arch::Aarch64).unwrap();
        let error = starts(kernel, &found, Arch::X86_64).unwrap_err();
        assert!(
            error.to_string().contains("vmlinuz is for aarch64"),
            "{error}"
        );
    }
}
