//! Runs a command in the container: in a machine of its own, as it is the image's program.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write as _};
use std::path::Path;

use serde_json::Value;

use super::Layer;
use crate::error::{Context as _, Error, Kind, Result};
use crate::guest::{Drive, Guestfs, Launch};
use crate::host::exec::Program;
use crate::host::foreign;
use crate::machine::Arch;
use crate::targets::{CheckKind, PassedCheck, TargetContext, proven, rootfs};

const SAYS: &str = "imgforge: the container runs";

/// Looks for the command `$1` and the user `$2`, by nothing but the shell itself.
const SCRIPT: &str = r#"PATH=/usr/sbin:/usr/bin:/sbin:/bin; export PATH
command -v "$1" >/dev/null || { echo "no command $1" >&2; exit 3; }
case $2 in
'' | *[!0-9]*) ;;
*) set -- "$1" '' ;;
esac
if [ -n "$2" ]; then
  found=
  while IFS=: read -r name _; do [ "$name" != "$2" ] || found=yes; done </etc/passwd
  [ -n "$found" ] || { echo "no user $2" >&2; exit 3; }
fi
test -r /etc/os-release || { echo "no /etc/os-release" >&2; exit 3; }
"#;

/// Where QEMU's user mode is in the files of another architecture, beside the image's.
const QEMU: &str = "imgforge-qemu";

/// Memory of that machine, in MiB: it runs one shell.
const MEMORY: i32 = 512;

/// Puts the layer on a disk and runs a shell of it, which looks for the command and the user.
pub(in crate::targets) fn try_out(
    site: &TargetContext<'_>,
    layer: &Path,
    how: Layer,
    config: &Value,
) -> Result<PassedCheck> {
    site.ui.step("running a command in the container");
    let disk = site.scratch.join("container.squashfs");
    let qemu = qemu(site.machine.arch)?;
    unpack(layer, how, qemu.as_deref(), &disk)?;
    // Programs of another architecture are translated, whatever runs the machine.
    let accel = site.source.accel().on(site.machine.arch);
    let inside = site.source.guests(accel);
    let ran = run(site, &disk, config, qemu.is_some());
    drop(inside);
    std::fs::remove_file(&disk).doing(|| format!("removing {}", disk.display()))?;
    ran?;
    Ok(proven(CheckKind::Booted, "a machine with its files"))
}

/// What plays the processor of another architecture in the machine, as an archive without an end: the
/// layer follows.
fn qemu(arch: Arch) -> Result<Option<Vec<u8>>> {
    let Some(path) = foreign::interpreter(arch)? else {
        return Ok(None);
    };
    let bytes = std::fs::read(&path).doing(|| format!("reading {}", path.display()))?;
    let mut header = tar::Header::new_ustar();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o755);
    let mut archive = tar::Builder::new(vec![]);
    let added = archive.append_data(&mut header, QEMU, &bytes[..]);
    added.doing(|| "making an archive".into())?;
    Ok(Some(archive.get_ref().clone()))
}

/// A disk with the layer's files behind `first`, as another program reads them. It holds them for a
/// moment only, so they are not compressed.
fn unpack(layer: &Path, how: Layer, first: Option<&[u8]>, disk: &Path) -> Result<()> {
    let doing = || format!("reading {}", layer.display());
    let file = BufReader::new(File::open(layer).doing(doing)?);
    let mut files: Box<dyn Read + Send> = match how {
        Layer::Gzip => Box::new(flate2::read::MultiGzDecoder::new(file)),
        Layer::Zstd => Box::new(zstd::Decoder::new(file).doing(doing)?),
    };
    let first = first.unwrap_or_default().to_vec();
    let write = move |to| {
        let mut to = BufWriter::with_capacity(1 << 18, to);
        let copied = to.write_all(&first);
        let copied = copied
            .and_then(|()| io::copy(&mut files, &mut to))
            .and_then(|_| to.flush());
        copied.doing(|| "unpacking the container".into())
    };
    rootfs::piped(write, |archive| {
        Program::new("sqfstar")
            .args(["-noI", "-noD", "-noF", "-noX", "-no-progress"])
            .arg(disk)
            .stdin(archive)
            .hint("apt-get install squashfs-tools (4.5 or newer)")
            .run()
    })
}

/// The appliance has no network, and changes nothing but its own memory.
fn run(site: &TargetContext<'_>, disk: &Path, config: &Value, played: bool) -> Result<()> {
    let (command, user) = wanted(&config["config"]);
    let launch = Launch {
        drives: &[Drive::readonly(disk, "raw")],
        accel: site.source.accel(),
        ui: Some(site.ui),
    };
    let machine = Guestfs::launch_with(&launch, MEMORY)?;
    machine.mount_ro("/dev/sda", "/")?;
    let script = format!("{SCRIPT}echo '{SAYS}'");
    let qemu = format!("/{QEMU}");
    let words = [&qemu, "/bin/sh", "-c", &script, "sh", &command, &user];
    let said = machine.command(&words[usize::from(!played)..]);
    let refused = |error: Error| match error.kind() {
        Kind::Stage => Error::gate("nothing runs in the container").cause(error),
        _ => error,
    };
    match said.map_err(refused)?.lines().last() {
        Some(SAYS) => machine.close(),
        other => {
            Err(Error::gate("nothing runs in the container")
                .cause(format!("its shell said {other:?}")))
        }
    }
}

/// The program that the container starts, and as whom.
fn wanted(config: &Value) -> (String, String) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let first = [&config["Entrypoint"][0], &config["Cmd"][0]];
    let first = first.into_iter().find(|word| word.is_string()).map(text);
    let user = text(&config["User"]);
    let user = user.split(':').next().unwrap_or_default();
    (first.unwrap_or_default(), user.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_command_and_the_user_must_be_there() {
        let asked = |config: Value| {
            let (command, user) = wanted(&config);
            let shell = Program::new("sh").args(["-c", SCRIPT, "sh"]);
            let ran = shell.arg(command).arg(user).run();
            ran.map_err(|error| error.evidence_lines().join("\n"))
        };
        asked(json!({"Cmd": ["sh"], "User": "root:adm"})).unwrap();
        asked(json!({"Cmd": ["/bin/sh", "-l"], "User": "4711:0"})).unwrap();
        asked(json!({"Entrypoint": ["cat"], "Cmd": ["no-such-file"]})).unwrap();
        let error = asked(json!({"Cmd": ["no-such-program"]})).unwrap_err();
        assert_eq!(error, "no command no-such-program");
        let error = asked(json!({"Cmd": ["sh"], "User": "ghost"})).unwrap_err();
        assert_eq!(error, "no user ghost");
    }
}
