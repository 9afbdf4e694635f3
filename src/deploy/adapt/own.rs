//! A machine file: read with all that it names before anything is written, and made into files of the root.

use std::path::Path;

use ssh_key::PrivateKey;

use super::files::{Content, Put, bad_path};
use super::network::Service;
use crate::deployment::{Card, MachineFile, Only};
use crate::digest::Key;
use crate::error::{Context as _, Error, Result};
use crate::ext4::{Fs, Inode};
use crate::steps::is_authorized_key;
use crate::yaml::include::{Reader, Texts};
use crate::yaml::problem::Problem;
use crate::yaml::{checker, de, walk};

/// A file that a machine file names is no larger, in bytes.
const LARGEST: u64 = 16 << 20;

/// The schema of machine files, for editors and `imgforge schema --machine`.
#[must_use]
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(MachineFile).to_value()
}

/// A machine file with all that it names.
#[derive(Debug, Clone, Default)]
pub struct Own {
    pub(super) file: MachineFile,
    /// Private host keys: their names, and the text of both halves.
    pub(super) host_keys: Vec<(String, Vec<u8>, String)>,
    /// User data and metadata of a seed.
    pub(super) seed: Vec<Vec<u8>>,
    /// Content of further files.
    pub(super) files: Vec<Vec<u8>>,
    digest: String,
}

impl Own {
    /// Reads a machine file and what it names.
    ///
    /// # Errors
    /// Everything that is wrong with it, each at its place.
    pub fn read(path: &Path) -> Result<Own> {
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
        let dir = dir.unwrap_or(Path::new("."));
        let mut reader = Reader::new(dir, &Texts::default());
        let tree = reader.parse(path, None).and_then(|(_, tree)| tree);
        let mut problems = reader.problems;
        let Some(mut tree) = tree else {
            return Err(problems.into_error());
        };
        walk::check(&mut problems, &mut tree, &schema());
        let file: MachineFile = match de::from_node(&tree) {
            Ok(file) => file,
            Err(misfit) => {
                problems.push(Problem::new(misfit.at.unwrap_or(tree.loc), misfit.message));
                return Err(problems.into_error());
            }
        };
        let mut own = Own::default();
        let mut problem = |key: &str, message: String| {
            let at = checker::at(&tree, key).loc;
            problems.push(Problem::new(at, message));
        };
        let mut take = |key: &str, name: &str| -> Vec<u8> {
            read(&dir.join(name)).unwrap_or_else(|why| {
                problem(key, format!("{name} cannot be read: {why}"));
                vec![]
            })
        };
        for name in &file.ssh.host_keys {
            let private = take("ssh", name);
            own.host_keys.push((name.clone(), private, String::new()));
        }
        if let Some(seed) = &file.seed {
            own.seed = vec![take("seed", &seed.user_data), take("seed", &seed.meta_data)];
        }
        own.files = file
            .files
            .iter()
            .map(|one| take("files", &one.file))
            .collect();
        for (name, private, public) in &mut own.host_keys {
            let base = name.rsplit('/').next().unwrap_or_default();
            let named = base.starts_with("ssh_host_") && base.ends_with("_key");
            match PrivateKey::from_openssh(&*private) {
                _ if private.is_empty() => {}
                _ if !named || bad_path(&format!("/{base}")).is_some() => {
                    problem(
                        "ssh",
                        format!("{name} is not named as `ssh_host_ed25519_key` is"),
                    );
                }
                Ok(key) if key.is_encrypted() => problem("ssh", format!("{name} has a passphrase")),
                Ok(key) => *public = key.public_key().to_openssh().unwrap_or_default() + "\n",
                Err(_) => problem("ssh", format!("{name} is not a private key of OpenSSH")),
            }
            *name = base.to_owned();
        }
        for key in file.ssh.authorized_keys.values().flatten() {
            if !is_authorized_key(key) {
                problem(
                    "ssh",
                    "a line of `authorized-keys` is not a public key".into(),
                );
            }
        }
        for one in &file.files {
            if let Some(why) = bad_path(&one.path) {
                problem("files", format!("`{}` {why}", one.path));
            }
        }
        if let Some(zone) = &file.timezone
            && bad_path(&format!("/{zone}")).is_some()
        {
            problem(
                "timezone",
                format!("`{zone}` is not the name of a time zone"),
            );
        }
        problems.check()?;
        own.digest = digest(&file, &own);
        own.file = file;
        Ok(own)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.digest.is_empty()
    }

