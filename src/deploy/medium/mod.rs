//! Media that install an image by themselves: the image's own kernel, and a RAM disk with imgforge and the
//! programs that it calls, all from this host.

mod kernel;
mod programs;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde::Serialize;

use super::adapt::Own;
use crate::deployment::DiskRule;
use crate::error::{Context as _, Error, Result};
use crate::host::accel::Accel;
use crate::host::outlet::{Folder, Overwrite};
use crate::host::qemu_img::DiskFormat;
use crate::host::temporary::Temporary;
use crate::http::Url;
use crate::machine::Arch;
use crate::pull::{self, Image, Session};
use crate::targets::SystemDisk;
use crate::targets::ramdisk::initrd::{self, Member};
use crate::targets::ramdisk::{LARGEST_KERNEL, copy, words};

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
    pub image: &'a str,
    /// The channel that it is in, where that was said.
    pub channel: Option<&'a str>,
    /// The disk, as a rule is written.
    pub disk: &'a str,
    /// Whom it trusts.
    pub trusted: Trusted<'a>,
    /// What comes after an installation.
    pub end: End,
    /// The directory that the files are written to.
    pub output: &'a Path,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Medium {
    /// The kernel.
    pub kernel: PathBuf,
    /// The RAM disk.
    pub initrd: PathBuf,
    /// The kernel's command line.
    pub cmdline: String,
}

/// Writes a kernel and a RAM disk that install an image.
///
/// # Errors
/// When the image cannot be put onto disks, has no kernel for it, or is for another architecture than this
/// host, whose programs go along; when a program is not installed, or a file cannot be written.
pub fn write(session: &Session<'_>, image: &Image, request: &Request<'_>) -> Result<Medium> {
    let arch = Arch::DEFAULT;
    if image.arch != arch.as_str() {
        let (of, host) = (&image.arch, arch.as_str());
        return Err(Error::usage(format!(
            "the image is for {of}, and the programs of this host are for {host}"
        ))
        .hint(format!("write the medium on a host of {of}")));
    }
    let programs = programs::members()?;
    let ui = session.ui.stage(&image.name, "medium");
    let scratch = Temporary::roomy()?;
    let disk = scratch.path().join("image.raw");
    let blob = blob(session, image, &disk)?;
    super::check(session, &blob, &Own::default(), &ui)?;
    // What has no root of ext4 was refused, so no appliance is started.
    let source = SystemDisk::new(disk, "raw", scratch.path().to_owned(), Accel::Tcg);
    let tree = source.tree(&ui)?;
    let rule: DiskRule = request
        .disk
        .parse()
        .map_err(|why: String| Error::usage(why))?;
    let kernel = kernel::choose(&tree, arch, &rule)?;
    let modules = kernel.members(&tree, &kernel::drivers(&kernel))?;
    let modules = modules.into_iter().map(|(path, bytes)| Member {
        path,
        mode: 0o644,
        bytes,
    });
    ui.step("writing the RAM disk");
    let mut members = initrd::base(&tree, arch, INSTALLER)?;
    members.extend(modules);
    members.extend(programs);
    members.extend(settings(request)?);
    let packed = initrd::pack(&members)?;
    let output = request.output;
    let folder = Folder::open(output).doing(|| format!("writing to {}", output.display()))?;
    let name = |end: &str| format!("{}.{end}", image.name);
    let (vmlinuz, archive) = (name(arch.kernel), name("initrd"));
    let [whole, rest] = ["kernel", "initrd"].map(|name| scratch.path().join(name));
    copy(tree.open(kernel.image), LARGEST_KERNEL, &whole)?;
    // Others may be put behind it.
    initrd::write(&rest, &[&packed], None)?;
    for (made, name) in [(whole, &vmlinuz), (rest, &archive)] {
        let outlet = folder.outlet(OsStr::new(name), Overwrite::Anything)?;
        outlet.copy(&made)?;
    }
    Ok(Medium {
        kernel: output.join(vmlinuz),
        initrd: output.join(archive),
        cmdline: words::cmdline(&Default::default(), arch, false),
    })
}

/// Writes the disk of an image; the image, with its blob on this host.
fn blob(session: &Session<'_>, image: &Image, disk: &Path) -> Result<Image> {
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
    let blob = blob.ok_or_else(|| Error::internal("a blob that was fetched is not kept"))?;
    Ok(Image {
        url: Url::of_path(&blob)?,
        ..image.clone()
    })
}

/// What the RAM disk knows: what to install, where, and whom to trust.
fn settings(request: &Request<'_>) -> Result<Vec<Member>> {
    let mut members = vec![];
    let Trusted { key, fingerprint } = request.trusted;
    if let Some(file) = key {
        let bytes = std::fs::read(file).doing(|| format!("reading {}", file.display()))?;
        members.push(Member {
            path: "key.gpg".into(),
            mode: 0o644,
            bytes,
        });
    }
    let end = match request.end {
        End::Reboot => "reboot",
        End::Poweroff => "poweroff",
    };
    let mut text = String::new();
    for (name, value) in [
        ("IMAGE", request.image),
        ("CHANNEL", request.channel.unwrap_or_default()),
        ("DISK", request.disk),
        ("KEY", key.map_or("", |_| "/key.gpg")),
        ("FINGERPRINT", fingerprint.unwrap_or_default()),
        ("END", end),
    ] {
        let quoted = shlex::try_quote(value)
            .map_err(|_| Error::usage(format!("`{value:?}` has a zero byte")))?;
        text += &format!("{name}={quoted}\n");
    }
    members.push(Member {
        path: "imgforge.conf".into(),
        mode: 0o644,
        bytes: text.into_bytes(),
    });
    Ok(members)
}

impl std::fmt::Display for Medium {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (kernel, initrd) = (self.kernel.display(), self.initrd.display());
        write!(f, "{kernel} and {initrd}; command line: {}", self.cmdline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::exec::Program;

    #[test]
    fn the_ram_disk_reads_its_settings_as_they_were_given() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ops.gpg");
        std::fs::write(&file, "keys of several").unwrap();
        let request = Request {
            image: "https://images.example.org/it's#web",
            channel: None,
            disk: "by-id=nvme-*,size>=1GiB",
            trusted: Trusted {
                key: Some(&file),
                fingerprint: Some("3AA5 71"),
            },
            end: End::Poweroff,
            output: Path::new("/"),
        };
        let members = settings(&request).unwrap();
        let [key, conf] = &members[..] else {
            panic!("{members:?}");
        };
        assert_eq!(
            (&*key.path, &*key.bytes),
            ("key.gpg", &b"keys of several"[..])
        );
        let script = String::from_utf8(conf.bytes.clone()).unwrap();
        let show =
            "printf '%s\\n' \"$IMAGE\" \"$CHANNEL\" \"$DISK\" \"$KEY\" \"$FINGERPRINT\" \"$END\"\n";
        let shell = Program::new("sh").input(script + show).text().unwrap();
        let expected = [
            request.image,
            "",
            request.disk,
            "/key.gpg",
            "3AA5 71",
            "poweroff",
        ];
        assert_eq!(shell.lines().collect::<Vec<_>>(), expected);
    }

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
