//! The one machine profile, as libvirt's domain XML. Format: <https://libvirt.org/formatdomain.html>.

use std::path::{Path, PathBuf};

use serde_json::json;
use uuid::Uuid;

use super::spec::{Boot, Spec};
use crate::machine::{Network, Uefi};
use crate::xml;

/// Where a guest is put: what differs between two starts of one [`Spec`].
#[derive(Debug, Clone)]
pub struct GuestPlace {
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
    /// UEFI's code and this guest's own variables; needed for UEFI.
    pub uefi: Option<Uefi>,
    /// `+UID:+GID` that QEMU runs as; `None` for a session, which has no choice. libvirt
    /// changes no owner either way.
    pub label: Option<String>,
    /// What the daemon starts in place of QEMU; its own choice if absent.
    pub emulator: Option<PathBuf>,
}

/// Renders the domain XML.
pub fn render(spec: &Spec, place: &GuestPlace) -> String {
    let shown = |path: &Path| path.to_string_lossy().into_owned();
    let disks = spec.disks.iter().enumerate().map(|(index, disk)| {
        json!({
            "file": shown(&disk.path),
            "format": disk.format.as_str(),
            "target": disk_target(index),
            "serial": disk.serial,
            "readonly": disk.readonly,
        })
    });
    let nics = spec.nics.iter().zip(&place.macs).map(|(nic, mac)| {
        let (kind, name) = match &nic.network {
            Some(Network::User) => ("user", None),
            Some(Network::Named(name)) => ("network", Some(name)),
            Some(Network::Bridge(name)) => ("bridge", Some(name)),
            None => ("udp", None),
        };
        json!({
            "kind": kind,
            "name": name,
            "mac": nic.mac.as_ref().unwrap_or(mac),
            "model": nic.model,
            "slot": nic.slot,
        })
    });
    let channels = spec.channels.iter().zip(&place.channels);
    let channels = channels.map(|(name, socket)| json!({"name": name, "socket": shown(socket)}));
    let uefi = place.uefi.as_ref().filter(|_| spec.firmware.is_uefi());
    let kernel = match &spec.boot {
        Boot::Disk => None,
        Boot::Kernel {
            kernel,
            initrd,
            cmdline,
        } => Some(json!({"file": shown(kernel), "initrd": shown(initrd), "cmdline": cmdline})),
    };
    let values = json!({
        "kind": spec.accel.libvirt_type(),
        "cpu": spec.accel.libvirt_cpu(spec.arch),
        "arch": spec.arch.as_str(),
        "machine": spec.arch.machine,
        "features": spec.arch.features,
        "gic": spec.arch.gic,
        "hpet": spec.arch.hpet,
        "name": place.name,
        "uuid": place.uuid.to_string(),
        "memory": spec.memory.as_bytes(),
        "cpus": spec.cpus,
        "uefi": uefi.map(|uefi| json!({
            "code": shown(&uefi.code),
            "variables": uefi.variables.as_deref().map(shown),
        })),
        "kernel": kernel,
        "serial": spec.arch.serial_target,
        "video": spec.arch.video,
        "panic": spec.arch.panic_device,
        "emulator": place.emulator.as_deref().map(shown),
        "disks": disks.collect::<Vec<_>>(),
        "nics": nics.collect::<Vec<_>>(),
        "channels": channels.collect::<Vec<_>>(),
        "console": shown(&place.console),
        "label": place.label,
    });
    xml::render(include_str!("domain.xml"), values).expect("the template asks for these values")
}