    /// A digest of all that it brings; empty where there is no machine file.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Stops on another machine than the one that the file is for. `sys` is `/sys`.
    ///
    /// # Errors
    /// When this is another machine.
    pub fn check_machine(&self, sys: &Path) -> Result<()> {
        let Some(Only { serial, mac }) = &self.file.only else {
            return Ok(());
        };
        let text = |path: &Path| {
            std::fs::read_to_string(path)
                .unwrap_or_default()
                .trim()
                .to_owned()
        };
        let here = text(&sys.join("class/dmi/id/product_serial"));
        let cards = std::fs::read_dir(sys.join("class/net"))
            .into_iter()
            .flatten()
            .flatten();
        let cards: Vec<String> = cards
            .map(|card| text(&card.path().join("address")))
            .collect();
        let other = match (serial, mac) {
            (Some(serial), _) if *serial != here => {
                format!("its serial number is {here:?}, not {serial:?}")
            }
            (_, Some(mac)) if !cards.contains(&mac.as_str().to_owned()) => {
                format!("it has no network card {}", mac.as_str())
            }
            _ => return Ok(()),
        };
        Err(
            Error::host("the machine file is for another machine, and nothing was written")
                .cause(other)
                .hint("name this machine's own file, or change `for:` in it"),
        )
    }

    /// The files that the root gets; what they need of the image is looked up there.
    ///
    /// # Errors
    /// When the image lacks it: an account, a time zone, a network's manager.
    pub(super) fn puts(&self, fs: &Fs<'_>) -> Result<Vec<Put>> {
        let MachineFile {
            hostname,
            timezone,
            ssh,
            network,
            files,
            ..
        } = &self.file;
        let image = Image { fs };
        if !image.find("/etc")?.is_some_and(|inode| inode.is_dir()) {
            return Err(lacks(
                "a root in its last partition".into(),
                "let the root be the last one",
            ));
        }
        let mut puts = vec![];
        if let Some(name) = hostname {
            puts.push(Put::root(
                "/etc/hostname",
                0o644,
                format!("{}\n", name.as_str()),
            ));
        }
        if let Some(zone) = timezone {
            let file = format!("/usr/share/zoneinfo/{zone}");
            if !image.find(&file)?.is_some_and(|inode| inode.is_file()) {
                return Err(lacks(
                    format!("the time zone {zone}"),
                    "install tzdata in it",
                ));
            }
            puts.push(Put {
                content: Content::Link(format!("..{file}")),
                ..Put::root("/etc/localtime", 0o777, "")
            });
            if image.find("/etc/timezone")?.is_some() {
                puts.push(Put::root("/etc/timezone", 0o644, format!("{zone}\n")));
            }
        }
        for (name, private, public) in &self.host_keys {
            let path = format!("/etc/ssh/{name}");
            puts.push(Put::root(format!("{path}.pub"), 0o644, public.as_bytes()));
            puts.push(Put::root(path, 0o600, private.as_slice()));
        }
        for (user, keys) in &ssh.authorized_keys {
            let account = image.account(&user.to_string())?;
            let of = |path: String, mode, content| Put {
                path,
                content,
                mode,
                uid: account.uid,
                gid: account.gid,
            };
            let dir = format!("{}/.ssh", account.home);
            puts.push(of(dir.clone(), 0o700, Content::Directory));
            let text = keys
                .iter()
                .map(|key| format!("{}\n", key.trim()))
                .collect::<String>();
            let text = Content::Bytes(text.into_bytes());
            puts.push(of(format!("{dir}/authorized_keys"), 0o600, text));
        }
        puts.extend(self.network(network, &image)?);
        for (name, content) in ["user-data", "meta-data"].iter().zip(&self.seed) {
            let path = format!("/var/lib/cloud/seed/nocloud/{name}");
            puts.push(Put::root(path, 0o600, content.as_slice()));
        }
        for (one, content) in files.iter().zip(&self.files) {
            let mode = one.mode.map_or(0o600, |mode| mode.bits());
            let mut put = Put::root(one.path.clone(), mode, content.as_slice());
            if let Some(owner) = &one.owner {
                let owner = owner.to_string();
                let (user, group) = owner.split_once(':').unwrap_or((&owner, ""));
                let account = image.account(user)?;
                put.uid = account.uid;
                put.gid = match group {
                    "" => account.gid,
                    group => image.group(group)?,
                };
            }
            puts.push(put);
        }
        let enforced = image.text("/etc/selinux/config")?;
        let on = |line: &str| matches!(line.trim(), "SELINUX=enforcing" | "SELINUX=permissive");
        if !puts.is_empty() && enforced.lines().any(on) {
            // What debugfs writes has no label.
            puts.push(Put::root("/.autorelabel", 0o600, ""));
        }
        Ok(puts)
    }

