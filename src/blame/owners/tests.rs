use super::*;

fn file(path: &str) -> File {
    File {
        path: path.into(),
        mode: 0o100_644,
        ..File::default()
    }
}

fn link(path: &str, to: &str) -> File {
    File {
        mode: 0o120_777,
        content: to.into(),
        ..file(path)
    }
}

fn dir(path: &str) -> File {
    File {
        mode: 0o040_755,
        ..file(path)
    }
}

fn claimed(mut files: Vec<File>, databases: &[(&str, &str)]) -> Vec<String> {
    files.sort_by(|a, b| a.path.cmp(&b.path));
    let mut index = Index {
        files,
        ..Index::default()
    };
    let databases = databases
        .iter()
        .map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec()));
    claim(&mut index, &databases.collect());
    let told = index.files.iter().map(|file| match index.package(file) {
        Some((package, how)) => {
            format!("{} {}={} {how:?}", file.path, package.name, package.version)
        }
        None => format!("{} -", file.path),
    });
    told.collect()
}

const STATUS: &str = "\
Package: dash
Status: install ok installed
Architecture: amd64
Version: 0.5-1

Package: coreutils
Status: install ok installed
Architecture: amd64
Version: 9.1-1
Conffiles:
 /etc/core.conf 0123456789abcdef0123456789abcdef
 /etc/old.conf 0123456789abcdef0123456789abcdef obsolete

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1

Package: libc6
Status: install ok installed
Architecture: i386
Version: 2.36
Source: glibc (2.36-1)
";

