//! Packages that rpmbuild makes, and what rpm says of their files.

use std::path::PathBuf;

use super::super::MOST;
use super::*;
use crate::host::exec::Program;

const SPEC: &str = r"Name: tool
Epoch: 2
Version: 1.0~rc1
Release: 3
Summary: a tool
License: MIT
%description
%package -n base
Summary: what both have
BuildArch: noarch
%description -n base
%install
mkdir -p %{buildroot}/usr/bin %{buildroot}/etc %{buildroot}/usr/share/big %{buildroot}/var/log %{buildroot}/usr/lib/tool
echo tool > %{buildroot}/usr/bin/tool
echo conf > %{buildroot}/etc/tool.conf
for i in $(seq 600); do echo $i > %{buildroot}/usr/share/big/file-number-$i; done
touch %{buildroot}/var/log/tool.log
%files
/usr/bin/tool
%config(noreplace) /etc/tool.conf
%ghost /var/log/tool.log
%dir /usr/lib/tool
%files -n base
%dir /usr/lib/tool
/usr/share/big
";

/// A directory with rpm's database of two packages.
struct Host {
    dir: tempfile::TempDir,
}

impl Host {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let host = Host { dir };
        std::fs::write(host.path("tool.spec"), SPEC).unwrap();
        let top = format!("_topdir {}", host.path("top").display());
        let none = format!("_dbpath {}", host.path("none").display());
        let build = Program::new("rpmbuild").args(["-bb", "--quiet", "--define", &top]);
        let build = build.args(["--define", &none, "--define", "debug_package %{nil}"]);
        let build = build.args(["--target", "x86_64"]);
        build.arg(host.path("tool.spec")).run().unwrap();
        let install = host.rpm(&["-i", "--justdb", "--nodeps", "--noscripts", "--ignorearch"]);
        let rpms = [
            "x86_64/tool-1.0~rc1-3.x86_64",
            "noarch/base-1.0~rc1-3.noarch",
        ];
        let rpms = rpms.map(|rpm| host.path(&format!("top/RPMS/{rpm}.rpm")));
        install.args(&rpms).run().unwrap();
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn rpm(&self, words: &[&str]) -> Program {
        let program = Program::new("rpm").arg("--dbpath").arg(self.path("db"));
        program.args(words)
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path("db").join(name)).unwrap()
    }

    /// What rpm itself says: `PATH NAME VERSION ARCH`, a line each.
    fn said(&self, more: &[&str]) -> Vec<String> {
        let format = "[%{FILENAMES} %{=NAME} %{=EPOCH}:%{=VERSION}-%{=RELEASE} %{=ARCH}\n]";
        let said = self.rpm(&["-qa", "--qf", format]).args(more).text();
        let mut lines: Vec<String> = said.unwrap().lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }
}

fn learned(databases: &[(&str, Vec<u8>)]) -> (Vec<String>, Known) {
    let databases = databases.iter().cloned();
    let databases = databases.map(|(path, bytes)| (path.to_owned(), bytes));
    let databases: BTreeMap<String, Vec<u8>> = databases.collect();
    assert!(databases.keys().all(|path| is_database(path)));
    let mut known = Known::default();
    learn(&databases, &mut known);
    let lines = known.lists.iter().map(|(path, package)| {
        let Package {
            name,
            version,
            arch,
            ..
        } = &known.packages[*package];
        format!("{path} {name} {version} {arch}")
    });
    let mut lines: Vec<String> = lines.collect();
    lines.sort();
    (lines, known)
}

const SQLITE: &str = "/usr/lib/sysimage/rpm/rpmdb.sqlite";

#[test]
fn rpm_lists_the_same_files_in_sqlite() {
    let host = Host::new();
    let said = host.said(&[]);
    assert_eq!(said.len(), 606, "{said:?}");
    let (lines, known) = learned(&[(SQLITE, host.read("rpmdb.sqlite"))]);
    assert_eq!(lines, said);
    assert_eq!(known.unread, [""; 0]);
    assert_eq!(known.conffiles, ["/etc/tool.conf".to_owned()].into());
    let mut packages = known.packages;
    packages.sort();
    let told = packages
        .iter()
        .map(|one| format!("{} {}", one.name, one.source));
    assert_eq!(told.collect::<Vec<_>>(), ["base tool", "tool "]);
    assert_eq!(packages[1].version, "2:1.0~rc1-3");
}

#[test]
fn what_only_the_log_of_sqlite_has_counts() {
    let host = Host::new();
    // It ends without closing, as a guest that is switched off.
    let script = "import os, sqlite3, sys\n\
                  base = sqlite3.connect(sys.argv[1])\n\
                  base.execute('pragma journal_mode=wal')\n\
                  base.execute('pragma wal_autocheckpoint=0')\n\
                  base.execute('delete from Packages where length(blob) > 10000')\n\
                  base.commit()\n\
                  os._exit(0)\n";
    let python = Program::new("python3").args(["-c", script]);
    python.arg(host.path("db/rpmdb.sqlite")).run().unwrap();
    let (file, log) = (host.read("rpmdb.sqlite"), host.read("rpmdb.sqlite-wal"));
    let (before, _) = learned(&[(SQLITE, file.clone())]);
    assert_eq!(before.len(), 606);
    let log_path = format!("{SQLITE}-wal");
    let (after, known) = learned(&[(SQLITE, file.clone()), (&log_path, log.clone())]);
    assert_eq!((after.len(), known.packages.len()), (4, 1), "{after:?}");
    // What was not committed is not there.
    let half = log[..log.len() - 1].to_vec();
    let (half, _) = learned(&[(SQLITE, file), (&log_path, half)]);
    assert_eq!(half, before);
}

