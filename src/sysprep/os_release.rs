//! Who the image is, in its os-release(5).

use super::GuestRoot;
use crate::error::{Error, Result};

/// What os-release says about the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageIdentity {
    /// `IMAGE_ID`: the recipe's name.
    pub id: String,
    /// `IMAGE_VERSION`: the first 12 digits of the seal stage's key.
    pub version: String,
}

/// Writes the identity; the file behind a symbolic link is the one that changes.
pub(super) fn write(root: &GuestRoot<'_>, image: &ImageIdentity) -> Result<()> {
    let guest = root.guest;
    let found = ["/etc/os-release", "/usr/lib/os-release"]
        .into_iter()
        .find_map(|path| match guest.is_file(path) {
            Ok(false) => None,
            Ok(true) => Some(guest.realpath(path)),
            Err(error) => Some(Err(error)),
        })
        .ok_or_else(|| Error::stage("the guest has no os-release file to write IMAGE_ID into"))??;
    let old = guest.read_file(&found)?;
    let new = with_identity(&String::from_utf8_lossy(&old), image);
    if new.as_bytes() != old {
        root.write(&found, new)?;
    }
    Ok(())
}

fn with_identity(text: &str, image: &ImageIdentity) -> String {
    let ours = ["IMAGE_ID=", "IMAGE_VERSION="];
    let others = text
        .lines()
        .filter(|line| !ours.iter().any(|name| line.starts_with(name)));
    let identity = [
        format!("IMAGE_ID={}", quoted(&image.id)),
        format!("IMAGE_VERSION={}", quoted(&image.version)),
    ];
    let mut out = String::new();
    for line in others.map(str::to_owned).chain(identity) {
        out.push_str(&line);
        out.push('\n');
    }
    out
}

/// Names of recipes need no quotes; anything else gets those of os-release(5).
fn quoted(value: &str) -> String {
    if !value.is_empty()
        && value
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
    {
        return value.to_owned();
    }
    let mut out = String::from("\"");
    for c in value.chars().filter(|c| !c.is_control()) {
        if "\"$`\\".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identity_replaces_an_older_one_and_stays_the_same() {
        let image = ImageIdentity {
            id: "web node".into(),
            version: "0123456789ab".into(),
        };
        let once = with_identity("ID=debian\nIMAGE_VERSION=1\nNAME=\"Debian\"", &image);
        insta::assert_snapshot!(once, @r#"
        ID=debian
        NAME="Debian"
        IMAGE_ID="web node"
        IMAGE_VERSION=0123456789ab
        "#);
        assert_eq!(with_identity(&once, &image), once);
    }
}
