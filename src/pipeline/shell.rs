//! `shell` and `attach`: a person at a guest's serial console.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock};
use rustix::termios::{OptionalActions, Termios, isatty, tcgetattr, tcsetattr};

use crate::console::lines::{Lines, Screen};
use crate::console::mask::Mask;
use crate::console::unlock::{Answer, Unlock};
use crate::error::{Context as _, Error, Kind, Result};
use crate::guest::{Drive, Guestfs, Key, Launch};
use crate::host::interrupt;
use crate::host::qemu_img;
use crate::hypervisor::{Boot, Disk, Domain, DomainEvent, Nic, OnReboot, Spec};
use crate::pipeline::{Options, Session, plan};
use crate::recipe::secrets;
use crate::stage::plan::Plan;
use crate::store::{DISK, Store, epoch};

/// Ctrl-], as in `virsh console`.
const ESCAPE: u8 = 0x1d;

/// Logs root in on the serial console. It goes onto a throw-away overlay only.
const AUTOLOGIN: &str = "[Service]\nExecStart=\nExecStart=-/sbin/agetty --autologin root --keep-baud 115200,57600,38400,9600 - $TERM\n";

/// Boots a throw-away overlay of a stage's disk, with root logged in on the console; `target` is
/// `NAME` (what `--on-error keep` kept, else the newest finished disk) or `NAME@STAGE`.
///
/// # Errors
/// When there is no such disk, or the guest cannot be started.
pub fn shell(session: &Session, options: &Options, target: &str) -> Result<()> {
    let (name, stage) = match target.split_once('@') {
        Some((name, stage)) => (name, Some(stage)),
        None => (target, None),
    };
    let plan = plan(session, options, name, epoch::Mode::Look)?;
    let below = find(session, &plan, stage)?;
    session.store.prepare()?;
    let draft = session.store.draft(session.host.ledger()?)?;
    let below = Path::new("..").join(below).join(DISK);
    let disk = draft.path().join(DISK);
    qemu_img::create(&disk, Some((&below, "qcow2")), None, None)?;
    session
        .ui
        .notice("preparing a throw-away copy; nothing of it is kept");
    log_root_in(session, &plan, &disk)?;
    let spec = spec(session, &plan, disk)?;
    let domain = session
        .host
        .connection()?
        .start(&spec, session.host.ledger()?)?;
    session
        .ui
        .notice("connected to the serial console; Ctrl-] ends the guest");
    let (recipe, root) = (&plan.resolved.recipe, &plan.resolved.root);
    let ended = converse(&domain, secrets::passphrase(recipe, root));
    domain.destroy()?;
    ended
}

fn find(session: &Session, plan: &Plan, stage: Option<&str>) -> Result<PathBuf> {
    let kept = session.store.kept(plan.image());
    if stage.is_none() && kept.join(DISK).exists() {
        return Ok(kept.file_name().map(PathBuf::from).unwrap_or_default());
    }
    let disks = plan.all().into_iter().filter(|planned| {
        let wanted =
            stage.is_none_or(|stage| stage == planned.label && planned.image == plan.image());
        wanted
            && session
                .store
                .entry(&planned.key)
                .is_some_and(|entry| entry.disk().exists())
    });
    let found = disks
        .last()
        .map(|planned| PathBuf::from(planned.key.as_str()));
    found.ok_or_else(|| {
        let what = stage.map_or_else(
            || "no disk".into(),
            |stage| format!("no disk of the stage `{stage}`"),
        );
        Error::usage(format!("the store has {what} for {}", plan.image())).hint(format!(
            "`imgforge plan {}` shows the stages; `imgforge build {0}` makes them",
            plan.image()
        ))
    })
}

