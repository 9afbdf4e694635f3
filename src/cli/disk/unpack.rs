//! `imgforge disk unpack`.

use std::path::PathBuf;

use crate::cli::{App, out};
use crate::error::Result;
use crate::pack::read::{ReadOptions, unpack};
use crate::units::Size;

#[derive(Debug, clap::Args)]
pub(crate) struct Unpack {
    /// Packed disk, a .xz file
    file: PathBuf,
    /// Where the disk goes
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Prints the SHA-512 of the disk, too; that takes time for every byte, holes included
    #[arg(long)]
    sha512: bool,
    /// Refuses a file that claims to hold a larger disk; default: 8TiB
    #[arg(long, value_name = "SIZE")]
    largest: Option<Size>,
    /// Memory that unpacking may use; default: half of what is available
    #[arg(long, value_name = "SIZE")]
    memory: Option<Size>,
}

impl Unpack {
    pub(crate) fn run(&self, app: &App) -> Result<()> {
        let options = ReadOptions {
            threads: app.globals.most()?,
            memory: self.memory,
            largest: self.largest,
            plain: self.sha512,
        };
        let name = self.output.file_name().unwrap_or_default();
        let ui = app.ui.stage(name.to_string_lossy(), "unpack");
        let (unpacked, packed) = unpack(&self.file, &self.output, &options, &ui)?;
        out::print(&format!("{packed}  {}\n", self.file.display()))?;
        match unpacked.sha512 {
            Some(plain) => out::print(&format!("{plain}  {}\n", self.output.display())),
            None => Ok(()),
        }
    }
}
