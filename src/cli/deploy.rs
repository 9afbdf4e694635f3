//! `imgforge deploy`: published images on the disks of machines.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use clap::Subcommand;
use serde::Serialize;

use super::pull::Which;
use super::{App, out};
use crate::blockdev::{Disk, disks};
use crate::deploy::medium::{self, End, Request};
use crate::deploy::report::Report;
use crate::deploy::{self, Deployed, MachineUrl, Options, Own};
use crate::deployment::DiskRule;
use crate::error::{Context as _, Error, Result};
use crate::host::temporary::Temporary;
use crate::http::Client;
use crate::pull::Reference;

#[derive(Debug, clap::Args)]
pub(crate) struct Deploy {
    /// What to do.
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Writes an image to a disk: verified first, whole or not at all, once
    Disk(DeployDisk),
    /// Writes a medium, which installs an image on the machine that it is booted on
    Medium(DeployMedium),
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "RULE is `only`, a path such as /dev/nvme0n1, or conditions with commas between:\n\
                  by-id=PATTERN, serial=TEXT, transport=nvme, size>=200GiB, size<=1TiB. One disk\n\
                  has to fit. A disk that has the image already is left alone; an interrupted\n\
                  installation is resumed by the same command. Run it on a rescue system."
)]
pub(crate) struct DeployDisk {
    /// The image, and its revision if it has to be a certain one; or oci://HOST/NAME
    #[arg(value_name = "[REPO#]NAME[@REV]")]
    image: Reference,
    /// Writes to the disk that RULE fits
    #[arg(long, value_name = "RULE")]
    disk: DiskRule,
    /// Gives the disk what FILE says is this machine's own: name, keys, network, files; or URL#sha256=HEX
    #[arg(long, value_name = "FILE")]
    machine: Option<Machine>,
    /// Tells each event, and how it ended, to URL by POST
    #[arg(long, value_name = "URL")]
    report: Option<String>,
    /// Writes to a disk that is not empty: all that is on it is lost
    #[arg(long)]
    replace: bool,
    /// Which image, and whom to trust.
    #[command(flatten)]
    which: Which,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The kernel is the image's own. The machine asks the repository for the image,\n\
                  or has it by --embed, and verifies it when it is installed. On the kernel's\n\
                  command line, \
                  imgforge.disk=RULE, imgforge.end=poweroff and imgforge.replace change what\n\
                  the RAM disk does."
)]
pub(crate) struct DeployMedium {
    /// The image in its repository: URL#NAME or URL#NAME@REV
    #[arg(value_name = "IMAGE")]
    image: Reference,
    /// Writes to the disk that RULE fits on the machine
    #[arg(long, value_name = "RULE", value_parser = rule)]
    disk: String,
    /// Writes NAME.vmlinuz and NAME.initrd, or NAME.iso, to DIR
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// Puts the image on the medium: a machine needs no network then
    #[arg(long)]
    embed: bool,
    /// Writes NAME.iso instead, which boots as a CD and as a USB disk
    #[arg(long)]
    iso: bool,
    /// Gives the machine what FILE says is its own: everything in it lies on the medium
    #[arg(long, value_name = "FILE")]
    machine: Option<PathBuf>,
    /// Adds WORDS to the kernel's command line
    #[arg(long, value_name = "WORDS", value_parser = words)]
    append: Option<String>,
    /// What the machine does after the installation
    #[arg(long, value_enum, value_name = "END", default_value = "reboot")]
    end: End,
    /// Which image, and whom to trust.
    #[command(flatten)]
    which: Which,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

/// What became of a disk.
#[derive(Debug, Serialize)]
struct Done {
    disk: PathBuf,
    deployed: Deployed,
}

/// A rule as it is written, if it is one that can be kept where there is no udev.
fn rule(text: &str) -> std::result::Result<String, String> {
    match text.parse::<DiskRule>()? {
        DiskRule::Path(path) if path.parent() != Some(Path::new("/dev")) => Err(format!(
            "a RAM disk has no `{text}`, only the kernel's own names, such as /dev/nvme0n1; \
             write serial=TEXT, which is the same at each start"
        )),
        _ => Ok(text.to_owned()),
    }
}

/// Words of a kernel's command line that every boot loader hands over as they are.
fn words(text: &str) -> std::result::Result<String, String> {
    let plain = |c: char| (c == ' ' || c.is_ascii_graphic()) && !"'\"\\".contains(c);
    match text.chars().find(|c| !plain(*c)) {
        None => Ok(text.to_owned()),
        Some(other) => Err(format!(
            "{other:?} means something else to a boot loader; add it in that one's own menu"
        )),
    }
}

impl DeployMedium {
    fn run(&self, app: &App) -> Result<()> {
        let address = self.image.repository.as_deref();
        let web = address.is_some_and(|at| at.starts_with("http://") || at.starts_with("https://"));
        if !web && !self.embed {
            return Err(
                Error::usage("a medium asks for its image over HTTP, from any machine").hint(
                    "name the image so: https://images.example.org/#NAME; or put it on the medium: --embed",
                ),
            );
        }
        let trusted = self.which.trusted().ok_or_else(|| {
            Error::usage("a medium has to know whom it trusts")
                .hint("add --key FILE, or --fingerprint FP")
        })?;
        let own = match &self.machine {
            Some(file) => Own::read(file)?,
            None => Own::default(),
        };
        self.which.find(app, &self.image, true, |session, found| {
            let request = Request {
                image: &self.image,
                channel: self.which.channel(),
                disk: &self.disk,
                trusted,
                end: self.end,
                own: &own,
                append: self.append.as_deref(),
                embed: self.embed,
                iso: self.iso,
                output: &self.output,
            };
            let medium = medium::write(session, found, &request)?;
            if self.json {
                return out::json(&serde_json::json!({"medium": medium}));
            }
            out::print(&format!("{medium}\n"))
        })
    }
}

impl Deploy {
    pub(crate) fn run(&self, app: &App) -> Result<()> {
        match &self.verb {
            Verb::Disk(verb) => verb.run(app),
            Verb::Medium(verb) => verb.run(app),
        }
    }
}

/// Where a machine file is.
#[derive(Debug, Clone)]
enum Machine {
    File(PathBuf),
    Url(MachineUrl),
}

impl FromStr for Machine {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text.contains("://") {
            true => text.parse().map(Machine::Url),
            false => Ok(Machine::File(text.into())),
        }
    }
}

