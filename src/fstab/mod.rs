//! fstab(5): what a machine mounts, in every form in which it is written.
//!
//! [`parse`] reads the text; [`layout`] tells which file systems of the disks are meant, by what
//! is known of them ([`FileSystem`]), and what a machine mounts without any line (the Discoverable
//! Partitions Specification).

mod blkid;
mod layout;
mod spec;

pub(crate) use layout::kernel_name;
pub use layout::{FileSystem, Layout, Machine, Mount, Subvolume};
pub use spec::Spec;

/// One line that mounts something, or swaps to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What is mounted.
    pub spec: Spec,
    /// Where, without a slash at the end; `None` for swap space and `none`.
    pub at: Option<String>,
    /// The type of the file system; `auto` where none is named.
    pub kind: String,
    pub(crate) options: Vec<String>,
}

impl Line {
    /// The value of an option, such as `@home` of `subvol=@home`.
    pub fn option(&self, name: &str) -> Option<&str> {
        let mut values = self.options.iter().filter_map(|option| {
            let (key, value) = option.split_once('=')?;
            (key == name).then_some(value)
        });
        values.next_back()
    }

    /// Whether it has this option, without a value.
    pub fn has(&self, name: &str) -> bool {
        self.options.iter().any(|option| option == name)
    }

    /// Whether it shows a part of the tree at another place.
    pub fn is_bind(&self) -> bool {
        self.has("bind") || self.has("rbind")
    }

    /// Whether it is swap space.
    pub fn is_swap(&self) -> bool {
        self.kind == "swap"
    }
}

/// The lines of an fstab, in order. Lines with less than two fields mean nothing to mount(8).
pub fn parse(text: &str) -> Vec<Line> {
    text.lines().filter_map(line).collect()
}

/// The swap files, as absolute paths.
pub fn swap_files(text: &str) -> Vec<String> {
    let file = |line: Line| match line.spec {
        Spec::File(path) if line.kind == "swap" => Some(path),
        _ => None,
    };
    parse(text).into_iter().filter_map(file).collect()
}

fn line(text: &str) -> Option<Line> {
    let text = text.trim_start();
    if text.starts_with('#') {
        return None;
    }
    // A comment may follow where mount(8) has its defaults.
    let mut fields = text.split_ascii_whitespace();
    let (spec, at) = (fields.next()?, fields.next()?);
    let mut rest = fields.take_while(|field| !field.starts_with('#'));
    let kind = rest.next().map_or_else(|| "auto".into(), unescape);
    let options = rest.next().map_or_else(|| "defaults".into(), unescape);
    let at = unescape(at);
    Some(Line {
        spec: Spec::of(&unescape(spec)),
        at: (at.starts_with('/') && kind != "swap").then(|| plain(&at)),
        kind,
        options: options.split(',').map(str::to_owned).collect(),
    })
}

/// A path without double slashes, dots, and a slash at its end; the root's is `/`.
fn plain(path: &str) -> String {
    let parts = path.split('/').filter(|part| !matches!(*part, "" | "."));
    format!("/{}", parts.collect::<Vec<_>>().join("/"))
}

/// A field without its octal escapes: `\040` is a blank.
fn unescape(field: &str) -> String {
    escaped(field, |rest| {
        let digits = rest
            .get(..3)
            .filter(|d| d.bytes().all(|b| b.is_ascii_digit()))?;
        Some((u8::from_str_radix(digits, 8).ok()?, 3))
    })
}

