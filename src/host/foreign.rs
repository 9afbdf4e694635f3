//! Programs of other architectures on this host: by QEMU's user mode, which the kernel's `binfmt_misc`
//! starts for them.
//!
//! Since Linux 6.7 a user name space has registrations of its own, which need no rights on the host, and
//! end with it. Before, and where such name spaces are forbidden, the host's own registration does, which
//! Debian's package makes.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::exec::{self, Program};
use super::namespace::as_guest_root;
use super::tools;
use crate::error::{Error, Result};
use crate::machine::Arch;

/// Debian's package with QEMU's user mode.
const PACKAGE: &str = "qemu-user-static";

/// How long the start of one program may take: a name space that is not made is none.
const PROBE_LIMIT: Duration = Duration::from_secs(60);

/// Grows when other files may come of the same packages, as their scripts run otherwise.
pub const VERSION: u32 = 6;

/// What QEMU takes out of its programs' environment: to set up a locale is a third of the time that a small
/// program takes, and scripts start thousands.
const NO_LOCALE: (&str, &str) = ("QEMU_UNSET_ENV", "LC_ALL,LANG,LANGUAGE");

/// Where the kernel lists what it starts, and for what.
const REGISTERED: &str = "/proc/sys/fs/binfmt_misc";

/// Registers `$1` in this name space, and becomes the program that follows.
const REGISTER: &str = r#"set -e
mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
printf %s "$1" >/proc/sys/fs/binfmt_misc/register
shift
exec "$@""#;

/// Root's name space has the ids of the host's users: who made it writes that, as `unshare` knows no such
/// map. The kernel takes a map, whatever its lines, by one write. `$1` is what runs in it.
const AS_ROOT: &str = r#"set -e
inner=$1
shift
same() { while read -r first _ count; do echo "$first $first $count"; done | dd bs=64k iflag=fullblock status=none; }
exec 3> >(read -r _ && same </proc/self/uid_map >/proc/$$/uid_map && same </proc/self/gid_map >/proc/$$/gid_map ||
  kill -KILL $$)
exec unshare --user --mount --pid --fork --kill-child --mount-proc -- bash -c '
echo made >&3
exec 3>&-
until read -r _ </proc/self/gid_map; do :; done
eval "$0"' "$inner" "$@""#;

/// How programs of an architecture run here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Execution {
    /// The processor runs them.
    Natively,
    /// By this program, registered in a name space of each call.
    Registering(PathBuf),
    /// By this program, which the host has registered.
    Registered(PathBuf),
}

impl Execution {
    /// For people; `None` where there is nothing to say.
    pub fn describe(&self) -> Option<String> {
        match self {
            Execution::Natively => None,
            Execution::Registering(qemu) => Some(format!(
                "{}, registered in a name space of this build",
                qemu.display()
            )),
            Execution::Registered(qemu) => Some(format!(
                "{}, which this host has registered",
                qemu.display()
            )),
        }
    }

    /// What each call registers in a name space of its own, where more can be registered.
    pub fn registering(&self) -> Option<&Path> {
        match self {
            Execution::Registering(qemu) => Some(qemu),
            Execution::Natively | Execution::Registered(_) => None,
        }
    }

    /// A program of the host with the rights of the guest's root over a tree, as [`as_guest_root`]; what it
    /// starts may be of `arch`.
    pub fn as_guest_root(&self, arch: Arch, name: &'static str) -> Program {
        let translated = |program: Program| {
            let program = program.env("QEMU_CPU", arch.qemu_user_cpu);
            program.env(NO_LOCALE.0, NO_LOCALE.1)
        };
        let qemu = match self {
            Execution::Natively => return as_guest_root(name),
            Execution::Registered(_) => return translated(as_guest_root(name)),
            Execution::Registering(qemu) => qemu,
        };
        let bash = match rustix::process::geteuid().is_root() {
            true => Program::new("bash").args(["-c", AS_ROOT, "imgforge-foreign", REGISTER]),
            false => as_guest_root("bash").args(["-c", REGISTER, "imgforge-foreign"]),
        };
        translated(bash).arg(registration(arch, qemu)).arg(name)
    }
}

/// Finds how programs of `arch` run here.
///
/// # Errors
/// When they do not; the hint names Debian's package.
pub fn find(arch: Arch) -> Result<Execution> {
    if !arch.is_foreign() {
        return Ok(Execution::Natively);
    }
    let mut causes = vec![];
    if let Some(qemu) = user_mode(arch) {
        let way = Execution::Registering(qemu);
        let probe = way.as_guest_root(arch, "true").timeout(PROBE_LIMIT);
        match probe.run() {
            Ok(()) => return Ok(way),
            Err(error) => causes.push(format!("no name space registers QEMU: {}", error.message())),
        }
    } else {
        causes.push(format!("there is no {}", arch.qemu_user));
    }
    if let Some(qemu) = of_host(arch, Path::new(REGISTERED)) {
        return Ok(Execution::Registered(qemu));
    }
    let error = Error::host(format!(
        "this host does not run programs of {}, which a bootstrap has to",
        arch.as_str()
    ));
    let error = causes.into_iter().fold(error, Error::cause);
    Err(error.hint(format!(
        "install it: {}, and let users make name spaces, or register it: update-binfmts --enable {}",
        tools::install_line(&[PACKAGE]),
        arch.qemu_user
    )))
}