#[test]
fn what_dpkg_has_is_where_links_and_diversions_put_it() {
    let files = vec![
        link("/bin", "usr/bin"),
        dir("/usr"),
        dir("/usr/bin"),
        file("/usr/bin/ls"),
        file("/usr/bin/sh.distrib"),
        file("/usr/bin/sh"),
        link("/usr/bin/editor", "/etc/alternatives/editor"),
        link("/etc/alternatives/editor", "/bin/ls"),
        file("/etc/core.conf"),
        file("/etc/hostname"),
        dir("/usr/share/doc/dash"),
        file("/usr/lib/x/m.py"),
        file("/usr/lib/x/__pycache__/m.cpython-311.pyc"),
        file("/var/lib/dpkg/info/dash.postinst"),
        file("/var/lib/dpkg/info/libc6:i386.symbols"),
        file("/lib/ld.so"),
    ];
    let told = claimed(
        files,
        &[
            ("/var/lib/dpkg/status", STATUS),
            (
                "/var/lib/dpkg/info/dash.list",
                "/.\n/usr\n/bin\n/bin/sh\n/usr/share/doc/dash\n",
            ),
            (
                "/var/lib/dpkg/info/coreutils.list",
                "/.\n/usr\n/bin/ls\n/bin/sh\n/etc/core.conf\n/usr/lib/x/m.py\n",
            ),
            ("/var/lib/dpkg/info/libc6:i386.list", "/.\n/lib/ld.so\n"),
            ("/var/lib/dpkg/info/gone.list", "/etc/hostname\n"),
            (
                "/var/lib/dpkg/diversions",
                "/bin/sh\n/bin/sh.distrib\ncoreutils\n",
            ),
        ],
    );
    insta::assert_snapshot!(told.join("\n"), @r"
    /bin dash=0.5-1 Listed
    /etc/alternatives/editor coreutils=9.1-1 Alternative
    /etc/core.conf coreutils=9.1-1 Conffile
    /etc/hostname -
    /lib/ld.so libc6=2.36 Listed
    /usr -
    /usr/bin -
    /usr/bin/editor coreutils=9.1-1 Alternative
    /usr/bin/ls coreutils=9.1-1 Listed
    /usr/bin/sh coreutils=9.1-1 Listed
    /usr/bin/sh.distrib dash=0.5-1 Diverted
    /usr/lib/x/__pycache__/m.cpython-311.pyc coreutils=9.1-1 Compiled
    /usr/lib/x/m.py coreutils=9.1-1 Listed
    /usr/share/doc/dash dash=0.5-1 Listed
    /var/lib/dpkg/info/dash.postinst dash=0.5-1 Record
    /var/lib/dpkg/info/libc6:i386.symbols libc6=2.36 Record
    ");
}

#[test]
fn what_apk_has_is_listed_by_directories() {
    let told = claimed(
        vec![
            dir("/etc"),
            file("/etc/issue"),
            file("/bin/busybox"),
            file("/x"),
        ],
        &[(
            "/lib/apk/db/installed",
            "C:Q1\nP:base\nV:3.4-r0\nA:x86_64\no:base-src\nF:etc\nR:issue\na:0:0:755\n\nP:busybox\nV:1.36\nF:bin\nR:busybox\nF:etc\n\n",
        )],
    );
    assert_eq!(
        told,
        [
            "/bin/busybox busybox=1.36 Listed",
            "/etc -",
            "/etc/issue base=3.4-r0 Listed",
            "/x -"
        ]
    );
}

#[test]
fn links_in_circles_have_an_end() {
    let files = [link("/a", "/b"), link("/b", "a")];
    let places = Places::new(&files);
    assert!(places.target(&files[0]).starts_with('/'));
    assert_eq!(places.real("/a"), "/a");
    assert_eq!(python_source("/x/__pycache__/m.pyc"), None);
}

/// This host's packages, as dpkg itself lists their files.
#[test]
fn dpkg_has_the_same_files() {
    use std::os::unix::fs::MetadataExt as _;

    use crate::host::exec::Program;

    let names = Program::new("dpkg-query").args(["-W", "-f", "${binary:Package}\n"]);
    let names = names.text().unwrap();
    // Enough, and those of which much is diverted, linked or shared.
    let wanted = |name: &&str| {
        let name = name.split(':').next().unwrap_or(name);
        name.len().is_multiple_of(4)
            || matches!(name, "dash" | "coreutils" | "libc6" | "base-files")
    };
    let names: Vec<&str> = names.lines().filter(wanted).take(120).collect();
    assert!(names.len() > 20, "{names:?}");
    let mut files: BTreeMap<String, File> = BTreeMap::new();
    let mut expected = vec![];
    for name in &names {
        let listed = Program::new("dpkg-query")
            .args(["-L", name])
            .text()
            .unwrap();
        let mut at = None;
        for line in listed.lines() {
            // dpkg tells under a path where it is diverted to.
            let divert = ["diverted by", "locally diverted"];
            let diverted = line.split_once(" to: ");
            let diverted = diverted.filter(|(by, _)| divert.iter().any(|how| by.starts_with(how)));
            if let Some((_, to)) = diverted {
                expected.pop();
                at = Some(to.to_owned());
            }
            let path = at.take().unwrap_or_else(|| line.to_owned());
            let ends = path
                .match_indices('/')
                .map(|(end, _)| end)
                .chain([path.len()]);
            for end in ends.filter(|end| *end > 0) {
                let part = &path[..end];
                let Ok(meta) = std::fs::symlink_metadata(part) else {
                    continue;
                };
                let to = std::fs::read_link(part).unwrap_or_default();
                let file = File {
                    path: part.into(),
                    mode: meta.mode(),
                    content: to.to_string_lossy().into_owned(),
                    ..File::default()
                };
                if end == path.len() && !meta.is_dir() {
                    expected.push((path.clone(), name.split(':').next().unwrap_or(name)));
                }
                files.insert(part.into(), file);
            }
        }
    }
    let mut databases = BTreeMap::new();
    for entry in std::fs::read_dir("/var/lib/dpkg/info").unwrap() {
        let path = entry.unwrap().path();
        let name = path.to_string_lossy().into_owned();
        if is_database(&name) {
            databases.insert(name, std::fs::read(path).unwrap());
        }
    }
    for path in ["/var/lib/dpkg/status", "/var/lib/dpkg/diversions"] {
        databases.insert(path.into(), std::fs::read(path).unwrap_or_default());
    }
    // Links in the middle of a path have to be there, too.
    let mut links = vec![];
    for dir in ["/bin", "/sbin", "/lib", "/lib64", "/var/run", "/var/lock"] {
        if let Ok(to) = std::fs::read_link(dir) {
            links.push(link(dir, &to.to_string_lossy()));
        }
    }
    files.extend(links.into_iter().map(|link| (link.path.clone(), link)));
    let real: Vec<String> = expected
        .iter()
        .filter_map(|(path, _)| {
            let (dir, name) = path.rsplit_once('/')?;
            let dir = std::fs::canonicalize(format!("{dir}/")).ok()?;
            Some(format!("{}/{name}", dir.display()).replace("//", "/"))
        })
        .collect();
    for path in &real {
        let meta = std::fs::symlink_metadata(path).unwrap();
        let to = std::fs::read_link(path).unwrap_or_default();
        files.insert(
            path.clone(),
            File {
                path: path.clone(),
                mode: meta.mode(),
                content: to.to_string_lossy().into_owned(),
                ..File::default()
            },
        );
    }
    let mut index = Index {
        files: files.into_values().collect(),
        ..Index::default()
    };
    claim(&mut index, &databases);
    // The name of a directory, or of a link to one, is that of many.
    let wrong = expected.iter().zip(&real).filter(|((_, package), real)| {
        if std::fs::metadata(real.as_str()).is_ok_and(|meta| meta.is_dir()) {
            return false;
        }
        let file = index.find(real).unwrap();
        index
            .package(file)
            .is_none_or(|(found, _)| found.name != *package)
    });
    let wrong: Vec<_> = wrong.collect();
    assert!(expected.len() > 500, "{}", expected.len());
    assert!(wrong.is_empty(), "{wrong:?}");
}
