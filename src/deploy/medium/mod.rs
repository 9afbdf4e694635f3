//! Media that install an image by themselves: the image's own kernel, and a RAM disk with imgforge and the
//! programs that it calls, all from this host.
//!
//! | file | |
//! |---|---|
//! | `kernel` | which kernel, and which drivers |
//! | `programs` | programs of this host, with what they load |
//! | `carried` | the image on its medium |
//! | `settings` | what the RAM disk knows |
//! | `installer.sh` | what it does |
//! | `iso` | all of that as one file that boots |

mod carried;
mod iso;
mod kernel;
mod programs;
mod settings;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde::Serialize;

use super::adapt::Own;
use crate::deployment::DiskRule;
use crate::error::{Context as _, Error, Kind, Result};
use crate::host::accel::Accel;
use crate::host::outlet::{Folder, Overwrite};
use crate::host::qemu_img::DiskFormat;
use crate::host::temporary::Temporary;
use crate::http::Url;
use crate::machine::Arch;
use crate::pull::{self, Image, Reference, Session};
use crate::targets::SystemDisk;
use crate::targets::ramdisk::initrd::{self, File, Member};
use crate::targets::ramdisk::{LARGEST_KERNEL, copy, words};
use carried::Carried;
use settings::Settings;

/// What the RAM disk's first program does, behind what all of them begin with.
const INSTALLER: &str = include_str!("installer.sh");

/// What a machine does after an installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum End {
    /// Restarts.
    #[default]
    Reboot,
    /// Turns itself off.
    Poweroff,
}

/// Whom the medium trusts; where both are there, only the key of the file that has the fingerprint.
#[derive(Debug, Clone, Copy)]
pub struct Trusted<'a> {
    /// The file of public keys.
    pub key: Option<&'a Path>,
    /// The fingerprint of a key.
    pub fingerprint: Option<&'a str>,
}

/// What a medium does.
#[derive(Debug)]
pub struct Request<'a> {
    /// The image, as the machines are to ask for it.
    pub image: &'a Reference,
    /// The channel that it is in, where that was said.
    pub channel: Option<&'a str>,
    /// The disk, as a rule is written.
    pub disk: &'a str,
    /// Whom it trusts.
    pub trusted: Trusted<'a>,
    /// What comes after an installation.
    pub end: End,
    /// What is the machine's own, where there is one machine.
    pub own: &'a Own,
    /// More words of the kernel's command line, without what boot loaders read in their own way.
    pub append: Option<&'a str>,
    /// Whether the image is on the medium; else it is asked for when a machine is installed.
    pub embed: bool,
    /// Whether it is one file that boots, and no kernel and RAM disk.
    pub iso: bool,
    /// The directory that the files are written to.
    pub output: &'a Path,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Medium {
    /// The files.
    #[serde(flatten)]
    pub files: Files,
    /// The kernel's command line.
    pub cmdline: String,
}

/// The files of a medium.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", untagged)]
pub enum Files {
    /// For PXE, or a boot loader.
    Pair {
        /// The kernel.
        kernel: PathBuf,
        /// The RAM disk.
        initrd: PathBuf,
    },
    /// For a CD, or a USB disk.
    Iso {
        /// The one file.
        iso: PathBuf,
    },
}

/// Writes a medium that installs an image.
///
/// # Errors
/// When the image cannot be put onto disks, has no kernel for it, or is for another architecture than this
/// host, whose programs go along; when a program is not installed, or a file cannot be written.
pub fn write(session: &Session<'_>, image: &Image, request: &Request<'_>) -> Result<Medium> {
    let arch = own_architecture(image)?;
    if request.iso {
        iso::check_tools(arch)?;
    }
    let programs = programs::members()?;
    let ui = session.ui.stage(&image.name, "medium");
    let scratch = Temporary::roomy()?;
    let scratch = scratch.path();
    let disk = scratch.join("image.raw");
    let blob = blob(session, image, &disk)?;
    let found = Image {
        url: Url::of_path(&blob)?,
        ..image.clone()
    };
    super::check(session, &found, request.own, &ui)?;
    let carried = match request.embed {
        true => Some(Carried::collect(session, image, blob, request, scratch)?),
        false => None,
    };
    // What has no root of ext4 was refused, so no appliance is started.
    let source = SystemDisk::new(disk, "raw", scratch.to_owned(), Accel::Tcg);
    let tree = source.tree(&ui)?;
    let rule: DiskRule = request
        .disk
        .parse()
        .map_err(|why: String| Error::usage(why))?;
    let chosen = kernel::choose(&tree, arch, &rule, request.iso)?;
    ui.step("writing the RAM disk");
    let label = request.iso.then(iso::label);
    let settings = Settings {
        image: &carried
            .as_ref()
            .map_or(request.image.to_string(), |carried| carried.image.clone()),
        carried: carried.is_some(),
        label: label.as_deref(),
    };
    let mut members = initrd::base(&tree, arch, INSTALLER)?;
    let drivers = chosen.members(&tree, &kernel::drivers(&chosen))?;
    members.extend(drivers.into_iter().map(|(path, bytes)| Member {
        path,
        mode: 0o644,
        bytes,
    }));
    members.extend(programs);
    members.extend(settings.members(request)?);
    let parts = Parts {
        kernel: scratch.join("kernel"),
        packed: initrd::pack(&members)?,
        files: carried.map(|carried| carried.files).unwrap_or_default(),
        cmdline: [&*words::cmdline(&Default::default(), arch, false)]
            .into_iter()
            .chain(request.append)
            .collect::<Vec<_>>()
            .join(" "),
    };
    copy(tree.open(chosen.image), LARGEST_KERNEL, &parts.kernel)?;
    let (name, output) = (&image.name, request.output);
    let files = match &label {
        None => parts.pair(arch, name, scratch, output)?,
        Some(label) => {
            ui.step("writing the medium");
            let title = format!("{name} revision {}", image.revision);
            let title = if request.embed { &title } else { name };
            parts.iso(arch, name, title, label, scratch, output)?
        }
    };
    Ok(Medium {
        files,
        cmdline: parts.cmdline,
    })
}