/// What runs programs of `arch` where nobody registers it: QEMU's user mode, or `None` where they run by
/// themselves.
///
/// # Errors
/// When this host has none; the hint names Debian's package.
pub fn interpreter(arch: Arch) -> Result<Option<PathBuf>> {
    if !arch.is_foreign() {
        return Ok(None);
    }
    let missing = || {
        let (program, arch) = (arch.qemu_user, arch.as_str());
        let text = format!("`{program}` is needed to run programs of {arch}, and is not installed");
        Error::host(text).hint(format!("install it: {}", tools::install_line(&[PACKAGE])))
    };
    user_mode(arch).map(Some).ok_or_else(missing)
}

/// Asks whether programs of `arch` run here outside of trees: by [`interpreter`], or as the host has
/// registered them.
///
/// # Errors
/// As [`interpreter`].
pub fn need(arch: Arch) -> Result<()> {
    match interpreter(arch) {
        Err(_) if of_host(arch, Path::new(REGISTERED)).is_some() => Ok(()),
        found => found.map(drop),
    }
}

/// QEMU's user mode, if it needs no library: a guest's tree has none for it.
fn user_mode(arch: Arch) -> Option<PathBuf> {
    let name = arch.qemu_user;
    let found = [format!("{name}-static"), name.to_owned()].map(exec::find);
    let mut found = found.into_iter().flatten();
    found.find(|path| std::fs::read(path).is_ok_and(|bytes| is_static(&bytes)))
}

/// Whether a program names no dynamic loader, which stands at its head.
fn is_static(program: &[u8]) -> bool {
    let head = &program[..program.len().min(4096)];
    memchr::memmem::find(head, b"/ld-").is_none()
}

/// `binfmt_misc`'s line for 64-bit ELF programs, little endian, of the architecture. `O`, `P` and `F`: QEMU
/// gets them opened, learns by what name they were started, and is opened now, out of reach of a tree.
fn registration(arch: Arch, qemu: &Path) -> String {
    let mut magic = String::new();
    for byte in magic_of(arch) {
        let _ = write!(magic, r"\x{byte:02x}");
    }
    // The ABI counts for nothing, and what may be loaded anywhere is a program, too.
    let mask = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff";
    format!(
        ":{}:M::{magic}:{mask}:{}:OPF",
        arch.qemu_user,
        qemu.display()
    )
}

fn magic_of(arch: Arch) -> [u8; 20] {
    let mut magic = *b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\0\0";
    magic[18] = arch.elf_machine;
    magic
}