    fn network(&self, cards: &[Card], image: &Image<'_>) -> Result<Vec<Put>> {
        if cards.is_empty() {
            return Ok(vec![]);
        }
        for (manager, sign) in Service::ALL {
            // Services are links to files that need not be known.
            if image.has(sign)? {
                return Ok(manager.files(cards));
            }
        }
        Err(lacks(
            "anything known that manages a network".into(),
            "enable systemd-networkd, NetworkManager, netplan or ifupdown in it",
        ))
    }
}

/// Everything that makes a difference on the disk.
fn digest(file: &MachineFile, own: &Own) -> String {
    let mut bytes = serde_json::to_vec(file).unwrap_or_default();
    let keys = own.host_keys.iter().map(|(_, private, _)| private);
    for content in keys.chain(&own.seed).chain(&own.files) {
        bytes.extend((content.len() as u64).to_le_bytes());
        bytes.extend(content);
    }
    Key::of(&bytes).as_str().to_owned()
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    Ok(crate::digest::read(path, LARGEST)?.bytes)
}

fn lacks(what: String, hint: &str) -> Error {
    Error::stage(format!("the image does not have {what}"))
        .cause("the machine file needs it")
        .hint(format!("change the machine file, or the image: {hint}"))
}

/// A line of passwd(5).
struct Account {
    uid: u32,
    gid: u32,
    home: String,
}

/// What the root has.
struct Image<'a> {
    fs: &'a Fs<'a>,
}

impl Image<'_> {
    fn find(&self, path: &str) -> Result<Option<Inode>> {
        self.fs
            .find(path)
            .doing(|| format!("reading {path} of the image"))
    }

    /// Whether there is something, if only a link to nothing.
    fn has(&self, path: &str) -> Result<bool> {
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        let Some(dir) = self.find(dir)?.filter(Inode::is_dir) else {
            return Ok(false);
        };
        let names = self
            .fs
            .list(&dir)
            .doing(|| format!("reading {path} of the image"))?;
        Ok(names.iter().any(|(other, _)| other == name.as_bytes()))
    }

    fn text(&self, path: &str) -> Result<String> {
        let Some(inode) = self.find(path)?.filter(Inode::is_file) else {
            return Ok(String::new());
        };
        let bytes = self.fs.read(&inode, LARGEST);
        let bytes = bytes.doing(|| format!("reading {path} of the image"))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn account(&self, user: &str) -> Result<Account> {
        let passwd = self.text("/etc/passwd")?;
        let found = passwd.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let [name, _, uid, gid, _, home, ..] = fields[..] else {
                return None;
            };
            (name == user && bad_path(home).is_none()).then_some(())?;
            Some(Account {
                uid: uid.parse().ok()?,
                gid: gid.parse().ok()?,
                home: home.to_owned(),
            })
        });
        found.ok_or_else(|| lacks(format!("the account `{user}`"), "add it in `configure:`"))
    }

    fn group(&self, group: &str) -> Result<u32> {
        let text = self.text("/etc/group")?;
        let found = text.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next() == Some(group)).then_some(())?;
            fields.nth(1)?.parse().ok()
        });
        found.ok_or_else(|| lacks(format!("the group `{group}`"), "add it in `configure:`"))
    }
}
