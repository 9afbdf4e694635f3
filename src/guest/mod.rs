//! A machine's disks, opened offline through libguestfs.
//!
//! [`Guestfs::launch`] starts a small appliance (QEMU with a kernel of the host) that holds the
//! disks; nothing is mounted on the host. Calls are methods named after libguestfs' own. Nothing
//! is ever written to stderr: an error carries libguestfs' own text and what was being done. A
//! signal, a hang and the death of imgforge end the appliance.

mod appliance;
mod btrfs;
mod drive;
mod inspect;
mod log;
mod mounting;
mod packing;
#[allow(
    unsafe_code,
    reason = "libguestfs is a C library, and this its only caller"
)]
mod raw;
mod roots;
mod runs;
mod starts;
mod traces;
mod watch;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::host::accel::Accel;
use crate::host::confine::{self, Confined};
use crate::host::interrupt;
use crate::host::layers::Layers;
use crate::machine::Arch;
use crate::ui::StageUi;
use crate::units;

pub use drive::{Drive, Launch};
pub(crate) use inspect::SUBVOLUME;
pub use inspect::{Key, Os};
pub(crate) use packing::literal;
pub use traces::remove_sockets_below;

use log::Log;
use raw::{Raw, Setting};
use watch::{Clock, Watch};

/// How long the appliance may take to start, with hardware acceleration.
const LAUNCH_LIMIT: Duration = Duration::from_secs(60);

/// How long a call may show no sign of life, with hardware acceleration.
const CALL_LIMIT: Duration = Duration::from_secs(300);

/// Memory of the appliance, in MiB: enough for GRUB and package managers of a guest.
const MEMORY: i32 = 1024;

/// As much where keys are derived: LUKS takes up to 1 GiB for one.
const MEMORY_WITH_KEYS: i32 = 2048;

/// Mode, owner and size of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Type and permissions, as in stat(2).
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Size in bytes.
    pub size: u64,
}

/// Space of a file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// All of it.
    pub total: u64,
    /// What no file uses.
    pub free: u64,
    /// The unit in which files get space.
    pub block: u64,
}

/// A partition of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    /// Counted from 1.
    pub number: i32,
    /// Its last byte.
    pub end: u64,
}

/// An installed package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Its name, as the package manager has it.
    pub name: String,
    /// The epoch of its version, usually 0.
    pub epoch: u32,
    pub(crate) version: String,
    /// The release, possibly empty.
    pub release: String,
    /// The architecture, possibly empty.
    pub arch: String,
    /// The source package, possibly with its version, possibly empty.
    pub source: String,
}

/// A session with the disks of one machine. Dropping it ends the appliance; [`Guestfs::close`]
/// says whether everything was written.
#[derive(Debug)]
pub struct Guestfs {
    // In the order of their end: nobody may cancel a closed handle.
    watch: Option<Watch>,
    raw: Raw,
    clock: Arc<Clock>,
    log: Arc<Log>,
    accel: Accel,
    uuid: String,
    /// What the disks stood on that it writes to.
    layers: Option<Layers>,
    _confined: Confined,
    scratch: tempfile::TempDir,
}

impl Guestfs {
    /// Starts the appliance with these disks.
    ///
    /// # Errors
    /// When libguestfs is missing, a disk cannot be opened, the appliance does not start within a
    /// minute (six without hardware acceleration), or imgforge is interrupted.
    pub fn launch(launch: &Launch<'_>) -> Result<Guestfs> {
        Self::launch_with(launch, MEMORY)
    }

    /// As [`Guestfs::launch`], and opens the encrypted volumes with these keys. What no key opens
    /// stays closed, and is told.
    ///
    /// # Errors
    /// As [`Guestfs::launch`].
    pub fn launch_unlocked(launch: &Launch<'_>, keys: &[Key]) -> Result<Guestfs> {
        if keys.is_empty() {
            return Self::launch(launch);
        }
        let guest = Self::launch_with(launch, MEMORY_WITH_KEYS)?;
        let closed = guest.unlock(keys)?;
        if let Some(ui) = launch.ui {
            for device in closed {
                let text = format!("no key opens the encrypted {device}: it stays closed");
                ui.ui().warning(text);
            }
        }
        Ok(guest)
    }