/// Opens encrypted volumes with the recipe's secrets, as its stages do.
fn log_root_in(session: &Session, plan: &Plan, disk: &Path) -> Result<()> {
    let accel = session.host.accel()?;
    let launch = Launch {
        drives: &[Drive::writable(disk, "qcow2")],
        accel,
        ui: None,
    };
    let (recipe, root) = (&plan.resolved.recipe, &plan.resolved.root);
    let keys = secrets::luks_keys(recipe, root);
    let opened = Guestfs::launch_unlocked(&launch, &keys);
    let mounted = opened.and_then(|guest| guest.mount_root().map(|os| (guest, os)));
    let (guest, os) = mounted.map_err(|error| match error.kind() {
        // The disk is encrypted, and no key was the right one.
        Kind::Usage => secrets::missing(recipe, root)
            .into_iter()
            .fold(error, |error, why| error.cause(why)),
        _ => error,
    })?;
    guest.runs_on(&os, recipe.machine.arch)?;
    if guest.is_dir("/etc/systemd/system")? {
        let dir = format!(
            "/etc/systemd/system/serial-getty@{}.service.d",
            recipe.machine.arch.serial
        );
        guest.mkdir_p(&dir)?;
        guest.write(&format!("{dir}/autologin.conf"), AUTOLOGIN.as_bytes())?;
    }
    guest.close()
}

fn spec(session: &Session, plan: &Plan, disk: PathBuf) -> Result<Spec> {
    let machine = &plan.resolved.recipe.machine;
    Ok(Spec {
        name: format!("{}-shell", plan.image()),
        memory: machine.memory,
        cpus: machine.cpus,
        arch: machine.arch,
        firmware: machine.firmware(),
        disks: vec![Disk::system(disk)],
        nics: vec![Nic::on(&machine.network)],
        relay: None,
        channels: vec![],
        boot: Boot::Disk,
        accel: session.host.accel()?.on(machine.arch),
        console_log: None,
        on_reboot: OnReboot::Restart,
    })
}

/// Copies between the terminal and the console until the guest ends or Ctrl-] is typed. Where the
/// boot asks for the passphrase of its disk, it gets it.
fn converse(domain: &Domain, passphrase: Option<Key>) -> Result<()> {
    let _raw = RawTerminal::enter();
    let mut questions = Questions::of(passphrase);
    let typed = keyboard();
    let mut out = std::io::stdout().lock();
    loop {
        interrupt::check()?;
        while let Ok(bytes) = typed.try_recv() {
            let end = bytes.iter().position(|byte| *byte == ESCAPE);
            domain.console_send(&bytes[..end.unwrap_or(bytes.len())])?;
            if end.is_some() {
                return Ok(());
            }
            questions.leave_to_the_person();
        }
        match domain.next_event(Duration::from_millis(20))? {
            Some(DomainEvent::Console(bytes)) => {
                let written = out.write_all(&bytes).and_then(|()| out.flush());
                written.doing(|| "writing to the terminal".into())?;
                if let Some(key) = questions.hear(&bytes) {
                    domain.console_send(&[key.bytes(), b"\n"].concat())?;
                }
            }
            Some(DomainEvent::Ended(_)) => return Ok(()),
            Some(DomainEvent::Channel { .. }) | None => {}
        }
    }
}

/// What a boot asks before anybody has typed something.
struct Questions {
    unlock: Option<Unlock>,
    lines: Lines,
}

impl Questions {
    fn of(passphrase: Option<Key>) -> Self {
        Questions {
            unlock: passphrase.map(|key| Unlock::with(Some(key))),
            lines: Lines::default(),
        }
    }

    /// Somebody types: from now on a question may be a program's that they run.
    fn leave_to_the_person(&mut self) {
        self.unlock = None;
    }

    /// Takes what the console says; the key to type, if it asks for that.
    fn hear(&mut self, bytes: &[u8]) -> Option<&Key> {
        let (unlock, mask) = (self.unlock.as_mut()?, Mask::default());
        if !self.lines.push(bytes, &mask).is_empty() {
            unlock.line();
        }
        match unlock.answer(&self.lines.pending(&mask)) {
            Answer::Type(key) => Some(key),
            Answer::None | Answer::Never(_) => None,
        }
    }
}

/// What is typed, from a thread that ends with the process.
fn keyboard() -> Receiver<Vec<u8>> {
    let (send, receive) = channel();
    std::thread::spawn(move || {
        let mut buffer = [0u8; 256];
        while let Ok(n @ 1..) = std::io::stdin().read(&mut buffer) {
            if send.send(buffer[..n].to_vec()).is_err() {
                break;
            }
        }
    });
    receive
}

/// Puts the terminal into raw mode until dropped; does nothing where there is none.
struct RawTerminal(Option<Termios>);

