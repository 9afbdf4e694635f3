//! The answer file: its variables, and how it reaches the installer without being seen.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::proof;
use crate::error::{Context as _, Error, Result};
use crate::host::exec::Program;
use crate::installers::{Delivery, Installer, Values};
use crate::recipe::secrets::PASSPHRASE;
use crate::recipe::types::{Recipe, Secret};
use crate::yaml::template::{self, Piece, Vars, secret_variable};

/// What the stage knows that an answer file may ask for, beside the recipe's variables.
#[derive(Debug)]
pub struct Known<'a> {
    /// Whose answers they are.
    pub recipe: &'a Recipe,
    /// Its variables.
    pub vars: &'a Vars,
    /// Who reads the answers.
    pub installer: &'a Installer,
    /// The stage's key.
    pub key: &'a str,
    /// Mirrors, proxies and packages, by their full names.
    pub mirrors: &'a BTreeMap<String, String>,
    /// Values of those secrets that the answers use, by the recipe's names.
    pub secrets: &'a BTreeMap<String, Vec<u8>>,
}

/// All variables of an answer file.
///
/// # Errors
/// When a secret is not text.
pub fn variables(known: &Known<'_>) -> Result<Vars> {
    let recipe = known.recipe;
    let machine = &recipe.machine;
    let mut vars = known.vars.clone();
    for name in template::STAGE_VARIABLES {
        vars.insert((*name).to_owned(), String::new());
    }
    vars.extend(known.mirrors.clone());
    for (name, value) in [
        ("imgforge_key", known.key.to_owned()),
        (
            "imgforge_sentinel",
            proof::sentinel(known.key, known.installer.root, machine.arch.serial),
        ),
        ("imgforge_name", recipe.name.clone()),
        ("imgforge_hostname", hostname(&recipe.name)),
        ("imgforge_disk", "vda".to_owned()),
        ("imgforge_serial", machine.arch.serial.to_owned()),
        ("imgforge_firmware", machine.firmware().as_str().to_owned()),
    ] {
        vars.insert(name.to_owned(), value);
    }
    for (name, value) in known.secrets {
        let text = String::from_utf8(value.clone()).map_err(|_| {
            Error::usage(format!("the secret `{name}` is not text"))
                .hint("an answer file can only hold text: encode it, for example with base64")
        })?;
        if name == PASSPHRASE {
            vars.insert("imgforge_passphrase".to_owned(), text.clone());
        }
        vars.insert(secret_variable(name), text);
    }
    Ok(vars)
}

/// Renders the answer file `path`, and looks whether its installer takes the values for what they are, for
/// which `validate` had stand-ins.
///
/// # Errors
/// When the installer takes a value for something else; the error shows no value.
pub fn render(known: &Known<'_>, path: &str, text: &str) -> Result<String> {
    let secrets: Vec<&String> = known.secrets.keys().collect();
    rendered(known.installer, &secrets, variables(known)?, path, text)
}

fn rendered(
    installer: &Installer,
    secrets: &[&String],
    vars: Vars,
    path: &str,
    text: &str,
) -> Result<String> {
    let real = template::render(text, &vars, path)?;
    let (marks, words) = marks(secrets, &vars, text);
    let marked = template::render(text, &vars.into_iter().chain(marks).collect(), path)?;
    let values = Values {
        real,
        marked,
        words,
    };
    match installer.judge_values(&values) {
        None => Ok(values.real),
        Some(found) => {
            let said = format!("{path}, line {} as it is installed: ", found.line);
            Err(Error::usage(said + &found.message)
                .cause("the value of a variable or secret is read so; it is not shown")
                .hint(found.help))
        }
    }
}

