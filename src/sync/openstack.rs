//! Glance, by the official client: what a channel has is there and to be seen, what it had before
//! is hidden.
//!
//! An image of ours is known by its properties. Nothing is deleted without being asked for, never
//! what is protected, and never what a server was made from or might have been.

use std::path::PathBuf;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::host::exec::Program;
use crate::targets::openstack::{Manifest, create_arguments};
use crate::ui::Ui;

/// The property with the disk's digest.
const SHA512: &str = "imgforge_sha512";
const IMAGE: &str = "imgforge_image";
const VERSION: &str = "imgforge_version";
/// The property with the architecture, as Glance names it.
const ARCHITECTURE: &str = "architecture";

/// A disk that Glance should have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredImage {
    /// What Glance is told about it.
    pub manifest: Manifest,
    /// The disk.
    pub file: PathBuf,
}

/// How a cloud is kept.
#[derive(Debug, Clone, Copy)]
pub struct Settings<'a> {
    /// The cloud of the user's clouds.yaml.
    pub cloud: Option<&'a str>,
    /// Whether what is not wanted is deleted where that is safe.
    pub delete: bool,
    /// Who hears about it.
    pub ui: &'a Ui,
}

/// What was done to one image of the cloud.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    pub(crate) id: String,
    pub(crate) version: String,
    /// What was done.
    pub what: SyncAction,
}

/// What can be done to an image of the cloud.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncAction {
    /// It was there and right.
    Unchanged,
    /// It was uploaded.
    Uploaded,
    /// Its properties were set again.
    Changed,
    /// It can be seen again.
    Shown,
    /// It cannot be seen any more.
    Hidden,
    /// It is gone.
    Deleted,
    /// It should have been deleted, and is hidden.
    Kept,
}

impl SyncAction {
    pub(crate) fn word(self) -> &'static str {
        match self {
            SyncAction::Unchanged => "unchanged",
            SyncAction::Uploaded => "uploaded",
            SyncAction::Changed => "changed",
            SyncAction::Shown => "shown",
            SyncAction::Hidden => "hidden",
            SyncAction::Deleted => "deleted",
            SyncAction::Kept => "kept",
        }
    }
}

/// The id that the cloud gives an image. It becomes a word of a command line, and whoever runs the
/// cloud could name an option.
fn id_in(value: &Value) -> Result<String> {
    let id = value.as_str().unwrap_or_default();
    match uuid::Uuid::parse_str(id) {
        Ok(id) => Ok(id.hyphenated().to_string()),
        Err(_) => Err(
            Error::stage(format!("the cloud has an image whose id is `{id}`"))
                .cause("Glance names images by UUIDs")
                .hint("ask who runs the cloud, or see `openstack image list`"),
        ),
    }
}

/// An image of ours in the cloud.
#[derive(Debug, Clone, PartialEq, Eq)]
struct There {
    id: String,
    version: String,
    active: bool,
    hidden: bool,
    protected: bool,
    about: Value,
}

/// Makes the cloud have `wanted`, the newest first, of the image `name`, and nothing else of it for
/// their architecture in sight. Where nothing is wanted, only disks with one of the SHA-512 `yanked` go
/// out of sight. `done` gets what was done, also before a failure.
///
/// # Errors
/// When the client fails, or Glance has other bytes than were uploaded.
pub fn sync(
    name: &str,
    wanted: &[DesiredImage],
    yanked: &[String],
    settings: &Settings<'_>,
    done: &mut Vec<Done>,
) -> Result<()> {
    let cloud = Cloud { settings };
    let there = cloud.list(name)?;
    let mut right: Vec<String> = vec![];
    // The newest is made last: clouds show images in the order of their making.
    for each in wanted.iter().rev() {
        let manifest = &each.manifest;
        let same = |there: &&There| there.active && has_bytes(&there.about, &manifest.sha512);
        let (id, what) = match there.iter().find(same) {
            Some(there) => (there.id.clone(), cloud.adjust(there, manifest)?),
            None => (cloud.upload(each)?, SyncAction::Uploaded),
        };
        right.push(id.clone());
        let version = manifest.version.clone();
        done.push(Done { id, version, what });
    }
    let unwanted = |there: &&There| match wanted {
        [] => yanked.contains(&property(&there.about, SHA512)),
        _ => {
            !right.contains(&there.id)
                && wanted.iter().any(|each| {
                    let architecture = property(&there.about, ARCHITECTURE);
                    each.manifest.is_for(&architecture)
                })
        }
    };
    for old in there.iter().filter(unwanted) {
        let what = cloud.retire(old)?;
        done.push(Done {
            id: old.id.clone(),
            version: old.version.clone(),
            what,
        });
    }
    Ok(())
}