/// What the kernel of the host starts for programs of `arch`, out of reach of a tree, by its list.
fn of_host(arch: Arch, list: &Path) -> Option<PathBuf> {
    let magic = format!("magic {}", hex::encode(magic_of(arch)));
    let entries = std::fs::read_dir(list).ok()?.flatten();
    let texts = entries.filter_map(|entry| std::fs::read_to_string(entry.path()).ok());
    let mut found = texts.filter_map(|text| {
        let fits = text.starts_with("enabled\n") && text.lines().any(|line| line == magic);
        let fixed = |line: &str| {
            line.strip_prefix("flags: ")
                .is_some_and(|it| it.contains('F'))
        };
        let interpreter = text
            .lines()
            .find_map(|line| line.strip_prefix("interpreter "));
        interpreter
            .filter(|_| fits && text.lines().any(fixed))
            .map(PathBuf::from)
    });
    found.next()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    #[test]
    fn a_registration_is_as_debians_own() {
        let line = registration(Arch::Aarch64, Path::new("/usr/bin/qemu-aarch64-static"));
        assert_eq!(
            line,
            r":qemu-aarch64:M::\x7f\x45\x4c\x46\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:/usr/bin/qemu-aarch64-static:OPF"
        );
    }

    #[test]
    fn only_a_registration_that_reaches_into_a_tree_counts() {
        let dir = tempfile::tempdir().unwrap();
        let text = |flags: &str| {
            format!(
                "enabled\ninterpreter /usr/bin/q\nflags: {flags}\noffset 0\n\
                 magic 7f454c460201010000000000000000000200b700\n\
                 mask ffffffffffffff00fffffffffffffffffeffffff\n"
            )
        };
        let put = |text: String| std::fs::write(dir.path().join("qemu-aarch64"), text).unwrap();
        put(text("POF"));
        assert_eq!(
            of_host(Arch::Aarch64, dir.path()),
            Some("/usr/bin/q".into())
        );
        assert_eq!(of_host(Arch::X86_64, dir.path()), None);
        put(text("PO"));
        assert_eq!(of_host(Arch::Aarch64, dir.path()), None);
        put(text("POF").replace("enabled", "disabled"));
        assert_eq!(of_host(Arch::Aarch64, dir.path()), None);
        assert_eq!(of_host(Arch::Aarch64, &dir.path().join("none")), None);
    }

    #[test]
    fn programs_of_this_hosts_own_need_nothing() {
        let own = Arch::named(std::env::consts::ARCH).unwrap_or_default();
        assert_eq!(find(own).unwrap(), Execution::Natively);
        assert_eq!(Execution::Natively.describe(), None);
    }

    /// A program that ends with 42.
    pub(crate) fn ends_with_42(arch: Arch, dir: &Path) -> PathBuf {
        let code: &[u8] = match arch {
            // mov edi, 42; mov eax, 60; syscall
            Arch::X86_64 => b"\xbf\x2a\0\0\0\xb8\x3c\0\0\0\x0f\x05",
            // mov x0, 42; mov x8, 93; svc 0
            Arch::Aarch64 => b"\x40\x05\x80\xd2\xa8\x0b\x80\xd2\x01\0\0\xd4",
            // li a0, 42; li a7, 93; ecall
            Arch::Riscv64 => b"\x13\x05\xa0\x02\x93\x08\xd0\x05\x73\0\0\0",
        };
        let (address, head) = (0x40_0000u64, 64 + 56);
        let size = head + code.len() as u64;
        let mut elf = magic_of(arch).to_vec();
        elf.extend(1u32.to_le_bytes());
        elf.extend([address + head, 64, 0].map(u64::to_le_bytes).concat());
        elf.extend([0u8; 4]);
        elf.extend([64u16, 56, 1, 0, 0, 0].map(u16::to_le_bytes).concat());
        // One segment, to be read and run.
        elf.extend([1u32, 5].map(u32::to_le_bytes).concat());
        let segment = [0, address, address, size, size, 0x1000];
        elf.extend(segment.map(u64::to_le_bytes).concat());
        elf.extend(code);
        let path = dir.join(arch.as_str());
        std::fs::write(&path, elf).unwrap();
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&path, executable).unwrap();
        path
    }

    /// Since Linux 6.7 by a registration of the name space.
    #[test]
    fn a_name_space_registers_and_the_host_keeps_its_list() {
        let dir = tempfile::tempdir().unwrap();
        let listed = || {
            let entries = std::fs::read_dir(REGISTERED).into_iter().flatten();
            let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name()).collect();
            names.sort();
            names
        };
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        let release = tools::Version::parse(&release).unwrap();
        let before = listed();
        for arch in Arch::ALL.iter().filter(|arch| arch.is_foreign()) {
            let way = find(*arch).unwrap();
            let own = matches!(way, Execution::Registering(_));
            assert_eq!(own, release >= tools::Version(6, 7), "{way:?}");
            let script = r#""$0"; echo "$? $QEMU_CPU $(id -u)""#;
            let shell = way.as_guest_root(*arch, "sh").args(["-c", script]);
            let said = shell.arg(ends_with_42(*arch, dir.path())).text().unwrap();
            assert_eq!(said, format!("42 {} 0", arch.qemu_user_cpu));
            let list = way.as_guest_root(*arch, "ls").arg(REGISTERED);
            let inside = list.text().unwrap();
            let only = [arch.qemu_user, "register", "status"].join("\n");
            assert_eq!(inside == only, own, "{inside}");
        }
        assert_eq!(before, listed());
    }

    /// As in a container whose root is another id of its host: by two writes the kernel takes no such map.
    #[test]
    #[ignore = "root: src/host/foreign.rs"]
    fn root_below_a_map_of_two_lines_gets_the_same_one() {
        const BELOW: &str = r#"
two() { printf '0 0 1\n1 100000 65536\n' | dd bs=64k iflag=fullblock status=none; }
exec 3> >(read -r _; two >/proc/$$/uid_map; two >/proc/$$/gid_map)
exec unshare --user -- bash -c 'echo made >&3
exec 3>&-
until read -r _ </proc/self/gid_map; do :; done
exec "$@"' "$0" "$@""#;
        let shell = ["sh", "-c", "id -u; cat /proc/self/uid_map"];
        let below = Program::new("bash").args(["-c", BELOW, "test", "bash", "-c"]);
        let said = below.args([AS_ROOT, "test", r#"exec "$@""#]).args(shell);
        let said = said.timeout(PROBE_LIMIT).text().unwrap();
        let words: Vec<_> = said.split_whitespace().collect();
        assert_eq!(words, ["0", "0", "0", "1", "1", "1", "65536"]);
    }
}
