//! A key is trusted, not a copy of its certificate: what its owner changes arrives.

use imgforge::gpg::Keyring;

use super::world::*;

/// A repository whose key has expired since clients got it, and was prolonged.
struct Prolonged {
    dir: tempfile::TempDir,
    home: Home,
    /// The certificate as it was.
    old: Vec<u8>,
    key: String,
    server: Server,
}

impl Prolonged {
    fn new() -> Prolonged {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::with_an_expired_key(dir.path().join("gnupg"));
        let srv = dir.path().join("srv");
        std::fs::create_dir(&srv).unwrap();
        let old = home.program().arg("--export").output().unwrap();
        let key = home.fingerprint();
        home.gpg(&["--quick-set-expire", &key, "0"]);
        let index = "[web]\nfile=web.raw\narch=x86_64\nrevision=1\nsize=512\nchecksum[sha512]=";
        let signed = home
            .program()
            .args(["--digest-algo", "SHA512", "--clearsign"]);
        let signed = signed
            .input(format!("{index}{}\n\n", "0".repeat(128)))
            .output()
            .unwrap();
        std::fs::write(srv.join("index.asc"), signed).unwrap();
        let server = Server::of(&srv);
        let it = Prolonged {
            dir,
            home,
            old,
            key,
            server,
        };
        it.offer();
        it
    }

    /// Puts the certificate where clients find it.
    fn offer(&self) {
        let key = self.home.program().arg("--export").output().unwrap();
        std::fs::write(self.dir.path().join("srv/imgforge.gpg"), key).unwrap();
    }

    fn revoke(&self) {
        let certificate = self
            .home
            .0
            .join(format!("openpgp-revocs.d/{}.rev", self.key));
        let certificate = std::fs::read_to_string(certificate).unwrap();
        let import = self.home.program().arg("--import");
        import
            .input(certificate.replace(":-----", "-----"))
            .run()
            .unwrap();
    }

    fn reference(&self) -> String {
        format!("{}#web", self.server.text(""))
    }

    /// A command that names its key.
    fn by_fingerprint(&self) -> Options<'_> {
        Options {
            fingerprint: Some(&self.key),
            ..none()
        }
    }
}

/// The one directory in which the machine remembers.
fn memory(machine: &Machine) -> PathBuf {
    let mut dirs = std::fs::read_dir(machine.path("state/repositories")).unwrap();
    dirs.next().unwrap().unwrap().path()
}

/// Its directory had a name of 12 digits once, which another address can be made to have.
#[test]
fn what_an_older_imgforge_remembered_counts_for_its_own_address() {
    let world = World::new();
    let owner = Prolonged::new();
    let machine = Machine::new(&world);
    let by_fingerprint = owner.by_fingerprint();
    machine.find(&owner.reference(), &by_fingerprint).unwrap();
    let shorten = || {
        let dir = memory(&machine);
        let name = dir.file_name().unwrap().to_str().unwrap()[..12].to_owned();
        let short = dir.with_file_name(name);
        std::fs::rename(dir, &short).unwrap();
        short.join("memory.json")
    };
    shorten();
    machine.find(&owner.reference(), &none()).unwrap();
    let file = shorten();
    let text = std::fs::read_to_string(&file).unwrap();
    let own = owner.server.text("");
    assert!(text.contains(&own), "{own} in {text}");
    std::fs::write(&file, text.replace(&own, "https://other.example/")).unwrap();
    let error = machine.find(&owner.reference(), &none()).unwrap_err();
    assert!(
        error.to_string().contains("no trusted key is set"),
        "{}",
        error.render()
    );
}

/// Lets a day go by.
fn tomorrow(machine: &Machine) {
    let file = memory(machine).join("memory.json");
    let text = std::fs::read_to_string(&file).unwrap();
    let mut value: serde_json::Value = serde_json::from_str(&text).unwrap();
    value["refreshed"] = (value["refreshed"].as_i64().unwrap() - 90_000).into();
    std::fs::write(file, value.to_string()).unwrap();
}

fn none() -> Options<'static> {
    Options {
        arch: Some("x86_64"),
        ..Options::default()
    }
}

