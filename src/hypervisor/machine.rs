//! A domain that libvirt has created, and the guard that ends it.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

use super::apart::{self, Pasta};
use super::connect::{Link, failed};
use super::door::Door;
use super::libvirt::Domain;
use super::private::Daemon;
use super::spec::{Nic, Spec};
use super::sweep;
use super::xml::{self, GuestPlace};
use crate::error::{Context as _, Error, Result};
use crate::host::layers::Layers;
use crate::host::tools;
use crate::machine::{Arch, Network, Uefi};
use crate::store::ledger::{Item, Ledger, Record};

/// What a guest on the network `user` is connected to.
#[expect(dead_code, reason = "they only have to live")]
enum WayOut {
    /// What this host reaches.
    World(Pasta),
    /// Ports of this host's loopback, and nothing else.
    Proxy(Door),
}

/// A created domain with its sockets. Dropping it destroys it.
pub(super) struct Machine {
    pub(super) place: GuestPlace,
    handle: Option<Domain>,
    pub(super) sockets: PathBuf,
    /// What its disks stood on before it ran.
    layers: Layers,
    /// Its way out, which ends after the guest.
    network: Option<WayOut>,
    /// Stays in the ledger when the domain does not end.
    record: Option<Record>,
    pub(super) link: Arc<Link>,
}

impl Machine {
    /// Writes the domain down, then creates it, paused.
    pub(super) fn create(link: Arc<Link>, spec: &Spec, ledger: &Ledger) -> Result<Machine> {
        let mut machine = Machine::reserve(link, spec, ledger)?;
        machine.handle = Some(machine.start_paused(spec)?);
        Ok(machine)
    }

    /// Writes down a domain that does not exist yet, and makes its private directory.
    pub(super) fn reserve(link: Arc<Link>, spec: &Spec, ledger: &Ledger) -> Result<Machine> {
        if link.isolated {
            may_be_isolated(spec, link.has_own_networks())?;
        }
        let written = spec.disks.iter().filter(|disk| !disk.readonly);
        let layers = Layers::of(written.map(|disk| (&*disk.path, disk.format.as_str())))?;
        let emulator = match &link.private {
            Some(daemon) => Some(daemon.emulator(spec.arch)?),
            None if link.session => Some(apart::emulator(spec.arch)?),
            None => None,
        };
        let uuid = Uuid::new_v4();
        let id = uuid.simple().to_string()[..8].to_owned();
        // libvirt names a guest's directory by a number of its daemon's and the first 20 letters of this: two
        // daemons of one user have the same directory for them.
        let name = format!("{id}-{}", spec.name);
        let record = ledger.record(&Item::Domain {
            name: name.clone(),
            uuid,
        })?;
        let sockets = link.runtime.path().join(&id);
        std::fs::create_dir(&sockets).doing(|| format!("making {}", sockets.display()))?;
        writable(spec, &sockets)?;
        let mut machine = Machine {
            place: GuestPlace {
                label: link.label.clone(),
                emulator,
                ..place(spec, name, uuid, &sockets)
            },
            handle: None,
            layers,
            sockets,
            network: None,
            record: Some(record),
            link,
        };
        if spec.firmware.is_uefi() {
            machine.place.uefi = Some(prepare(spec.arch, &machine.sockets.join("vars.fd"))?);
        }
        Ok(machine)
    }

    /// Takes over the domain that another program created; false when there is none yet.
    pub(super) fn find(&mut self) -> bool {
        if let Ok(domain) = self.link.connect.lookup(self.place.uuid) {
            self.handle = Some(domain);
        }
        self.handle.is_some()
    }

    fn start_paused(&self, spec: &Spec) -> Result<Domain> {
        let xml = xml::render(spec, &self.place);
        match self.link.connect.create_paused(&xml) {
            Ok(domain) => Ok(domain),
            Err(cause) => {
                let what = format!("the guest {} does not start", self.place.name);
                let named = |nic: &Nic| matches!(nic.network, Some(Network::Named(_)));
                let hint = if self.link.private.is_some() && spec.nics.iter().any(named) {
                    "only the host's own libvirt daemon has networks: start it, or use `network: user`"
                } else {
                    "`imgforge doctor` checks QEMU and libvirt"
                };
                Err(failed(&what, &cause).hint(hint))
            }
        }
    }

