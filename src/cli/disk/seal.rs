//! `imgforge disk seal`.

use std::path::PathBuf;

use crate::cli::disk::words::Word;
use crate::cli::{App, disk, out};
use crate::error::{Error, Result};
use crate::host::diskfile::DiskFile;
use crate::host::qemu_img::DiskFormat;
use crate::sysprep::file::{Job, seal_file};
use crate::sysprep::{self, Declared};

#[derive(Debug, clap::Args)]
pub(crate) struct Seal {
    /// Disk to seal: raw or qcow2, with one operating system
    #[arg(required_unless_present = "list")]
    file: Option<PathBuf>,
    /// Where the sealed disk goes; without it, FILE is replaced when all is done
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Operations, separated by commas; `-NAME` leaves one out
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = "default",
        allow_hyphen_values = true,
        hide_possible_values = true
    )]
    operations: Vec<Word>,
    /// Lists the operations; a `*` marks those of `default`
    #[arg(long)]
    list: bool,
    /// Format of FILE, if it is not what it looks like
    #[arg(long, value_name = "FORMAT")]
    format: Option<DiskFormat>,
    /// File below the disk, where that is an overlay; can be given often
    #[arg(long, value_name = "FILE")]
    backing: Vec<PathBuf>,
    /// File with a passphrase of an encrypted (LUKS) volume; can be given often
    #[arg(long, value_name = "FILE")]
    luks_key: Vec<PathBuf>,
    /// Leaves this path of the guest alone; can be given often
    #[arg(long, value_name = "PATH")]
    keep: Vec<String>,
    /// Leaves the public SSH keys of this user alone; can be given often
    #[arg(long, value_name = "USER")]
    keep_keys: Vec<String>,
}

impl Seal {
    pub(crate) fn run(&self, app: &App) -> Result<()> {
        let Some(file) = self.file.as_ref().filter(|_| !self.list) else {
            return out::print(&sysprep::table());
        };
        let words: Vec<&str> = self.operations.iter().map(Word::as_str).collect();
        let operations = sysprep::select(&words)?;
        let luks_keys = disk::luks_keys(&self.luks_key)?;
        if let Some(path) = self.keep.iter().find(|path| !path.starts_with('/')) {
            return Err(Error::usage(format!(
                "`{path}` is not an absolute path of the guest"
            )));
        }
        let disk = DiskFile::open(file, self.format, &self.backing)?;
        let host = disk::host(app)?;
        let ui = app.ui.stage(disk::name(file), "seal");
        let sealed = seal_file(&Job {
            disk: &disk,
            output: self.output.as_deref(),
            operations: &operations,
            declared: &Declared {
                accounts: self.keep_keys.iter().cloned().collect(),
                files: self.keep.iter().cloned().collect(),
                ..Declared::default()
            },
            luks_keys: &luks_keys,
            accel: host.accel()?,
            ledger: host.ledger()?,
            ui: &ui,
        })?;
        out::print(&format!("{}: {}\n", sealed.path.display(), sealed.note))
    }
}
