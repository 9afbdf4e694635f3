//! The formats of whole disks.

use super::{GENERIC, World, debian, run, text};

/// What a guest would read from each format is what is on the disk.
#[test]
fn every_format_holds_the_same_disk() {
    let world = World::new();
    let disk = debian(GENERIC).disk(world.dir.path(), "web.raw");
    let targets = ["raw", "qcow2", "vmdk", "ova", "azure", "gcp"];
    let args: Vec<&str> = targets.iter().flat_map(|name| ["-t", *name]).collect();
    let printed = world.ok(&disk, &args);
    assert_eq!(
        world.made(),
        [
            "web.gcp.tar.gz",
            "web.ova",
            "web.qcow2",
            "web.raw",
            "web.vhd",
            "web.vmdk"
        ]
    );
    let out = |name: &str| world.path("out").join(name);
    let same = |format: &str, path: &std::path::Path| {
        run(
            "qemu-img",
            &[
                "compare",
                "-f",
                "raw",
                "-F",
                format,
                text(&disk),
                text(path),
            ],
        );
    };
    for (format, name) in [
        ("raw", "raw"),
        ("qcow2", "qcow2"),
        ("vmdk", "vmdk"),
        ("vpc", "vhd"),
    ] {
        same(format, &out(&format!("web.{name}")));
    }
    let sum = run("sha512sum", &[text(&out("web.qcow2"))]);
    assert!(
        printed.contains(sum.split(' ').next().unwrap()),
        "{printed}"
    );
    let info = run("qemu-img", &["info", text(&out("web.qcow2"))]);
    assert!(
        info.contains("compat: 1.1") && info.contains("compression type: zlib"),
        "{info}"
    );
    // Whole mebibytes and a footer.
    let vhd = std::fs::read(out("web.vhd")).unwrap();
    assert_eq!(vhd.len() % (1 << 20), 512);
    assert!(vhd[vhd.len() - 512..].starts_with(b"conectix"));
    // Whole gibibytes, by the only name that is taken, with its holes.
    let listed = run("tar", &["-tvzf", text(&out("web.gcp.tar.gz"))]);
    assert!(
        listed.contains(" 1073741824 ") && listed.trim_end().ends_with(" disk.raw"),
        "{listed}"
    );
    let kind = run(
        "sh",
        &[
            "-c",
            &format!(
                "zcat {} | head -c 263 | tail -c 107",
                text(&out("web.gcp.tar.gz"))
            ),
        ],
    );
    assert!(kind.starts_with('S') && kind.contains("ustar "), "{kind:?}");
    let dir = tempfile::tempdir().unwrap();
    let unpacked = text(dir.path());
    run(
        "tar",
        &["-C", unpacked, "-xSzf", text(&out("web.gcp.tar.gz"))],
    );
    same("raw", &dir.path().join("disk.raw"));
}

/// The archive of a machine: a description first, digests, a disk; others read all of it.
#[test]
fn an_ova_is_read_by_others() {
    let world = World::new();
    let disk = debian(GENERIC).disk(world.dir.path(), "web.raw");
    world.ok(&disk, &["-t", "ova", "--name", "acme-1"]);
    let ova = world.path("out/acme-1.ova");
    let dir = tempfile::tempdir().unwrap();
    run("tar", &["-C", text(dir.path()), "-xf", text(&ova)]);
    let listed = run("tar", &["-tf", text(&ova)]);
    assert_eq!(listed, "acme-1.ovf\nacme-1.mf\nacme-1-disk1.vmdk\n");
    let list = std::fs::read_to_string(dir.path().join("acme-1.mf")).unwrap();
    for line in list.lines() {
        let (name, sum) = line
            .strip_prefix("SHA256(")
            .unwrap()
            .split_once(")= ")
            .unwrap();
        let real = run("sha256sum", &[text(&dir.path().join(name))]);
        assert!(real.starts_with(sum), "{line}");
    }
    assert_eq!(list.lines().count(), 2);
    let vmdk = dir.path().join("acme-1-disk1.vmdk");
    run("qemu-img", &["check", "-f", "vmdk", text(&vmdk)]);
    let info = run("qemu-img", &["info", "--output=json", text(&vmdk)]);
    assert!(
        info.contains("\"create-type\": \"streamOptimized\""),
        "{info}"
    );
    let ovf = dir.path().join("acme-1.ovf");
    // A reader of descriptions that knows nothing of ours.
    let script = r"
import sys, xml.etree.ElementTree as tree
names = {'o': 'http://schemas.dmtf.org/ovf/envelope/1',
  'r': 'http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData'}
root = tree.parse(sys.argv[1]).getroot()
o = '{' + names['o'] + '}'
disk = root.find('.//o:Disk', names)
file = root.find('.//o:File', names)
assert disk.get(o + 'fileRef') == file.get(o + 'id')
types = [item.text for item in root.findall('.//r:ResourceType', names)]
print(file.get(o + 'href'), file.get(o + 'size'), disk.get(o + 'capacity'), types)
";
    let size = std::fs::metadata(&vmdk).unwrap().len();
    let seen = run("python3", &["-c", script, text(&ovf)]);
    let expected = format!(
        "acme-1-disk1.vmdk {size} {} ['3', '4', '6', '17', '10']\n",
        64 << 20
    );
    assert_eq!(seen, expected);
    let told = described(&ova);
    for words in ["harddisk @ SCSI 0:0", "lsilogic", "E1000", "vmx-13"] {
        assert!(told.contains(words), "{words}: {told}");
    }
}

/// What a tool for descriptions of machines understands of one; it asks for no digests but SHA-1.
pub(super) fn described(path: &std::path::Path) -> String {
    let told = crate::views::tool("cot").arg("info").arg(path).text();
    told.unwrap_or_else(|error| panic!("{}", error.render()))
}

/// A disk that grows to whole gibibytes has the second copy of its partition table at its end.
#[test]
fn a_table_of_partitions_grows_with_the_disk() {
    let world = World::new();
    let (disk, part) = (
        world.path("web.raw"),
        debian(GENERIC).disk(world.dir.path(), "part"),
    );
    run("truncate", &["-s", "70000000", text(&disk)]);
    run("truncate", &["-s", "%512", text(&disk)]);
    run(
        "sh",
        &[
            "-c",
            &format!(
                "printf 'label: gpt\\nstart=2048,size=131072\\n' | sfdisk -q {}",
                text(&disk)
            ),
        ],
    );
    run(
        "dd",
        &[
            &format!("if={}", text(&part)),
            &format!("of={}", text(&disk)),
            "bs=1M",
            "seek=1",
            "conv=notrunc",
            "status=none",
        ],
    );
    world.ok(&disk, &["-t", "azure", "-t", "gcp"]);
    let dir = tempfile::tempdir().unwrap();
    run(
        "tar",
        &[
            "-C",
            text(dir.path()),
            "-xSzf",
            text(&world.path("out/web.gcp.tar.gz")),
        ],
    );
    let verdict = run("sfdisk", &["--verify", text(&dir.path().join("disk.raw"))]);
    assert!(verdict.contains("No errors detected"), "{verdict}");
    let vhd = world.path("out/web.vhd");
    let size = std::fs::metadata(&vhd).unwrap().len();
    assert_eq!(size, 70_254_592 / 1_048_576 * 1_048_576 + 512);
    run("truncate", &["-s", "-512", text(&vhd)]);
    let verdict = run("sfdisk", &["--verify", text(&vhd)]);
    assert!(verdict.contains("No errors detected"), "{verdict}");
}
