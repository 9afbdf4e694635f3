//! `imgforge deploy`: published images on the disks of machines.

use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::pull::Which;
use super::{App, out};
use crate::blockdev::{Disk, disks};
use crate::deploy::medium::{self, End, Request};
use crate::deploy::{self, Options, Own};
use crate::deployment::DiskRule;
use crate::error::{Context as _, Error, Result};
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
    /// Writes a kernel and a RAM disk, which install an image on the machine that they are booted on
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
    /// Gives the disk what FILE says is this machine's own: name, keys, network, files
    #[arg(long, value_name = "FILE")]
    machine: Option<PathBuf>,
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
                  and verifies it, when it is installed. On the kernel's command line,\n\
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
    /// Writes NAME.vmlinuz and NAME.initrd to DIR
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
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

impl DeployMedium {
    fn run(&self, app: &App) -> Result<()> {
        let address = self.image.repository.as_deref();
        if !address.is_some_and(|at| at.starts_with("http://") || at.starts_with("https://")) {
            return Err(
                Error::usage("a medium asks for its image over HTTP, from any machine")
                    .hint("name the image so: https://images.example.org/#NAME"),
            );
        }
        let trusted = self.which.trusted().ok_or_else(|| {
            Error::usage("a medium has to know whom it trusts")
                .hint("add --key FILE, or --fingerprint FP")
        })?;
        let image = self.image.to_string();
        self.which.find(app, &self.image, true, |session, found| {
            let request = Request {
                image: &image,
                channel: self.which.channel(),
                disk: &self.disk,
                trusted,
                end: self.end,
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

impl DeployDisk {
    fn run(&self, app: &App) -> Result<()> {
        let own = match &self.machine {
            Some(file) => Own::read(file)?,
            None => Own::default(),
        };
        let path = self.path()?;
        let mut disk = Disk::open(&path)?;
        // The machine id here is the rescue system's: another one at each start.
        self.which.find(app, &self.image, true, |session, image| {
            let options = Options {
                replace: self.replace,
                own,
                threads: app.globals.most()?,
            };
            let deployed = deploy::install(session, image, &mut disk, options)?;
            if self.json {
                return out::json(&serde_json::json!({"disk": path, "deployed": deployed}));
            }
            out::print(&format!("{}: {deployed}\n", path.display()))
        })
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
}
