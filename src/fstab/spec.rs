//! The first field of a line: what is mounted.

use super::escaped;

/// What a line mounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spec {
    /// The file system with this UUID.
    Uuid(String),
    /// The file system with this label.
    Label(String),
    /// The partition with this unique id.
    PartUuid(String),
    /// The partition with this name.
    PartLabel(String),
    /// A device by its path, such as `/dev/vda2` or `/dev/mapper/vg-root`.
    Device(String),
    /// A partition, counted from 1, or the whole of a disk that is named by its serial number or
    /// its place in the build's machine.
    Hardware(Option<u32>),
    /// A file or directory of the machine itself.
    File(String),
    /// No device: `tmpfs`, `server:/share`.
    Nothing(String),
}

impl Spec {
    /// Reads a field without octal escapes.
    pub(super) fn of(text: &str) -> Spec {
        if let Some((tag, value)) = text.split_once('=')
            && let Some(spec) = tagged(&tag.to_ascii_lowercase(), unquoted(value).to_owned())
        {
            return spec;
        }
        // Where udev is told twice, the last one is the narrower: `by-path/…-part/by-uuid/…`.
        let by = text.strip_prefix("/dev/disk/").and_then(|rest| {
            let from = rest.rfind("/by-").map_or(0, |at| at + 1);
            rest[from..].strip_prefix("by-")?.split_once('/')
        });
        match by {
            Some((tag, value)) => {
                let value = udev(value);
                tagged(tag, value.clone()).unwrap_or_else(|| hardware(&value))
            }
            None if text.starts_with("/dev/") => Spec::Device(text.to_owned()),
            None if text.starts_with('/') => Spec::File(super::plain(text)),
            None => Spec::Nothing(text.to_owned()),
        }
    }
}

impl std::fmt::Display for Spec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Spec::Uuid(value) => write!(f, "UUID={value}"),
            Spec::Label(value) => write!(f, "LABEL={value}"),
            Spec::PartUuid(value) => write!(f, "PARTUUID={value}"),
            Spec::PartLabel(value) => write!(f, "PARTLABEL={value}"),
            Spec::Hardware(Some(number)) => write!(f, "partition {number} of a disk"),
            Spec::Hardware(None) => f.write_str("a disk"),
            Spec::Device(path) | Spec::File(path) | Spec::Nothing(path) => f.write_str(path),
        }
    }
}

fn tagged(tag: &str, value: String) -> Option<Spec> {
    Some(match tag {
        "uuid" => Spec::Uuid(value),
        "label" => Spec::Label(value),
        "partuuid" => Spec::PartUuid(value),
        "partlabel" => Spec::PartLabel(value),
        _ => return None,
    })
}

/// `by-id`, `by-path` and others name the disk by what only the build's machine has.
fn hardware(name: &str) -> Spec {
    if let Some(mapped) = name.strip_prefix("dm-name-") {
        return Spec::Device(format!("/dev/mapper/{mapped}"));
    }
    let number = name.rsplit_once("-part").map(|(_, number)| number);
    Spec::Hardware(number.and_then(|number| number.parse().ok()))
}

fn unquoted(value: &str) -> &str {
    let quoted = ['"', '\''].iter().find_map(|quote| {
        let inner = value.strip_prefix(*quote)?;
        Some(inner.strip_suffix(*quote).unwrap_or(inner))
    });
    quoted.unwrap_or(value)
}

/// A name as udev writes it below `/dev/disk`: `\x20` is a blank.
fn udev(name: &str) -> String {
    escaped(name, |rest| {
        let digits = rest.strip_prefix('x')?.get(..2)?;
        Some((u8::from_str_radix(digits, 16).ok()?, 3))
    })
}
