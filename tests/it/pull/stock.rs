//! Repositories that others made for virt-builder.

use super::world::*;
use imgforge::digest::file_sha512;

/// A signed repository without anything of imgforge's, and virt-builder's configuration for it.
struct Stock {
    dir: tempfile::TempDir,
    home: Home,
    index: String,
}

impl Stock {
    fn new() -> Stock {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path().join("gnupg"));
        home.gpg(&[
            "--quick-gen-key",
            "images@example.org",
            "ed25519",
            "sign",
            "never",
        ]);
        std::fs::create_dir(dir.path().join("srv")).unwrap();
        Stock {
            dir,
            home,
            index: String::new(),
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join("srv").join(name)
    }

    /// Adds an entry for a file that is there.
    fn entry(&mut self, id: &str, file: &str, size: u64, more: &str) {
        let sha512 = file_sha512(&self.file(file)).unwrap();
        self.index += &format!(
            "[{id}]\nname={id}\narch=x86_64\nfile={file}\nchecksum={sha512}\nsize={size}\n{more}\n"
        );
    }

    fn sign(&self) {
        let key = self.file("key.gpg");
        self.home
            .gpg(&["--output", key.to_str().unwrap(), "--export"]);
        let signed = self.home.program().args(["--clearsign", "--output", "-"]);
        let signed = signed.input(self.index.clone()).output().unwrap();
        std::fs::write(self.file("index.asc"), signed).unwrap();
        self.home.stop_agent();
    }

    fn xz(&self, raw: &Path, options: &[&str], name: &str) {
        let packed = Program::new("xz")
            .args(options)
            .arg("-c")
            .arg(raw)
            .output()
            .unwrap();
        std::fs::write(self.file(name), packed).unwrap();
    }
}

#[test]
fn every_kind_of_blob_that_virt_builder_takes_is_taken() {
    let (world, disk) = one_image();
    let mut stock = Stock::new();
    let size = disk.virtual_size.as_bytes();
    let (raw, qcow2) = (&disk.raw, stock.file("plain.qcow2"));
    stock.xz(raw, &["-1", "-T1", "--block-size=1MiB"], "no-sizes.xz");
    stock.xz(
        raw,
        &["-1", "--check=sha256", "-T2", "--block-size=2MiB"],
        "sizes.xz",
    );
    stock.xz(raw, &["-1", "--check=none"], "one-block.xz");
    stock.xz(raw, &["-1", "--x86", "--lzma2=preset=1"], "filter.xz");
    std::fs::copy(raw, stock.file("plain.raw")).unwrap();
    let convert = Program::new("qemu-img").args(["convert", "-f", "raw", "-O", "qcow2"]);
    convert.args([raw, &qcow2]).run().unwrap();
    stock.xz(&qcow2, &["-1"], "qcow2.xz");
    for (id, file, more) in [
        ("no-sizes", "no-sizes.xz", "format=raw\n"),
        ("sizes", "sizes.xz", "format=raw\n"),
        ("one-block", "one-block.xz", "format=raw\n"),
        ("filter", "filter.xz", "format=raw\n"),
        ("plain", "plain.raw", "format=raw\n"),
        ("unsaid", "qcow2.xz", ""),
        ("qcow2", "plain.qcow2", "format=qcow2\n"),
    ] {
        let length = std::fs::metadata(stock.file(file)).unwrap().len();
        let more = match id {
            "one-block" => more.to_owned(),
            _ => format!("{more}compressed_size={length}\n"),
        };
        stock.entry(id, file, size, &more);
    }
    stock.sign();
    let server = Server::of(&stock.dir.path().join("srv"));
    let machine = Machine::new(&world);
    let key = stock.file("key.gpg");
    let options = Options {
        key: Some(&key),
        ..machine.trusting()
    };
    for id in [
        "no-sizes",
        "sizes",
        "one-block",
        "filter",
        "plain",
        "unsaid",
        "qcow2",
    ] {
        let reference = format!("{}#{id}", server.text("index.asc"));
        machine
            .pull_to(&reference, &options)
            .unwrap_or_else(|e| panic!("{id}: {}", e.render()));
        machine.has(&disk);
    }
    let error = machine
        .find(&format!("{}#plain@2", server.text("index.asc")), &options)
        .unwrap_err();
    assert!(
        error.render().contains("keeps no record"),
        "{}",
        error.render()
    );
}