    /// Connects the guest, which has a network of its own, to the host's and to the proxy; to the proxy alone
    /// where guests are isolated.
    pub(super) fn connect(&mut self, spec: &Spec) -> Result<()> {
        let (own, isolated) = (self.link.has_own_networks(), self.link.isolated);
        let user = |nic: &Nic| nic.network == Some(Network::User);
        if !own || !spec.nics.iter().any(user) {
            return Ok(());
        }
        let [qemu] = sweep::own_qemu(self.place.uuid, self.daemon())[..] else {
            let name = &self.place.name;
            return Err(Error::stage(format!("the guest {name} ended at its start")));
        };
        let others = match isolated {
            true => &[],
            false => self.link.host_ports.as_slice(),
        };
        let ports = [others, spec.relay.as_slice()].concat();
        self.network = Some(match isolated || !apart::has_route() {
            true => WayOut::Proxy(Door::open(&self.link.program, qemu, &ports)?),
            false => WayOut::World(Pasta::start(qemu, &ports)?),
        });
        Ok(())
    }

    /// Our own daemon's process.
    fn daemon(&self) -> Option<u32> {
        self.link.private.as_ref().map(Daemon::id)
    }

    pub(super) fn handle(&self) -> &Domain {
        self.handle.as_ref().expect("set by create")
    }

    /// Destroys the domain, through its daemon if that answers, else by hand, and looks at its disks;
    /// once.
    pub(super) fn end(&mut self) -> Result<()> {
        let Some(record) = self.record.take() else {
            return Ok(());
        };
        let gone = self
            .handle
            .as_ref()
            .is_some_and(|domain| domain.destroy().is_ok());
        let result = match gone {
            true => Ok(vec![]),
            // Destroying fails for a guest that has ended as well: there is no such process then.
            false => sweep::end_qemu(self.place.uuid, self.daemon()),
        };
        self.network = None;
        drop(std::fs::remove_dir_all(&self.sockets));
        sweep::remove_logs(&self.place.name);
        match result {
            Ok(_) => {
                drop(record);
                self.layers.check()
            }
            Err(error) => {
                std::mem::forget(record);
                self.layers.still_written();
                Err(error)
            }
        }
    }
}

/// Refuses a guest that would reach more than the proxy, whatever it is connected to.
fn may_be_isolated(spec: &Spec, own: bool) -> Result<()> {
    let mut networks = spec.nics.iter().filter_map(|nic| nic.network.as_ref());
    let why = match networks.find(|network| !own || **network != Network::User) {
        None => return Ok(()),
        Some(Network::User) => "the host's own libvirt daemon runs it".to_owned(),
        Some(network) => format!("it is on the network `{network}`"),
    };
    let hint = match own {
        true => "write `machine: {network: user}`, or build without --locked",
        false => "root's --connect private has a daemon of its own; or build without --locked",
    };
    Err(Error::usage("nothing keeps this guest from the network")
        .cause(why)
        .hint(hint))
}

impl Drop for Machine {
    fn drop(&mut self) {
        drop(self.end());
    }
}

/// Lists the disks that a guest of root's private daemon may write to, for what starts its QEMU.
fn writable(spec: &Spec, sockets: &Path) -> Result<()> {
    let list = sockets.join("writable");
    let disks = spec.disks.iter().filter(|disk| !disk.readonly);
    let lines: Vec<&[u8]> = disks
        .flat_map(|disk| [disk.path.as_os_str().as_bytes(), b"\n"])
        .collect();
    std::fs::write(&list, lines.concat()).doing(|| format!("writing {}", list.display()))
}

fn place(spec: &Spec, name: String, uuid: Uuid, dir: &Path) -> GuestPlace {
    GuestPlace {
        name,
        uuid,
        console: dir.join("console"),
        channels: (0..spec.channels.len())
            .map(|index| dir.join(format!("port{index}")))
            .collect(),
        macs: (0..spec.nics.len()).map(|index| mac(uuid, index)).collect(),
        uefi: None,
        label: None,
        emulator: None,
    }
}

/// An address of QEMU's own range. libvirt would choose one as well, but not tell.
fn mac(uuid: Uuid, index: usize) -> String {
    let bytes = uuid.as_bytes();
    let last = bytes[2].wrapping_add(index as u8);
    format!("52:54:00:{:02x}:{:02x}:{last:02x}", bytes[0], bytes[1])
}

/// Copies fresh UEFI variables to `to` and returns the code's path with it.
fn prepare(arch: Arch, to: &Path) -> Result<Uefi> {
    let Uefi { code, variables } = tools::uefi(arch)?;
    let variables = match variables {
        Some(variables) => {
            std::fs::copy(variables, to).doing(|| "copying the UEFI variables".into())?;
            Some(to.to_owned())
        }
        None => None,
    };
    Ok(Uefi { code, variables })
}