impl DeployDisk {
    fn run(&self, app: &App) -> Result<()> {
        let Some(url) = &self.report else {
            return self.install(app).and_then(|done| self.print(&done));
        };
        let (report, ui) = Report::begin(url, &app.ui)?;
        let app = App {
            globals: app.globals.clone(),
            ui,
            summary: Arc::clone(&app.summary),
        };
        let result = self.install(&app);
        report.end(app.ui, &result);
        result.and_then(|done| self.print(&done))
    }

    fn install(&self, app: &App) -> Result<Done> {
        let own = match &self.machine {
            Some(Machine::File(file)) => Own::read(file)?,
            Some(Machine::Url(place)) => {
                let scratch = Temporary::new()?;
                Own::fetch(&Client::new()?, place, scratch.path())?
            }
            None => Own::default(),
        };
        let path = self.path()?;
        let mut disk = Disk::open(&path)?;
        let mut done = None;
        // The machine id here is the rescue system's: another one at each start.
        self.which.find(app, &self.image, true, |session, image| {
            let options = Options {
                replace: self.replace,
                own,
                threads: app.globals.most()?,
            };
            done = Some(deploy::install(session, image, &mut disk, options)?);
            Ok(())
        })?;
        let deployed = done.ok_or_else(|| Error::internal("nothing was deployed"))?;
        Ok(Done {
            disk: path,
            deployed,
        })
    }

    fn print(&self, done: &Done) -> Result<()> {
        if self.json {
            return out::json(&serde_json::json!(done));
        }
        let Done { disk, deployed } = done;
        out::print(&format!("{}: {deployed}\n", disk.display()))
    }

    /// The disk that the rule fits.
    fn path(&self) -> Result<PathBuf> {
        match &self.disk {
            DiskRule::Path(path) => Ok(path.clone()),
            DiskRule::Fits(conditions) => {
                let [sys, dev, proc] = ["/sys", "/dev", "/proc"].map(Path::new);
                let found = disks(sys, dev, proc).doing(|| "listing the disks".into())?;
                let chosen = conditions.choose(&found)?;
                Ok(dev.join(&chosen.name))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_medium_takes_no_path_that_its_ram_disk_does_not_have() {
        for good in ["only", "serial=A", "/dev/nvme0n1"] {
            assert_eq!(rule(good).unwrap(), good);
        }
        for bad in ["/dev/disk/by-id/nvme-A", "./disk", "/dev/../sda", "first"] {
            assert!(rule(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_medium_takes_no_word_that_a_boot_loader_would_change() {
        let good = "console=ttyS1,115200n8 imgforge.disk=size>=1GiB imgforge.image=http://h/#web@3";
        assert_eq!(words(good).unwrap(), good);
        for bad in ["a 'b'", "a\nb", "a\\b", "\"a b\"", "ä"] {
            assert!(words(bad).is_err(), "{bad}");
        }
    }
}