/// A text whose backslashes begin what `byte` reads: a byte and how many letters say it.
fn escaped(text: &str, byte: impl Fn(&str) -> Option<(u8, usize)>) -> String {
    let mut out = vec![];
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.extend(&rest.as_bytes()[..at]);
        rest = &rest[at + 1..];
        match byte(rest) {
            Some((value, letters)) => {
                out.push(value);
                rest = &rest[letters..];
            }
            None => out.push(b'\\'),
        }
    }
    out.extend(rest.as_bytes());
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_line_is_read() {
        let uuid = || Spec::Uuid("11-22".into());
        for (text, spec, at) in [
            ("UUID=11-22 /a ext4", uuid(), Some("/a")),
            ("  UUID=\"11-22\"\t/a", uuid(), Some("/a")),
            ("uuid='11-22' /a", uuid(), Some("/a")),
            ("/dev/disk/by-uuid/11-22 /a/ ext4", uuid(), Some("/a")),
            (
                "/dev/disk/by-path/pci-0:4-part/by-uuid/11-22 /a",
                uuid(),
                Some("/a"),
            ),
            (
                "LABEL=my\\040disk /a",
                Spec::Label("my disk".into()),
                Some("/a"),
            ),
            (
                "/dev/disk/by-label/my\\134x20disk /a",
                Spec::Label("my disk".into()),
                Some("/a"),
            ),
            ("LABEL=\\043one /a", Spec::Label("#one".into()), Some("/a")),
            (
                "PARTUUID=AB-2 //a//b/. auto",
                Spec::PartUuid("AB-2".into()),
                Some("/a/b"),
            ),
            (
                "/dev/disk/by-partuuid/ab-2 /a",
                Spec::PartUuid("ab-2".into()),
                Some("/a"),
            ),
            (
                "PARTLABEL=homes /my\\040home",
                Spec::PartLabel("homes".into()),
                Some("/my home"),
            ),
            (
                "/dev/disk/by-partlabel/my\\x20homes /a",
                Spec::PartLabel("my homes".into()),
                Some("/a"),
            ),
            (
                "/dev/vda2 / ext4",
                Spec::Device("/dev/vda2".into()),
                Some("/"),
            ),
            (
                "/dev/disk/by-id/dm-name-vg-root / xfs",
                Spec::Device("/dev/mapper/vg-root".into()),
                Some("/"),
            ),
            (
                "/dev/disk/by-id/scsi-0QEMU-part3 /a",
                Spec::Hardware(Some(3)),
                Some("/a"),
            ),
            (
                "/dev/disk/by-path/pci-0:4 /a",
                Spec::Hardware(None),
                Some("/a"),
            ),
            (
                "/swap.img none swap sw",
                Spec::File("/swap.img".into()),
                None,
            ),
            (
                "/srv/b /b none bind",
                Spec::File("/srv/b".into()),
                Some("/b"),
            ),
            ("UUID=11-22 none ext4 noauto", uuid(), None),
            ("UUID=11-22 /s swap", uuid(), None),
            (
                "nas:/home /home nfs4 x-systemd.automount",
                Spec::Nothing("nas:/home".into()),
                Some("/home"),
            ),
            (
                "tmpfs /tmp tmpfs",
                Spec::Nothing("tmpfs".into()),
                Some("/tmp"),
            ),
        ] {
            let lines = parse(text);
            assert_eq!(lines.len(), 1, "{text}");
            assert_eq!(
                (&lines[0].spec, lines[0].at.as_deref()),
                (&spec, at),
                "{text}"
            );
        }
        let none = "\n# UUID=1 /a ext4\n   #x y z\nUUID=1\n\t\n";
        assert_eq!(parse(none), []);
    }

    #[test]
    fn missing_fields_have_the_defaults_of_mount() {
        let lines = parse(
            "UUID=1 /a\nUUID=1 /b btrfs subvol=/@b,nofail,subvol=@c 0 2 # note\nUUID=1 /c # ext4\n",
        );
        assert_eq!(
            (lines[0].kind.as_str(), &lines[0].options[..]),
            ("auto", &["defaults".to_owned()][..])
        );
        assert_eq!(
            (lines[1].option("subvol"), lines[1].option("subvolid")),
            (Some("@c"), None)
        );
        assert_eq!(lines[2].kind, "auto");
    }

    #[test]
    fn fstab_names_swap_files() {
        let fstab = "/swap\\040file none swap sw 0 0\n/dev/sda2 none swap sw\n# /x none swap\nUUID=1 / ext4\n";
        assert_eq!(swap_files(fstab), ["/swap file"]);
    }
}