#[derive(Debug)]
struct Cloud<'a> {
    settings: &'a Settings<'a>,
}

impl Cloud<'_> {
    fn client(&self) -> Program {
        let mut program = Program::new("openstack").hint(
            "`apt-get install python3-openstackclient` installs the client; --cloud names an \
             entry of clouds.yaml",
        );
        for (name, value) in std::env::vars_os() {
            if let Some(name) = name.to_str().filter(|name| name.starts_with("OS_")) {
                program = program.env(name, value);
            }
        }
        match self.settings.cloud {
            Some(cloud) => program.args(["--os-cloud", cloud]),
            None => program,
        }
    }

    fn list(&self, name: &str) -> Result<Vec<There>> {
        let mut all: Vec<There> = vec![];
        for hidden in [false, true] {
            let property = format!("{IMAGE}={name}");
            let mut list =
                self.client()
                    .args(["image", "list", "-f", "json", "--property", &property]);
            if hidden {
                list = list.arg("--hidden");
            }
            let rows: Vec<Value> = list.json()?;
            for row in rows {
                let id = id_in(&row["ID"])?;
                if !all.iter().any(|there| there.id == id) {
                    all.push(self.show(&id)?);
                }
            }
        }
        Ok(all)
    }

    fn show(&self, id: &str) -> Result<There> {
        let about: Value = self
            .client()
            .args(["image", "show", "-f", "json", id])
            .json()?;
        let word = |name: &str| property(&about, name);
        Ok(There {
            id: id.to_owned(),
            version: word(VERSION),
            active: about["status"] == "active",
            hidden: word("os_hidden").eq_ignore_ascii_case("true"),
            protected: about["protected"] == true,
            about,
        })
    }

    fn upload(&self, wanted: &DesiredImage) -> Result<String> {
        let manifest = &wanted.manifest;
        self.settings
            .ui
            .notice(format!("uploading {} {}", manifest.name, manifest.version));
        let digest = format!("{SHA512}={}", manifest.sha512);
        let words = create_arguments(manifest, &wanted.file.to_string_lossy());
        let made: Value = self
            .client()
            .args(words)
            .args(["--property", &digest, "-f", "json"])
            .json()?;
        let id = id_in(&made["id"])?;
        let there = self.show(&id)?;
        if !there.active || !has_bytes(&there.about, &manifest.sha512) {
            self.hide(&id)?;
            return Err(Error::stage(format!(
                "Glance has other bytes than those of {} {}",
                manifest.name, manifest.version
            ))
            .cause(format!("the image {id} is hidden"))
            .hint("the same command uploads it again"));
        }
        Ok(id)
    }

    /// Sets what is not as the manifest says, and shows the image.
    fn adjust(&self, there: &There, manifest: &Manifest) -> Result<SyncAction> {
        let mut words: Vec<String> = vec![];
        for (key, value) in &manifest.properties {
            if property(&there.about, key) != *value {
                words.extend(["--property".to_owned(), format!("{key}={value}")]);
            }
        }
        for (key, option, value) in [
            ("min_disk", "--min-disk", manifest.min_disk),
            ("min_ram", "--min-ram", manifest.min_ram),
        ] {
            if there.about[key].as_u64() != Some(value) {
                words.extend([option.to_owned(), value.to_string()]);
            }
        }
        let changed = !words.is_empty();
        if there.hidden {
            words.push("--unhidden".into());
        }
        if !words.is_empty() {
            self.client()
                .args(["image", "set"])
                .args(words)
                .arg(&there.id)
                .run()?;
        }
        Ok(match (there.hidden, changed) {
            (true, _) => SyncAction::Shown,
            (false, true) => SyncAction::Changed,
            (false, false) => SyncAction::Unchanged,
        })
    }

    fn hide(&self, id: &str) -> Result<()> {
        self.client().args(["image", "set", "--hidden", id]).run()
    }

    fn retire(&self, old: &There) -> Result<SyncAction> {
        if !old.hidden {
            self.hide(&old.id)?;
        }
        if self.settings.delete {
            return Ok(match self.delete(old) {
                Ok(()) => SyncAction::Deleted,
                Err(why) => {
                    let text = format!("{} stays, hidden: {}", old.id, why.message());
                    self.settings.ui.warning(text);
                    SyncAction::Kept
                }
            });
        }
        Ok(match old.hidden {
            true => SyncAction::Unchanged,
            false => SyncAction::Hidden,
        })
    }

    /// Deletes what nobody can need: a server that was made from an image may be rebuilt from it.
    fn delete(&self, old: &There) -> Result<()> {
        if old.protected {
            return Err(Error::stage("it is protected"));
        }
        let servers: Vec<Value> = self
            .client()
            .args([
                "server",
                "list",
                "--all-projects",
                "--image",
                &old.id,
                "-f",
                "json",
            ])
            .json()
            .map_err(|_| Error::stage("nobody tells which servers were made from it"))?;
        if !servers.is_empty() {
            let text = format!("{} servers were made from it", servers.len());
            return Err(Error::stage(text));
        }
        self.client().args(["image", "delete", &old.id]).run()
    }
}

