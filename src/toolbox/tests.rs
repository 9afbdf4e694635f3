use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;

use super::*;
use crate::digest::file_sha256;
use crate::gpg::{Sign, Signer};
use crate::ui::Ui;

/// A signed archive with the suite `phony`, in a directory.
struct PhonyArchive {
    dir: tempfile::TempDir,
    packages: String,
}

impl PhonyArchive {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let packages = String::new();
        PhonyArchive { dir, packages }
    }

    /// Adds a package of shell scripts, by path, and of links.
    fn package(&mut self, name: &str, scripts: &[(&str, &str)], links: &[(&str, &str)]) {
        let dir = self.dir.path().join(format!("{name}.d"));
        let place = |path: &str| {
            let place = dir.join(path);
            std::fs::create_dir_all(place.parent().unwrap()).unwrap();
            place
        };
        let about = format!(
            "Package: {name}\nVersion: 1\nArchitecture: amd64\nMaintainer: nobody\nDescription: phony\n"
        );
        std::fs::write(place("DEBIAN/control"), &about).unwrap();
        for (path, text) in scripts {
            std::fs::write(place(path), format!("#!/bin/sh\n{text}\n")).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(place(path), mode).unwrap();
        }
        for (path, to) in links {
            std::os::unix::fs::symlink(to, place(path)).unwrap();
        }
        let deb = self.dir.path().join(format!("{name}.deb"));
        let build = Program::new("dpkg-deb").args(["--build", "--root-owner-group"]);
        build.arg(&dir).arg(&deb).text().unwrap();
        let (size, digest) = (deb.metadata().unwrap().len(), file_sha256(&deb).unwrap());
        writeln!(
            self.packages,
            "{about}Filename: {name}.deb\nSize: {size}\nSHA256: {digest}\n"
        )
        .unwrap();
    }

    /// Signs and serves it; its address, and the keyring to verify it with.
    fn publish(&self) -> (Address, PathBuf) {
        let suite = self.dir.path().join("dists/phony");
        let index = suite.join("main/binary-amd64");
        std::fs::create_dir_all(&index).unwrap();
        let packages = index.join("Packages");
        std::fs::write(&packages, &self.packages).unwrap();
        let (size, digest) = (self.packages.len(), file_sha256(&packages).unwrap());
        let release = format!(
            "Suite: phony\nCodename: phony\nDate: Thu, 01 Jan 2026 00:00:00 UTC\nArchitectures: amd64\n\
             Components: main\nSHA256:\n {digest} {size} main/binary-amd64/Packages\n"
        );
        let key = Signer::own(&self.dir.path().join("state"), &Ui::silent()).unwrap();
        let signed = key.sign(&[(Sign::Clear, release.as_bytes())]).unwrap();
        std::fs::write(suite.join("InRelease"), &signed[0]).unwrap();
        let keyring = self.dir.path().join("archive.gpg");
        std::fs::write(&keyring, key.public_key().unwrap()).unwrap();
        (serve(self.dir.path().to_owned()), keyring)
    }
}

/// Serves the files below `dir`; the address.
fn serve(dir: PathBuf) -> Address {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/phony", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {}
            let path = head.split(' ').nth(1).unwrap_or_default();
            let found = std::fs::read(dir.join(path.trim_start_matches("/phony/")));
            let status = if found.is_ok() { "200 OK" } else { "404 No" };
            let bytes = found.unwrap_or_default();
            let size = bytes.len();
            let head =
                format!("HTTP/1.1 {status}\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n");
            drop(stream.write_all(&[head.as_bytes(), &bytes].concat()));
        }
    });
    address.parse().unwrap()
}

