//! `imgforge gc`.

mod remote;

use super::{App, out, session};
use crate::error::Result;
use crate::pack::BlockCache;
use crate::pipeline::clean;
use crate::proxy::Cache;
use crate::store::Store;
use crate::store::gc::Gone;
use crate::units::Size;

#[derive(Debug, clap::Args)]
pub(crate) struct Gc {
    /// Frees at least SIZE: downloads, packed blocks, then layers, least recently used first;
    /// never what a kept layer builds on
    #[arg(long, value_name = "SIZE")]
    free: Option<Size>,
    /// Removes all packages and index files of mirrors that are kept for the next builds
    #[arg(long)]
    cache: bool,
    #[command(flatten)]
    shared: remote::Shared,
}

impl Gc {
    pub(crate) fn run(&self, app: &App) -> Result<()> {
        if let Some(asked) = &self.shared.remote {
            return self.shared.run(app, asked.as_ref());
        }
        let (config, _, store) = session::plain(app)?;
        store.prepare()?;
        for cleared in clean::sweep(&store, &app.ui)? {
            out::print(&format!("{cleared}\n"))?;
        }
        let cache = Cache::new(store.state(), config.store.cache_size);
        let mut freed = match self.cache {
            true => cache.clear()?,
            false => cache.shrink()?,
        };
        let blocks = BlockCache::open(store.state(), config.store.block_cache)?;
        blocks.shrink();
        let mut gone: Vec<Gone> = match config.store.max_size {
            Some(limit) => store.shrink(limit)?,
            None => vec![],
        };
        if let Some(free) = self.free {
            // What can be fetched again goes before what takes an hour to build.
            freed += cache.evict(free.as_bytes())?;
            let rest = free.as_bytes().saturating_sub(freed);
            let rest = rest.saturating_sub(blocks.free(rest));
            gone.extend(store.free(rest)?);
        }
        if freed > 0 {
            let freed = Size::bytes(freed).human();
            out::print(&format!("removed {freed} of packages and index files\n"))?;
        }
        clean::remove_garbage(&store)?;
        for each in &gone {
            out::print(&format!("removed {}\n", each.name))?;
        }
        let cached = blocks.usage();
        out::print(&format!(
            "the store has {} entries, {}\nthe block cache has {} blocks, {}\n",
            store.all().len(),
            Size::bytes(store.size()).human(),
            cached.files,
            Size::bytes(cached.bytes).human()
        ))?;
        out::print(&unusable(&store))
    }
}

/// What takes space, or waits for somebody, and is not for this imgforge.
fn unusable(store: &Store) -> String {
    let mut lines = Vec::new();
    for stray in store.strays() {
        let size = Size::bytes(stray.bytes).human();
        let path = stray.path.display();
        lines.push(format!("{path}: {size}, {}", stray.kind.describe()));
    }
    if !lines.is_empty() {
        lines.push("`imgforge gc --free SIZE` removes what imgforge made, these first".into());
    }
    let unknown = store
        .orphans()
        .into_iter()
        .flat_map(|orphan| orphan.unknown);
    for record in unknown {
        let path = record.display();
        lines.push(format!(
            "{path}: left by another version of imgforge, whose `gc` knows what it is"
        ));
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}
