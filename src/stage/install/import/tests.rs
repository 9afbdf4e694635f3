use super::*;
use crate::digest::file_sha256;
use crate::lock::Fetching;
use crate::machine::Arch;
use crate::proxy::Cache;
use crate::store::Store;
use crate::store::files::Files;
use crate::store::ledger::Ledger;
use crate::ui::Ui;

/// A raw disk of 1 MiB with a boot signature and a word that must survive.
fn raw_disk(dir: &Path) -> PathBuf {
    let mut bytes = vec![0u8; 1 << 20];
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    bytes[300_000..300_006].copy_from_slice(b"marker");
    let path = dir.join("disk.img");
    std::fs::write(&path, bytes).unwrap();
    path
}

fn import(dir: &Path, image: &Path, sha256: Option<&str>, size: Size) -> Result<BaseDisk> {
    import_as(dir, image, sha256, size, false)
}

fn import_as(
    dir: &Path,
    image: &Path,
    sha256: Option<&str>,
    size: Size,
    raw: bool,
) -> Result<BaseDisk> {
    let store = Store::new(dir.join("state"));
    store.prepare().unwrap();
    let ledger = Ledger::open(store.state()).unwrap();
    let ui = Ui::silent().stage("test", "install");
    let scratch = dir.join("scratch");
    drop(std::fs::remove_dir_all(&scratch));
    std::fs::create_dir(&scratch).unwrap();
    let files = Files::take(&[], dir, dir.join("inputs"), true).unwrap();
    run(&Input {
        image: image.to_str().unwrap(),
        sha256,
        raw,
        media: Media {
            store: &store,
            ledger: &ledger,
            arch: Arch::default(),
            files: &files,
            fetching: &Fetching::default(),
            cache: &Cache::new(store.state(), None),
            ui: &ui,
        },
        size,
        scratch: &scratch,
        disk: &dir.join("out.qcow2"),
        ui: &ui,
    })
}

fn assert_imported(dir: &Path, installed: &BaseDisk) {
    let back = dir.join("back.raw");
    Program::new("qemu-img")
        .args(["convert", "-O", "raw"])
        .args([&installed.disk, &back])
        .run()
        .unwrap();
    let bytes = std::fs::read(back).unwrap();
    assert_eq!(bytes.len() as u64, installed.size.as_bytes());
    assert_eq!(&bytes[300_000..300_006], b"marker");
}

#[test]
fn raw_and_compressed_images_are_taken_and_grow() {
    let dir = tempfile::tempdir().unwrap();
    let raw = raw_disk(dir.path());
    for tool in [None, Some("xz"), Some("gzip"), Some("zstd"), Some("bzip2")] {
        let image = tool.map_or_else(
            || raw.clone(),
            |tool| {
                let packed = Program::new(tool).arg("-c").arg(&raw).output().unwrap();
                let path = dir.path().join(format!("disk.{tool}"));
                std::fs::write(&path, packed).unwrap();
                path
            },
        );
        let digest = file_sha256(&image).unwrap();
        let installed = import(dir.path(), &image, Some(&digest), Size::mib(4)).unwrap();
        assert_imported(dir.path(), &installed);
    }
}

#[test]
fn a_wrong_digest_names_both() {
    let dir = tempfile::tempdir().unwrap();
    let raw = raw_disk(dir.path());
    let wrong = "0".repeat(64);
    let error = import(dir.path(), &raw, Some(&wrong), Size::mib(4)).unwrap_err();
    let text = error.render();
    assert!(text.contains(&wrong) && text.contains(&file_sha256(&raw).unwrap()));
    assert!(!dir.path().join("out.qcow2").exists());
}

#[test]
fn an_image_that_refers_to_another_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let raw = raw_disk(dir.path());
    let overlay = dir.path().join("overlay.qcow2");
    Program::new("qemu-img")
        .args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"])
        .args([&raw, &overlay])
        .run()
        .unwrap();
    let data = dir.path().join("data.qcow2");
    let option = format!("data_file={}", dir.path().join("data.raw").display());
    Program::new("qemu-img")
        .args(["create", "-q", "-f", "qcow2", "-o", &option])
        .arg(&data)
        .arg("1M")
        .run()
        .unwrap();
    for image in [overlay, data] {
        let error = import(dir.path(), &image, None, Size::mib(4)).unwrap_err();
        assert!(
            error.message().contains("refers to another file"),
            "{error}"
        );
    }
}