/// The architecture of this host, if the image is for it.
fn own_architecture(image: &Image) -> Result<Arch> {
    let arch = Arch::DEFAULT;
    match image.arch == arch.as_str() {
        true => Ok(arch),
        false => {
            let (of, host) = (&image.arch, arch.as_str());
            Err(Error::usage(format!(
                "the image is for {of}, and the programs of this host are for {host}"
            ))
            .hint(format!("write the medium on a host of {of}")))
        }
    }
}

/// Writes the disk of an image; where its blob is on this host.
fn blob(session: &Session<'_>, image: &Image, disk: &Path) -> Result<PathBuf> {
    let whole = pull::Output {
        path: disk,
        format: DiskFormat::Raw,
        size: None,
        keep: true,
        threads: None,
    };
    pull::fetch(session, image, &whole)?;
    let local = image.url.local().filter(|path| path.is_file());
    let blob = local.or_else(|| pull::kept(session.store, &image.sha512));
    blob.ok_or_else(|| Error::internal("a blob that was fetched is not kept"))
}

/// What a medium is made of.
struct Parts {
    kernel: PathBuf,
    /// The RAM disk.
    packed: Vec<u8>,
    /// The repository, where the image is on the medium.
    files: Vec<File>,
    cmdline: String,
}

impl Parts {
    /// Kernel and RAM disk, which has the repository in an archive of its own: others may be put behind it.
    fn pair(&self, arch: Arch, name: &str, scratch: &Path, output: &Path) -> Result<Files> {
        let initrd = scratch.join("initrd");
        let inside = |file: &File| File::new(format!("repository/{}", file.path), &file.content);
        let files: Vec<File> = self.files.iter().map(inside).collect();
        let written = initrd::write_with(&initrd, &[&self.packed], &files);
        written.map_err(|error| match error.kind() {
            Kind::Usage => error.hint("--iso has no such limit"),
            _ => error,
        })?;
        Ok(Files::Pair {
            kernel: put(&self.kernel, output, &format!("{name}.{}", arch.kernel))?,
            initrd: put(&initrd, output, &format!("{name}.initrd"))?,
        })
    }

    /// One file that boots.
    fn iso(
        &self,
        arch: Arch,
        name: &str,
        title: &str,
        label: &str,
        scratch: &Path,
        output: &Path,
    ) -> Result<Files> {
        let initrd = scratch.join("initrd");
        initrd::write(&initrd, &[&self.packed], None)?;
        let contents = iso::Contents {
            title,
            label,
            kernel: &self.kernel,
            initrd: &initrd,
            cmdline: &self.cmdline,
            files: &self.files,
        };
        let made = iso::write(&contents, arch, scratch)?;
        let iso = put(&made, output, &format!("{name}.iso"))?;
        Ok(Files::Iso { iso })
    }
}

/// Copies what was made to a directory, in the place of an earlier one.
fn put(made: &Path, output: &Path, name: &str) -> Result<PathBuf> {
    let folder = Folder::open(output).doing(|| format!("writing to {}", output.display()))?;
    let outlet = folder.outlet(OsStr::new(name), Overwrite::Anything)?;
    outlet.copy(made)?;
    Ok(output.join(name))
}

impl std::fmt::Display for Medium {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.files {
            Files::Pair { kernel, initrd } => {
                let (kernel, initrd) = (kernel.display(), initrd.display());
                write!(f, "{kernel} and {initrd}; command line: {}", self.cmdline)
            }
            Files::Iso { iso } => write!(f, "{}, for a CD or a USB disk", iso.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::exec::Program;

    /// Else a mistyped word would install by the rule of the medium, on another disk than was meant.
    #[test]
    fn a_word_of_the_command_line_that_is_not_known_stops_it() {
        let (words, _) = INSTALLER.split_once(". /imgforge.conf").unwrap();
        let script = format!("line=$1\nstop() {{ echo \"stopped: $*\"; exit; }}\n{words}");
        let said = |line: &str| {
            let shell = Program::new("sh").args(["-c", &script, "sh", line]);
            shell.text().unwrap()
        };
        for line in [
            "BOOT_IMAGE=/imgforge.vmlinuz console=ttyS0 root=ramdisk",
            "imgforge.disk=by-id=nvme-*,size>=1GiB imgforge.replace imgforge.end=poweroff",
            "imgforge.image=http://h/#web@3 imgforge.channel=stable imgforge.end=reboot quiet",
        ] {
            assert_eq!(said(line), "", "{line}");
        }
        for (line, word) in [
            ("quiet imgforge.dsk=serial=A", "imgforge.dsk=serial=A"),
            ("imgforge.disk=", "imgforge.disk="),
            ("imgforge.end=halt", "imgforge.end=halt"),
            ("imgforge.replace=no", "imgforge.replace=no"),
            ("\"imgforge.disk=serial=A B\"", "\"imgforge.disk=serial=A"),
        ] {
            let said = said(line);
            assert!(said.starts_with(&format!("stopped: {word} ")), "{said}");
        }
    }
}
