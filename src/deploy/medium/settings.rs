//! What the RAM disk knows: what to install, where, whom to trust, and which medium is its own.

use crate::error::{Context as _, Error, Result};
use crate::targets::ramdisk::initrd::Member;

use super::{End, Request, Trusted};

/// What the installer reads beside the request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings<'a> {
    /// The image, as the machine names it; where it is on the medium, below the directory of its repository.
    pub(super) image: &'a str,
    /// Whether it is on the medium.
    pub(super) carried: bool,
    /// The label of the medium, where it has one.
    pub(super) label: Option<&'a str>,
}

impl Settings<'_> {
    /// The files.
    ///
    /// # Errors
    /// When the file of keys cannot be read.
    pub(super) fn members(&self, request: &Request<'_>) -> Result<Vec<Member>> {
        let mut members = vec![];
        let Trusted { key, fingerprint } = request.trusted;
        if let Some(file) = key {
            let bytes = std::fs::read(file).doing(|| format!("reading {}", file.display()))?;
            members.push(Member {
                path: "key.gpg".into(),
                mode: 0o644,
                bytes,
            });
        }
        let end = match request.end {
            End::Reboot => "reboot",
            End::Poweroff => "poweroff",
        };
        // The index on the medium is the channel's.
        let channel = request.channel.filter(|_| !self.carried);
        let mut text = String::new();
        for (name, value) in [
            ("IMAGE", self.image),
            ("CARRIED", if self.carried { "yes" } else { "" }),
            ("MEDIUM", self.label.unwrap_or_default()),
            ("CHANNEL", channel.unwrap_or_default()),
            ("DISK", request.disk),
            ("KEY", key.map_or("", |_| "/key.gpg")),
            ("FINGERPRINT", fingerprint.unwrap_or_default()),
            ("END", end),
        ] {
            let quoted = shlex::try_quote(value)
                .map_err(|_| Error::usage(format!("`{value:?}` has a zero byte")))?;
            text += &format!("{name}={quoted}\n");
        }
        if !request.own.is_empty() {
            let own = request.own.files().into_iter();
            members.extend(own.map(|(name, bytes)| Member {
                path: format!("machine/{name}"),
                mode: 0o600,
                bytes,
            }));
        }
        members.push(Member {
            path: "imgforge.conf".into(),
            mode: 0o644,
            bytes: text.into_bytes(),
        });
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::deploy::Own;
    use crate::host::exec::Program;

    #[test]
    fn the_ram_disk_reads_its_settings_as_they_were_given() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ops.gpg");
        std::fs::write(&file, "keys of several").unwrap();
        let image = "https://images.example.org/it's#web".parse().unwrap();
        let request = Request {
            image: &image,
            channel: Some("nightly"),
            disk: "by-id=nvme-*,size>=1GiB",
            trusted: Trusted {
                key: Some(&file),
                fingerprint: Some("3AA5 71"),
            },
            end: End::Poweroff,
            own: &Own::default(),
            append: None,
            embed: false,
            iso: false,
            output: Path::new("/"),
        };
        let settings = Settings {
            image: "https://images.example.org/it's#web",
            carried: false,
            label: None,
        };
        let read = |settings: Settings<'_>| {
            let members = settings.members(&request).unwrap();
            let [key, conf] = &members[..] else {
                panic!("{members:?}");
            };
            assert_eq!(
                (&*key.path, &*key.bytes),
                ("key.gpg", &b"keys of several"[..])
            );
            let script = String::from_utf8(conf.bytes.clone()).unwrap();
            let show = "printf '%s\n' \"$IMAGE\" \"$CARRIED\" \"$MEDIUM\" \"$CHANNEL\" \"$DISK\" \"$KEY\" \\\n\
                        \"$FINGERPRINT\" \"$END\"\n";
            let shell = Program::new("sh").input(script + show).text().unwrap();
            shell.lines().map(str::to_owned).collect::<Vec<_>>()
        };
        let same = [request.disk, "/key.gpg", "3AA5 71", "poweroff"];
        let fetched = [settings.image, "", "", "nightly"];
        assert_eq!(read(settings), [fetched, same].concat());
        let carried = Settings {
            image: "index.asc#web",
            carried: true,
            label: Some("IMGFORGE_1"),
        };
        let expected = ["index.asc#web", "yes", "IMGFORGE_1", ""];
        assert_eq!(read(carried), [expected, same].concat());
    }
}
