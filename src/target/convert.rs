//! Other formats of the same disk, by `qemu-img`, and the proof that they are.

use std::path::Path;

use serde::Deserialize;

use super::{Part, Proven, Site, proven};
use crate::error::{Error, Result};
use crate::host::exec::Program;
use crate::ui::Unit;

/// What `qemu-img convert` makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Form {
    /// The format, as QEMU calls it.
    pub(super) format: &'static str,
    /// Its options, as for `-o`; empty for none.
    pub(super) options: &'static str,
    /// Whether clusters are compressed.
    pub(super) compressed: bool,
    /// Whether `qemu-img check` knows the format.
    pub(super) checked: bool,
}

/// What `qemu-img info` says of an artifact.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Info {
    format: String,
    pub(super) virtual_size: u64,
    #[serde(default)]
    backing_filename: Option<String>,
    #[serde(default)]
    encrypted: bool,
    #[serde(default)]
    format_specific: Option<serde_json::Value>,
}

/// Converts the source, or `from` (raw) in its place, to a file of [`Site::dir`], and proves it.
pub(super) fn convert(
    site: &Site<'_>,
    from: Option<&Path>,
    form: Form,
    name: &str,
) -> Result<Vec<Proven>> {
    let path = site.dir.join(name);
    let (disk, format) = match from {
        Some(raw) => (raw, "raw"),
        None => (site.source.disk(), site.source.format()),
    };
    site.ui.step(format!("writing {name}"));
    let shown = site.ui.clone();
    arguments(disk, format, form, &path).lines(move |line| {
        if let Some(percent) = percent(line) {
            shown.progress(percent, 100, Unit::Percent);
        }
    })?;
    match site.proving {
        true => prove(site, from, form, &path),
        false => Ok(vec![]),
    }
}

fn arguments(disk: &Path, format: &str, form: Form, path: &Path) -> Program {
    let mut program = Program::new("qemu-img")
        .args(["convert", "-p", "-f", format, "-O", form.format, "-m", "8"])
        .args(["-S", "4k"]);
    if form.compressed {
        program = program.args(["-c", "-W"]);
    }
    if !form.options.is_empty() {
        program = program.args(["-o", form.options]);
    }
    program
        .arg("--")
        .args([disk, path])
        .hint("`imgforge doctor` says whether qemu-img is usable here")
}

/// The format's own checks, and the comparison with the disk that the gate tested.
fn prove(site: &Site<'_>, from: Option<&Path>, form: Form, path: &Path) -> Result<Vec<Proven>> {
    site.ui.step("comparing with the sealed disk");
    let mut all = vec![];
    if form.checked {
        Program::new("qemu-img")
            .args(["check", "-q", "-f", form.format])
            .arg(path)
            .run()
            .map_err(|error| Error::gate("the artifact is damaged").cause(error))?;
        all.push(proven(Part::Validated, "qemu-img check"));
    }
    let info = info(path, form.format)?;
    stands_alone(path, &info)?;
    all.push(proven(Part::Validated, "qemu-img info"));
    same(site, from, path, form.format)?;
    all.push(proven(Part::SameDisk, "qemu-img compare"));
    Ok(all)
}

/// What QEMU says of a file.
pub(super) fn info(path: &Path, format: &str) -> Result<Info> {
    Program::new("qemu-img")
        .args(["info", "--output=json", "-f", format])
        .on_foreign_file()
        .arg(path)
        .json()
}

/// Nothing outside the file belongs to it: clouds refuse what refers to other files.
fn stands_alone(path: &Path, info: &Info) -> Result<()> {
    let data = info
        .format_specific
        .as_ref()
        .and_then(|specific| specific.pointer("/data/data-file"));
    if info.backing_filename.is_none() && data.is_none() && !info.encrypted {
        return Ok(());
    }
    Err(Error::gate(format!(
        "{} ({}) does not stand alone",
        path.display(),
        info.format
    )))
}

/// A guest sees the same bytes as on the sealed disk (or `from`, raw, in its place); behind its end
/// there are only zeroes.
pub(super) fn same(site: &Site<'_>, from: Option<&Path>, path: &Path, format: &str) -> Result<()> {
    let (disk, own) = match from {
        Some(raw) => (raw, "raw"),
        None => (site.source.disk(), site.source.format()),
    };
    Program::new("qemu-img")
        .args(["compare", "-q", "-f", own, "-F", format])
        .args([disk, path])
        .run()
        .map_err(|error| {
            Error::gate("the artifact is not the disk that the gate tested").cause(error)
        })
}

/// qemu-img's progress line: `    (42.17/100%)`.
fn percent(line: &str) -> Option<u64> {
    let number = line.trim().strip_prefix('(')?.strip_suffix("/100%)")?;
    number.parse::<f64>().ok().map(|percent| percent as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_call_says_both_formats() {
        let form = Form {
            format: "qcow2",
            options: "compat=1.1",
            compressed: true,
            checked: true,
        };
        let line = arguments(
            Path::new("/s/disk"),
            "qcow2",
            form,
            Path::new("/d/web.qcow2"),
        )
        .line();
        assert_eq!(
            line,
            "qemu-img convert -p -f qcow2 -O qcow2 -m 8 -S 4k -c -W -o compat=1.1 -- /s/disk \
             /d/web.qcow2"
        );
    }
}