impl RawTerminal {
    fn enter() -> Self {
        let stdin = std::io::stdin();
        let before = isatty(stdin.as_fd())
            .then(|| tcgetattr(stdin.as_fd()).ok())
            .flatten();
        if let Some(before) = &before {
            let mut raw = before.clone();
            raw.make_raw();
            let _ = tcsetattr(stdin.as_fd(), OptionalActions::Now, &raw);
        }
        RawTerminal(before)
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = tcsetattr(std::io::stdin().as_fd(), OptionalActions::Now, before);
        }
    }
}

/// Held while a build of an image runs; `attach` looks at it.
#[derive(Debug)]
pub struct Running(File);

impl Drop for Running {
    /// As of a lock of the store: a program that is being started has a copy of the file.
    fn drop(&mut self) {
        flock(&self.0, FlockOperation::Unlock).ok();
    }
}

impl Running {
    /// Marks `image` as being built. Several builds of it may run: they wait for each other.
    ///
    /// # Errors
    /// When the mark cannot be written.
    pub fn mark(store: &Store, image: &str) -> Result<Self> {
        let doing = || format!("marking {image} as being built");
        let dir = store.logs(image);
        std::fs::create_dir_all(&dir).doing(doing)?;
        let file = File::create(dir.join("running")).doing(doing)?;
        let _ = flock(&file, FlockOperation::NonBlockingLockShared);
        Ok(Running(file))
    }

    fn is(store: &Store, image: &str) -> bool {
        let file = File::open(store.logs(image).join("running"));
        file.is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockExclusive).is_err())
    }
}

/// Shows the consoles of the guests of a running build, from now until it ends; on a terminal,
/// which guests must not drive, only what its `screen` lets through.
///
/// # Errors
/// When no build of `image` runs.
pub fn attach(
    store: &Store,
    image: &str,
    mut screen: Option<Screen>,
    out: &mut dyn std::io::Write,
) -> Result<()> {
    if !Running::is(store, image) {
        return Err(
            Error::usage(format!("no build of {image} is running")).hint(format!(
                "`imgforge logs {image}` shows the last one's output"
            )),
        );
    }
    let mut open: Option<(PathBuf, File)> = None;
    loop {
        let newest = newest_console(&store.logs(image));
        if newest != open.as_ref().map(|(path, _)| path.clone()) {
            open = newest.and_then(|path| Some((path.clone(), File::open(path).ok()?)));
        }
        let mut bytes = Vec::new();
        if let Some((_, file)) = &mut open {
            file.read_to_end(&mut bytes)
                .doing(|| "reading the console".into())?;
            let written = match &mut screen {
                Some(screen) => out.write_all(screen.push(&bytes).as_bytes()),
                None => out.write_all(&bytes),
            };
            let written = written.and_then(|()| out.flush());
            written.doing(|| "writing to the terminal".into())?;
        }
        if bytes.is_empty() {
            if !Running::is(store, image) {
                return Ok(());
            }
            interrupt::check()?;
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

fn newest_console(logs: &Path) -> Option<PathBuf> {
    let files = std::fs::read_dir(logs)
        .ok()?
        .flatten()
        .map(|entry| entry.path());
    let name = |path: &PathBuf| {
        path.file_name()
            .map(|name| name.to_string_lossy().into_owned())
    };
    let consoles = files.filter(|path| name(path).is_some_and(|name| name.contains("-console")));
    let modified = |path: &PathBuf| -> Option<SystemTime> { path.metadata().ok()?.modified().ok() };
    consoles
        .filter_map(|path| Some((modified(&path)?, path)))
        .max()
        .map(|(_, path)| path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_gets_its_passphrase_until_somebody_types() {
        let mut questions = Questions::of(Some(Key::new("open sesame")));
        assert!(questions.hear(b"Loading\nPlease unlock ").is_none());
        let key = questions.hear(b"disk vda3_crypt: ").unwrap();
        assert_eq!(key.bytes(), b"open sesame");
        assert!(questions.hear(b"***").is_none());
        let again = b"\nno key\nPlease unlock disk vda3_crypt: ";
        assert!(questions.hear(again).is_some());
        questions.leave_to_the_person();
        assert!(questions.hear(again).is_none());
        assert!(Questions::of(None).hear(again).is_none());
    }
}
