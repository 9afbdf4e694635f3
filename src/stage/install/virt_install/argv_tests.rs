//! virt-install's command line, one snapshot for each kind of media.

use super::*;
use crate::host::accel::Accel;
use crate::hypervisor::OnReboot;
use crate::machine::Firmware;

fn spec() -> Spec {
    Spec {
        name: "install".into(),
        console_log: None,
        on_reboot: OnReboot::Destroy,
        ..crate::hypervisor::xml::tests::spec()
    }
}

fn place() -> GuestPlace {
    GuestPlace {
        name: "install-1b4e28ba".into(),
        uuid: "1b4e28ba-2fa1-41d2-883f-0016d3cca427".parse().unwrap(),
        console: "/run/imgforge-x/1b4e28ba/console".into(),
        channels: vec!["/run/imgforge-x/1b4e28ba/port0".into()],
        macs: vec!["52:54:00:1b:4e:28".into()],
        uefi: None,
        label: Some("+0:+0".into()),
        emulator: None,
    }
}

fn lines(request: &Request<'_>) -> String {
    let mut text = String::new();
    for arg in argv(request) {
        text += if arg.starts_with("--") { "\n" } else { " " };
        text += &arg;
    }
    text
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn a_preseed_and_a_tree() {
    let (spec, place) = (spec(), place());
    let request = Request {
        uri: "qemu:///system?socket=/run/imgforge-x/libvirt/run/libvirt-sock",
        spec: &spec,
        place: &place,
        os: "debian11",
        source: &InstallSource::Tree(
            "https://mirror.example/debian/dists/trixie/main/installer-amd64/".into(),
        ),
        inject: Some(Path::new("/state/work/answers/preseed.cfg")),
        seed: None,
        kernel_args: &words(&["auto=true", "file=/preseed.cfg", "console=ttyS0,115200n8"]),
        extra: &[],
    };
    insta::assert_snapshot!(lines(&request), @r"
    --connect qemu:///system?socket=/run/imgforge-x/libvirt/run/libvirt-sock
    --name install-1b4e28ba
    --uuid 1b4e28ba-2fa1-41d2-883f-0016d3cca427
    --osinfo name=debian11
    --virt-type qemu
    --arch x86_64
    --machine q35
    --cpu mode=maximum,check=none,topology.sockets=1,topology.cores=2,topology.threads=1
    --vcpus 2
    --memory 2048
    --disk path=/state/work/disk.qcow2,format=qcow2,bus=virtio,driver.cache=unsafe,driver.discard=unmap,driver.detect_zeroes=unmap
    --network user,model.type=virtio,mac.address=52:54:00:1b:4e:28
    --serial unix,source.mode=connect,source.path=/run/imgforge-x/1b4e28ba/console
    --channel unix,source.mode=connect,source.path=/run/imgforge-x/1b4e28ba/port0,target.type=virtio,target.name=org.imgforge.0
    --rng type=random,device=/dev/urandom
    --video vga
    --panic isa
    --controller usb,model=none
    --graphics none
    --sound none
    --memballoon none
    --tpm none
    --events on_crash=preserve
    --seclabel type=static,model=dac,relabel=no,label=+0:+0
    --location https://mirror.example/debian/dists/trixie/main/installer-amd64/
    --initrd-inject /state/work/answers/preseed.cfg
    --extra-args auto=true file=/preseed.cfg console=ttyS0,115200n8
    --transient
    --noreboot
    --noautoconsole
    ");
}

#[test]
fn autoinstall_from_an_iso_under_uefi() {
    let (mut spec, mut place) = (spec(), place());
    spec.firmware = Firmware::Uefi;
    spec.accel = Accel::Kvm;
    spec.nics[0].network = Some(Network::Bridge("br0".into()));
    place.uefi = Some(Uefi {
        code: "/ovmf/code.fd".into(),
        variables: Some("/run/vars.fd".into()),
    });
    place.label = None;
    let request = Request {
        uri: "qemu:///session",
        spec: &spec,
        place: &place,
        os: "ubuntu24.04",
        source: &InstallSource::Iso {
            iso: "/media/ubuntu, server.iso".into(),
            boot: Some(("casper/vmlinuz", "casper/initrd")),
        },
        inject: None,
        seed: Some(Path::new("/state/work/answers/seed.iso")),
        kernel_args: &words(&["autoinstall"]),
        extra: &words(&["--iothreads", "1"]),
    };
    insta::assert_snapshot!(lines(&request), @r#"
    --connect qemu:///session
    --name install-1b4e28ba
    --uuid 1b4e28ba-2fa1-41d2-883f-0016d3cca427
    --osinfo name=ubuntu24.04
    --virt-type kvm
    --arch x86_64
    --machine q35
    --cpu mode=host-passthrough,migratable=off,topology.sockets=1,topology.cores=2,topology.threads=1
    --vcpus 2
    --memory 2048
    --disk path=/state/work/disk.qcow2,format=qcow2,bus=virtio,driver.cache=unsafe,driver.discard=unmap,driver.detect_zeroes=unmap
    --disk path=/state/work/answers/seed.iso,device=cdrom,bus=sata
    --network bridge=br0,model.type=virtio,mac.address=52:54:00:1b:4e:28
    --serial unix,source.mode=connect,source.path=/run/imgforge-x/1b4e28ba/console
    --channel unix,source.mode=connect,source.path=/run/imgforge-x/1b4e28ba/port0,target.type=virtio,target.name=org.imgforge.0
    --rng type=random,device=/dev/urandom
    --video vga
    --panic isa
    --controller usb,model=none
    --graphics none
    --sound none
    --memballoon none
    --tpm none
    --events on_crash=preserve
    --boot loader=/ovmf/code.fd,loader.readonly=yes,loader.type=pflash,loader.secure=no,nvram=/run/vars.fd
    --location "/media/ubuntu, server.iso",kernel=casper/vmlinuz,initrd=casper/initrd
    --extra-args autoinstall
    --transient
    --noreboot
    --noautoconsole
    --iothreads 1
    "#);
}

#[test]
fn a_kickstart_with_kernel_and_initrd() {
    let (mut spec, place) = (spec(), place());
    spec.nics[0].network = Some(Network::Named("default".into()));
    let request = Request {
        uri: "qemu:///system",
        spec: &spec,
        place: &place,
        os: "rocky9.0",
        source: &InstallSource::Boot {
            kernel: "/media/vmlinuz".into(),
            initrd: "/media/initrd.img".into(),
        },
        inject: Some(Path::new("/state/work/answers/ks.cfg")),
        seed: None,
        kernel_args: &words(&["inst.ks=file:/ks.cfg", "inst.text"]),
        extra: &[],
    };
    insta::assert_snapshot!(lines(&request), @r"
    --connect qemu:///system
    --name install-1b4e28ba
    --uuid 1b4e28ba-2fa1-41d2-883f-0016d3cca427
    --osinfo name=rocky9.0
    --virt-type qemu
    --arch x86_64
    --machine q35
    --cpu mode=maximum,check=none,topology.sockets=1,topology.cores=2,topology.threads=1
    --vcpus 2
    --memory 2048
    --disk path=/state/work/disk.qcow2,format=qcow2,bus=virtio,driver.cache=unsafe,driver.discard=unmap,driver.detect_zeroes=unmap
    --network network=default,model.type=virtio,mac.address=52:54:00:1b:4e:28
    --serial unix,source.mode=connect,source.path=/run/imgforge-x/1b4e28ba/console
    --channel unix,source.mode=connect,source.path=/run/imgforge-x/1b4e28ba/port0,target.type=virtio,target.name=org.imgforge.0
    --rng type=random,device=/dev/urandom
    --video vga
    --panic isa
    --controller usb,model=none
    --graphics none
    --sound none
    --memballoon none
    --tpm none
    --events on_crash=preserve
    --seclabel type=static,model=dac,relabel=no,label=+0:+0
    --install kernel=/media/vmlinuz,initrd=/media/initrd.img
    --initrd-inject /state/work/answers/ks.cfg
    --extra-args inst.ks=file:/ks.cfg inst.text
    --transient
    --noreboot
    --noautoconsole
    ");
}