#[test]
fn a_signed_disk_that_refers_to_files_of_the_host_is_refused() {
    let (world, disk) = one_image();
    let mut stock = Stock::new();
    for format in ["qcow2", "qed"] {
        let (name, size) = (format!("evil.{format}"), disk.virtual_size.as_bytes());
        let create = Program::new("qemu-img").args(["create", "-q", "-F", "raw", "-f", format]);
        let create = create.arg("-b").args([&disk.raw, &stock.file(&name)]);
        create.run().unwrap();
        stock.entry(format, &name, size, &format!("format={format}\n"));
    }
    let bomb = world.path("bomb");
    File::create(&bomb).unwrap().set_len(64 << 20).unwrap();
    stock.xz(&bomb, &["-1"], "bomb.xz");
    stock.entry("bomb", "bomb.xz", 1 << 20, "format=raw\n");
    stock.sign();
    let server = Server::of(&stock.dir.path().join("srv"));
    let machine = Machine::new(&world);
    let key = stock.file("key.gpg");
    let options = Options {
        key: Some(&key),
        ..machine.trusting()
    };
    for (id, expected) in [
        ("qcow2", "refers to another file"),
        ("qed", "refers to another file"),
        ("bomb", "as the index says"),
    ] {
        let reference = format!("{}#{id}", server.text("index.asc"));
        let error = machine.pull_to(&reference, &options).unwrap_err();
        assert!(error.render().contains(expected), "{}", error.render());
        assert_eq!(error.kind(), Kind::Gate, "{id}");
        machine.has_nothing();
    }
}

#[test]
fn sources_of_virt_builder_are_known_by_name_with_their_keys() {
    let (world, disk) = one_image();
    let mut stock = Stock::new();
    stock.xz(&disk.raw, &["-1"], "disk.xz");
    stock.entry(
        "debian",
        "disk.xz",
        disk.virtual_size.as_bytes(),
        "format=raw\n",
    );
    stock.sign();
    let server = Server::of(&stock.dir.path().join("srv"));
    let machine = Machine::new(&world);
    let config = machine.path("state/config/virt-builder/repos.d");
    std::fs::create_dir_all(&config).unwrap();
    let text = format!(
        "[example.org]\nuri={}\ngpgkey=file://{}\n\n[odd.org]\nuri={}\ngpgkey=file://{1}\n",
        server.text("index.asc"),
        stock.file("key.gpg").display(),
        server.text("builder/signed-list"),
    );
    // `uri` is the index itself, whatever it is called.
    std::fs::create_dir(stock.file("builder")).unwrap();
    std::fs::copy(stock.file("index.asc"), stock.file("builder/signed-list")).unwrap();
    std::fs::copy(stock.file("disk.xz"), stock.file("builder/disk.xz")).unwrap();
    std::fs::write(config.join("example.conf"), text).unwrap();
    for repository in [
        "example.org".to_owned(),
        "odd.org".to_owned(),
        server.text("index.asc"),
        server.text("builder/signed-list"),
    ] {
        machine
            .program()
            .env("XDG_CONFIG_HOME", machine.path("state/config"))
            .args([
                "pull",
                &format!("{repository}#debian"),
                "-o",
                "disk.raw",
                "--no-cache",
            ])
            .run()
            .unwrap();
        machine.has(&disk);
        std::fs::remove_file(machine.path("disk.raw")).unwrap();
    }
    assert_eq!(machine.session().store.all().len(), 0);
}