#[test]
fn a_prolonged_key_goes_on_to_count() {
    let world = World::new();
    let owner = Prolonged::new();
    let machine = Machine::new(&world);
    let by_fingerprint = owner.by_fingerprint();
    machine.find(&owner.reference(), &by_fingerprint).unwrap();
    let remembered = memory(&machine).join("imgforge.gpg");
    // As it is remembered by whoever pulled before the owner prolonged it.
    for options in [none(), by_fingerprint] {
        std::fs::write(&remembered, &owner.old).unwrap();
        machine.find(&owner.reference(), &options).unwrap();
        assert_ne!(std::fs::read(&remembered).unwrap(), owner.old);
        owner.server.forget();
        machine.find(&owner.reference(), &options).unwrap();
        let asked: Vec<_> = owner
            .server
            .requests()
            .into_iter()
            .map(|r| r.path)
            .collect();
        assert_eq!(asked, ["/index.asc"], "what was renewed is kept");
    }
}

#[test]
fn a_prolonged_key_of_the_configuration_goes_on_to_count() {
    let world = World::new();
    let owner = Prolonged::new();
    for keys in [true, false] {
        let mut machine = Machine::new(&world);
        std::fs::write(machine.path("state/old.gpg"), &owner.old).unwrap();
        let place = imgforge::recipe::config::RepositoryPlace {
            url: owner.server.text("").parse().ok(),
            key: keys.then(|| machine.path("state/old.gpg").display().to_string()),
            fingerprint: (!keys).then(|| owner.key.clone()),
            ..Default::default()
        };
        machine.config.repositories.insert("main".into(), place);
        for _ in 0..2 {
            machine.find("web", &none()).unwrap();
        }
        assert_eq!(
            std::fs::read(machine.path("state/old.gpg")).unwrap(),
            owner.old
        );
    }
}

#[test]
fn a_revocation_arrives_within_a_day_and_stays() {
    let world = World::new();
    let owner = Prolonged::new();
    let machine = Machine::new(&world);
    let by_fingerprint = owner.by_fingerprint();
    machine.find(&owner.reference(), &by_fingerprint).unwrap();
    let good = std::fs::read(owner.dir.path().join("srv/imgforge.gpg")).unwrap();
    owner.revoke();
    owner.offer();
    machine.find(&owner.reference(), &none()).unwrap();
    tomorrow(&machine);
    for _ in 0..2 {
        let error = machine.find(&owner.reference(), &none()).unwrap_err();
        assert_eq!(error.kind(), Kind::Gate);
        assert!(
            error.render().contains("the key that signed is revoked"),
            "{}",
            error.render()
        );
        // Whoever serves the certificate of yesterday again does not undo it.
        std::fs::write(owner.dir.path().join("srv/imgforge.gpg"), &good).unwrap();
        tomorrow(&machine);
    }
}

#[test]
fn a_revocation_stays_however_the_key_is_named() {
    let world = World::new();
    for (by_file, configured) in [(false, false), (true, false), (false, true), (true, true)] {
        let owner = Prolonged::new();
        let mut machine = Machine::new(&world);
        let served = owner.dir.path().join("srv/imgforge.gpg");
        let good = std::fs::read(&served).unwrap();
        let file = machine.path("state/known.gpg");
        std::fs::write(&file, &good).unwrap();
        let mut options = none();
        let mut reference = owner.reference();
        if configured {
            let place = imgforge::recipe::config::RepositoryPlace {
                url: owner.server.text("").parse().ok(),
                key: by_file.then(|| file.display().to_string()),
                fingerprint: (!by_file).then(|| owner.key.clone()),
                ..Default::default()
            };
            machine.config.repositories.insert("main".into(), place);
            reference = "web".into();
        } else {
            options.key = by_file.then_some(file.as_path());
            options.fingerprint = (!by_file).then_some(owner.key.as_str());
        }
        machine.find(&reference, &options).unwrap();
        owner.revoke();
        owner.offer();
        tomorrow(&machine);
        for round in 0..4 {
            let found = machine.find(&reference, &options);
            let error = found.expect_err(&format!("{by_file} {configured} {round}"));
            let text = error.render();
            assert!(
                text.contains("the key that signed is revoked"),
                "{round}: {text}"
            );
            // Whoever serves the certificate of yesterday again does not undo it.
            std::fs::write(&served, &good).unwrap();
            if round == 1 {
                tomorrow(&machine);
            }
        }
    }
}