    fn start(launch: &Launch<'_>, memory: i32) -> Result<Guestfs> {
        interrupt::check()?;
        let lib = guestfs_sys::library().map_err(missing)?;
        let mut written = launch.drives.iter().filter(|drive| !drive.readonly);
        let layers = Layers::of(written.clone().map(|drive| (drive.path, drive.format)))?;
        let scratch = traces::scratch(written.next().map(|drive| drive.path))?;
        let uuid = uuid::Uuid::new_v4().to_string();
        let clock = Arc::<Clock>::default();
        let log = Arc::new(Log::new(launch.ui.cloned()));
        let (alive, heard) = (Arc::clone(&clock), Arc::clone(&log));
        let raw = Raw::create(
            lib,
            Box::new(move |message| {
                // Console output proves nothing: a looping guest prints, too.
                if matches!(message, raw::Message::Progress { .. }) {
                    alive.alive();
                }
                heard.take(&message);
                if heard.is_stuck() {
                    alive.give_up();
                }
            }),
        )
        .map_err(|cause| Error::host("libguestfs cannot be used").cause(cause))?;
        let failed = |cause| Error::stage("preparing the appliance failed").cause(cause);
        let qemu = raw.hypervisor().map_err(failed)?;
        let disks = launch.drives.iter();
        let disks: Vec<_> = disks.map(|drive| (drive.path, drive.format)).collect();
        let confined = Confined::new(qemu.as_ref(), scratch.path(), &uuid, &disks)?;
        let starts = Setting::Hypervisor(confined.program());
        raw.set(starts).map_err(failed)?;
        configure(&raw, launch, memory, scratch.path(), &uuid).map_err(failed)?;
        if launch.accel.is_emulated() {
            appliance::start_own(&raw, launch.ui).map_err(failed)?;
        }
        let canceller = raw.canceller();
        let guest = Guestfs {
            watch: Some(Watch::start(&clock, &uuid, move || canceller.cancel())),
            raw,
            clock,
            log,
            accel: launch.accel,
            uuid,
            layers: Some(layers),
            _confined: confined,
            scratch,
        };
        let start = || {
            let doing = || "starting the appliance".into();
            guest.limited(LAUNCH_LIMIT, doing, Raw::launch)
        };
        traces::noting(guest.scratch.path(), &guest.uuid, start)
            .map_err(|error| guest.launch_failed(error))?;
        guest.log.ready();
        Ok(guest)
    }

    /// Writes everything, ends the appliance and says whether that went well.
    ///
    /// # Errors
    /// When the disks could not be written, or refer to other files than before.
    pub fn close(mut self) -> Result<()> {
        self.attempt(|| "closing the disks".into(), Raw::shutdown)?;
        self.layers.take().map_or(Ok(()), |layers| layers.check())
    }

    /// The version of libguestfs, such as `1.48.6`.
    pub fn version(&self) -> String {
        self.raw.version().unwrap_or_default()
    }

    /// The appliance's last messages.
    pub fn messages(&self) -> Vec<String> {
        self.log.tail()
    }

    /// Makes a call with the usual limit.
    fn attempt<T>(
        &self,
        doing: impl Fn() -> String,
        call: impl FnOnce(&Raw) -> Result<T, String>,
    ) -> Result<T> {
        self.limited(CALL_LIMIT, doing, call)
    }

    fn limited<T>(
        &self,
        limit: Duration,
        doing: impl Fn() -> String,
        call: impl FnOnce(&Raw) -> Result<T, String>,
    ) -> Result<T> {
        interrupt::check()?;
        self.clock.begin(limit * self.accel.time_factor());
        let result = call(&self.raw);
        let exceeded = self.clock.end();
        result.map_err(|cause| {
            if let Err(interrupted) = interrupt::check() {
                return interrupted;
            }
            match exceeded {
                None => Error::stage(format!("{} failed", doing())).cause(cause),
                Some(_) if self.log.is_stuck() => Error::stage(starts::STUCK),
                Some(limit) => Error::stage(format!(
                    "{} showed no sign of life for {}, so the appliance was ended",
                    doing(),
                    units::elapsed(limit)
                ))
                .evidence(self.log.tail()),
            }
        })
    }

