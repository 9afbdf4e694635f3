//! Clears what dead imgforge processes left, and nothing else.

use crate::error::Result;
use crate::guest::remove_sockets_below;
use crate::host::namespace::remove_tree;
use crate::host::temporary;
use crate::hypervisor::sweep::{sweep_domain, sweep_process};
use crate::store::Store;
use crate::store::ledger::Item;
use crate::ui::Ui;

/// Clears what the ledger's orphans name; returns what was cleared, for people.
///
/// # Errors
/// When something of an orphan cannot be removed; the rest is cleared all the same.
pub fn sweep(store: &Store, ui: &Ui) -> Result<Vec<String>> {
    let mut cleared = Vec::new();
    for orphan in store.orphans() {
        // Guests first: they hold the files.
        let mut items: Vec<_> = orphan.items.iter().collect();
        items.sort_by_key(|(_, item)| match item {
            Item::Domain { .. } => 0,
            Item::Process { .. } => 1,
            Item::Scratch { .. } => 2,
        });
        for (record, item) in items {
            if let Item::Scratch { path } = item
                && item.check().is_ok()
                && path.join("ledger").is_dir()
            {
                // A store for a while, whose builds have guests of their own.
                cleared.extend(sweep(&Store::new(path), ui)?);
            }
            match clear(item) {
                Ok(what) => {
                    cleared.extend(what);
                    drop(std::fs::remove_file(record));
                }
                Err(error) => ui.warning(format!("clearing up after an earlier run: {error}")),
            }
        }
        orphan.close();
    }
    remove_garbage(store)?;
    let left = temporary::sweep().into_iter();
    cleared.extend(left.map(|path| format!("removed {}", path.display())));
    for part in store.abandoned_parts() {
        // Somebody may have begun to go on with it just now: then it is begun anew.
        drop(std::fs::remove_file(part));
    }
    Ok(cleared)
}

/// Removes what the store has on its way out, also what its own user may not.
///
/// # Errors
/// When something cannot be removed.
pub fn remove_garbage(store: &Store) -> Result<()> {
    let garbage = store.garbage();
    garbage.iter().try_for_each(|path| remove_tree(path))
}

fn clear(item: &Item) -> Result<Vec<String>> {
    use crate::error::Context as _;
    item.check()?;
    match item {
        Item::Domain { name, uuid } => sweep_domain(name, *uuid),
        Item::Process { pid, start } => {
            sweep_process(*pid, *start).map(|ended| ended.into_iter().collect())
        }
        Item::Scratch { path } if path.symlink_metadata().is_err() => Ok(vec![]),
        Item::Scratch { path } => {
            let doing = || format!("removing {}", path.display());
            if path.is_dir() {
                remove_sockets_below(path);
                remove_tree(path)?;
            } else {
                std::fs::remove_file(path).doing(doing)?;
            }
            Ok(vec![format!("removed {}", path.display())])
        }
    }
}