/// Debian 12 and Ubuntu 22.04 have their loader in `/lib`; later packages have it in `/usr/lib`, and
/// bring links.
#[test]
fn a_toolbox_has_one_usr_whatever_its_packages_bring() {
    let mut archive = PhonyArchive::new();
    // --argv0 NAME --library-path PATHS PROGRAM …
    let loader = (
        "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
        r#"shift 4; exec "$@""#,
    );
    archive.package("libc", &[loader], &[]);
    // What the toolbox's Python starts is the guest's, and may be a Python, too.
    let python = (
        "usr/bin/python3",
        "echo phony 1.2, $(env | grep -c ^PYTHON) variables",
    );
    let later = ("usr/lib64/later", "echo later");
    let modules = ("usr/lib/python3.9/module", "");
    archive.package(
        "python",
        &[python, later, modules, ("usr/lib/python3/module", "")],
        &[("lib64", "usr/lib64"), ("bin", "usr/bin")],
    );
    let (address, keyring) = archive.publish();
    let (debian, bookworm) = distro::suite("bookworm").unwrap();
    let distro: &'static Apt = Box::leak(Box::new(Apt {
        keyring: String::leak(keyring.to_str().unwrap().to_owned()),
        ..*debian
    }));
    let suite = Suite {
        name: "phony",
        pockets: &[],
        ..*bookworm
    };
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path());
    let request = Request {
        store: &store,
        ledger: &Ledger::open(store.state()).unwrap(),
        mirrors: &BTreeMap::new(),
        mirror: &Mirror::At(address),
        arch: Arch::default(),
        fetching: &Fetching::default(),
        cache: &Cache::new(dir.path(), None),
        log: &dir.path().join("proxy.log"),
        ui: &Ui::silent().stage("phony", "configure"),
    };
    let contents = Contents {
        word: "tool",
        title: "Tool",
        packages: &["libc", "python"],
        program: "usr/bin/tool",
        otherwise: "",
    };
    let contents = &*Box::leak(Box::new(contents));
    let fetching = Fetching::default();
    unpack(
        &request,
        contents.packages,
        (distro, &suite),
        dir.path(),
        &fetching,
    )
    .unwrap();
    let made = make(&request, &[contents], dir.path()).unwrap();
    assert_eq!(made.versions["tool"], "phony 1.2, 0 variables");
    for path in ["lib64/later", "bin/python3", "sbin"] {
        assert!(dir.path().join("tree").join(path).exists(), "{path}");
    }
}

#[test]
fn a_missing_keyring_is_named_with_its_package_and_not_as_a_fetch_that_failed() {
    let (debian, bookworm) = distro::suite("bookworm").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let distro: &'static Apt = Box::leak(Box::new(Apt {
        keyring: "/nowhere/debian-archive-keyring.gpg",
        ..*debian
    }));
    let store = Store::new(dir.path());
    store.prepare().unwrap();
    let request = Request {
        store: &store,
        ledger: &Ledger::open(store.state()).unwrap(),
        mirrors: &BTreeMap::new(),
        mirror: &Mirror::Default,
        arch: Arch::default(),
        fetching: &Fetching::default(),
        cache: &Cache::new(dir.path(), None),
        log: &dir.path().join("proxy.log"),
        ui: &Ui::silent().stage("phony", "configure"),
    };
    let contents = &Contents {
        word: "tool",
        title: "Tool",
        packages: &[],
        program: "usr/bin/tool",
        otherwise: "",
    };
    let error = made_for(&request, &[contents], distro, bookworm).unwrap_err();
    insta::assert_snapshot!(error.render(), @r"
    error: /nowhere/debian-archive-keyring.gpg is needed to verify packages of Debian and was not found
    hint: apt-get install debian-archive-keyring
    ");
}

#[test]
fn python_starts_where_nobody_else_has_left_modules() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().canonicalize().unwrap();
    std::fs::create_dir(dir.join("tree")).unwrap();
    write_python(&dir.join("tree"), Arch::default()).unwrap();
    let script = "#!/bin/sh\npwd\necho $OPENSSL_MODULES\n";
    std::fs::write(dir.join("tree/python"), script).unwrap();
    let said = python(&dir.join("tree"), &dir).text().unwrap();
    let modules = "tree/usr/lib/x86_64-linux-gnu/ossl-modules";
    assert_eq!(said, format!("{0}\n{0}/{modules}", dir.display()));
}

#[test]
fn what_one_step_uses_another_gets_without_waiting_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::new(dir.path());
    store.prepare().unwrap();
    let ledger = Ledger::open(store.state()).unwrap();
    let ui = Ui::silent().stage("web", "configure");
    let request = Request {
        store: &store,
        ledger: &ledger,
        mirrors: &BTreeMap::new(),
        mirror: &Mirror::Default,
        arch: Arch::default(),
        fetching: &Fetching::default(),
        cache: &Cache::new(dir.path(), None),
        log: &dir.path().join("proxy.log"),
        ui: &ui,
    };
    let get = || {
        let inputs = Inputs::new(Made::STAGE, VERSION);
        let versions = BTreeMap::new();
        kept(&request, ("web", "phony"), inputs, |_, _, _| {
            Ok(Made { versions })
        })
        .unwrap()
    };
    let first = get();
    std::thread::scope(|scope| {
        let second = scope.spawn(get);
        crate::patience::wait_for("the second step", || second.is_finished());
        assert_eq!(second.join().unwrap().path(), first.path());
    });
}