    fn launch_failed(&self, error: Error) -> Error {
        let hint = match self.accel.is_emulated() {
            false => "try again with `--accel tcg`; `imgforge doctor` looks at libguestfs",
            true => "`imgforge doctor` looks at libguestfs and its kernel",
        };
        match error.kind() {
            crate::error::Kind::Interrupted(_) => error,
            _ => error.evidence(self.log.tail()).hint(hint),
        }
    }
}

impl Drop for Guestfs {
    fn drop(&mut self) {
        // An end in order, which closing the handle cannot limit in time; no-op after close().
        if self
            .attempt(|| "closing the disks".into(), Raw::shutdown)
            .is_err()
        {
            watch::kill_children_with(&self.uuid);
        }
        // Joins the thread and removes the signal action while the handle is still open.
        drop(self.watch.take());
        // Whoever uses or keeps the disks asks what this has noted.
        if let Some(layers) = self.layers.take() {
            drop(layers.check());
        }
    }
}

/// The version of the host's libguestfs, such as `1.48.6`; starts no appliance.
///
/// # Errors
/// When the library is missing or unusable.
pub fn library_version() -> Result<String> {
    let lib = guestfs_sys::library().map_err(missing)?;
    Raw::create(lib, Box::new(|_| ()))
        .map(|raw| raw.version().unwrap_or_default())
        .map_err(|cause| Error::host("libguestfs cannot be used").cause(cause))
}

fn missing(cause: &guestfs_sys::LoadError) -> Error {
    Error::host("libguestfs is needed to work on disks")
        .cause(cause)
        .hint("install it: `apt install libguestfs0`, or `make deps` in imgforge's source")
}

fn configure(
    raw: &Raw,
    launch: &Launch<'_>,
    memory: i32,
    scratch: &Path,
    uuid: &str,
) -> Result<(), String> {
    // The library takes letters, digits, `_` and `-` only; images are also called as their files.
    let plain = |c: char| match c {
        '_' | '0'..='9' | 'A'..='Z' | 'a'..='z' => c,
        _ => '-',
    };
    let name = launch.ui.map_or("imgforge", StageUi::image);
    let name: String = name.chars().map(plain).collect();
    for setting in [
        Setting::Identifier(&name),
        // Not libvirt: nothing of a session must outlive it or depend on a daemon.
        Setting::Backend("direct"),
        Setting::Memory(memory),
        // What an access that goes elsewhere loses (see `starts`) may be the end of an interrupt, after which its
        // processor gets no other. A single one loses none, and starts in three quarters of the time.
        Setting::Processors(if launch.accel.is_emulated() { 1 } else { 2 }),
        Setting::ProcessGroup,
        Setting::Recovery,
        Setting::Scratch(scratch),
        Setting::Qemu("-uuid", uuid),
        Setting::Qemu("-sandbox", confine::SANDBOX),
    ] {
        raw.set(setting)?;
    }
    // A kernel that takes the HPET for its timer waits for interrupts that do not come where the host is
    // busy. libguestfs leaves it out by an option that QEMU has no more.
    let host = Arch::named(std::env::consts::ARCH);
    if launch.accel.is_emulated() && host.is_some_and(|arch| arch.hpet) {
        raw.set(Setting::Qemu("-machine", "hpet=off"))?;
    }
    if let Some(setting) = launch.accel.guestfs_setting() {
        raw.set(Setting::OfBackend(setting))?;
    }
    for (number, drive) in launch.drives.iter().enumerate() {
        raw.add_drive(drive.path, drive.format, drive.readonly)?;
        if drive.readonly {
            // What its overlay holds is the disk, whatever it looks like: QEMU would guess.
            let format = format!("drive.hd{number}.format=raw");
            raw.set(Setting::Qemu("-set", &format))?;
        }
    }
    Ok(())
}