/// The name that libvirt knows a disk by: `vda` for the first.
pub fn disk_target(index: usize) -> String {
    let letter = |n: usize| char::from(b'a' + (n % 26) as u8);
    match index {
        0..26 => format!("vd{}", letter(index)),
        _ => format!("vd{}{}", letter(index / 26 - 1), letter(index)),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::host::accel::Accel;
    use crate::host::qemu_img::DiskFormat;
    use crate::hypervisor::spec::{Disk, Nic, OnReboot};
    use crate::machine::{Arch, Firmware};
    use crate::units::Size;

    pub(crate) fn spec() -> Spec {
        Spec {
            name: "web-node".into(),
            memory: Size::gib(2),
            cpus: 2,
            arch: Arch::default(),
            firmware: Firmware::Bios,
            disks: vec![Disk::system("/state/work/disk.qcow2")],
            nics: vec![Nic::default()],
            relay: None,
            channels: vec!["org.imgforge.0".into()],
            boot: Boot::Disk,
            accel: Accel::Tcg,
            console_log: Some("/state/work/console.log".into()),
            on_reboot: OnReboot::Restart,
        }
    }

    fn place() -> GuestPlace {
        GuestPlace {
            name: "web-node-1b4e28ba".into(),
            uuid: "1b4e28ba-2fa1-41d2-883f-0016d3cca427".parse().unwrap(),
            console: "/run/imgforge-x/1b4e28ba/console".into(),
            channels: vec!["/run/imgforge-x/1b4e28ba/port0".into()],
            macs: vec!["52:54:00:1b:4e:28".into()],
            uefi: None,
            label: Some("+0:+0".into()),
            emulator: None,
        }
    }

    #[test]
    fn the_usual_machine() {
        insta::assert_snapshot!(render(&spec(), &place()), @r#"
        <domain type='qemu'>
          <name>web-node-1b4e28ba</name>
          <uuid>1b4e28ba-2fa1-41d2-883f-0016d3cca427</uuid>
          <memory unit='b'>2147483648</memory>
          <vcpu>2</vcpu>
          <os>
            <type arch='x86_64' machine='q35'>hvm</type>
            <boot dev='hd'/>
          </os>
          <features><acpi/><apic/></features>
          <cpu mode='maximum' check='none'>
            <topology sockets='1' cores='2' threads='1'/>
          </cpu>
          <clock offset='utc'><timer name='hpet' present='no'/></clock>
          <on_poweroff>destroy</on_poweroff>
          <on_reboot>restart</on_reboot>
          <on_crash>destroy</on_crash>
          <devices>
            <disk type='file' device='disk'>
              <driver name='qemu' type='qcow2' cache='unsafe' discard='unmap' detect_zeroes='unmap'/>
              <source file='/state/work/disk.qcow2'/>
              <target dev='vda' bus='virtio'/>
            </disk>
            <interface type='user'><mac address='52:54:00:1b:4e:28'/><model type='virtio'/></interface>
            <channel type='unix'>
              <source mode='bind' path='/run/imgforge-x/1b4e28ba/port0'/>
              <target type='virtio' name='org.imgforge.0'/>
            </channel>
            <serial type='unix'>
              <source mode='bind' path='/run/imgforge-x/1b4e28ba/console'/>
              <target type='isa-serial' port='0'/>
            </serial>
            <video><model type='vga' vram='16384'/></video>
            <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
            <panic model='isa'/>
            <controller type='usb' model='none'/>
            <memballoon model='none'/>
          </devices>
          <seclabel type='static' model='dac' relabel='no'><label>+0:+0</label></seclabel>
        </domain>
        "#);
    }

    #[test]
    fn a_clone_with_other_hardware_under_kvm_and_uefi() {
        let mut spec = spec();
        spec.accel = Accel::Kvm;
        spec.firmware = Firmware::Uefi;
        spec.nics = vec![
            Nic {
                model: "vmxnet3".into(),
                mac: Some("52:54:00:00:00:09".into()),
                slot: Some(9),
                network: Some(Network::User),
            },
            Nic::on(&Network::Bridge("br0".into())),
            Nic::on(&Network::Named("default".into())),
        ];
        spec.disks.push(Disk {
            path: "/seed & <co>.img".into(),
            format: DiskFormat::Raw,
            serial: Some("seed".into()),
            readonly: true,
        });
        spec.boot = Boot::Kernel {
            kernel: "/k".into(),
            initrd: "/i".into(),
            cmdline: "quiet a='b'".into(),
        };
        let mut place = place();
        place.macs = (1..=3).map(|n| format!("52:54:00:00:01:0{n}")).collect();
        place.uefi = Some(Uefi {
            code: "/ovmf/code.fd".into(),
            variables: Some("/run/vars.fd".into()),
        });
        place.label = None;
        place.emulator = Some("/home/ci/.cache/imgforge/qemu-system-x86_64".into());
        insta::assert_snapshot!(render(&spec, &place), @r#"
        <domain type='kvm'>
          <name>web-node-1b4e28ba</name>
          <uuid>1b4e28ba-2fa1-41d2-883f-0016d3cca427</uuid>
          <memory unit='b'>2147483648</memory>
          <vcpu>2</vcpu>
          <os>
            <type arch='x86_64' machine='q35'>hvm</type>
            <loader readonly='yes' secure='no' type='pflash'>/ovmf/code.fd</loader>
            <nvram>/run/vars.fd</nvram>
            <kernel>/k</kernel>
            <initrd>/i</initrd>
            <cmdline>quiet a=&apos;b&apos;</cmdline>
          </os>
          <features><acpi/><apic/></features>
          <cpu mode='host-passthrough' migratable='off'>
            <topology sockets='1' cores='2' threads='1'/>
          </cpu>
          <clock offset='utc'><timer name='hpet' present='no'/></clock>
          <on_poweroff>destroy</on_poweroff>
          <on_reboot>restart</on_reboot>
          <on_crash>destroy</on_crash>
          <devices>
            <emulator>/home/ci/.cache/imgforge/qemu-system-x86_64</emulator>
            <disk type='file' device='disk'>
              <driver name='qemu' type='qcow2' cache='unsafe' discard='unmap' detect_zeroes='unmap'/>
              <source file='/state/work/disk.qcow2'/>
              <target dev='vda' bus='virtio'/>
            </disk>
            <disk type='file' device='disk'>
              <driver name='qemu' type='raw' cache='unsafe' discard='unmap' detect_zeroes='unmap'/>
              <source file='/seed &amp; &lt;co&gt;.img'/>
              <target dev='vdb' bus='virtio'/>
              <serial>seed</serial>
              <readonly/>
            </disk>
            <interface type='user'><mac address='52:54:00:00:00:09'/><model type='vmxnet3'/><address type='pci' domain='0' bus='0' slot='9' function='0'/></interface>
            <interface type='bridge'><source bridge='br0'/><mac address='52:54:00:00:01:02'/><model type='virtio'/></interface>
            <interface type='network'><source network='default'/><mac address='52:54:00:00:01:03'/><model type='virtio'/></interface>
            <channel type='unix'>
              <source mode='bind' path='/run/imgforge-x/1b4e28ba/port0'/>
              <target type='virtio' name='org.imgforge.0'/>
            </channel>
            <serial type='unix'>
              <source mode='bind' path='/run/imgforge-x/1b4e28ba/console'/>
              <target type='isa-serial' port='0'/>
            </serial>
            <video><model type='vga' vram='16384'/></video>
            <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
            <panic model='isa'/>
            <controller type='usb' model='none'/>
            <memballoon model='none'/>
          </devices>
        </domain>
        "#);
    }

    #[test]
    fn a_translated_processor_is_the_best_or_a_named_one_or_libvirts_own() {
        let cpus = Arch::ALL.iter().map(|arch| {
            let mut spec = spec();
            (spec.arch, spec.accel) = (*arch, Accel::Tcg);
            let domain = render(&spec, &place());
            let (_, cpu) = domain.split_once("<cpu ")?;
            let (cpu, _) = cpu.split_once("<topology")?;
            Some(cpu.split_whitespace().collect::<Vec<_>>().join(" "))
        });
        let expected = [
            Some("mode='maximum' check='none'>".into()),
            Some("mode='custom' check='none'> <model>cortex-a57</model>".into()),
            None,
        ];
        assert_eq!(cpus.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn disks_are_named_as_libvirt_names_them() {
        let names = [0, 1, 25, 26, 27].map(disk_target);
        assert_eq!(names, ["vda", "vdb", "vdz", "vdaa", "vdab"]);
    }
}
