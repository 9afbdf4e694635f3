//! A toy guest: the newest kernel of this host, or one of another architecture, and an initial RAM disk that
//! does as it is told.
//!
//! `toy=MODE` on the kernel's command line chooses:
//!
//! | mode | what the guest does |
//! |---|---|
//! | `good` | greets on console and port, reads a line from the port, repeats it on both, powers off |
//! | `poweroff` | says one line and powers off |
//! | `panic` | crashes its kernel |
//! | `hang` | says one line and sleeps for ever |
//! | `sleep` | sleeps fifty times, powers off |
//! | `flood` | writes to console and port without end |
//! | `reboot` | says one line and restarts |
//! | `type` | repeats what is typed on the console, until `bye` |
//! | `fill` | writes 64 MiB of noise to its first disk, powers off |
//! | `reach` | says what 10.0.2.2 answers at each `port=` of the command line, powers off |
//! | `runner` | starts the runner, as an init system does after `inject` |
//! | `root` | becomes the system on its first disk's first or third partition |
//! | `disk` | prints the serials of its disks and the models of its network cards, writes to the first disk, powers off |

use std::fs;
use std::path::{Path, PathBuf};

use imgforge::host::accel::Accel;
use imgforge::host::exec::{self, Program};
use imgforge::hypervisor::{Boot, OnReboot, Spec};
use imgforge::machine::{Arch, Firmware};
use imgforge::units::Size;

use super::IMGFORGE;
use super::cpio::Cpio;

/// Modules that the toy loads, where they are not built in; what they need is loaded first.
const MODULES: [&str; 7] = [
    "virtio_pci",
    "virtio_console",
    "virtio_blk",
    "virtio_net",
    "e1000",
    "vmxnet3",
    "pvpanic-mmio",
];

/// What the toy installer needs to write into a file system.
const FILE_SYSTEM: [&str; 2] = ["crc32c_generic", "ext4"];

/// What it needs for disks that are not virtio's.
const DISKS: [&str; 3] = ["ahci", "sd_mod", "nvme"];

/// What it needs to read a CD-ROM.
const CD: [&str; 3] = ["virtio_scsi", "sr_mod", "isofs"];

const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /bin
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox --install -s /bin
export PATH=/bin
exec </dev/@SERIAL@ >/dev/@SERIAL@ 2>&1
for module in $(cat /modules/order); do insmod "/modules/$module"; done
for word in $(cat /proc/cmdline); do
  case $word in toy=*) mode=${word#toy=} ;; esac
done
port=/dev/null
for dir in /sys/class/virtio-ports/*; do
  [ -e "$dir/name" ] && [ "$(cat "$dir/name")" = org.imgforge.0 ] && port=/dev/${dir##*/}
