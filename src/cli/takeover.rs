//! `imgforge takeover`: what would become of the running system.

use std::path::Path;

use super::pull::Which;
use super::{App, out};
use crate::error::{Error, Result};
use crate::pull::Reference;
use crate::takeover::{self, Keep};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "--keep names what the new system would get of this one: host-keys,\n\
                  authorized-keys, network, hostname, machine-id, resolv-conf, all, none, or\n\
                  paths of files. Only --dry-run is there: it changes nothing."
)]
pub(crate) struct Takeover {
    /// The image, and its revision if it has to be a certain one; or oci://HOST/NAME
    #[arg(value_name = "[REPO#]NAME[@REV]")]
    image: Reference,
    /// What the new system gets of this one
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    keep: Vec<Keep>,
    /// Only shows what would become of this system
    #[arg(long)]
    dry_run: bool,
    /// Which image, and whom to trust.
    #[command(flatten)]
    which: Which,
}

impl Takeover {
    pub(crate) fn run(&self, app: &App) -> Result<()> {
        if !self.dry_run {
            return Err(Error::usage(
                "a running system is not replaced yet, and nothing was changed",
            )
            .hint(
                "add --dry-run to see what would become of it; \
                     to replace it, start a rescue system, and run `imgforge deploy disk` there",
            ));
        }
        // The machine id here is of the system that would go.
        self.which.find(app, &self.image, true, |_, image| {
            match takeover::plan(Path::new("/"), image, &self.keep)? {
                takeover::Takeover::Already(said) => out::print(&format!("{said}\n")),
                takeover::Takeover::Planned(plan) => {
                    out::print(&plan.to_string())?;
                    plan.check()
                }
            }
        })
    }
}
