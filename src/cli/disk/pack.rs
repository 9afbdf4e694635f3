//! `imgforge disk pack`.

use std::fs::File;
use std::path::PathBuf;

use crate::cli::{App, out, recipes};
use crate::error::{Context as _, Result};
use crate::host::diskfile;
use crate::host::imagefile::ImageFile;
use crate::host::outlet::Outlet;
use crate::host::taken::{self, PinnedFile};
use crate::host::temporary;
use crate::pack::{self, BlockCache, Options, Packed};
use crate::pack::{Filter, Profile};
use crate::ui::StageUi;
use crate::units::Size;

#[derive(Debug, clap::Args)]
pub(crate) struct Pack {
    /// Disk to pack, raw or qcow2
    file: PathBuf,
    /// Where the packed disk goes
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// File below the disk, where that is an overlay; can be given often
    #[arg(long, value_name = "FILE")]
    backing: Vec<PathBuf>,
    /// Balance of size against time
    #[arg(long, value_name = "PROFILE", default_value = "publish")]
    profile: Profile,
    /// What comes before the compression; busybox and programs in Go do not read `x86`
    #[arg(long, value_name = "FILTER", default_value = "none")]
    filter: Filter,
    /// Memory that packing may use; default: half of what is available
    #[arg(long, value_name = "SIZE")]
    memory: Option<Size>,
    /// Encodes every block again instead of taking what an earlier pack encoded
    #[arg(long)]
    no_cache: bool,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

impl Pack {
    pub(crate) fn run(&self, app: &App) -> Result<()> {
        let cache = match self.no_cache {
            true => None,
            false => Some(cache(app)?),
        };
        let name = self.output.file_name().unwrap_or_default();
        let ui = app.ui.stage(name.to_string_lossy(), "pack");
        let packed = self.pack(app, cache.as_ref(), &ui)?;
        app.ui.notice(packed.summary());
        if self.json {
            return out::json(&serde_json::json!({
                "file": self.output,
                "size": packed.size.as_bytes(),
                "virtual-size": packed.virtual_size.as_bytes(),
                "sha512": packed.sha512,
                "blocks": packed.blocks,
                "zero-blocks": packed.zero_blocks,
                "cached-blocks": packed.cached_blocks,
                "memory": packed.memory.as_bytes(),
                "seconds": packed.took.as_secs_f64(),
            }));
        }
        out::print(&format!("{}  {}\n", packed.sha512, self.output.display()))
    }

    fn pack(&self, app: &App, cache: Option<&BlockCache>, ui: &StageUi) -> Result<Packed> {
        let options = Options {
            profile: self.profile,
            filter: self.filter,
            threads: app.globals.most()?,
            memory: self.memory,
            cache,
        };
        // One that becomes a qcow2 meanwhile is packed as the file that it is.
        let doing = || format!("reading {}", self.file.display());
        let file = taken::named(&self.file)?;
        let raw = diskfile::open(&file)?;
        let out = Outlet::of(&self.output)?.apart_from(&raw.metadata().doing(doing)?)?;
        if ImageFile::of_open(&raw).doing(doing)? != ImageFile::Qcow2 {
            return pack::compress_open(raw, &file, &out, &options, ui);
        }
        let disk = PinnedFile::disk(&file, "qcow2", &self.backing)?;
        let scratch = tempfile::Builder::new()
            .prefix(".imgforge-")
            .tempdir_in(temporary::beside(&out.real()))
            .doing(|| format!("writing {}", self.output.display()))?;
        let raw = scratch.path().join("disk.raw");
        ui.step("flattening the disk");
        pack::flatten(disk.path(), "qcow2", &raw, ui)?;
        ui.step("compressing");
        let flat = File::open(&raw).doing(doing)?;
        pack::compress_open(flat, &raw, &out, &options, ui)
    }
}

/// The block cache of the state directory, as a build in this directory would use it.
fn cache(app: &App) -> Result<BlockCache> {
    let (configured, limit) = match recipes::find(app)? {
        Some(repo) => {
            let config = repo.config()?;
            let state = config.state.as_ref().map(|state| repo.root().join(state));
            (state, config.store.block_cache)
        }
        // There need not be a recipe repository.
        None => (None, None),
    };
    let state = app.globals.state_dir(configured.as_deref())?;
    BlockCache::open(&state, limit)
}
