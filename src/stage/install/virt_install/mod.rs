//! virt-install: the distribution's own installer, unattended, under libvirt.
//!
//! * [`media`], [`answers`], [`argv`], [`osinfo`]: what virt-install is given
//! * [`memory`]: whether there is enough of it
//! * [`launch`]: virt-install creates the guest, which is ours before it exists
//! * [`watch`]: the console, the progress, and everything that is no progress
//! * [`proof`], [`scrub`]: the sentinel decides; what the installer left goes
//! * [`failure`]: what a failed installation says

pub mod answers;
pub mod argv;
pub mod failure;
pub mod launch;
pub mod media;
pub mod memory;
mod news;
pub mod osinfo;
mod plain;
pub mod proof;
pub mod scrub;
pub mod watch;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::relay::Relay;
use super::{BaseDisk, BaseFacts};
use crate::console::mask::Mask;
use crate::digest::Sha256;
use crate::distro;
use crate::error::{Context as _, Error, Result};
use crate::guest::{Drive, Guestfs, Key, Launch};
use crate::host;
use crate::host::accel::Accel;
use crate::host::qemu_img::{self, CLUSTER};
use crate::hypervisor::patience;
use crate::hypervisor::{Boot, Connection, Disk, Domain, Nic, OnReboot, Outcome, Spec};
use crate::installers::Installer;
use crate::machine::Network;
use crate::recipe::secrets;
use crate::recipe::types::{self, VirtInstall};
use crate::runner::EVENTS_PORT;
use crate::stage::Context;
use crate::store;
use crate::store::media::InstallerDigests;
use crate::sysprep::OVERLAY_CLUSTER;
use crate::yaml::beneath;
use answers::{Answers, Known};
use media::Medium;
use proof::InstallReport;
use watch::{End, Limits, Watch, WatchConfig};

/// Grows when the stage makes other results from the same inputs.
pub const VERSION: u32 = 2;

/// How long a line that only looks like a question may stand still.
const QUESTION: Duration = Duration::from_secs(60);

/// Memory of the appliance, in MiB, where keys are derived: LUKS takes up to 1 GiB for one.
const MEMORY_FOR_KEYS: i32 = 1536;

/// Installs `method` onto `disk`; works in `scratch`.
///
/// # Errors
/// When the media are missing, virt-install fails, or the installer does not prove its success.
pub fn run(
    context: &Context<'_>,
    method: &VirtInstall,
    scratch: &Path,
    disk: &Path,
) -> Result<BaseDisk> {
    let work = Work::prepare(context, method, scratch, disk)?;
    let (tree, vouched_only) = (media::tree(&method.media), plain::is_watched(method));
    let relay = Relay::start(context, &method.os, tree, scratch, vouched_only)?;
    let store = context.host.store();
    let medium = work.medium(&relay, &context.media(&store, &context.cache())?)?;
    let answers = work.answers(&relay, &medium)?;
    work.make_disk()?;
    let domain = work.launch(&medium, &answers, &relay)?;
    answers.forget();
    work.watch_until_exit(domain, &relay)?;
    drop((answers, medium));
    let mut facts = work.prove()?;
    (facts.fetched, facts.sources) = relay.finish(context.fetching);
    Ok(BaseDisk {
        disk: disk.to_owned(),
        size: context.recipe().machine.disk,
        facts,
    })
}

/// One installation.
struct Work<'a> {
    context: &'a Context<'a>,
    method: &'a VirtInstall,
    installer: &'static Installer,
    connection: &'a Connection,
    accel: Accel,
    template: String,
    secrets: BTreeMap<String, Vec<u8>>,
    limits: Limits,
    scratch: &'a Path,
    disk: &'a Path,
}

impl<'a> Work<'a> {
    fn prepare(
        context: &'a Context<'a>,
        method: &'a VirtInstall,
        scratch: &'a Path,
        disk: &'a Path,
    ) -> Result<Self> {
        let (recipe, root) = (context.recipe(), &context.resolved.root);
        memory::check(
            recipe.machine.memory,
            distro::by_osinfo(&method.os),
            host::memory::free_with_swap(),
        )?;
        let path = beneath::inside(&context.files.root(), method.answers.path())?;
        let template = std::fs::read_to_string(&path)
            .doing(|| format!("reading the answer file {}", path.display()))?;
        let used = answers::used_secrets(&template, recipe);
        let accel = context.host.accel()?.on(recipe.machine.arch);
        let factor = accel.time_factor();
        let connection = context.host.connection()?;
        check_network(connection, &recipe.machine.network)?;
        Ok(Work {
            context,
            method,
            installer: method.answers.installer(),
            connection,
            accel,
            template,
            secrets: secrets::values(&used, root)?,
            limits: Limits {
                timeout: method.timeout.duration() * factor,
                stall: method.stall.duration() * factor,
                question: QUESTION * factor,
            },
            scratch,
            disk,
        })
    }

