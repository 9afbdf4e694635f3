//! An archive of Debian packages, which its own key signs.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use crate::repository::world::*;
use crate::server::{Answer, Server};

/// An archive in a directory.
pub(super) struct Archive {
    dir: TempDir,
    home: Home,
}

/// Name, version, and what stands after `Source:`.
pub(super) type Row<'a> = (&'a str, &'a str, &'a str);

impl Archive {
    pub(super) fn new() -> Archive {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path().join("gnupg"));
        home.gpg(&[
            "--quick-gen-key",
            "archive@example.org",
            "ed25519",
            "sign",
            "never",
        ]);
        Archive { dir, home }
    }

    pub(super) fn public_key(&self) -> Vec<u8> {
        self.home.program().arg("--export").output().unwrap()
    }

    pub(super) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.dir.path().join(name)).unwrap()
    }

    pub(super) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Writes a suite with these packages at `dir`.
    pub(super) fn suite(&self, dir: &str, name: &str, packages: &[Row<'_>]) {
        self.dated(dir, name, packages, "");
    }

    /// As it was long ago.
    pub(super) fn expire(&self, dir: &str, name: &str) {
        let until = "Valid-Until: Sat, 22 Nov 2014 10:00:00 UTC\n";
        self.dated(dir, name, &[], until);
    }

    fn dated(&self, dir: &str, name: &str, packages: &[Row<'_>], until: &str) {
        let mut list = String::new();
        for (package, version, source) in packages {
            let _ = write!(
                list,
                "Package: {package}\nArchitecture: amd64\nVersion: {version}\n"
            );
            if !source.is_empty() {
                let _ = writeln!(list, "Source: {source}");
            }
            let _ = write!(
                list,
                "Filename: pool/{package}.deb\nSize: 1\nSHA256: {}\nDescription: {package}\n\n",
                "0".repeat(64)
            );
        }
        let packed = Program::new("xz").input(list.clone()).output().unwrap();
        let (plain, xz) = (
            "main/binary-amd64/Packages",
            "main/binary-amd64/Packages.xz",
        );
        self.write(&format!("{dir}/{xz}"), &packed);
        let line = |bytes: &[u8], path: &str| {
            format!(" {} {} {path}\n", hex(&Sha256::digest(bytes)), bytes.len())
        };
        let release = format!(
            "Origin: Debian\nLabel: Debian\nSuite: {name}\nCodename: {name}\n\
             Date: Sat, 15 Nov 2025 10:00:00 UTC\n{until}Architectures: amd64\nComponents: main\n\
             SHA256:\n{}{}",
            line(list.as_bytes(), plain),
            line(&packed, xz)
        );
        self.sign(dir, release);
    }

    /// Signs what a suite says of itself after it was altered.
    pub(super) fn alter(&self, dir: &str, alter: impl FnOnce(String) -> String) {
        let path = self.dir.path().join(dir).join("InRelease");
        let text = self.home.program().arg("--decrypt").arg(path).text();
        self.sign(dir, alter(text.unwrap()));
    }

    fn sign(&self, dir: &str, release: String) {
        let signed = self
            .home
            .program()
            .args(["--digest-algo", "SHA512", "--clearsign"]);
        let signed = signed.input(release).output().unwrap();
        self.write(&format!("{dir}/InRelease"), signed);
    }

    /// Signs a file, beside it.
    pub(super) fn sign_file(&self, path: &std::path::Path) {
        self.home
            .program()
            .args(["--armor", "--detach-sign"])
            .arg(path)
            .run()
            .unwrap();
    }

    /// Serves it, with tags by content.
    pub(super) fn serve(&self) -> Server {
        let dir = self.dir.path().to_owned();
        Server::start(move |request, _| {
            let path = dir.join(request.path.trim_start_matches('/'));
            let Ok(body) = std::fs::read(path) else {
                return Answer::status(404);
            };
            let tag = format!("\"{}\"", hex(&Sha256::digest(&body)));
            match request.header("if-none-match") == Some(&tag) {
                true => Answer::status(304).header("ETag", &tag),
                false => Answer::file(request, &body, &tag),
            }
        })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
