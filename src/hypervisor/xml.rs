//! The one machine profile, as libvirt's domain XML. Format: <https://libvirt.org/formatdomain.html>.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::spec::{Boot, Disk, Firmware, Network, Nic, Spec};
use crate::host::accel::Accel;

/// Where a guest is put: what differs between two starts of one [`Spec`].
#[derive(Debug, Clone)]
pub struct Place {
    /// The domain's full name.
    pub name: String,
    /// The domain's UUID.
    pub uuid: Uuid,
    /// Socket of the serial console.
    pub console: PathBuf,
    /// Sockets of [`Spec::channels`], in their order.
    pub channels: Vec<PathBuf>,
    /// Hardware addresses for cards of [`Spec::nics`] that name none, in their order.
    pub macs: Vec<String>,
    /// OVMF's code and this guest's own variables; needed for [`Firmware::Uefi`].
    pub uefi: Option<(PathBuf, PathBuf)>,
    /// `+UID:+GID` that QEMU runs as; `None` for a session, which has no choice. libvirt
    /// changes no owner either way.
    pub label: Option<String>,
}

/// Renders the domain XML.
pub fn render(spec: &Spec, place: &Place) -> String {
    let (kind, cpu) = match spec.accel {
        Accel::Kvm => ("kvm", "<cpu mode='host-passthrough' migratable='off'/>"),
        Accel::Tcg => ("qemu", "<cpu mode='maximum' check='none'/>"),
    };
    let mut devices = String::new();
    for (index, disk) in spec.disks.iter().enumerate() {
        devices += &render_disk(disk, index);
    }
    for (nic, mac) in spec.nics.iter().zip(&place.macs) {
        devices += &render_nic(nic, mac);
    }
    for (name, socket) in spec.channels.iter().zip(&place.channels) {
        devices += &render_channel(name, socket);
    }
    let seclabel = place.label.as_ref().map_or(String::new(), |label| {
        format!(
            "  <seclabel type='static' model='dac' relabel='no'><label>{}</label></seclabel>\n",
            escape(label)
        )
    });
    format!(
        "<domain type='{kind}'>
  <name>{name}</name>
  <uuid>{uuid}</uuid>
  <memory unit='b'>{memory}</memory>
  <vcpu>{cpus}</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
{os}  </os>
  <features><acpi/><apic/></features>
  {cpu}
  <clock offset='utc'/>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
{devices}    <serial type='unix'>
      <source mode='bind' path='{console}'/>
      <target type='isa-serial' port='0'/>
    </serial>
    <video><model type='vga' vram='16384'/></video>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
    <panic model='isa'/>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
  </devices>
{seclabel}</domain>
",
        name = escape(&place.name),
        uuid = place.uuid,
        memory = spec.memory.as_bytes(),
        cpus = spec.cpus,
        os = render_os(spec, place),
        console = path(&place.console),
    )
}

fn render_os(spec: &Spec, place: &Place) -> String {
    let mut os = String::new();
    if let (Firmware::Uefi, Some((code, variables))) = (spec.firmware, &place.uefi) {
        let _ = writeln!(
            os,
            "    <loader readonly='yes' secure='no' type='pflash'>{}</loader>\n    <nvram>{}</nvram>",
            path(code),
            path(variables)
        );
    }
    match &spec.boot {
        Boot::Disk => os += "    <boot dev='hd'/>\n",
        Boot::Kernel {
            kernel,
            initrd,
            cmdline,
        } => {
            let _ = writeln!(
                os,
                "    <kernel>{}</kernel>\n    <initrd>{}</initrd>\n    <cmdline>{}</cmdline>",
                path(kernel),
                path(initrd),
                escape(cmdline)
            );
        }
    }
    os
}

fn render_disk(disk: &Disk, index: usize) -> String {
    let mut extra = String::new();
    if let Some(serial) = &disk.serial {
        let _ = writeln!(extra, "      <serial>{}</serial>", escape(serial));
    }
    if disk.readonly {
        extra += "      <readonly/>\n";
    }
    format!(
        "    <disk type='file' device='disk'>
      <driver name='qemu' type='{format}' cache='unsafe' discard='unmap' detect_zeroes='unmap'/>
      <source file='{file}'/>
      <target dev='{target}' bus='virtio'/>
{extra}    </disk>
",
        format = disk.format.as_str(),
        file = path(&disk.path),
        target = disk_target(index),
    )
}

/// The name that libvirt knows a disk by: `vda` for the first.
pub fn disk_target(index: usize) -> String {
    let letter = |n: usize| char::from(b'a' + (n % 26) as u8);
    match index {
        0..26 => format!("vd{}", letter(index)),
        _ => format!("vd{}{}", letter(index / 26 - 1), letter(index)),
    }
}

fn render_nic(nic: &Nic, mac: &str) -> String {
    let (kind, source) = match &nic.network {
        Network::User => ("user", String::new()),
        Network::Named(name) => ("network", format!("<source network='{}'/>", escape(name))),
        Network::Bridge(name) => ("bridge", format!("<source bridge='{}'/>", escape(name))),
    };
    let mac = escape(nic.mac.as_deref().unwrap_or(mac));
    let slot = nic.slot.map_or(String::new(), |slot| {
        format!("<address type='pci' domain='0' bus='0' slot='{slot}' function='0'/>")
    });
    format!(
        "    <interface type='{kind}'>{source}<mac address='{mac}'/><model type='{}'/>{slot}</interface>\n",
        escape(&nic.model)
    )
}

fn render_channel(name: &str, socket: &Path) -> String {
    format!(
        "    <channel type='unix'>
      <source mode='bind' path='{}'/>
      <target type='virtio' name='{}'/>
    </channel>
",
        path(socket),
        escape(name)
    )
}

fn path(path: &Path) -> String {
    escape(&path.to_string_lossy())
}

/// Text and attribute values; what XML 1.0 cannot hold at all is left out.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '\'' => out += "&apos;",
            '"' => out += "&quot;",
            '\t' | '\n' | '\r' => {
                let _ = write!(out, "&#{};", c as u32);
            }
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}