    fn medium(&self, relay: &Relay, store: &store::media::Media<'_>) -> Result<Medium> {
        let root = &self.context.resolved.root;
        let sums = self.method.boot_sha256.as_ref();
        let vouched = |sum: fn(&types::BootSums) -> &Sha256| InstallerDigests {
            sha256: sums.map(|sums| sum(sums).as_str()),
            unverified: self.method.unverified_media,
        };
        let places = media::Places {
            root,
            files: self.context.files,
            relay,
            store,
            kernel: vouched(|sums| &sums.kernel),
            initrd: vouched(|sums| &sums.initrd),
            info: InstallerDigests {
                sha256: self.method.treeinfo_sha256.as_ref().map(Sha256::as_str),
                unverified: self.method.unverified_media,
            },
        };
        media::find(&self.method.media, self.installer, &places)
    }

    fn answers(&self, relay: &Relay, medium: &Medium) -> Result<Answers> {
        let known = Known {
            recipe: self.context.recipe(),
            vars: &self.context.resolved.vars,
            installer: self.installer,
            key: self.context.key.as_str(),
            mirrors: relay.vars(),
            secrets: &self.secrets,
        };
        let text = answers::render(&known, self.method.answers.path(), &self.template)?;
        let repo = medium.kernel_args(self.installer, relay);
        plain::check(self.method, &text, repo.as_deref(), &relay.own())?;
        let instance = self.context.key.short();
        Answers::write(&text, &self.installer.delivery, instance, self.scratch)
    }

    /// What is trimmed in whole clusters only is gone, and installers write their answers to the
    /// disk for a while: where secrets are, a cluster is no larger than a block.
    fn make_disk(&self) -> Result<()> {
        let cluster = match self.secrets.is_empty() {
            true => CLUSTER,
            false => OVERLAY_CLUSTER,
        };
        let size = self.context.recipe().machine.disk.as_bytes();
        qemu_img::create(self.disk, None, Some(cluster), Some(size))
    }

    fn launch(&self, medium: &Medium, answers: &Answers, relay: &Relay) -> Result<Domain> {
        let ui = self.context.ui;
        let known = osinfo::known()?;
        let os = osinfo::choose(
            &self.method.os,
            &distro::fallback_os(&self.method.os),
            &known,
        );
        if os != self.method.os {
            ui.ui().notice(format!(
                "this host's osinfo does not know {}: virt-install gets {os}, the nearest",
                self.method.os
            ));
        }
        let spec = self.spec(relay)?;
        let expected = self.connection.expect(&spec, self.context.host.ledger()?)?;
        let mut kernel_args: Vec<String> = self
            .installer
            .kernel_args
            .iter()
            .map(|arg| (*arg).to_owned())
            .collect();
        kernel_args.push(format!("console={},115200n8", spec.arch.serial));
        kernel_args.extend(medium.kernel_args(self.installer, relay));
        kernel_args.extend(patience::kernel_args(spec.accel));
        kernel_args.extend(self.method.kernel_args.iter().cloned());
        let argv = argv::argv(&argv::Request {
            uri: self.connection.uri(),
            spec: &spec,
            place: expected.place(),
            os: &os,
            source: &medium.source,
            inject: answers.inject.as_deref(),
            seed: answers.seed.as_deref(),
            kernel_args: &kernel_args,
            extra: &self.method.extra_args,
        });
        ui.step("starting the installer");
        launch::launch(
            &launch::Call {
                argv: &argv,
                scratch: self.scratch,
                limit: self.limits.timeout,
                ui,
            },
            expected,
        )
    }

    fn spec(&self, relay: &Relay) -> Result<Spec> {
        let machine = &self.context.recipe().machine;
        Ok(Spec {
            name: self.context.label.clone(),
            memory: machine.memory,
            cpus: machine.cpus,
            arch: machine.arch,
            firmware: machine.firmware(),
            disks: vec![Disk::system(self.disk)],
            nics: vec![Nic::on(&machine.network)],
            relay: relay.port(),
            channels: vec![EVENTS_PORT.into()],
            // virt-install chooses what is booted.
            boot: Boot::Disk,
            accel: self.accel,
            // Where secrets are, only masked lines reach a file.
            console_log: self.secrets.is_empty().then(|| self.log()),
            on_reboot: OnReboot::Destroy,
        })
    }

