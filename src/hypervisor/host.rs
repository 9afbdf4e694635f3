//! How this machine runs guests: measured, connected and cleaned up only when some stage will run.

use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};

use super::{Connection, Options};
use crate::error::{Context as _, Result};
use crate::host::accel::{Accel, Setting};
use crate::mutex::Unpoisoned as _;
use crate::store::Store;
use crate::store::ledger::Ledger;
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
    isolated: bool,
    // Several builds at once open one connection, measure once, sweep one after the other.
    once: Mutex<()>,
}

/// What the user may set about the host.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The state directory.
    pub state: PathBuf,
    /// libvirt's address; none means the one that fits this user.
    pub connect: Option<String>,
    /// What runs the guests' instructions.
    pub accel: Setting,
    /// Ports of this host that guests reach.
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
            isolated: false,
            once: Mutex::default(),
        }
    }

    /// Has guests reach imgforge's proxy, and nothing else, from the first one on.
    pub fn isolate(&mut self) {
        self.isolated = true;
    }

    /// What the user has set.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The state directory, as a store.
    pub fn store(&self) -> Store {
        Store::new(&self.settings.state)
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
        let _once = self.once.lock().unpoisoned();
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
        let _once = self.once.lock().unpoisoned();
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
        let _once = self.once.lock().unpoisoned();
        if let Some(connection) = self.connection.get() {
            return Ok(connection);
        }
        let program = std::env::current_exe().doing(|| "finding this program".into())?;
        let connection = Connection::open(&Options {
            uri,
            host_ports: &self.settings.host_ports,
            isolated: self.isolated,
            program: &program,
            ledger,
        })?;
        Ok(self.connection.get_or_init(|| connection))
    }
}
