//! What boots the installer, as virt-install takes it.

use std::path::{Path, PathBuf};

use super::kind::Kind;
use crate::error::{Error, Result};
use crate::host::exec::Program;

/// Media that are on this host, or a tree that virt-install reads itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
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

/// Where Ubuntu's live media keep the kernel and the initrd, which virt-install does not know.
const CASPER: (&str, &str) = ("casper/vmlinuz", "casper/initrd");

/// The source of a verified ISO image.
///
/// # Errors
/// When it is not there.
pub fn iso(file: &Path, kind: &Kind) -> Result<Source> {
    present(file, "the ISO image", "iso")?;
    // Only media with subiquity take their answers from a seed.
    let casper = kind.injected.is_none() && holds(file, CASPER.0);
    Ok(Source::Iso {
        iso: file.to_owned(),
        boot: casper.then_some(CASPER),
    })
}

/// The source of a kernel and an initrd.
///
/// # Errors
/// When one of them is not there.
pub fn boot(kernel: &Path, initrd: &Path) -> Result<Source> {
    present(kernel, "the installer's kernel", "boot")?;
    present(initrd, "the installer's initrd", "boot")?;
    Ok(Source::Boot {
        kernel: kernel.to_owned(),
        initrd: initrd.to_owned(),
    })
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

/// Whether an ISO image has a file. What cannot be read is for virt-install to complain about.
fn holds(iso: &Path, file: &str) -> bool {
    let listed = Program::new("xorriso")
        .args(["-report_about", "SORRY", "-indev"])
        .arg(iso)
        .args(["-find", &format!("/{file}"), "-exec", "echo"])
        .text();
    listed.is_ok_and(|text| text.contains(file))
}
