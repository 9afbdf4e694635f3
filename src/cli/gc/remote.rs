//! `imgforge gc --remote`.

use std::collections::BTreeSet;
use std::path::Path;

use super::super::{App, out, session};
use crate::address::OciAddress;
use crate::digest::Key;
use crate::error::{Error, Result};
use crate::recipe::Config;
use crate::repository;
use crate::store::remote::{Inventory, Retention};
use crate::time;
use crate::units::{Size, Span};

/// So many foreign tags are named.
const NAMED: usize = 3;

/// What goes of the shared store.
#[derive(Debug, clap::Args)]
pub(super) struct Shared {
    /// Shows what may go of the shared store, that of imgforge.yaml or the one at ADDRESS: what is old, and
    /// neither published nor needed by what stays
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, conflicts_with_all = ["free", "cache"])]
    pub(super) remote: Option<Option<OciAddress>>,
    /// With --remote: what was made longer ago is old
    #[arg(long, value_name = "AGE", default_value = "30d", requires = "remote")]
    older_than: Span,
    /// With --remote: removes it; without this it is only shown
    #[arg(long, requires = "remote")]
    yes: bool,
}

impl Shared {
    pub(super) fn run(&self, app: &App, asked: Option<&OciAddress>) -> Result<()> {
        let (config, root, _) = session::plain(app)?;
        let root = root.ok_or_else(|| {
            Error::usage("without imgforge.yaml it is not known what is published")
                .hint("`imgforge gc --remote` in the directory of the recipes, or with -C")
        })?;
        let address = asked.or(config.store.remote.as_ref()).ok_or_else(|| {
            Error::usage("no shared store is named").hint(
                "`imgforge gc --remote oci://HOST/NAME`, or `store: {remote: …}` in imgforge.yaml",
            )
        })?;
        let retention = Retention {
            age: self.older_than,
            now: time::now(),
            published: published(&config, &root)?,
        };
        let mut inventory = Inventory::read(address)?;
        let (mut count, mut bytes) = (0, 0);
        let mut tell = |item: &crate::store::remote::Item, fate: &str| {
            (count, bytes) = (count + 1, bytes + item.bytes);
            let days = retention.now.saturating_sub(item.made) / 86_400;
            let size = Size::bytes(item.bytes).human();
            out::print(&format!("{}: {fate}, {days} d old, {size}\n", item.name))
        };
        if self.yes {
            inventory.remove(&retention, |item| tell(item, "removed"))?;
        } else {
            for item in inventory.candidates(&retention) {
                tell(&item, "goes")?;
            }
        }
        out::print(&foreign(&inventory))?;
        for (name, _) in config
            .repositories
            .iter()
            .filter(|(_, place)| place.path.is_none())
        {
            out::print(&format!(
                "skipped the repository `{name}`: it has no directory on this host\n"
            ))?;
        }
        let size = Size::bytes(bytes).human();
        let left = inventory.count();
        out::print(&match (count, self.yes) {
            (0, _) => format!("{address} has nothing to remove; it has {left} entries\n"),
            (_, true) => format!(
                "removed {count} of {address}, {left} left; the registry's own garbage \
                 collection frees up to {size}\n"
            ),
            (_, false) => {
                format!(
                    "this would remove {count} of {left} entries of {address}, up to {size}; --yes \
                     does it\n"
                )
            }
        })
    }
}

/// The tags that imgforge has nothing to do with.
fn foreign(inventory: &Inventory) -> String {
    let tags: Vec<&str> = inventory.foreign().collect();
    let named = tags
        .iter()
        .take(NAMED)
        .copied()
        .collect::<Vec<_>>()
        .join(", ");
    match tags.len() {
        0 => String::new(),
        1..=NAMED => format!("kept, as this version of imgforge cannot read them: {named}\n"),
        many => format!(
            "kept, as this version of imgforge cannot read them: {named} and {} more\n",
            many - NAMED
        ),
    }
}

/// The stages of all that the repositories of imgforge.yaml have. One that cannot be read stops this: what
/// it publishes would go.
fn published(config: &Config, root: &Path) -> Result<BTreeSet<Key>> {
    let mut keys = BTreeSet::new();
    for (name, place) in &config.repositories {
        let Some(path) = &place.path else {
            continue;
        };
        let path = root.join(path);
        let stages = repository::published_stages(&path).map_err(|error| {
            let doing = format!("looking what the repository `{name}` still has");
            error.within(doing)
        })?;
        keys.extend(stages);
    }
    Ok(keys)
}
