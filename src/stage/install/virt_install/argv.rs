//! virt-install's command line: the one machine profile in its words. Pure.
//!
//! Console and port are sockets to which QEMU connects, so that nothing is lost before somebody
//! listens. virt-install creates the transient domain and ends; it never opens a viewer.

use std::path::Path;

use super::media::InstallSource;
use crate::hypervisor::xml::GuestPlace;
use crate::hypervisor::{Nic, Spec};
use crate::machine::{Network, Uefi};

/// Everything that the command line depends on.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// URI of the libvirt daemon.
    pub uri: &'a str,
    /// The machine; its first disk is the one to install on.
    pub spec: &'a Spec,
    /// Its name, UUID, sockets, addresses and firmware.
    pub place: &'a GuestPlace,
    /// libosinfo's id, known to the host.
    pub os: &'a str,
    /// What boots the installer.
    pub source: &'a InstallSource,
    /// Answers to inject into the installer's initrd: the file on the host.
    pub inject: Option<&'a Path>,
    /// Answers on a seed disk.
    pub seed: Option<&'a Path>,
    /// The installer's kernel command line.
    pub kernel_args: &'a [String],
    /// The recipe's `extra-args`.
    pub extra: &'a [String],
}

/// The arguments of `virt-install`.
pub fn argv(request: &Request<'_>) -> Vec<String> {
    let Request { spec, place, .. } = request;
    let mut argv = Argv(vec![]);
    argv.pair("--connect", request.uri);
    argv.pair("--name", &place.name);
    argv.pair("--uuid", place.uuid.to_string());
    argv.pair("--osinfo", format!("name={}", word(request.os)));
    argv.pair("--virt-type", spec.accel.libvirt_type());
    argv.pair("--arch", spec.arch.as_str());
    argv.pair("--machine", spec.arch.machine);
    if let Some(cpu) = cpu(spec) {
        argv.pair("--cpu", cpu);
    }
    argv.pair("--vcpus", spec.cpus.to_string());
    argv.pair("--memory", (spec.memory.as_bytes() >> 20).to_string());
    for disk in &spec.disks {
        argv.pair("--disk", format!(
            "path={},format={},bus=virtio,driver.cache=unsafe,driver.discard=unmap,driver.detect_zeroes=unmap",
            path(&disk.path),
            disk.format.as_str(),
        ));
    }
    if let Some(seed) = request.seed {
        argv.pair(
            "--disk",
            format!(
                "path={},device=cdrom,bus={}",
                path(seed),
                spec.arch.seed_bus
            ),
        );
    }
    for (nic, mac) in spec.nics.iter().zip(&place.macs) {
        argv.pair("--network", network(nic, mac));
    }
    let socket = |path: &Path| format!("unix,source.mode=connect,source.path={}", self::path(path));
    argv.pair("--serial", socket(&place.console));
    for (name, at) in spec.channels.iter().zip(&place.channels) {
        let socket = socket(at);
        argv.pair(
            "--channel",
            format!("{socket},target.type=virtio,target.name={}", word(name)),
        );
    }
    argv.pair("--rng", "type=random,device=/dev/urandom");
    argv.pair("--video", spec.arch.video);
    if let Some(panic) = spec.arch.panic_device {
        argv.pair("--panic", panic);
    }
    argv.pair("--controller", "usb,model=none");
    for absent in ["--graphics", "--sound", "--memballoon", "--tpm"] {
        argv.pair(absent, "none");
    }
    // A guest that crashed stays for its screenshot.
    argv.pair("--events", "on_crash=preserve");
    if let Some(boot) = boot(place) {
        argv.pair("--boot", boot);
    }
    if let Some(label) = &place.label {
        argv.pair(
            "--seclabel",
            format!("type=static,model=dac,relabel=no,label={}", word(label)),
        );
    }
    install(&mut argv, request);
    argv.0
        .extend(["--transient", "--noreboot", "--noautoconsole"].map(str::to_owned));
    argv.0.extend_from_slice(request.extra);
    argv.0
}

/// The processor, where libvirt is told it.
fn cpu(spec: &Spec) -> Option<String> {
    let model = spec.accel.libvirt_cpu(spec.arch);
    let model: Vec<String> = model
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    // As the domains of `hypervisor::xml`: CPUs of one package have a TSC that Linux trusts.
    let cores = spec.cpus;
    let topology = format!("topology.sockets=1,topology.cores={cores},topology.threads=1");
    (!model.is_empty()).then(|| format!("{},{topology}", model.join(",")))
}

/// UEFI and QEMU's program, where they are not libvirt's choice.
fn boot(place: &GuestPlace) -> Option<String> {
    // Without variables an installer's kernel is started without UEFI.
    let firmware = place.uefi.as_ref().and_then(|Uefi { code, variables }| {
        Some(format!(
            "loader={},loader.readonly=yes,loader.type=pflash,loader.secure=no,nvram={}",
            path(code),
            path(variables.as_deref()?)
        ))
    });
    let emulator = place.emulator.as_deref();
    let emulator = emulator.map(|file| format!("emulator={}", path(file)));
    let boot: Vec<String> = firmware.into_iter().chain(emulator).collect();
    (!boot.is_empty()).then(|| boot.join(","))
}

fn install(argv: &mut Argv, request: &Request<'_>) {
    match request.source {
        InstallSource::Tree(tree) => argv.pair("--location", tree.as_str()),
        InstallSource::Iso { iso, boot: None } => argv.pair("--location", path(iso)),
        InstallSource::Iso {
            iso,
            boot: Some((kernel, initrd)),
        } => argv.pair(
            "--location",
            format!("{},kernel={kernel},initrd={initrd}", path(iso)),
        ),
        InstallSource::Boot { kernel, initrd, .. } => argv.pair(
            "--install",
            format!("kernel={},initrd={}", path(kernel), path(initrd)),
        ),
    }
    if let Some(answers) = request.inject {
        argv.pair("--initrd-inject", answers.to_string_lossy());
    }
    argv.pair("--extra-args", request.kernel_args.join(" "));
}

struct Argv(Vec<String>);

impl Argv {
    fn pair(&mut self, name: &str, value: impl Into<String>) {
        self.0.extend([name.to_owned(), value.into()]);
    }
}

fn network(nic: &Nic, mac: &str) -> String {
    let to = match &nic.network {
        Some(Network::User) => "user".to_owned(),
        Some(Network::Named(name)) => format!("network={}", word(name)),
        Some(Network::Bridge(name)) => format!("bridge={}", word(name)),
        None => "none".to_owned(),
    };
    let mac = nic.mac.as_deref().unwrap_or(mac);
    format!("{to},model.type={},mac.address={mac}", word(&nic.model))
}

fn path(path: &Path) -> String {
    word(&path.to_string_lossy())
}

/// virt-install splits its options as a shell does, at commas instead of blanks.
fn word(text: &str) -> String {
    if text
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "/._-+:@ ".contains(c))
    {
        return text.to_owned();
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
#[path = "argv_tests.rs"]
mod tests;
