//! What a guest is made of: plain values, rendered to XML by [`super::xml`].

use std::path::PathBuf;

use crate::host::accel::Accel;
use crate::host::qemu_img::DiskFormat;
use crate::machine::{Arch, Firmware, Network};
use crate::units::Size;

/// A machine to start. It is the same machine for every guest but for what is named here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// The domain's name; [`super::Connection::start`] appends the start of its UUID.
    pub name: String,
    /// Architecture.
    pub arch: Arch,
    /// What it has of it.
    pub memory: Size,
    /// Number of CPUs.
    pub cpus: u32,
    /// What it starts with.
    pub firmware: Firmware,
    /// Disks, the one to boot from first.
    pub disks: Vec<Disk>,
    /// Network cards.
    pub nics: Vec<Nic>,
    /// The one port of this host's loopback that the guest reaches, at 10.0.2.2 on
    /// [`Network::User`]: imgforge's proxy.
    pub relay: Option<u16>,
    /// Names of virtio-serial ports, such as `org.imgforge.0`.
    pub channels: Vec<String>,
    /// What is booted.
    pub boot: Boot,
    /// What runs the guest's instructions.
    pub accel: Accel,
    /// Where the serial console is written, as raw bytes; absent where secrets may be on it.
    pub console_log: Option<PathBuf>,
    /// What happens when the guest restarts itself.
    pub on_reboot: OnReboot,
}

/// A disk on the virtio bus, with discard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// Absolute path of the image.
    pub path: PathBuf,
    /// How the bytes of the image are to be read; never guessed.
    pub format: DiskFormat,
    /// Serial number: the guest sees `/dev/disk/by-id/virtio-SERIAL`.
    pub serial: Option<String>,
    /// Whether the guest may write.
    pub readonly: bool,
}

impl Disk {
    /// The qcow2 that a machine boots from.
    pub fn system(path: impl Into<PathBuf>) -> Self {
        Disk {
            path: path.into(),
            format: DiskFormat::Qcow2,
            serial: None,
            readonly: false,
        }
    }
}

/// A network card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nic {
    /// Model: `virtio`, `vmxnet3`, `e1000`, `e1000e`, …
    pub model: String,
    /// Hardware address; libvirt chooses one if absent.
    pub mac: Option<String>,
    /// Slot on the PCI root bus (1 to 30); libvirt chooses one if absent.
    pub slot: Option<u8>,
    /// What the card is plugged into; absent: nothing that answers. The card has a link, and no DHCP.
    pub network: Option<Network>,
}

impl Nic {
    /// The usual card, plugged into `network`.
    pub fn on(network: &Network) -> Self {
        Nic {
            network: Some(network.clone()),
            ..Nic::default()
        }
    }
}

impl Default for Nic {
    fn default() -> Self {
        Nic {
            model: "virtio".into(),
            mac: None,
            slot: None,
            network: Some(Network::User),
        }
    }
}

/// What a guest boots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Boot {
    /// Its first disk.
    Disk,
    /// A kernel of the host's file system.
    Kernel {
        /// Absolute path of the kernel.
        kernel: PathBuf,
        /// Absolute path of the initial RAM disk.
        initrd: PathBuf,
        /// The kernel's command line.
        cmdline: String,
    },
}

/// What happens when the guest restarts itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnReboot {
    /// It boots again.
    Restart,
    /// It ends, with [`Outcome::Rebooted`].
    Destroy,
}

/// How a guest ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It switched itself off.
    ShutDown,
    /// Its kernel panicked, or QEMU died.
    Crashed,
    /// imgforge or somebody else ended it.
    Destroyed,
    /// libvirt lost it, or the host's disk is full.
    Failed,
    /// It restarted itself and [`OnReboot::Destroy`] was asked for.
    Rebooted,
}

/// Something that a running guest did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DomainEvent {
    /// Bytes on the serial console, at most 8 KiB.
    Console(Vec<u8>),
    /// Bytes on a virtio-serial port, at most 8 KiB; borders of lines are not kept.
    Channel {
        /// The port's name.
        name: String,
        /// The bytes.
        data: Vec<u8>,
    },
    /// The end; always the last event.
    Ended(Outcome),
}

/// What a guest has done so far; a guest whose numbers stay the same is stalled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Bytes read from all disks.
    pub disk_read: u64,
    /// Bytes written to all disks.
    pub disk_written: u64,
    /// Bytes received; 0 on the `user` network, which libvirt does not count.
    pub net_received: u64,
    /// Bytes sent; 0 on the `user` network.
    pub net_sent: u64,
    /// CPU time, in nanoseconds. It grows in an endless loop as well.
    pub cpu_time: u64,
}
