//! How this machine runs guests: measured, connected and cleaned up only when some stage will run.

use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::doctor::{Needs, preflight};
use crate::error::Result;
use crate::host::accel::{Accel, Setting};
use crate::hypervisor::{self, Connection};
use crate::pipeline::clean;
use crate::pipeline::plan::{Plan, Work};
use crate::stage::StageId;
use crate::store::Store;
use crate::store::ledger::Ledger;
use crate::target;
use crate::ui::Ui;
use crate::units::Size;

/// The host, as the command line and imgforge.yaml want it used.
#[derive(Debug)]
pub struct Host {
    // Dropped in this order: guests and the daemon go before the page that names them.
    connection: OnceLock<Connection>,
    ledger: OnceLock<Ledger>,
    accel: OnceLock<Accel>,
    settings: Settings,
    // Several builds at once open one connection, measure once, sweep one after the other.
    once: Mutex<()>,
}

/// What the user may set about the host.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The state directory.
    pub state: PathBuf,
    /// `--connect`.
    pub connect: Option<String>,
    /// `--accel`.
    pub accel: Setting,
    /// `host-ports`.
    pub host_ports: Vec<u16>,
    /// `store.max-size`.
    pub max_size: Option<Size>,
    /// Who is told.
    pub ui: Ui,
}

impl Host {
    /// Nothing is looked at yet.
    pub fn new(settings: Settings) -> Self {
        let (connection, ledger, accel) = Default::default();
        Host {
            connection,
            ledger,
            accel,
            settings,
            once: Mutex::default(),
        }
    }

    /// The state directory, as a store.
    pub fn store(&self) -> Store {
        Store::new(&self.settings.state)
    }

    /// Clears what dead processes left, makes room, and asks whether the host is ready for `plan`,
    /// and to `publish` its image.
    ///
    /// # Errors
    /// [`Kind::Host`](crate::error::Kind::Host) with everything that is missing.
    pub fn prepare(&self, plan: &Plan, publish: bool) -> Result<()> {
        let store = Store::new(&self.settings.state);
        for cleared in clean::sweep(&store, &self.settings.ui)? {
            self.settings
                .ui
                .notice(format!("cleared after an earlier run: {cleared}"));
        }
        if let Some(limit) = self.settings.max_size {
            for gone in store.shrink(limit)? {
                self.settings
                    .ui
                    .notice(format!("the store is full: removed {}", gone.name));
            }
        }
        let runs: Vec<_> = plan
            .all()
            .into_iter()
            .filter(|planned| !planned.cached)
            .collect();
        let targets = runs.iter().filter_map(|planned| match planned.work {
            Work::Finish(name) => target::find(name),
            _ => None,
        });
        let targets: Vec<_> = targets.collect();
        target::need_tools(targets.iter().copied())?;
        let recipe = &plan.resolved.recipe.targets;
        let guests = targets
            .iter()
            .any(|target| target.trial.is_some() || !(target.steps)(recipe).is_empty());
        // What boots a guest needs what the gate needs.
        let guests = guests.then(|| StageId::Check.name());
        let publishing = publish.then(|| StageId::Publish.name());
        let stages = runs.iter().map(|planned| planned.stage.name());
        preflight(&Needs {
            stages: stages.chain(guests).chain(publishing).collect(),
            installer: plan.runs_an_installer() && runs.iter().any(|p| p.stage == StageId::Install),
            bootstrap: plan.bootstraps() && runs.iter().any(|p| p.stage == StageId::Install),
            state: &self.settings.state,
        })
    }

    /// The state directory.
    pub fn state(&self) -> &std::path::Path {
        &self.settings.state
    }

    /// This process' page of the ledger.
    ///
    /// # Errors
    /// When the state directory cannot be written.
    pub fn ledger(&self) -> Result<&Ledger> {
        if let Some(ledger) = self.ledger.get() {
            return Ok(ledger);
        }
        let _once = self.once.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ledger) = self.ledger.get() {
            return Ok(ledger);
        }
        let ledger = Ledger::open(&self.settings.state)?;
        Ok(self.ledger.get_or_init(|| ledger))
    }

    /// What runs the guests' instructions; measured once.
    ///
    /// # Errors
    /// When the user asks for an acceleration that does not work here.
    pub fn accel(&self) -> Result<Accel> {
        if let Some(accel) = self.accel.get() {
            return Ok(*accel);
        }
        let _once = self.once.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(accel) = self.accel.get() {
            return Ok(*accel);
        }
        let found = self.settings.accel.choose();
        self.settings.ui.notice(found.reason);
        Ok(*self.accel.get_or_init(|| found.accel))
    }

    /// The connection to libvirt; opened once.
    ///
    /// # Errors
    /// When libvirt cannot be reached.
    pub fn connection(&self) -> Result<&Connection> {
        if let Some(connection) = self.connection.get() {
            return Ok(connection);
        }
        let (uri, ledger) = (self.settings.connect.as_deref(), self.ledger()?);
        let _once = self.once.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connection) = self.connection.get() {
            return Ok(connection);
        }
        let connection = Connection::open(&hypervisor::Options {
            uri,
            host_ports: &self.settings.host_ports,
            ledger,
        })?;
        Ok(self.connection.get_or_init(|| connection))
    }
}
