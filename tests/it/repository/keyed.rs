//! A repository that keys of a user sign, whichever of them.

use imgforge::repository::verify::audit;

use super::world::*;

/// A user's keys, and a repository that the first of them signs.
pub(super) struct Keyed {
    pub(super) world: World,
    pub(super) home: Home,
    pub(super) keys: Vec<String>,
    pub(super) notices: Arc<Mutex<Vec<String>>>,
}

impl Keyed {
    pub(super) fn new(count: usize) -> Self {
        let world = World::new();
        let home = Home::new(world.path("gnupg"));
        let then = ["--faked-system-time", "20200101T000000!"];
        for number in 0..count {
            let uid = format!("key {number} <{number}@example.org>");
            let new = ["--quick-gen-key", uid.as_str(), "ed25519", "sign", "never"];
            home.gpg(&[&then[..], &new].concat());
        }
        let listing = home.gpg(&["--with-colons", "--list-keys"]);
        let lines = listing.lines().filter(|line| line.starts_with("fpr"));
        let keys = lines.map(|line| line.split(':').nth(9).unwrap().to_owned());
        Keyed {
            keys: keys.collect(),
            world,
            home,
            notices: Arc::default(),
        }
    }

    pub(super) fn open_at(&self, path: &str, key: usize) -> Result<Repository> {
        Repository::open(Settings {
            ui: Ui::new(Notices(Arc::clone(&self.notices))),
            ..Settings::new(
                self.world.path(path),
                Signer::configured_in(&self.keys[key], &self.home.0)?,
            )
        })
    }

    pub(super) fn open(&self, key: usize) -> Repository {
        self.open_at("repo", key).unwrap()
    }

    pub(super) fn rotate(&self, repository: &Repository, to: usize, suffix: &str) -> Result<()> {
        let key = Some(self.keys[to].as_str());
        repository.rotate(key, suffix, &Stamp::now()).map(drop)
    }

    /// Who has signed a file.
    pub(super) fn signer_of(&self, path: &str) -> usize {
        let keyring = self.home.program().arg("--export").output().unwrap();
        let keyring = Keyring::read(&keyring, None).unwrap();
        let signed = std::fs::read(self.world.path("repo").join(path)).unwrap();
        let verified = imgforge::gpg::verify(&signed, &keyring).unwrap();
        let key = |key: &String| *key == verified.fingerprint;
        self.keys.iter().position(key).unwrap()
    }

    /// Signs an index or a list as an imgforge did that did not say whose it is, nor signed the whole.
    pub(super) fn make_older(&self, path: &str, key: usize) {
        let path = self.world.path(path);
        let text = String::from_utf8(std::fs::read(&path).unwrap()).unwrap();
        let (_, text) = text.split_once("\n\n").unwrap();
        let (text, _) = text.split_once("\n-----BEGIN PGP SIGNATURE").unwrap();
        let new = [
            "repository=",
            "key=",
            "second-key=",
            "retired-key=",
            "state=",
        ];
        let is_old = |line: &&str| {
            let claim = line.strip_prefix("# imgforge ");
            let is_new = claim.is_some_and(|claim| new.iter().any(|new| claim.starts_with(new)));
            !is_new && !line.starts_with("  \"state\": ")
        };
        let lines: Vec<&str> = text.lines().filter(is_old).collect();
        let sign = [
            "--digest-algo",
            "SHA512",
            "--local-user",
            &self.keys[key],
            "--clearsign",
        ];
        let sign = self.home.program().args(sign);
        let signed = sign
            .input(format!("{}\n", lines.join("\n")))
            .output()
            .unwrap();
        std::fs::write(path, signed).unwrap();
        drop(std::fs::remove_file(
            self.world.path("repo/.imgforge/state.sjson"),
        ));
    }

    pub(super) fn faults(&self) -> String {
        let ui = Ui::silent().stage("repository", "verify");
        let root = self.world.path("repo").display().to_string();
        audit(&root, &Signers::default(), &ui)
            .unwrap()
            .faults
            .join("\n")
    }

    /// What lies at the top and below `images`, and ends so.
    pub(super) fn ending(&self, end: &str) -> Vec<String> {
        let find = Program::new("find").arg(self.world.path("repo"));
        let found = find.args(["-name", &format!("*-{end}")]).text().unwrap();
        found.lines().map(str::to_owned).collect()
    }
}