/// imgforge.yaml says whose signatures count, however the repository is named.
#[test]
fn a_source_of_virt_builder_takes_nothing_from_the_configuration() {
    let (world, disk) = one_image();
    let mut stock = Stock::new();
    stock.xz(&disk.raw, &["-1"], "disk.xz");
    let size = disk.virtual_size.as_bytes();
    stock.entry("debian", "disk.xz", size, "format=raw\n");
    stock.sign();
    let server = Server::of(&stock.dir.path().join("srv"));
    let machine = Machine::new(&world);
    let config = machine.path("state/config/virt-builder/repos.d");
    std::fs::create_dir_all(&config).unwrap();
    let (index, key) = (server.text("index.asc"), stock.file("key.gpg"));
    let text = format!("[site]\nuri={index}\ngpgkey=file://{}\n", key.display());
    std::fs::write(config.join("site.conf"), text).unwrap();
    let pull = |repository: &str| {
        let program = machine.program();
        let program = program.env("XDG_CONFIG_HOME", machine.path("state/config"));
        let image = format!("{repository}#debian");
        program
            .args(["pull", &image, "-o", "disk.raw", "--no-cache"])
            .run()
    };
    for url in [server.text(""), index.clone()] {
        for (key, counts) in [
            (world.path("repo/imgforge.gpg"), false),
            (key.clone(), true),
        ] {
            let text = format!(
                "repositories:\n  main: {{url: '{url}', allowed-signers: '{}'}}\n",
                key.display()
            );
            std::fs::write(machine.path("imgforge.yaml"), text).unwrap();
            for named in ["main", &server.text(""), &index, "site"] {
                let pulled = pull(named).map_err(|error| error.render());
                match pulled {
                    Ok(()) => assert!(counts, "{url} {named}"),
                    Err(text) => {
                        let untrusted = text.contains("not among the trusted ones");
                        assert!(!counts && untrusted, "{url} {named}: {text}");
                    }
                }
            }
        }
    }
}

/// Changes a blob when it was compared and is to be unpacked.
struct Meddler(PathBuf, Vec<u8>);

impl imgforge::ui::Reporter for Meddler {
    fn event(&self, event: &imgforge::ui::Event) {
        if matches!(event, imgforge::ui::Event::Step { name, .. } if name == "unpacking") {
            std::fs::write(&self.0, &self.1).unwrap();
        }
    }
}

#[test]
fn a_blob_of_this_host_that_changes_after_it_was_compared_is_refused() {
    let (world, disk) = one_image();
    let mut stock = Stock::new();
    std::fs::copy(&disk.raw, stock.file("plain.raw")).unwrap();
    // A stream after another one: virt-builder does not take it, and others make it.
    stock.xz(&disk.raw, &["-1"], "streams.xz");
    let mut streams = std::fs::read(stock.file("streams.xz")).unwrap();
    streams.extend(
        Program::new("xz")
            .args(["-1", "-c"])
            .input("")
            .output()
            .unwrap(),
    );
    std::fs::write(stock.file("streams.xz"), streams).unwrap();
    let size = disk.virtual_size.as_bytes();
    for (id, file) in [("plain", "plain.raw"), ("streams", "streams.xz")] {
        stock.entry(id, file, size, "format=raw\n");
    }
    stock.sign();
    let machine = Machine::new(&world);
    let key = stock.file("key.gpg");
    let options = Options {
        key: Some(&key),
        ..machine.trusting()
    };
    let mut evil = std::fs::read(&disk.raw).unwrap();
    evil[100..104].copy_from_slice(b"evil");
    for (id, file) in [("plain", "plain.raw"), ("streams", "streams.xz")] {
        let reference = format!("{}#{id}", stock.file("index.asc").display());
        machine.pull_to(&reference, &options).unwrap();
        machine.has(&disk);
        std::fs::remove_file(machine.path("disk.raw")).unwrap();
        let bytes = match id {
            "plain" => evil.clone(),
            _ => Program::new("xz")
                .args(["-1", "-c"])
                .input(evil.clone())
                .output()
                .unwrap(),
        };
        let ui = Ui::new(Meddler(stock.file(file), bytes));
        let session = Session {
            ui: &ui,
            ..machine.session()
        };
        let image = pull::find(&session, &reference.parse().unwrap(), &options).unwrap();
        let output = Output {
            path: &machine.path("disk.raw"),
            format: DiskFormat::Raw,
            size: None,
            keep: true,
            threads: None,
        };
        let error = pull::fetch(&session, &image, &output).unwrap_err();
        assert_eq!(error.kind(), Kind::Gate, "{id}: {}", error.render());
        assert!(
            error.message().contains("changed while it was read"),
            "{error}"
        );
        machine.has_nothing();
    }
}
