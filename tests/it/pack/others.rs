//! What the programs of others make of our files, and other disks than raw ones.

use super::*;

/// A disk with text, noise and holes.
fn sample(dir: &Path) -> PathBuf {
    let text = b"the quick brown fox ".repeat(200_000);
    raw(
        dir,
        35 << 20,
        &[(1 << 20, &text), (33 << 20, &noise(1 << 20))],
    )
}

/// A container's archive with code in it, so that a program that wants one can read it.
fn container(dir: &Path) -> PathBuf {
    let path = |name: &str| dir.join(name);
    std::fs::write(path("code"), code()).unwrap();
    let tar = |args: &[&str]| Program::new("tar").arg("-C").arg(dir).args(args);
    tar(&["-cf"])
        .arg(path("layer.tar"))
        .arg("code")
        .run()
        .unwrap();
    let sum = imgforge::digest::file_sha256(&path("layer.tar")).unwrap();
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":["sha256:{sum}"]}}}}"#
    );
    std::fs::write(path("config.json"), config).unwrap();
    let manifest = r#"[{"Config":"config.json","RepoTags":["web:1"],"Layers":["layer.tar"]}]"#;
    std::fs::write(path("manifest.json"), manifest).unwrap();
    let members = ["manifest.json", "config.json", "layer.tar"];
    let to = path("disk.raw");
    tar(&["-cf"]).arg(&to).args(members).run().unwrap();
    to
}

/// busybox unpacks LZMA2 only, and so does the decoder of programs in Go, which skopeo has, too.
#[test]
fn busybox_and_programs_in_go_unpack_every_profile_without_the_filter() {
    let dir = TempDir::new().unwrap();
    let raw = container(dir.path());
    let xz = dir.path().join("disk.xz");
    let busybox = format!("busybox unxz -c {} | cmp - {}", xz.display(), raw.display());
    let read = || {
        let busybox = Program::new("bash").args(["-o", "pipefail", "-c", &busybox]);
        let archive = format!("docker-archive:{}", xz.display());
        let skopeo = Program::new("skopeo").args(["inspect", &archive]);
        [busybox.run(), skopeo.run()]
    };
    let pack = |profile, filter| {
        let options = Options {
            filter,
            ..options(profile, 2)
        };
        compress(&raw, &xz, &options, &ui()).unwrap();
    };
    for profile in [Profile::Publish, Profile::Nightly, Profile::Fast] {
        pack(profile, Filter::None);
        for result in read() {
            result.unwrap_or_else(|error| panic!("{profile:?}: {}", error.render()));
        }
    }
    if cfg!(target_arch = "x86_64") {
        pack(Profile::Publish, Filter::X86);
        let [busybox, go] = read().map(|result| result.unwrap_err().render());
        assert!(busybox.contains("corrupted data"), "{busybox}");
        assert!(go.contains("unsupported filter count"), "{go}");
    }
}

/// libguestfs reads such files through this filter: any place of the disk without unpacking it.
#[test]
fn nbdkit_reads_every_profile_at_any_place() {
    let dir = TempDir::new().unwrap();
    let raw = sample(dir.path());
    for profile in [Profile::Publish, Profile::Nightly, Profile::Fast] {
        let (xz, _) = pack(&raw, profile, 2);
        let compare = format!("qemu-img compare -f raw -F raw \"$uri\" {}", raw.display());
        let text = Program::new("nbdkit")
            .args(["-U", "-", "-r", "--filter=xz", "file"])
            .arg(&xz)
            .args(["--run", &compare])
            .text()
            .unwrap();
        assert!(text.contains("Images are identical"), "{profile:?}: {text}");
    }
}

/// virt-builder's own reader; the run ends where it would start an appliance.
#[test]
fn virt_builder_unpacks_every_profile() {
    let dir = TempDir::new().unwrap();
    let raw = sample(dir.path());
    for profile in [Profile::Publish, Profile::Nightly, Profile::Fast] {
        let (xz, packed) = pack(&raw, profile, 2);
        let index = dir.path().join("index");
        let file = xz.file_name().unwrap().to_string_lossy();
        let text = format!(
            "[disk]\narch=x86_64\nfile={file}\nformat=raw\nsize={}\nchecksum[sha512]={}\n",
            packed.virtual_size.as_bytes(),
            packed.sha512
        );
        std::fs::write(&index, text).unwrap();
        let out = dir.path().join("out.img");
        drop(std::fs::remove_file(&out));
        let ended = Program::new("virt-builder")
            .args([
                "disk",
                "--arch",
                "x86_64",
                "--no-check-signature",
                "--no-cache",
            ])
            .args(["--no-delete-on-failure", "--no-sync", "--source"])
            .arg(&index)
            .arg("-o")
            .arg(&out)
            .env("VIRT_BUILDER_DIRS", "/nonexistent")
            .env("XDG_CONFIG_HOME", dir.path())
            .env("LIBGUESTFS_BACKEND", "direct")
            .env("LIBGUESTFS_HV", "/bin/false")
            .run();
        assert!(ended.is_err(), "there is no appliance");
        Program::new("cmp").args([&out, &raw]).run().unwrap();
    }
}

#[test]
fn a_qcow2_disk_is_packed_like_the_raw_one() {
    let dir = TempDir::new().unwrap();
    let raw = raw(dir.path(), 5 << 20, &[(1 << 20, b"data")]);
    let qcow2 = dir.path().join("disk.qcow2");
    Program::new("qemu-img")
        .args(["convert", "-f", "raw", "-O", "qcow2"])
        .args([&raw, &qcow2])
        .run()
        .unwrap();
    let (expected, packed) = pack(&raw, Profile::Fast, 1);
    let out = dir.path().join("from-qcow2.xz");
    let text = crate::support::imgforge_by_the_door()
        .args([
            "-q",
            "disk",
            "pack",
            "--no-cache",
            "--json",
            "--profile",
            "fast",
        ])
        .arg(&qcow2)
        .arg("-o")
        .arg(&out)
        .text()
        .unwrap();
    let told: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(told["sha512"], packed.sha512);
    assert!(std::fs::read(out).unwrap() == std::fs::read(expected).unwrap());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 4);
}

#[test]
fn a_chain_of_overlays_becomes_one_sparse_raw_file() {
    let dir = TempDir::new().unwrap();
    let base = raw(dir.path(), 64 << 20, &[(0, b"base"), (10 << 20, b"old")]);
    let overlay = dir.path().join("overlay.qcow2");
    Program::new("qemu-img")
        .args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"])
        .args([&base, &overlay])
        .run()
        .unwrap();
    Program::new("qemu-io")
        .args(["-f", "qcow2", "-c", "write -P 0x41 10M 64k"])
        .arg(&overlay)
        .run()
        .unwrap();
    let out = dir.path().join("flat.raw");
    let flat = flatten(&overlay, "qcow2", &out, &ui()).unwrap();
    assert_eq!(flat.virtual_size.as_bytes(), 64 << 20);
    assert!(flat.allocated.as_bytes() < 1 << 20, "{flat:?}");
    let file = File::open(&out).unwrap();
    let read = |at| {
        let mut bytes = [0; 4];
        file.read_exact_at(&mut bytes, at).unwrap();
        bytes
    };
    assert_eq!(
        (&read(0), &read(10 << 20), &read(20 << 20)),
        (b"base", b"AAAA", &[0; 4])
    );

    let error = flatten(&dir.path().join("none"), "qcow2", &out, &ui()).unwrap_err();
    assert!(
        error.render().contains("No such file"),
        "{}",
        error.render()
    );
    assert!(!out.exists());
}