    fn log(&self) -> PathBuf {
        let name = format!("{}-console.log", self.context.label);
        self.context.logs.join(name)
    }

    fn watch_until_exit(&self, domain: Domain, relay: &Relay) -> Result<()> {
        let (mask, log) = (Mask::new(&self.secrets), self.log());
        let screen = log.with_file_name(format!("{}-screen.png", self.context.label));
        drop(std::fs::remove_file(&screen));
        let config = WatchConfig {
            installer: self.installer,
            key: self.context.key.as_str(),
            ui: self.context.ui,
            mask: &mask,
            limits: self.limits,
            log: (!self.secrets.is_empty()).then_some(log.as_path()),
            screen: &screen,
        };
        let relayed = || relay.activity();
        let mut watch = Watch::new(config, &relayed)?;
        let end = watch.run(&domain)?;
        let lost = domain.failure();
        domain.destroy()?;
        let ended = matches!(
            end,
            End::Ended(Outcome::ShutDown | Outcome::Rebooted) | End::Rebooted
        );
        if ended && *watch.report() == InstallReport::Right {
            drop(std::fs::remove_file(&screen));
            return Ok(());
        }
        Err(failure::error(failure::Failure {
            end: &end,
            timeout: self.limits.timeout,
            stall: self.limits.stall,
            factor: self.accel.time_factor(),
            step: watch.step(),
            lost,
            console: watch.console_tail(),
            log: &log,
            screenshot: watch.screenshot(),
        }))
    }

    /// Opens the new disk: compares the sentinel, removes the installer's leftovers, and looks
    /// what was installed.
    fn prove(&self) -> Result<BaseFacts> {
        self.context.ui.step("checking the new disk");
        let launch = Launch {
            drives: &[Drive::writable(self.disk, "qcow2")],
            accel: self.context.host.accel()?,
            ui: Some(self.context.ui),
        };
        // The passphrase of an encrypted disk is one of the secrets in the answers.
        let keys: Vec<Key> = self.secrets.values().cloned().map(Key::new).collect();
        let guest = match keys.is_empty() {
            true => Guestfs::launch(&launch)?,
            false => Guestfs::launch_with(&launch, MEMORY_FOR_KEYS)?,
        };
        if let [device, ..] = guest.unlock(&keys)?.as_slice() {
            return Err(Error::stage("the new disk is encrypted, and no secret of its answers opens it")
                .cause(format!("no key opens the encrypted {device}"))
                .hint("the answers must take the passphrase from a secret of the recipe, `secrets: {passphrase: …}`, and a kickstart in quotes"));
        }
        let os = guest.mount_root()?;
        let console = self.context.logs.join("install-console.log");
        proof::check(&guest, self.context.key.as_str())
            .map_err(|error| error.cause(format!("the console's log is {}", console.display())))?;
        for path in scrub::scrub(&guest)? {
            self.context.ui.line(format!("removed {path}"));
        }
        let product = proof::product(&guest, &os);
        let expand = proof::expand(&guest, &os)?;
        if expand.is_none() {
            self.context.ui.ui().notice(format!(
                "the root file system ({}) is not the disk's last partition: it does not grow with the disk",
                os.root
            ));
        }
        // As in `sysprep::trim`: ext4 gives the blocks of removed files free a moment after a sync.
        guest.umount_all()?;
        guest.mount_again(&os)?;
        for (at, _) in &os.mountpoints {
            // File systems that cannot be trimmed keep what was removed from them.
            if let Err(error) = guest.fstrim(at) {
                self.context
                    .ui
                    .line(format!("{at} is not trimmed: {error}"));
            }
        }
        guest.close()?;
        Ok(BaseFacts {
            osinfo: Some(self.method.os.clone()),
            product,
            expand,
            sources: None,
            fetched: vec![],
        })
    }
}

/// A private daemon has no networks of its own.
fn check_network(connection: &Connection, network: &Network) -> Result<()> {
    match network {
        Network::Named(name) if connection.is_private() => Err(Error::host(format!(
            "the libvirt network `{name}` is not there: no libvirt daemon runs on this host"
        ))
        .hint("start the host's own daemon (systemctl start libvirtd), or write `machine: {network: user}`")),
        _ => Ok(()),
    }
}
