//! Media that install an image by themselves, in machines that boot them.

use super::world::*;
use crate::support::cpio::Cpio;
use crate::support::external;
use crate::support::{IMGFORGE, Run as _};
use crate::target::diskless;

/// Modules of the toy's kernel: the network, disks of every kind, and what media are read with.
const MODULES: [&str; 9] = [
    "virtio_net",
    "e1000e",
    "virtio_blk",
    "ahci",
    "sd_mod",
    "nvme",
    "sr_mod",
    "isofs",
    "usb-storage",
];

/// What emulated machines need beside the words of the medium.
const WORDS: &str = "panic=1 no_timer_check";

/// An image whose system is the toy, published, and a machine that trusts who has.
struct Published {
    world: World,
    image: Disk,
    machine: Machine,
}

impl Published {
    fn new() -> Published {
        let world = World::new();
        let system = diskless::machine(&[&MODULES[..], &["xhci-pci"]].concat());
        let image = rooted(&world, "one", &system);
        publish(&world, &image, "web", "stable");
        let machine = Machine::new(&world);
        Published {
            world,
            image,
            machine,
        }
    }

    /// The directory of the repository.
    fn base(&self) -> String {
        self.world.path("repo").display().to_string()
    }

    /// Writes a medium.
    fn medium(&self, base: &str, more: &[&str]) -> String {
        // Without its symbols the program is as large as that of a release.
        let program = self.machine.path("imgforge");
        let mut strip = external("strip");
        strip.arg("-o").arg(&program).arg(IMGFORGE).said().ok();
        let medium = Program::at(&program)
            .arg("--state")
            .arg(self.machine.path("state"));
        let medium = medium.args(["deploy", "medium", &format!("{base}#web")]);
        let medium = medium.args(["--end", "poweroff", "--arch", "x86_64", "--append", WORDS]);
        let medium = medium.arg("--key").arg(self.machine.key()).args(more);
        let output = self.machine.path("");
        medium.arg("--output").arg(output).text().unwrap()
    }

    /// A disk that is larger than the image.
    fn disk(&self) -> PathBuf {
        self.machine.disk_with(200 << 20, b"")
    }

    /// The disk has the files of the image, but for these, and its root fills it.
    fn is_on(&self, disk: &Path, own: &[(&str, Told)]) {
        let ((mut files, size), (mut expected, _)) = (tree(disk), tree(&self.image.raw));
        for (path, told) in own {
            assert_eq!(files.remove(*path).as_ref(), Some(told), "{path}");
            expected.remove(*path);
        }
        assert!(files == expected);
        assert_eq!(size, (200 << 20) - ROOT - (1 << 20));
    }

    /// A machine that boots kernel and RAM disk with these words, devices and disks of virtio.
    fn boot(&self, words: &str, disks: &[&Path], more: &[&str]) -> String {
        let [kernel, initrd] = ["web.vmlinuz", "web.initrd"].map(|name| self.machine.path(name));
        let given = ["-kernel", "-initrd"].into_iter().zip([&kernel, &initrd]);
        let mut args: Vec<String> = given
            .flat_map(|(word, path)| [word.to_owned(), path.display().to_string()])
            .collect();
        let words = format!("console=ttyS0 root=ramdisk {WORDS} {words}");
        args.extend(["-append".to_owned(), words]);
        for (number, disk) in disks.iter().enumerate() {
            args.extend(drive(&format!("d{number}"), disk));
            let device = format!("virtio-blk-pci,drive=d{number},serial=disk{number}");
            args.extend(["-device".to_owned(), device]);
        }
        args.extend(more.iter().copied().map(str::to_owned));
        self.run(&args)
    }

    /// What the console of a machine says.
    fn run(&self, args: &[String]) -> String {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        diskless::boot(self.machine.path("").as_path(), 1024, &args)
    }

    /// Puts another archive behind the RAM disk, as boot loaders do; its files take the place of others.
    fn add(&self, files: &[(&str, &[u8])]) {
        let mut own = Cpio::default();
        for (path, bytes) in files {
            if let Some((dir, _)) = path.rsplit_once('/') {
                own.dir(dir);
            }
            own.file(path, 0o600, bytes);
        }
        let initrd = File::options()
            .append(true)
            .open(self.machine.path("web.initrd"));
        std::io::Write::write_all(&mut initrd.unwrap(), &own.finish()).unwrap();
    }
}

/// QEMU's words for a file that is a disk.
fn drive(id: &str, file: &Path) -> [String; 2] {
    let file = file.display();
    let drive = format!("if=none,id={id},format=raw,cache=unsafe,file={file}");
    ["-drive".to_owned(), drive]
}

