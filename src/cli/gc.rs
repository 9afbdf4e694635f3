//! `imgforge gc`.

use super::{App, out, session};
use crate::error::Result;
use crate::pipeline::clean;
use crate::store::Entry;
use crate::units::Size;

/// The arguments of `imgforge gc`.
#[derive(Debug, clap::Args)]
pub struct Gc {
    /// Frees at least SIZE, least recently used first; never what a kept layer builds on
    #[arg(long, value_name = "SIZE")]
    free: Option<Size>,
}

impl Gc {
    /// Runs the verb.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn run(&self, app: &App) -> Result<()> {
        let session = session::open(app)?;
        session.store.prepare()?;
        for cleared in clean::sweep(&session.store, &app.ui)? {
            out::print(&format!("{cleared}\n"))?;
        }
        let mut gone: Vec<Entry> = match session.config.store.max_size {
            Some(limit) => session.store.shrink(limit)?,
            None => vec![],
        };
        if let Some(free) = self.free {
            gone.extend(session.store.evict(free.as_bytes())?);
        }
        for entry in &gone {
            let meta = entry.meta();
            out::print(&format!(
                "removed {} {} {}\n",
                meta.image,
                meta.stage,
                meta.key.short()
            ))?;
        }
        let kept = session.store.all();
        let size = Size::bytes(kept.iter().map(Entry::allocated).sum());
        out::print(&format!(
            "the store has {} entries, {}\n",
            kept.len(),
            size.human()
        ))
    }
}