#[test]
fn another_key_that_is_offered_renews_nothing() {
    let world = World::new();
    let owner = Prolonged::new();
    let machine = Machine::new(&world);
    let by_fingerprint = owner.by_fingerprint();
    machine.find(&owner.reference(), &by_fingerprint).unwrap();
    let other = Prolonged::new();
    let srv = |it: &Prolonged, file: &str| it.dir.path().join("srv").join(file);
    for file in ["index.asc", "imgforge.gpg"] {
        std::fs::copy(srv(&other, file), srv(&owner, file)).unwrap();
    }
    let error = machine.find(&owner.reference(), &none()).unwrap_err();
    assert!(
        error.render().contains("not among the trusted ones"),
        "{}",
        error.render()
    );
    let kept = std::fs::read(memory(&machine).join("imgforge.gpg")).unwrap();
    let kept = Keyring::read(&kept, None).unwrap();
    assert_eq!(kept.fingerprints, std::slice::from_ref(&owner.key));
}

/// Whoever has the public key can take it for a subkey of his own certificate.
#[test]
fn a_stranger_who_adopts_the_key_renews_nothing() {
    let world = World::new();
    let owner = Prolonged::new();
    let thief = Home::of_an_adopter(owner.dir.path().join("thief"), &owner.home);
    let machine = Machine::new(&world);
    let by_fingerprint = owner.by_fingerprint();
    machine.find(&owner.reference(), &by_fingerprint).unwrap();
    let srv = owner.dir.path().join("srv");
    let good = std::fs::read(srv.join("index.asc")).unwrap();
    let offered = thief.program().arg("--export").output().unwrap();
    std::fs::write(srv.join("imgforge.gpg"), &offered).unwrap();
    let text = crate::repository::world::verify(&good, &memory(&machine).join("imgforge.gpg"));
    let sign = thief
        .program()
        .args(["--digest-algo", "SHA512", "--clearsign"]);
    let signed = sign.input(text.unwrap().text).output().unwrap();
    std::fs::write(srv.join("index.asc"), signed).unwrap();
    let refused = |options: &Options<'_>, why: &str| {
        let error = machine.find(&owner.reference(), options).unwrap_err();
        assert!(error.render().contains(why), "{}", error.render());
    };
    for options in [none(), by_fingerprint] {
        refused(&options, "not among the trusted ones");
    }
    let remembered = memory(&machine).join("imgforge.gpg");
    let right = std::fs::read(&remembered).unwrap();
    let kept = Keyring::read(&right, None).unwrap();
    assert_eq!(kept.fingerprints, std::slice::from_ref(&owner.key));
    // What an older imgforge took for a renewal counts no more, and is mended.
    std::fs::write(&remembered, [right.as_slice(), &offered].concat()).unwrap();
    refused(&none(), "no trusted key is set");
    std::fs::write(srv.join("index.asc"), good).unwrap();
    owner.offer();
    machine.find(&owner.reference(), &by_fingerprint).unwrap();
    machine.find(&owner.reference(), &none()).unwrap();
    assert_eq!(std::fs::read(&remembered).unwrap(), right);
}

#[test]
fn a_sign_in_page_is_no_forged_index() {
    let (world, _) = one_image();
    let page = "\r\n<!DOCTYPE html>\n<html><head><title>Sign\n in</title></head></html>\n";
    let server = Server::start(move |_, _| Answer::of(page.as_bytes()));
    let machine = Machine::new(&world);
    let reference = format!("{}#web", server.text(""));
    let error = machine.find(&reference, &machine.trusting()).unwrap_err();
    assert_eq!(error.kind(), Kind::Stage);
    let text = error.render();
    assert!(
        text.contains("the server sent a page of HTML in place of")
            && text.contains("its title is `sign in`")
            && !text.contains("announced"),
        "{text}"
    );
}