#[test]
fn what_is_no_disk_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let garbage = dir.path().join("garbage");
    std::fs::write(&garbage, vec![b'x'; 100_000]).unwrap();
    let error = import(dir.path(), &garbage, None, Size::mib(4)).unwrap_err();
    assert!(error.message().ends_with("is not a disk image"), "{error}");
    let missing = import(dir.path(), &dir.path().join("none"), None, Size::mib(4)).unwrap_err();
    assert!(missing.hint_text().unwrap().contains("import"));
    let error = import(dir.path(), &raw_disk(dir.path()), None, Size::bytes(4096)).unwrap_err();
    assert!(error.hint_text().unwrap().contains("never shrinks"));
}

#[test]
fn a_disk_of_another_format_is_refused_by_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let raw = raw_disk(dir.path());
    let vhd = dir.path().join("fixed.vhd");
    let options = [
        "convert",
        "-O",
        "vpc",
        "-o",
        "subformat=fixed,force_size=on",
    ];
    let convert = Program::new("qemu-img").args(options);
    convert.args([&raw, &vhd]).run().unwrap();
    let archive = dir.path().join("disk.tar.xz");
    let tar = Program::new("tar").arg("-cJf").arg(&archive).arg("-C");
    tar.arg(dir.path()).arg("disk.img").run().unwrap();
    for (image, what) in [(vhd, "it is a VHD file"), (archive, "it is a tar archive")] {
        let error = import(dir.path(), &image, None, Size::mib(4)).unwrap_err();
        assert!(error.render().contains(what), "{error}");
    }
}

/// A guest writes its own first sector: it must not make its raw disk another format, or packed.
#[test]
fn a_format_that_is_known_is_not_probed() {
    let dir = tempfile::tempdir().unwrap();
    let raw = raw_disk(dir.path());
    let secret = dir.path().join("secret");
    std::fs::write(&secret, vec![7u8; 1 << 20]).unwrap();
    let overlay = dir.path().join("overlay");
    let create = Program::new("qemu-img").args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"]);
    create.args([&secret, &overlay]).run().unwrap();
    let qcow2 = std::fs::read(overlay).unwrap();
    for start in [
        &qcow2[..4096],
        &b"\xfd7zXZ\0\0\0"[..],
        &b"\x1f\x8b\x08\0"[..],
    ] {
        let mut bytes = std::fs::read(&raw).unwrap();
        bytes[..start.len()].copy_from_slice(start);
        let image = dir.path().join("pulled.raw");
        std::fs::write(&image, &bytes).unwrap();
        let size = Size::mib(1);
        let installed = import_as(dir.path(), &image, None, size, true).unwrap();
        assert_imported(dir.path(), &installed);
        let back = std::fs::read(dir.path().join("back.raw")).unwrap();
        assert!(back == bytes, "{:x?}", &start[..4]);
    }
}

#[test]
fn unpacking_ends_at_the_machines_disk() {
    let dir = tempfile::tempdir().unwrap();
    let zeros = dir.path().join("zeros");
    File::create(&zeros).unwrap().set_len(256 << 20).unwrap();
    for tool in ["xz", "gzip"] {
        let packed = Program::new(tool)
            .args(["-1", "-c"])
            .arg(&zeros)
            .output()
            .unwrap();
        let bomb = dir.path().join(format!("packed.{tool}"));
        std::fs::write(&bomb, packed).unwrap();
        let error = import(dir.path(), &bomb, None, Size::mib(4)).unwrap_err();
        let text = error.render();
        assert!(
            text.contains("more than the machine's disk of 4MiB"),
            "{text}"
        );
        let written = std::fs::metadata(dir.path().join("scratch/image"))
            .unwrap()
            .len();
        assert!(written < 8 << 20, "{written}");
    }
}

#[test]
fn a_tar_archive_is_no_disk() {
    let dir = tempfile::tempdir().unwrap();
    let raw = raw_disk(dir.path());
    for format in ["posix", "gnu", "v7"] {
        let tar = dir.path().join(format!("{format}.tar"));
        let make = Program::new("tar").arg("-C").arg(dir.path());
        let make = make.arg(format!("--format={format}")).arg("-cf").arg(&tar);
        make.arg(raw.file_name().unwrap()).run().unwrap();
        let packed = Program::new("xz")
            .args(["-1", "-c"])
            .arg(&tar)
            .output()
            .unwrap();
        let image = dir.path().join("disk.tar.xz");
        std::fs::write(&image, packed).unwrap();
        let error = import(dir.path(), &image, None, Size::mib(8)).unwrap_err();
        assert!(
            error.render().contains("it is a tar archive"),
            "{format}: {}",
            error.render()
        );
    }
}
