//! Media that install an image by themselves, in machines that boot them.

use super::world::*;
use crate::support::cpio::Cpio;
use crate::support::external;
use crate::support::{IMGFORGE, Run as _};
use crate::target::diskless;

/// A machine that boots the medium with these words and disks; what its console says.
fn boot(machine: &Machine, words: &str, disks: &[&Path]) -> String {
    let [kernel, initrd] = ["web.vmlinuz", "web.initrd"].map(|name| machine.path(name));
    let given = ["-kernel", "-initrd"].into_iter().zip([&kernel, &initrd]);
    let mut args: Vec<String> = given
        .flat_map(|(word, path)| [word.to_owned(), path.display().to_string()])
        .collect();
    let words = format!("console=ttyS0 panic=1 no_timer_check root=ramdisk {words}");
    args.extend(["-append".to_owned(), words]);
    for (number, disk) in disks.iter().enumerate() {
        let file = disk.display();
        let drive = format!("if=none,id=d{number},format=raw,cache=unsafe,file={file}");
        args.extend(["-drive".to_owned(), drive]);
        let device = format!("virtio-blk-pci,drive=d{number},serial=disk{number}");
        args.extend(["-device".to_owned(), device]);
    }
    let net = [
        "-netdev",
        "user,id=n",
        "-device",
        "virtio-net-pci,netdev=n,romfile=",
    ];
    args.extend(net.map(str::to_owned));
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    diskless::boot(machine.path("").as_path(), 1024, &args)
}

/// The machine asks the repository by HTTP; a second RAM disk behind the first one has its machine file.
#[test]
#[ignore = "long: src/deploy src/targets/ramdisk src/blockdev"]
fn a_machine_installs_itself_once_and_says_why_it_does_not() {
    let world = World::new();
    let system = diskless::machine(&["virtio_net", "virtio_blk", "e1000e"]);
    let image = rooted(&world, "one", &system);
    publish(&world, &image, "web", "stable");
    let server = Server::of(&world.path("repo"));
    let machine = Machine::new(&world);
    // Without its symbols the program is as large as that of a release.
    let program = machine.path("imgforge");
    let mut strip = external("strip");
    strip.arg("-o").arg(&program).arg(IMGFORGE).said().ok();
    let medium = Program::at(&program)
        .arg("--state")
        .arg(machine.path("state"));
    let medium = medium.args(["deploy", "medium", &format!("{}#web", server.text(""))]);
    let medium = medium.args(["--disk", "only", "--end", "poweroff", "--arch", "x86_64"]);
    let keys = imgforge::gpg::Keyring::of_file(machine.key(), None).unwrap();
    let medium = medium.args(["--fingerprint", &keys.fingerprints[0]]);
    let medium = medium.arg("--key").arg(machine.key());
    let said = medium.arg("--output").arg(machine.path("")).text().unwrap();
    assert!(
        said.contains("web.initrd; command line: console="),
        "{said}"
    );

    let mut own = Cpio::default();
    own.dir("machine");
    own.file("machine/machine.yaml", 0o600, b"hostname: web-7\n");
    let initrd = File::options()
        .append(true)
        .open(machine.path("web.initrd"));
    std::io::Write::write_all(&mut initrd.unwrap(), &own.finish()).unwrap();

    let address = server.text("").replace("127.0.0.1", "10.0.2.2");
    let image_word = format!("imgforge.image={address}#web");
    let disk = machine.disk_with(200 << 20, b"");
    let other = machine.path("other");
    std::fs::copy(&disk, &other).unwrap();
    let said = boot(&machine, &image_word, &[&disk, &other]);
    assert!(
        said.contains("imgforge: stopped: the image is not installed"),
        "{said}"
    );
    assert!(said.contains("vdb"), "{said}");
    for disk in [&disk, &other] {
        assert!(std::fs::read(disk).unwrap().iter().all(|byte| *byte == 0));
    }

    let said = boot(&machine, &image_word, &[&disk]);
    assert!(
        said.contains("web revision 1 on 200.0 MiB, verified"),
        "{said}"
    );
    let ((mut files, size), (mut expected, _)) = (tree(&disk), tree(&image.raw));
    let name = files.remove("etc/hostname").unwrap();
    assert_eq!(name, (0o100_644, 0, 0, b"web-7\n".to_vec()));
    expected.remove("etc/hostname");
    assert!(files == expected);
    assert_eq!(size, (200 << 20) - ROOT - (1 << 20));

    let before = std::fs::read(&disk).unwrap();
    let said = boot(&machine, &image_word, &[&disk]);
    assert!(
        said.contains("web revision 1 already, nothing written"),
        "{said}"
    );
    assert!(std::fs::read(&disk).unwrap() == before);
}