/// A word in place of each line of each secret, and what the words stand for. A secret that a filter changes,
/// or that decides something, has none: who wrote that has thought of what it may hold.
fn marks(secrets: &[&String], vars: &Vars, text: &str) -> (Vars, Vec<(String, String)>) {
    let (mut marks, mut words) = (Vars::new(), vec![]);
    for secret in secrets {
        let passphrase = (*secret == PASSPHRASE).then(|| "imgforge_passphrase".to_owned());
        for name in passphrase.into_iter().chain([secret_variable(secret)]) {
            let Some(value) = vars.get(&name).filter(|_| is_plain(text, &name)) else {
                continue;
            };
            let lines = value.split('\n').map(|line| {
                let word = format!("imgforgesecret{}x", words.len());
                let empty = line.trim().is_empty();
                words.extend((!empty).then(|| (word.clone(), line.to_owned())));
                if empty { line.to_owned() } else { word }
            });
            let mark = lines.collect::<Vec<_>>().join("\n");
            marks.insert(name, mark);
        }
    }
    (marks, words)
}

/// Whether a template has this variable as `{{ NAME }}` only.
fn is_plain(text: &str, name: &str) -> bool {
    let has = |text: &str| {
        let mut words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        words.any(|word| word == name)
    };
    template::pieces(text).is_ok_and(|pieces| {
        pieces.into_iter().all(|piece| match piece {
            Piece::Text(text) => !has(text),
            Piece::Expression(inside) => inside.trim_matches('-').trim() == name || !has(inside),
        })
    })
}

/// The recipe's secrets that an answer file uses, with their sources.
pub fn used_secrets(text: &str, recipe: &Recipe) -> BTreeMap<String, Secret> {
    let used = used(text);
    let named = recipe.secrets.iter();
    let asks = |name: &str| {
        used.contains(&secret_variable(name))
            || name == PASSPHRASE && used.contains("imgforge_passphrase")
    };
    named
        .filter(|(name, _)| asks(name))
        .map(|(name, secret)| (name.clone(), secret.clone()))
        .collect()
}

/// The variables that an answer file uses; `validate` has found its mistakes before.
pub fn used(text: &str) -> BTreeSet<String> {
    template::variables(text).unwrap_or_default()
}

/// A name for a host: letters, digits and hyphens.
fn hostname(name: &str) -> String {
    let mut host: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    host.truncate(63);
    host.trim_matches('-').to_owned()
}

/// Rendered answers in files that only we can read. Dropping them removes them.
#[derive(Debug)]
pub struct Answers {
    dir: PathBuf,
    /// What virt-install injects into the installer's initrd.
    pub inject: Option<PathBuf>,
    /// A seed disk.
    pub seed: Option<PathBuf>,
}

impl Answers {
    /// Writes rendered answers below `scratch`.
    ///
    /// # Errors
    /// When they cannot be written, or no program makes the seed disk.
    pub fn write(
        text: &str,
        delivery: &Delivery,
        instance: &str,
        scratch: &Path,
    ) -> Result<Answers> {
        let dir = scratch.join("answers");
        let doing = || format!("writing the answers to {}", dir.display());
        fs::create_dir(&dir).doing(doing)?;
        let mut answers = Answers {
            dir: dir.clone(),
            inject: None,
            seed: None,
        };
        match delivery {
            Delivery::Initrd(name) => {
                write_private(&dir.join(name), text).doing(doing)?;
                answers.inject = Some(dir.join(name));
            }
            Delivery::Seed { label, files } => {
                let tree = dir.join("seed");
                fs::create_dir(&tree).doing(doing)?;
                for (name, content) in files(text, instance) {
                    write_private(&tree.join(name), &content).doing(doing)?;
                }
                // The program keeps the mode of a file that is there.
                write_private(&dir.join("seed.iso"), "").doing(doing)?;
                seed(&tree, label, &dir.join("seed.iso"))?;
                answers.seed = Some(dir.join("seed.iso"));
            }
        }
        Ok(answers)
    }

    /// Removes the files that the running guest does not read any more: all but the seed disk.
    pub fn forget(&self) {
        if self.seed.is_none() {
            drop(fs::remove_dir_all(&self.dir));
        } else {
            drop(fs::remove_dir_all(self.dir.join("seed")));
        }
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.dir));
    }
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())
}