done
echo "toy: $mode"
. /installer
case $mode in
  good)
    exec 3<>"$port"
    echo "hello from the port" >&3
    read -r line <&3
    echo "toy: heard $line"
    echo "heard $line" >&3
    poweroff -f ;;
  poweroff) poweroff -f ;;
  panic) echo c >/proc/sysrq-trigger ;;
  hang) while :; do sleep 1000; done ;;
  sleep)
    for i in $(seq 50); do usleep 20000; done
    poweroff -f ;;
  flood)
    yes "port port port port port port port port port" >"$port" &
    yes "console console console console console console" ;;
  reboot) reboot -f ;;
  type)
    while read -r line; do
      echo "toy: typed $line"
      [ "$line" = bye ] && poweroff -f
    done ;;
  fill)
    dd if=/dev/urandom of=/dev/vda bs=1M count=64
    poweroff -f ;;
  reach)
    ip link set eth0 up; ip addr add 10.0.2.15/24 dev eth0
    for word in $(cat /proc/cmdline); do
      case $word in port=*)
        said=$(wget -q -O - "http://10.0.2.2:${word#port=}/") || said=nothing
        echo "toy: $word says $said" ;;
      esac
    done
    poweroff -f ;;
  runner)
    printf '#!/bin/sh\nexec /bin/%s -f\n' poweroff >/sbin/poweroff
    printf '#!/bin/sh\nexec /bin/%s -f\n' reboot >/sbin/reboot
    chmod +x /sbin/poweroff /sbin/reboot
    setsid sh /usr/lib/imgforge/runner &
    while :; do sleep 1000; done ;;
  root)
    mkdir /root
    until for part in vda1 vda3 sda3 nvme0n1p3; do
      mount -t ext4 "/dev/$part" /root 2>/dev/null && break
    done; do usleep 100000; done
    for dir in proc sys dev; do mount --move "/$dir" "/root/$dir"; done
    exec switch_root /root /sbin/init </dev/console >/dev/console 2>&1 ;;
  disk)
    for disk in /sys/block/vd*; do echo "toy: ${disk##*/} serial=$(cat "$disk/serial")"; done
    for nic in /sys/class/net/*/device; do
      echo "toy: nic $(basename "$(readlink "$nic/driver")") slot=$(basename "$(readlink -f "$nic")") $(cat "${nic%/device}/address")"
    done
    [ -d /sys/firmware/efi ] && echo "toy: booted by UEFI"
    echo "written by the toy" | dd of=/dev/vda bs=512 conv=sync
    sync
    poweroff -f ;;
esac
"#;

/// A small machine that boots the toy in `mode`; its files and its console log are in `dir`.
pub(crate) fn spec(dir: &Path, mode: &str) -> Spec {
    spec_on(Arch::default(), dir, mode)
}

/// As [`spec`], for a machine of this architecture.
pub(crate) fn spec_on(arch: Arch, dir: &Path, mode: &str) -> Spec {
    Spec {
        arch,
        name: format!("toy-{mode}"),
        memory: Size::mib(256),
        cpus: 1,
        firmware: match arch.has_bios() {
            true => Firmware::Bios,
            false => Firmware::Uefi,
        },
        disks: vec![],
        nics: vec![],
        relay: None,
        channels: vec!["org.imgforge.0".into()],
        boot: boot_on(arch, dir, mode),
        accel: Accel::Tcg,
        console_log: Some(dir.join("console.log")),
        on_reboot: OnReboot::Destroy,
    }
}

/// The toy installer: it reads `preseed.cfg` from its RAM disk, as debian-installer does, or finds a
/// CD-ROM with `user-data`, as cloud-init does, and does what `toy=install-MODE` says. `good` writes the
/// disk that its RAM disk holds, and runs the answers' late command.
const INSTALLER: &str = r#"
answer() { sed -n "s|^d-i $1 string ||p" /preseed.cfg; }
install() {
  printf 'Installing the toy  ... 10%%... 50%%'
  mkdir -p /target
  gzip -dc /disk.gz | dd of=/dev/vda bs=1M 2>/dev/null
  blockdev --rereadpt /dev/vda
  mount -t ext4 /dev/vda1 /target
  echo "... 100%"
  cp /preseed.cfg /target/root/original-ks.cfg
}
late() {
  answer preseed/late_command >/late
  [ -z "$1" ] || sed -i "s/[0-9a-f]\{64\}/$1/g" /late
  sh /late && echo "toy: the late command worked"
  umount /target
}
case $mode in install-*)
  for disc in /dev/sr*; do
    [ -s /preseed.cfg ] || ! mount -t iso9660 "$disc" /disc || cp /disc/user-data /preseed.cfg
    umount /disc
  done 2>/dev/null
  sed -i 's/^# d-i/d-i/' /preseed.cfg
  [ -s /preseed.cfg ] || { echo "toy: no answers"; poweroff -f; }
  echo "toy: token $(answer toy/token) for $(answer toy/admin)" ;;
esac
case $mode in
  install-good) install; late; poweroff -f ;;
  install-fetch)
    ip link set eth0 up; ip addr add 10.0.2.15/24 dev eth0
    mirror=$(answer toy/from)
    wget -q -O /dev/null "$mirror/dists/trixie/main/binary-amd64/Packages"
    echo "toy: fetched $(wget -q -O - "$mirror/pool/main/t/toy/toy_1_all.deb")"
    install; late; poweroff -f ;;
  install-good-reboot) install; late; reboot -f ;;
  install-lie) install; late deadbeef; poweroff -f ;;
  install-half) install; umount /target; poweroff -f ;;
  install-claim)
    install; umount /target
    late=$(answer preseed/late_command)
    key=${late#*echo }; echo "imgforge installed ${key%% *}" >"$port"
    poweroff -f ;;
  install-reboot) reboot -f ;;
  install-panic) echo c >/proc/sysrq-trigger; sleep 1000 ;;
  install-hang) while :; do sleep 1000; done ;;
  install-clock) while :; do printf '\033[25;1H(1*installer  2 shell)[ Nov 21 %s:%s ]' 7 $((n += 1)); sleep 1; done ;;
  install-prompt)
    printf '[!!] Partition disks\n\nNo root file system is defined.\n\n  1: Go back\n'
    printf "Prompt: '?' for help, default=1> "
    read -r line ;;
  install-flood) while :; do cat /preseed.cfg; done ;;
esac
"#;

/// Writes the RAM disk of the toy installer for this architecture below `dir`; `disk` is what it
/// installs. The kernel and the RAM disk.
pub(crate) fn installer(arch: Arch, dir: &Path, disk: &[u8]) -> (PathBuf, PathBuf) {
    let system = System::of(arch);
    let initrd = dir.join("installer.img");
    let modules: Vec<&str> = MODULES.into_iter().chain(FILE_SYSTEM).chain(CD).collect();
    fs::write(&initrd, archive(&system, &modules, Some(disk))).unwrap();
    (system.kernel, initrd)
}

/// Kernel and initial RAM disk that boot the system on a disk's first or third partition.
pub(crate) fn for_a_disk(arch: Arch) -> (PathBuf, Vec<u8>) {
    let system = System::of(arch);
    let modules = MODULES.into_iter().chain(FILE_SYSTEM).chain(DISKS);
    let archive = archive(&system, &modules.collect::<Vec<_>>(), None);
    (system.kernel, archive)
}

/// Writes the initial RAM disk below `dir`.
pub(crate) fn boot(dir: &Path, mode: &str) -> Boot {
    boot_on(Arch::default(), dir, mode)
}

/// As [`boot`], for a machine of this architecture.
pub(crate) fn boot_on(arch: Arch, dir: &Path, mode: &str) -> Boot {
    let system = System::of(arch);
    let initrd = dir.join("toy.img");
    fs::write(&initrd, archive(&system, &MODULES, None)).unwrap();
    Boot::Kernel {
        kernel: system.kernel,
        initrd,
        cmdline: format!(
            "console={} quiet panic=0 no_timer_check toy={mode}",
            arch.serial
        ),
    }
}

/// Where the toy's parts come from.
pub(crate) struct System {
    arch: Arch,
    pub(crate) kernel: PathBuf,
    /// The kernel's modules.
    pub(crate) modules: PathBuf,
    pub(crate) busybox: PathBuf,
    /// GRUB's files for UEFI.
    pub(crate) grub: PathBuf,
}

impl System {
    /// This host's own, or what `make deps` has unpacked for another architecture.
    pub(crate) fn of(arch: Arch) -> System {
        let root = match arch.is_foreign() {
            false => PathBuf::from("/"),
            true => target().join("guests").join(arch.as_str()),
        };
        let (kernel, version) = kernel_in(&root, arch);
        let busybox = match arch.is_foreign() {
            false => exec::find("busybox").expect("busybox-static: `make deps` installs it"),
            true => root.join("usr/bin/busybox"),
        };
        System {
            arch,
            kernel,
            modules: modules(&root, &version),
            busybox,
            grub: root.join("usr/lib/grub").join(arch.grub_efi),
        }
    }
}

/// Where this build's files are: the program lies in a directory of it.
pub(crate) fn target() -> PathBuf {
    let program = Path::new(IMGFORGE);
    program.ancestors().nth(2).unwrap().to_owned()
}

/// The newest readable kernel that has its modules, as libguestfs' appliance takes it.
fn kernel_in(root: &Path, arch: Arch) -> (PathBuf, String) {
    let name = format!("{}-", arch.kernel);
    let mut found: Vec<(Vec<u64>, PathBuf, String)> = fs::read_dir(root.join("boot"))
        .expect("scripts/deps.sh unpacks a kernel of each architecture")
        .filter_map(|entry| {
            let path = entry.unwrap().path();
            let version = path.file_name()?.to_str()?.strip_prefix(&name)?.to_owned();
            let usable = fs::File::open(&path).is_ok()
                && modules(root, &version).join("modules.dep").is_file();
            let numbers = version
                .split(|c: char| !c.is_ascii_digit())
                .filter_map(|n| n.parse().ok())
                .collect();
            usable.then_some((numbers, path, version))
        })
        .collect();
    found.sort();
    let (_, path, version) = found
        .pop()
        .expect("a readable /boot/vmlinuz-*: `make deps` installs one");
    (path, version)
}

fn modules(root: &Path, version: &str) -> PathBuf {
    root.join("lib/modules").join(version)
}

fn archive(system: &System, wanted: &[&str], disk: Option<&[u8]>) -> Vec<u8> {
    let mut archive = Cpio::default();
    for dir in [
        "bin",
        "dev",
        "disc",
        "modules",
        "sbin",
        "usr",
        "usr/lib",
        "usr/lib/imgforge",
    ] {
        archive.dir(dir);
    }
    let init = INIT.replace("@SERIAL@", system.arch.serial);
    archive.file("init", 0o755, init.as_bytes());
    archive.file("bin/busybox", 0o755, &fs::read(&system.busybox).unwrap());
    let start = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/runner/guest/start.sh");
    archive.file("usr/lib/imgforge/runner", 0o755, &fs::read(start).unwrap());
    archive.file(
        "installer",
        0o644,
        disk.map_or("", |_| INSTALLER).as_bytes(),
    );
    if let Some(disk) = disk {
        archive.file("disk.gz", 0o644, disk);
    }
    let mut order = String::new();
    for path in files_below(&system.modules, wanted) {
        let file = path.file_name().unwrap().to_str().unwrap();
        let name = &file[..file.find(".ko").unwrap() + 3];
        archive.file(&format!("modules/{name}"), 0o644, &module(&path));
        order += &format!("{name}\n");
    }
    archive.file("modules/order", 0o644, order.as_bytes());
    archive.finish()
}

/// Files of the wanted modules and what they need, in the order of loading.
pub(crate) fn files_below(dir: &Path, wanted: &[&str]) -> Vec<PathBuf> {
    let dependencies = fs::read_to_string(dir.join("modules.dep")).unwrap();
    let mut files: Vec<PathBuf> = vec![];
    for module in wanted {
        let wanted = format!("{module}.ko");
        let line = dependencies.lines().find(|line| {
            let file = line.split(':').next().unwrap().rsplit('/').next().unwrap();
            file == wanted || file.starts_with(&format!("{wanted}."))
        });
        // A module without a line is built in.
        let Some((first, needs)) = line.and_then(|line| line.split_once(':')) else {
            continue;
        };
        for file in needs.split_whitespace().rev().chain([first]) {
            let path = dir.join(file);
            if !files.contains(&path) {
                files.push(path);
            }
        }
    }
    files
}

fn module(path: &Path) -> Vec<u8> {
    let tool = match path.extension().and_then(|e| e.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        Some("gz") => "gzip",
        _ => return fs::read(path).unwrap(),
    };
    Program::new(tool).arg("-dc").arg(path).output().unwrap()
}