#[test]
fn rpm_lists_the_same_files_in_berkeley_db() {
    let host = Host::new();
    let headers = sqlite::headers(&host.read("rpmdb.sqlite"), &[]).unwrap();
    let mut text =
        "VERSION=3\nformat=bytevalue\ntype=hash\ndb_pagesize=4096\nHEADER=END\n".to_owned();
    let rows = [(0u32, 3u32.to_le_bytes().to_vec())].into_iter();
    for (number, value) in rows.chain((1..).zip(headers)) {
        text += &format!(
            " {}\n {}\n",
            hex::encode(number.to_le_bytes()),
            hex::encode(value)
        );
    }
    text += "DATA=END\n";
    std::fs::remove_dir_all(host.path("db")).unwrap();
    std::fs::create_dir(host.path("db")).unwrap();
    let load = Program::new("db_load").arg(host.path("db/Packages"));
    load.input(text).run().unwrap();
    let (lines, known) = learned(&[("/var/lib/rpm/Packages", host.read("Packages"))]);
    assert_eq!(known.unread, [""; 0]);
    // rpm reads what was made here.
    assert_eq!(lines, host.said(&["--define", "_db_backend bdb_ro"]));
    assert_eq!(lines.len(), 606);
}

/// As rpm's own database has them; Debian's rpm has no such.
fn ndb(headers: &[Vec<u8>]) -> Vec<u8> {
    let mut file = vec![0; 4096];
    file[..4].copy_from_slice(b"RpmP");
    file[12..16].copy_from_slice(&1u32.to_le_bytes());
    for (number, header) in (1u32..).zip(headers) {
        let at = file.len();
        let slot = 16 * (number as usize + 3);
        let fields = [number, (at / 16) as u32, (header.len() / 16) as u32 + 2];
        file[slot..slot + 4].copy_from_slice(b"Slot");
        for (field, value) in fields.into_iter().enumerate() {
            let at = slot + 4 + 4 * field;
            file[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        file.extend_from_slice(b"BlbS");
        for value in [number, 1, header.len() as u32] {
            file.extend_from_slice(&value.to_le_bytes());
        }
        file.extend_from_slice(header);
        file.resize(file.len().next_multiple_of(16) + 16, 0);
    }
    file
}

#[test]
fn rpms_own_database_has_the_same_files() {
    let host = Host::new();
    let headers = sqlite::headers(&host.read("rpmdb.sqlite"), &[]).unwrap();
    let path = "/usr/lib/sysimage/rpm/Packages.db";
    let (lines, known) = learned(&[(path, ndb(&headers))]);
    assert_eq!(known.unread, [""; 0]);
    assert_eq!(lines, host.said(&[]));
}

#[test]
fn a_broken_database_is_told() {
    let host = Host::new();
    let file = host.read("rpmdb.sqlite");
    let headers = sqlite::headers(&file, &[]).unwrap();
    let (lines, known) = learned(&[(SQLITE, file[..file.len() / 2].to_vec())]);
    assert!(lines.is_empty());
    assert_eq!(
        known.unread,
        [format!(
            "{SQLITE}: it is no database of RPM's that is read here"
        )]
    );
    let other = "/var/lib/rpm/Packages.db";
    let cut = headers[1][..100].to_vec();
    let (lines, known) = learned(&[(other, ndb(&[headers[0].clone(), cut]))]);
    assert!(!lines.is_empty());
    assert_eq!(
        known.unread,
        [format!("{other}: 1 of its packages cannot be read")]
    );
    // An empty one is where rpm looked.
    let (_, known) = learned(&[(SQLITE, vec![])]);
    assert_eq!(known.unread, [""; 0]);
    assert!(!is_database("/var/lib/rpm/Name") && !is_database("/srv/rpmdb.sqlite"));
}

#[test]
fn a_directory_that_counts_for_each_of_its_files_takes_no_memory() {
    let tags = [
        (NAME, b"x\0".to_vec(), 1u32),
        (VERSION, b"1\0".to_vec(), 1),
        (DIRECTORIES, [vec![b'/'; 100_000], vec![0]].concat(), 1),
        (NAMES, b"a\0".repeat(1000), 1000),
        (DIRECTORY, vec![0; 4000], 1000),
    ];
    let (mut entries, mut data) = (vec![], vec![]);
    for (tag, value, count) in &tags {
        for number in [*tag, 0, data.len() as u32, *count] {
            entries.extend(number.to_be_bytes());
        }
        data.extend(value);
    }
    let counts = [tags.len() as u32, data.len() as u32].map(u32::to_be_bytes);
    let header = [counts.concat(), entries, data].concat();
    let mut known = Known {
        taken: MOST - (1 << 20),
        ..Known::default()
    };
    assert_eq!(add(&header, &mut known), Some(()));
    assert!(known.is_full());
    assert_eq!(known.lists.len(), 10);
}