/// A seed: a file system with the label that the installer looks for.
fn seed(files: &Path, label: &str, iso: &Path) -> Result<()> {
    Program::new("xorriso")
        .args(["-as", "mkisofs", "-quiet", "-volid", label])
        .args(["-joliet", "-rock", "-o"])
        .arg(iso)
        .arg(files)
        .hint("apt install xorriso")
        .run()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::installers::{autoinstall::AUTOINSTALL, kickstart::KICKSTART, preseed::PRESEED};

    #[test]
    fn a_secret_that_an_installer_would_change_is_refused_and_not_shown() {
        let judged = |installer, path, line: &str, secret: &str| {
            let vars = [("plain", "a#b"), ("imgforge_secret_root_pw", secret)];
            let vars = vars.map(|(name, value)| (name.to_owned(), value.to_owned()));
            let text = format!("text: 0\n{line}\nend: 1\n");
            rendered(
                installer,
                &[&"root-pw".to_owned()],
                vars.into(),
                path,
                &text,
            )
        };
        let ks = |line, secret| judged(&KICKSTART, "a.ks", line, secret);
        let quoted = ks("rootpw '{{ imgforge_secret_root_pw }}'", "pass #word").unwrap();
        assert_eq!(quoted, "text: 0\nrootpw 'pass #word'\nend: 1\n");
        ks(
            "rootpw {{ imgforge_secret_root_pw|replace('#', 'x') }}",
            "pass #word",
        )
        .unwrap();
        ks("# {{ imgforge_secret_root_pw }}", "pass #word").unwrap();
        ks(
            "{% if imgforge_secret_root_pw %}rootpw {{ imgforge_secret_root_pw }}{% endif %}",
            "a #b",
        )
        .unwrap();
        let bare = "rootpw {{ imgforge_secret_root_pw }}";
        let yaml = "a: {{ imgforge_secret_root_pw }}";
        for (error, line) in [
            (ks(bare, "pass #word"), "a.ks, line 2"),
            (ks(bare, "pass#word"), "a.ks, line 2"),
            (ks("rootpw {{ plain }}", "pass"), "a.ks, line 2"),
            (
                judged(&PRESEED, "a.cfg", &format!("d-i a string {bare}"), r"pass\"),
                "a.cfg, line 2",
            ),
            (
                judged(&AUTOINSTALL, "a.yaml", yaml, "pass #word"),
                "a.yaml, line 2",
            ),
        ] {
            let error = error.unwrap_err();
            assert_eq!(error.kind(), crate::error::Kind::Usage);
            let said = error.render();
            assert!(said.contains(line), "{said}");
            assert!(!said.contains("pass") && !said.contains("a#b"), "{said}");
        }
    }

    #[test]
    fn answers_are_private_and_gone_when_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let answers = Answers::write("top secret\n", &PRESEED.delivery, "i-1", dir.path()).unwrap();
        let file = answers.inject.clone().unwrap();
        assert!(file.ends_with("preseed.cfg"));
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_to_string(&file).unwrap(), "top secret\n");
        answers.forget();
        assert!(!file.exists());
        drop(answers);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_seed_is_a_labelled_disk_that_stays_for_the_guest() {
        let dir = tempfile::tempdir().unwrap();
        let answers =
            Answers::write("#cloud-config\n", &AUTOINSTALL.delivery, "i-1", dir.path()).unwrap();
        let iso = answers.seed.clone().unwrap();
        let bytes = fs::read(&iso).unwrap();
        let has = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
        assert!(has(b"CIDATA") && has(b"#cloud-config\n") && has(b"instance-id: i-1\n"));
        assert_eq!(iso.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        answers.forget();
        assert!(iso.exists() && !iso.with_file_name("seed").exists());
    }

    #[test]
    fn names_of_hosts_and_of_secrets_are_well_formed() {
        assert_eq!(hostname("web_node.1"), "web-node-1");
        assert_eq!(secret_variable("root-key"), "imgforge_secret_root_key");
        let text = "a {{ imgforge_secret_root_key }} b {{ other }}";
        assert!(used(text).contains("imgforge_secret_root_key"));
    }
}
