//! What the steps of a job take from toolboxes.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::recipe::types::{Action, Step};
use crate::runner::Tools;
use crate::stage::Context;
use crate::store::Store;
use crate::toolbox::collections::{self, Galaxy};
use crate::toolbox::{self, Request, Toolbox};

/// Held while the guest runs, so that nothing of it leaves the store.
#[derive(Debug, Default)]
pub(super) struct Held {
    ansible: Option<Toolbox>,
    galaxy: BTreeMap<String, Galaxy>,
}

impl Held {
    pub(super) fn tools(&self) -> Tools {
        let galaxy = self.galaxy.iter();
        Tools {
            disk: self.ansible.as_ref().map(Toolbox::disk),
            galaxy: galaxy.map(|(name, it)| (name.clone(), it.path())).collect(),
        }
    }
}

/// Fetches or makes what `steps` need in a guest of this release.
pub(super) fn of(context: &Context<'_>, steps: &[Step], codename: &str) -> Result<Held> {
    let mut held = Held::default();
    let store = Store::new(context.host.state());
    for step in steps {
        let Action::Ansible(ansible) = &step.action else {
            continue;
        };
        let request = Request {
            store: &store,
            ledger: context.host.ledger()?,
            config: context.config,
            mirror: &context.recipe().mirrors.build,
            arch: context.recipe().machine.arch,
            ui: context.ui,
        };
        if held.ansible.is_none() {
            held.ansible = Some(toolbox::ansible(&request, codename)?);
        }
        if let (Some(toolbox), Some(written)) = (&held.ansible, &ansible.requirements) {
            let path = context.files.root().join(written);
            let galaxy = collections::install(&request, toolbox, &path)?;
            held.galaxy.insert(written.clone(), galaxy);
        }
    }
    Ok(held)
}
