//! Other formats of the same disk, by `qemu-img`, and the proof that they are.

use std::path::Path;

use super::{CheckKind, PassedCheck, TargetContext, proven};
use crate::error::{Error, Result};
use crate::host::exec::Program;
use crate::host::qemu_img::{self, info, percent};
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

/// Converts the source, or `from` (raw) in its place, to a file of [`TargetContext::dir`], and proves it.
pub(super) fn convert(
    site: &TargetContext<'_>,
    from: Option<&Path>,
    form: Form,
    name: &str,
) -> Result<Vec<PassedCheck>> {
    let path = site.dir.join(name);
    let (disk, format) = match from {
        Some(raw) => (raw, "raw"),
        None => (site.source.disk(), site.source.format()),
    };
    site.ui.step(format!("writing {name}"));
    let shown = site.ui.clone();
    arguments(disk, format, form, &path)?.lines(move |line| {
        if let Some(percent) = percent(line) {
            shown.progress(percent, 100, Unit::Percent);
        }
    })?;
    match site.proving {
        true => prove(site, from, form.format, form.checked, &path),
        false => Ok(vec![]),
    }
}

fn arguments(disk: &Path, format: &str, form: Form, path: &Path) -> Result<Program> {
    // Without `-W`: writing out of order gives other bytes each time.
    let mut words = vec!["-p", "-m", "8", "-S", "4k"];
    if form.compressed {
        words.push("-c");
    }
    if !form.options.is_empty() {
        words.extend(["-o", form.options]);
    }
    qemu_img::convert((disk, format), (path, form.format), &words)
}

/// The comparison with the disk that the gate tested, byte by byte, and before it the format's own
/// check, where it is `checked`: of its tables only, a damaged cluster passes it.
pub(super) fn prove(
    site: &TargetContext<'_>,
    from: Option<&Path>,
    format: &str,
    checked: bool,
    path: &Path,
) -> Result<Vec<PassedCheck>> {
    site.ui.step("comparing with the sealed disk");
    let mut all = vec![];
    if checked {
        qemu_img::check(path, format)
            .map_err(|error| Error::gate("the artifact is damaged").cause(error))?;
        all.push(proven(CheckKind::Validated, "qemu-img check"));
    }
    stands_alone(path, format)?;
    all.push(proven(CheckKind::Validated, "qemu-img info"));
    same(site, from, path, format)?;
    all.push(proven(CheckKind::SameDisk, "qemu-img compare"));
    Ok(all)
}

/// Nothing outside the file belongs to it: clouds refuse what refers to other files.
fn stands_alone(path: &Path, format: &str) -> Result<()> {
    let info = info(path, format)?;
    if info.backing_filename.is_none() && info.data_file().is_none() && !info.encrypted {
        return Ok(());
    }
    Err(Error::gate(format!(
        "{} ({format}) does not stand alone",
        path.display()
    )))
}

/// A guest sees the same bytes as on the sealed disk (or `from`, raw, in its place); behind its end
/// there are only zeroes.
pub(super) fn same(
    site: &TargetContext<'_>,
    from: Option<&Path>,
    path: &Path,
    format: &str,
) -> Result<()> {
    let (disk, own) = match from {
        Some(raw) => (raw, "raw"),
        None => (site.source.disk(), site.source.format()),
    };
    qemu_img::compare((disk, own), (path, format), &[]).map_err(|error| {
        Error::gate("the artifact is not the disk that the gate tested").cause(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::accel::Accel;
    use crate::machine::Machine;
    use crate::targets::qcow2::Clusters;
    use crate::targets::{About, SystemDisk};

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
        .unwrap()
        .line();
        assert_eq!(
            line,
            "qemu-img convert -f qcow2 -O qcow2 -p -m 8 -S 4k -c -o compat=1.1 -- /s/disk \
             /d/web.qcow2"
        );
    }

    /// A cluster with a wrong byte: QEMU finds no errors in the file, and the gate does not ask it.
    #[test]
    fn a_damaged_cluster_passes_qemus_check_and_not_the_gate() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let mut text: String = (0..150_000).map(|n| format!("{n}\n")).collect();
        text.truncate(1 << 19);
        std::fs::write(path("disk.raw"), text).unwrap();
        let scratch = path("scratch");
        let ui = crate::ui::Ui::silent().stage("web", "finish");
        let source = SystemDisk::new(path("disk.raw"), "raw", scratch.clone(), Accel::Tcg);
        let about = About {
            name: "web".into(),
            version: String::new(),
            title: String::new(),
            os: String::new(),
            os_version: String::new(),
            created: 0,
        };
        let site = TargetContext {
            source: &source,
            about: &about,
            gate: None,
            proving: true,
            machine: &Machine::default(),
            dir: dir.path(),
            scratch: &scratch,
            ui: &ui,
        };
        let form = super::super::qcow2::form(Clusters::Zlib);
        let proven = convert(&site, None, form, "web.qcow2").unwrap();
        assert!(proven.iter().any(|one| one.part == CheckKind::SameDisk));
        let file = path("web.qcow2");
        let mut bytes = std::fs::read(&file).unwrap();
        let at = bytes.len() - 30_000;
        bytes[at] ^= 0x10;
        std::fs::write(&file, bytes).unwrap();
        let check = Program::new("qemu-img").args(["check", "-q", "-f", "qcow2"]);
        check.arg(&file).run().unwrap();
        let error = prove(&site, None, "qcow2", true, &file).unwrap_err();
        assert_eq!(error.kind(), crate::error::Kind::Gate);
        assert!(error.message().contains("not the disk"), "{error}");
    }
}
