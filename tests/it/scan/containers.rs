//! The same disk in every container that people have their images in.

use super::*;

/// What is planted, and what is no leftover.
fn planted_disk(dir: &Path) -> (PathBuf, BTreeSet<(String, String)>) {
    let phony = Phony::debian();
    phony.file("etc/machine-id", "0123456789abcdef0123456789abcdef\n");
    let id = ("machine-id".to_owned(), "/etc/machine-id".to_owned());
    (phony.disk(dir, "disk.raw"), BTreeSet::from([id]))
}

fn convert(disk: &Path, options: &[&str], to: &Path) {
    let convert = Program::new("qemu-img").arg("convert").args(options);
    convert.args([disk, to]).run().unwrap();
}

#[test]
fn a_disk_of_every_format_is_read_whatever_it_is_called() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, expected) = planted_disk(dir.path());
    let file = dir.path().join("image");
    for options in [
        &["-O", "qcow2", "-c"][..],
        &["-O", "vmdk"],
        &["-O", "vmdk", "-o", "subformat=streamOptimized"],
        &["-O", "vmdk", "-o", "subformat=twoGbMaxExtentSparse"],
        &["-O", "vdi"],
        &["-O", "vhdx"],
        &["-O", "vpc", "-o", "subformat=dynamic"],
        &["-O", "vpc", "-o", "subformat=fixed,force_size"],
    ] {
        convert(&disk, options, &file);
        assert_eq!(found_in(&file, &[]), expected, "{options:?}");
    }
    for tool in ["xz", "gzip", "zstd", "bzip2"] {
        let packed = Program::new(tool).args(["-1", "-c"]).arg(&disk).output();
        std::fs::write(&file, packed.unwrap()).unwrap();
        assert_eq!(found_in(&file, &[]), expected, "{tool}");
    }
}

#[test]
fn a_disk_in_an_archive_is_read_and_an_archive_of_files_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, expected) = planted_disk(dir.path());
    let inner = dir.path().join("inner");
    std::fs::create_dir(&inner).unwrap();
    let stream = ["-O", "vmdk", "-o", "subformat=streamOptimized"];
    convert(&disk, &stream, &inner.join("disk.vmdk"));
    std::fs::write(inner.join("web.ovf"), "<Envelope/>").unwrap();
    let pack = |options: &[&str], name: &str| {
        let archive = dir.path().join(name);
        let tar = Program::new("tar").args(options).arg("-cf").arg(&archive);
        tar.arg("-C").arg(&inner).arg(".").run().unwrap();
        archive
    };
    let ova = pack(&["--format=ustar"], "web");
    assert_eq!(found_in(&ova, &[]), expected);
    std::fs::remove_file(inner.join("disk.vmdk")).unwrap();
    convert(&disk, &["-O", "qcow2"], &inner.join("box.img"));
    let found = found_in(&pack(&["-z", "--format=v7"], "box"), &[]);
    assert_eq!(found, expected);
    // A disk among the files of an image is not looked into, and told.
    std::fs::create_dir(inner.join("images")).unwrap();
    std::fs::rename(inner.join("box.img"), inner.join("images/box.img")).unwrap();
    let files = found_in(&pack(&["--format=v7"], "files"), &[]);
    let unseen = ("not-searched".to_owned(), "/images/box.img".to_owned());
    assert_eq!(files, BTreeSet::from([unseen]));
    // An overlay would bring a file of this host in.
    std::fs::remove_dir_all(inner.join("images")).unwrap();
    let create = Program::new("qemu-img").args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"]);
    create.arg(&disk).arg(inner.join("box.img")).run().unwrap();
    scan(&[path(&pack(&[], "overlay"))]).exits(2);
}

/// A disk that came packed, or whose data lies in another file, must not lead to files of this host.
#[test]
fn a_disk_that_refers_to_files_of_this_host_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let other = dir.path().join("other.raw");
    std::fs::write(&other, vec![7; 1 << 20]).unwrap();
    let refused = |file: &Path, words: &str| {
        scan(&[path(file)]).exits(2).says(&[words]);
    };
    for part in [path(&other), "nbd:127.0.0.1:9"] {
        let text = format!(
            "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\n\
             createType=\"monolithicFlat\"\n RW 2048 FLAT \"{part}\" 0\n"
        );
        let gzip = Program::new("gzip").arg("-c").input(text).output().unwrap();
        let file = dir.path().join("image.gz");
        std::fs::write(&file, gzip).unwrap();
        refused(&file, "refers to another file");
    }
    let file = dir.path().join("image.qcow2");
    let create = |backing: &str| {
        let create = Program::new("qemu-img").args(["create", "-q", "-u", "-f", "qcow2"]);
        let create = create.args(["-F", "raw", "-b", backing]).arg(&file);
        create.arg("1M").run().unwrap();
    };
    let imgforge = |words: &[&str]| {
        let mut command = crate::support::imgforge();
        command.arg("--state").arg(dir.path().join("state"));
        command.args(words).said()
    };
    let out = dir.path().join("out");
    let verbs: [&[&str]; 4] = [
        &["disk", "scan", path(&file)],
        &["disk", "seal", path(&file)],
        &["disk", "export", path(&file), "-t", "raw", "-o", path(&out)],
        &["disk", "pack", path(&file), "-o", path(&out)],
    ];
    for (backing, words) in [
        (path(&other), "was not named"),
        ("other.raw", "was not named"),
        ("nbd:127.0.0.1:9", "never followed"),
    ] {
        create(backing);
        for verb in verbs {
            imgforge(verb).exits(2).says(&[words]);
            assert!(!out.exists());
        }
    }
    create("other.raw");
    imgforge(&[verbs[3], &["--backing", path(&other)]].concat()).ok();
    let pulled = dir.path().join("unpacked");
    imgforge(&["disk", "unpack", path(&out), "-o", path(&pulled)]).ok();
    assert_eq!(
        std::fs::read(&pulled).unwrap(),
        std::fs::read(&other).unwrap()
    );
    std::fs::remove_file(&file).unwrap();
    let options = format!("data_file={}", path(&other));
    let create = Program::new("qemu-img").args(["create", "-q", "-f", "qcow2", "-o", &options]);
    create.arg(&file).arg("1M").run().unwrap();
    let refused = imgforge(verbs[1]);
    refused.says(&["keeps its data in another file"]);
}