/// A card of virtio, behind which 10.0.2.2 is this host.
const CARD: [&str; 4] = [
    "-netdev",
    "user,id=n",
    "-device",
    "virtio-net-pci,netdev=n,romfile=",
];

/// The machine asks the repository by HTTP; a second RAM disk behind the first one has its machine file.
#[test]
#[ignore = "long: src/deploy src/targets/ramdisk src/blockdev"]
fn a_machine_installs_itself_once_and_says_why_it_does_not() {
    let published = Published::new();
    let machine = &published.machine;
    let server = Server::of(&published.world.path("repo"));
    let keys = imgforge::gpg::Keyring::of_file(machine.key(), None).unwrap();
    let fingerprint = &keys.fingerprints[0];
    let said = published.medium(
        &server.text(""),
        &["--disk", "only", "--fingerprint", fingerprint],
    );
    assert!(
        said.contains("web.initrd; command line: console="),
        "{said}"
    );
    published.add(&[("machine/machine.yaml", b"hostname: web-7\n")]);

    let address = server.text("").replace("127.0.0.1", "10.0.2.2");
    let image_word = format!("imgforge.image={address}#web");
    let disk = published.disk();
    let other = machine.path("other");
    std::fs::copy(&disk, &other).unwrap();
    let said = published.boot(&image_word, &[&disk, &other], &CARD);
    assert!(
        said.contains("imgforge: stopped: the image is not installed"),
        "{said}"
    );
    assert!(said.contains("vdb"), "{said}");
    for disk in [&disk, &other] {
        assert!(std::fs::read(disk).unwrap().iter().all(|byte| *byte == 0));
    }

    let said = published.boot(&image_word, &[&disk], &CARD);
    assert!(
        said.contains("web revision 1 on 200.0 MiB, verified"),
        "{said}"
    );
    let name = (0o100_644, 0, 0, b"web-7\n".to_vec());
    published.is_on(&disk, &[("etc/hostname", name)]);

    let before = std::fs::read(&disk).unwrap();
    let said = published.boot(&image_word, &[&disk], &CARD);
    assert!(
        said.contains("web revision 1 already, nothing written"),
        "{said}"
    );
    assert!(std::fs::read(&disk).unwrap() == before);
}

/// The image is on the medium, and the machine has no network. Nobody else's medium counts, and its own one is no
/// disk to install on, though the rule takes any.
#[test]
#[ignore = "e2e: src/deploy src/targets/ramdisk src/blockdev"]
fn one_file_boots_by_bios_and_uefi_as_a_cd_and_as_a_usb_disk() {
    let published = Published::new();
    let machine = &published.machine;
    let own = machine.path("machine.yaml");
    std::fs::write(&own, "hostname: web-7\n").unwrap();
    let own = own.to_str().unwrap();
    let words = ["--disk", "only", "--embed", "--iso", "--machine", own];
    let said = published.medium(&published.base(), &words);
    assert!(said.contains("web.iso, for a CD or a USB disk"), "{said}");
    let iso = machine.path("web.iso");
    let uefi = imgforge::host::tools::uefi(imgforge::machine::Arch::X86_64).unwrap();
    let firmware = format!(
        "if=pflash,readonly=on,format=raw,file={}",
        uefi.code.display()
    );
    let bios: &[&str] = &[];
    let uefi = &["-drive", &firmware][..];
    let cd = &["-device", "ide-cd,drive=m,bootindex=0"][..];
    let usb = &[
        "-device",
        "qemu-xhci",
        "-device",
        "usb-storage,drive=m,bootindex=0",
    ][..];
    for (firmware, medium, disk) in [
        (uefi, usb, "ide-hd,drive=d"),
        (bios, usb, "nvme,drive=d,serial=7"),
        (uefi, cd, "virtio-blk-pci,drive=d"),
        (bios, cd, "virtio-blk-pci,drive=d"),
    ] {
        let target = published.disk();
        let start = |expected: &str| {
            let mut args: Vec<String> =
                firmware.iter().chain(medium).map(|a| (*a).into()).collect();
            let drive_of_medium =
                format!("if=none,id=m,format=raw,readonly=on,file={}", iso.display());
            args.extend(["-drive".to_owned(), drive_of_medium]);
            args.extend(drive("d", &target));
            args.extend(["-device".to_owned(), disk.to_owned()]);
            let said = published.run(&args);
            assert!(said.contains(expected), "{said}");
        };
        start("web revision 1 on 200.0 MiB, verified");
        let name = (0o100_644, 0, 0, b"web-7\n".to_vec());
        published.is_on(&target, &[("etc/hostname", name)]);
        if medium == usb && firmware == bios {
            let before = std::fs::read(&target).unwrap();
            start("web revision 1 already, nothing written");
            assert!(std::fs::read(&target).unwrap() == before);
        }
    }
}

