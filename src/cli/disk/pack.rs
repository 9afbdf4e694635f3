//! `imgforge disk pack`.

use std::path::PathBuf;

use crate::cli::{App, out};
use crate::error::Result;
use crate::pack::{Options, compress};
use crate::recipe::types::Profile;
use crate::units::Size;

/// The arguments of `imgforge disk pack`.
#[derive(Debug, clap::Args)]
pub struct Pack {
    /// Raw disk to pack
    file: PathBuf,
    /// Where the packed disk goes
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Balance of size against time
    #[arg(long, value_name = "PROFILE", default_value = "publish")]
    profile: Profile,
    /// Memory that packing may use; default: half of what is available
    #[arg(long, value_name = "SIZE")]
    memory: Option<Size>,
}

impl Pack {
    /// Runs the verb.
    ///
    /// # Errors
    /// As [`compress`].
    pub fn run(&self, app: &App) -> Result<()> {
        let options = Options {
            profile: self.profile,
            threads: app.globals.jobs,
            memory: self.memory,
        };
        let name = self.file.file_name().unwrap_or_default().to_string_lossy();
        let ui = app.ui.stage(name, "pack");
        let packed = compress(&self.file, &self.output, &options, &ui)?;
        out::print(&format!("{}  {}\n", packed.sha512, self.output.display()))
    }
}
