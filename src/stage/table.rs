//! The stages in order, and what is known of each: its row stands beside the code that runs it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::plan::{Part, Parts, Request};
use super::{check, configure, finish, install, pack, publish, seal};
use crate::doctor::Need;
use crate::recipe::Resolved;
use crate::store::epoch::Has;

/// What is known of a stage.
#[derive(Debug)]
pub struct Stage {
    /// Its name in recipes, messages and file names.
    pub name: &'static str,
    /// Whether its result is a disk, which the next stage builds on.
    pub makes_disk: bool,
    /// Whether it fetches: its result ages, and `--offline` has none to make.
    pub fetches: bool,
    /// Whether it has to know the recipe's secrets.
    pub secrets: bool,
    /// What the input is called that is the disk of the stage before.
    pub below: &'static str,
    /// The parts that an image has of it; each has a key of its own.
    pub parts: for<'a> fn(&Request<'a>) -> Parts<'a>,
    /// What a part needs of the host.
    pub needs: fn(&Resolved, &Part) -> &'static [Need],
    /// Whether a store has a result of it.
    pub has: Has,
}

macro_rules! stages {
    ($($(#[$about:meta])* $id:ident => $module:ident,)*) => {
        /// The stages, in the order of the pipeline.
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(rename_all = "kebab-case")]
        pub enum StageId {
            $($(#[$about])* $id,)*
        }

        impl StageId {
            /// Every stage, in order.
            pub const ALL: &'static [StageId] = &[$(StageId::$id,)*];

            /// What is known of it.
            pub const fn row(self) -> &'static Stage {
                match self {
                    $(StageId::$id => &$module::STAGE,)*
                }
            }
        }
    };
}

stages! {
    /// The base system gets onto a disk.
    Install => install,
    /// The recipe's steps run inside the booted guest.
    Configure => configure,
    /// What must not stay is removed, the disk is trimmed.
    Seal => seal,
    /// The gate.
    Check => check,
    /// The disk is compressed.
    Pack => pack,
    /// The targets' artifacts are made.
    Finish => finish,
    /// The repository gets it.
    Publish => publish,
}

impl StageId {
    /// The name in recipes, messages and file names.
    pub const fn name(self) -> &'static str {
        self.row().name
    }
}

impl fmt::Display for StageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for StageId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut all = StageId::ALL.iter();
        all.find(|stage| stage.name() == text)
            .copied()
            .ok_or_else(|| {
                let names: Vec<&str> = StageId::ALL.iter().map(|stage| stage.name()).collect();
                let names = names.join(", ");
                format!("`{text}` is not a stage; the stages are {names}")
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_has_a_name_of_its_own_and_a_row_in_the_documentation() {
        let page = include_str!("../../docs/architecture.md");
        let mut at = 0;
        for stage in StageId::ALL {
            let name = stage.name();
            assert_eq!(name.parse::<StageId>().as_ref(), Ok(stage));
            assert_eq!(serde_json::to_value(stage).unwrap(), name);
            let row = page.find(&format!("| `{name}` |"));
            let row = row.unwrap_or_else(|| panic!("docs/architecture.md lacks {name}"));
            assert!(row > at, "docs/architecture.md has {name} elsewhere");
            at = row;
        }
        assert!(
            "nothing"
                .parse::<StageId>()
                .unwrap_err()
                .contains("install, configure, seal")
        );
    }

    /// Disks come first, as later stages only read the last one.
    #[test]
    fn no_stage_makes_a_disk_after_one_that_makes_none() {
        let disks: Vec<bool> = StageId::ALL
            .iter()
            .map(|stage| stage.row().makes_disk)
            .collect();
        assert!(disks.is_sorted_by(|a, b| a >= b), "{disks:?}");
    }
}