/// What is wrong is told on the console, and not a byte is written.
#[test]
#[ignore = "e2e: src/deploy src/targets/ramdisk src/blockdev"]
fn what_is_wrong_with_a_medium_or_a_disk_stops_it_with_nothing_written() {
    let published = Published::new();
    let machine = &published.machine;
    published.medium(&published.base(), &["--disk", "only", "--embed"]);
    let initrd = machine.path("web.initrd");
    let good = std::fs::read(&initrd).unwrap();
    let repo = published.world.path("repo");
    let index = std::fs::read_to_string(repo.join("index.asc")).unwrap();
    let blob = std::fs::read(&published.image.xz).unwrap();
    let mut tampered = blob.clone();
    tampered[blob.len() / 2] ^= 1;
    let stranger = World::new();
    stranger.repository();
    let key = std::fs::read(stranger.path("repo/imgforge.gpg")).unwrap();
    let file = file_of(&repo);
    let empty = vec![0; 200 << 20];
    let mut foreign = empty.clone();
    foreign[512..520].copy_from_slice(b"LABELONE");
    let renamed = index.replace("[web]", "[wob]");
    for (files, content, expected) in [
        (
            vec![(&*file, &*tampered)],
            &empty[..],
            "is not what the signed index says",
        ),
        (
            vec![("repository/index.asc", renamed.as_bytes())],
            &empty,
            "is not to be trusted",
        ),
        (vec![("key.gpg", &*key)], &empty, "is not to be trusted"),
        (vec![], &empty[..64 << 20], "and the image needs 72.0 MiB"),
        (
            vec![],
            &foreign,
            "the disk is not empty, and nothing was written",
        ),
    ] {
        std::fs::write(&initrd, &good).unwrap();
        published.add(&files);
        let disk = machine.path("disk");
        std::fs::write(&disk, content).unwrap();
        let said = published.boot("", &[&disk], &[]);
        assert!(said.contains(expected), "{expected}: {said}");
        assert!(
            said.contains("imgforge: stopped: the image is not installed"),
            "{said}"
        );
        assert!(std::fs::read(&disk).unwrap() == content, "{expected}");
    }
    std::fs::write(&initrd, &good).unwrap();
    let disk = published.disk();
    let said = published.boot("", &[&disk], &[]);
    assert!(
        said.contains("web revision 1 on 200.0 MiB, verified"),
        "{said}"
    );
    published.is_on(&disk, &[]);
}

/// Where the blob is in the RAM disk.
fn file_of(repo: &Path) -> String {
    let files = std::fs::read_dir(repo.join("images/web/1")).unwrap();
    let mut names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let blob = names.find(|name| name.ends_with(".xz")).unwrap();
    format!("repository/images/web/1/{blob}")
}

/// The firmware of a network card gets a script by TFTP, and kernel and RAM disk by HTTP.
#[test]
#[ignore = "e2e: src/deploy src/targets/ramdisk src/blockdev"]
fn a_machine_boots_a_medium_by_its_network_card() {
    let published = Published::new();
    let machine = &published.machine;
    let server = Server::of(&published.world.path("repo"));
    let address = server.text("").replace("127.0.0.1", "10.0.2.2");
    let words = format!("imgforge.image={address}#web");
    published.medium(&server.text(""), &["--disk", "only"]);
    for name in ["web.vmlinuz", "web.initrd"] {
        std::fs::copy(machine.path(name), published.world.path("repo").join(name)).unwrap();
    }
    let tftp = machine.path("tftp");
    std::fs::create_dir(&tftp).unwrap();
    let script = format!(
        "#!ipxe\nkernel {address}web.vmlinuz initrd=web.initrd console=ttyS0 root=ramdisk {WORDS} \
         {words} BOOTIF=01-${{netX/mac:hexhyp}}\ninitrd {address}web.initrd\nboot\n"
    );
    std::fs::write(tftp.join("boot.ipxe"), script).unwrap();
    let disk = published.disk();
    let net = format!("user,id=n,tftp={},bootfile=boot.ipxe", tftp.display());
    let mut args: Vec<String> = [
        "-netdev",
        &net,
        "-device",
        "virtio-net-pci,netdev=n,bootindex=0",
    ]
    .map(str::to_owned)
    .into();
    args.extend(drive("d", &disk));
    args.extend(["-device".to_owned(), "virtio-blk-pci,drive=d".to_owned()]);
    let said = published.run(&args);
    assert!(
        said.contains("web revision 1 on 200.0 MiB, verified"),
        "{said}"
    );
    published.is_on(&disk, &[]);
}