/// Whether an image has these bytes, by our property and by what Glance has counted itself. Whoever
/// may set properties can claim the first.
fn has_bytes(about: &Value, sha512: &str) -> bool {
    let by_sha512 = property(about, "os_hash_algo") == "sha512";
    property(about, SHA512) == sha512 && (!by_sha512 || property(about, "os_hash_value") == sha512)
}

/// A property of an image: the client shows some of them beside the others.
fn property(about: &Value, name: &str) -> String {
    let value = match about.get(name) {
        Some(value) => value,
        None => &about["properties"][name],
    };
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_id_is_no_option() {
        let id = "0f3c5a2e-7c1d-4d5e-9a41-0123456789ab";
        assert_eq!(id_in(&id.into()).unwrap(), id);
        for bad in ["--os-auth-url=http://x", "-f", "", "web"] {
            assert!(id_in(&bad.into()).is_err(), "{bad}");
        }
        assert!(id_in(&Value::Null).is_err());
    }

    #[test]
    fn an_image_is_ours_by_its_bytes_and_not_by_a_claim() {
        for (about, expected) in [
            (json!({"properties": {SHA512: "aa"}}), true),
            (json!({"properties": {SHA512: "bb"}}), false),
            (
                json!({"properties": {SHA512: "aa", "os_hash_algo": "sha512", "os_hash_value": "aa"}}),
                true,
            ),
            (
                json!({"properties": {SHA512: "aa", "os_hash_algo": "sha512", "os_hash_value": "bb"}}),
                false,
            ),
            (
                json!({SHA512: "aa", "os_hash_algo": "md5", "os_hash_value": "bb"}),
                true,
            ),
        ] {
            assert_eq!(has_bytes(&about, "aa"), expected, "{about}");
        }
    }
}
