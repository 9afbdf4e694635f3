//! Disks without a guest: layers of qcow2 over ext4, and what is said of their files.

use std::path::PathBuf;

use super::*;
use crate::host::exec::Program;
use crate::ui::Ui;
mod large;

const SECOND: i64 = 1_000_000_000;

/// A tree with a package of dpkg's, on an ext4 in a partition.
struct Toy {
    dir: tempfile::TempDir,
}

impl Toy {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let toy = Toy { dir };
        let tree = toy.path("tree");
        for (path, content) in [
            ("etc/os-release", "ID=debian\n"),
            ("etc/fstab", "LABEL=root / ext4 defaults 0 1\n"),
            ("etc/hostname", "toy\n"),
            ("etc/tool.conf", "a = 1\n"),
            ("etc/chmod", "x\n"),
            ("usr/bin/tool", "#!/bin/sh\n"),
            ("usr/bin/vi.real", "vi\n"),
            ("usr/lib/python3/tool.py", "pass\n"),
            ("usr/share/doc/tool/copyright", "free\n"),
            ("var/cache/apt/pkgcache.bin", "cache\n"),
            ("var/lib/dpkg/info/tool.list", LIST),
            ("var/lib/dpkg/info/tool.postinst", "#!/bin/sh\n"),
            ("var/lib/dpkg/status", STATUS),
            (
                "var/lib/dpkg/diversions",
                "/usr/bin/vi\n/usr/bin/vi.real\nother\n",
            ),
        ] {
            let path = tree.join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        std::os::unix::fs::symlink("usr/bin", tree.join("bin")).unwrap();
        std::fs::hard_link(tree.join("etc/hostname"), tree.join("etc/name")).unwrap();
        let raw = toy.path("base.raw");
        std::fs::File::create(&raw)
            .unwrap()
            .set_len(24 << 20)
            .unwrap();
        let table = "label: gpt\nstart=2048, size=40960\n";
        toy.run(Program::new("sfdisk").arg("-q").arg(&raw).input(table));
        let make = ["-q", "-F", "-t", "ext4", "-b", "1024", "-L", "root"];
        let make = Program::new("mke2fs")
            .args(make)
            .args(["-E", "offset=1048576"]);
        toy.run(make.arg("-d").arg(&tree).arg(&raw).arg("20480"));
        toy.image(&["convert", "-O", "qcow2", "base.raw", "1.qcow2"]);
        toy
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn run(&self, program: Program) {
        program.dir(self.dir.path()).run().unwrap();
    }

    fn image(&self, words: &[&str]) {
        self.run(Program::new("qemu-img").args(words));
    }

    /// The overlay `number` of the layer below, after these lines of debugfs.
    fn layer(&self, number: usize, lines: &[String]) {
        for line in lines {
            let debugfs = Program::new("debugfs").args(["-w", "-R", line]);
            self.run(debugfs.arg("base.raw?offset=1048576"));
        }
        let (below, disk) = (format!("{}.qcow2", number - 1), format!("{number}.qcow2"));
        let words = [
            "convert", "-O", "qcow2", "-B", &below, "-F", "qcow2", "base.raw", &disk,
        ];
        self.image(&words);
    }

    fn index(&self, disk: &str, stage: &str, below: Option<Index>) -> Index {
        let layer = Layer {
            stage: stage.into(),
            image: "toy".into(),
            place: Some(format!("recipes/toy.yaml:{}", stage.len())),
            commit: Some("c0ffee".into()),
            ..Layer::default()
        };
        let ui = Ui::silent().stage("toy", stage);
        let (dir, disk) = (self.dir.path(), self.path(disk));
        let index = index_layer(dir, &disk, layer, below, &[], &ui).unwrap();
        // What is written is what is read.
        index.write(dir).unwrap();
        assert_eq!(Index::read(dir).unwrap().unwrap(), index);
        index
    }
}

const LIST: &str = "/.\n/etc\n/etc/tool.conf\n/bin\n/bin/tool\n/usr\n/usr/bin\n/usr/bin/vi\n\
                    /usr/lib/python3/tool.py\n/usr/share/doc/tool\n/usr/share/doc/tool/copyright\n";

const STATUS: &str = "Package: tool\nStatus: install ok installed\nArchitecture: all\n\
                      Version: 1:2.0-1\nConffiles:\n /etc/tool.conf 0123456789abcdef\n";

/// Writes content into a file of the toy at a time, as a kernel that changes it then.
fn write(toy: &Toy, path: &str, content: &str, at: i64) -> Vec<String> {
    let name = toy.path(&format!("content-{}", path.replace('/', "-")));
    std::fs::write(&name, content).unwrap();
    let mut lines = vec![
        format!("rm {path}"),
        format!("write {} {path}", name.display()),
    ];
    lines.extend(changed(path, at));
    lines
}

fn changed(path: &str, at: i64) -> Vec<String> {
    let seconds = at / SECOND;
    let times = ["ctime", "mtime", "crtime"];
    let times = times.map(|time| format!("set_inode_field {path} {time} @{seconds}"));
    times.to_vec()
}

#[test]
fn twenty_paths_have_the_cause_that_a_person_would_name() {
    let toy = Toy::new();
    let first = toy.index("1.qcow2", "install", None);
    let step = |number: u32, began: i64| Step {
        number,
        title: format!("run {number}"),
        place: Some(format!("recipes/toy.yaml:2{number}")),
        began: began * SECOND,
        ended: (began + 9) * SECOND,
    };
    note_steps(
        toy.dir.path(),
        vec![step(1, 1_700_000_100), step(2, 1_700_000_200)],
    )
    .unwrap();
    let lines = [
        write(&toy, "/etc/tool.conf", "a = 2\n", 1_700_000_105 * SECOND),
        write(&toy, "/etc/new", "n\n", 1_700_000_205 * SECOND),
        write(&toy, "/etc/boot", "b\n", 1_700_000_050 * SECOND),
        write(&toy, "/etc/late", "l\n", 1_700_000_300 * SECOND),
        vec!["set_inode_field /etc/chmod mode 0100600".to_owned()],
        changed("/etc/chmod", 1_700_000_203 * SECOND),
        vec![
            "symlink /usr/bin/editor /etc/alternatives/editor".to_owned(),
            "mkdir /etc/alternatives".to_owned(),
            "symlink /etc/alternatives/editor /bin/tool".to_owned(),
            "mkdir /usr/lib/python3/__pycache__".to_owned(),
        ],
        write(
            &toy,
            "/usr/lib/python3/__pycache__/tool.cpython-311.pyc",
            "code\n",
            1_700_000_108 * SECOND,
        ),
    ];
    toy.layer(2, &lines.concat());
    let second = toy.index("2.qcow2", "configure", Some(first));
    note_steps(toy.dir.path(), vec![]).unwrap();
    let lines = ["rm /var/cache/apt/pkgcache.bin".to_owned()];
    let lines = [
        write(&toy, "/etc/hostname", "", 1_700_001_000 * SECOND),
        lines.to_vec(),
    ];
    toy.layer(3, &lines.concat());
    let third = toy.index("3.qcow2", "seal", Some(second));
    assert_eq!(third.unread, Vec::<String>::new());
    let said = |path: &str| match third.answer(path) {
        None => third
            .removed(path)
            .map_or("unknown".into(), |told| format!("removed, {}", told.stage)),
        Some(answer) => {
            let mut line = told_line(&answer.changed);
            if answer.dressed != answer.changed {
                line += &format!("; dressed by {}", told_line(&answer.dressed));
            }
            if let Some(owner) = &answer.package {
                line += &format!(
                    "; {} {} {:?}",
                    owner.package.name, owner.package.version, owner.how
                );
            }
            line
        }
    };
    let paths = [
        "/",
        "/bin",
        "/bin/tool",
        "/etc",
        "/etc/boot",
        "/etc/chmod",
        "/etc/hostname",
        "/etc/late",
        "/etc/name",
        "/etc/new",
        "/etc/none",
        "/etc/tool.conf",
        "/etc/alternatives/editor",
        "/usr/bin/editor",
        "/usr/bin/tool",
        "/usr/bin/vi.real",
        "/usr/lib/python3/__pycache__/tool.cpython-311.pyc",
        "/usr/lib/python3/tool.py",
        "/usr/share/doc/tool",
        "/var/cache/apt/pkgcache.bin",
        "/var/lib/dpkg/info/tool.postinst",
        "/var/lib/dpkg/status",
    ];
    let all: Vec<String> = paths
        .iter()
        .map(|path| format!("{path}: {}", said(path)))
        .collect();
    insta::assert_snapshot!(all.join("\n"), @r"
    /: install, recipes/toy.yaml:7
    /bin: install, recipes/toy.yaml:7; tool 1:2.0-1 Listed
    /bin/tool: install, recipes/toy.yaml:7; tool 1:2.0-1 Listed
    /etc: install, recipes/toy.yaml:7; tool 1:2.0-1 Listed
    /etc/boot: configure, before the first step (the guest's boot)
    /etc/chmod: install, recipes/toy.yaml:7; dressed by configure, step 2 (run 2), recipes/toy.yaml:22
    /etc/hostname: seal, recipes/toy.yaml:4; dressed by install, recipes/toy.yaml:7
    /etc/late: configure, after the last step (clean-up and shutdown)
    /etc/name: install, recipes/toy.yaml:7
    /etc/new: configure, step 2 (run 2), recipes/toy.yaml:22
    /etc/none: unknown
    /etc/tool.conf: configure, step 1 (run 1), recipes/toy.yaml:21; dressed by install, recipes/toy.yaml:7; tool 1:2.0-1 Conffile
    /etc/alternatives/editor: configure, after the last step (clean-up and shutdown); tool 1:2.0-1 Alternative
    /usr/bin/editor: configure, after the last step (clean-up and shutdown); tool 1:2.0-1 Alternative
    /usr/bin/tool: install, recipes/toy.yaml:7; tool 1:2.0-1 Listed
    /usr/bin/vi.real: install, recipes/toy.yaml:7; tool 1:2.0-1 Diverted
    /usr/lib/python3/__pycache__/tool.cpython-311.pyc: configure, step 1 (run 1), recipes/toy.yaml:21; tool 1:2.0-1 Compiled
    /usr/lib/python3/tool.py: install, recipes/toy.yaml:7; tool 1:2.0-1 Listed
    /usr/share/doc/tool: install, recipes/toy.yaml:7; tool 1:2.0-1 Listed
    /var/cache/apt/pkgcache.bin: removed, seal
    /var/lib/dpkg/info/tool.postinst: install, recipes/toy.yaml:7; tool 1:2.0-1 Record
    /var/lib/dpkg/status: install, recipes/toy.yaml:7
    ");
    // Bytes on the disk count once, whatever a file's names.
    let both = ["/etc/chmod", "/etc/hostname"].map(|path| third.find(path).unwrap().stored);
    assert_eq!(both, [1024, 0]);
    assert_eq!(third.answer("/etc/chmod").unwrap().mode, "0600");
}

fn told_line(told: &Told) -> String {
    let mut line = told.stage.clone();
    for more in told.step.iter().chain(&told.place) {
        line += &format!(", {more}");
    }
    line
}

#[test]
fn an_index_is_the_same_twice_and_unchanged_content_is_not_read_again() {
    let toy = Toy::new();
    let first = toy.index("1.qcow2", "install", None);
    let again = toy.index("1.qcow2", "install", None);
    assert_eq!(first.to_bytes().unwrap(), again.to_bytes().unwrap());
    // Nobody's digest: it is taken over as the file has not changed since.
    let mut known = first.clone();
    let at = known
        .files
        .iter()
        .position(|file| file.path == "/etc/fstab")
        .unwrap();
    known.files[at].content = "taken over".into();
    toy.layer(
        2,
        &write(&toy, "/etc/hostname", "x\n", 1_700_000_000 * SECOND),
    );
    let second = toy.index("2.qcow2", "configure", Some(known));
    assert_eq!(second.find("/etc/fstab").unwrap().content, "taken over");
    let digest = blake3::hash(b"x\n").to_hex();
    assert_eq!(second.find("/etc/hostname").unwrap().content, digest[..32]);
}

#[test]
fn a_broken_index_is_told_and_never_believed() {
    let shown = |bytes: &[u8]| Index::from_bytes(bytes, "x").unwrap_err().render();
    let good = Index {
        layers: vec![Layer::default()],
        files: vec![File::default()],
        ..Index::default()
    };
    let bytes = good.to_bytes().unwrap();
    assert!(shown(&bytes[..bytes.len() / 2]).contains("x is no index of files"));
    assert!(shown(b"no zstd").contains("x is no index of files"));
    let refused = |text: &str| shown(&zstd::encode_all(text.as_bytes(), 1).unwrap());
    let head = |version: u32, layers: &str| {
        format!(
            "{{\"format\":\"imgforge-files\",\"version\":{version},\"layers\":[{layers}],\
             \"packages\":[],\"unread\":[],\"files\":1,\"removed\":0}}\n"
        )
    };
    assert!(refused(&head(9, "")).contains("version 9"));
    assert!(refused(&head(1, "")).contains("ends early"));
    let long = format!("[\"{}\",0]\n", "/x".repeat(40 << 10));
    assert!(refused(&(head(1, "") + &long)).contains("a line of it is too long"));
    let row = "[\"/\",0,0,0,0,0,0,\"\",[0,null],[0,null],[0,null],null]\n";
    assert!(refused(&(head(1, "") + row)).contains("a layer or package that it does not have"));
    // A few kilobytes that would be megabytes, and gigabytes as well.
    let one = r#"{"key":"","image":"","stage":""}"#;
    let many = head(1, one).replace("\"files\":1", "\"files\":90000") + &row.repeat(90_000);
    assert!(refused(&many).contains("ends early"));
}

#[test]
fn who_wrote_and_who_dressed_are_two_and_what_moved_has_no_time() {
    let toy = Toy::new();
    let mut first = toy.index("1.qcow2", "install", None);
    // All of it was there before the steps.
    for file in &mut first.files {
        let long_ago = Since {
            layer: 0,
            at: Some(1_699_999_950 * SECOND),
        };
        (file.born, file.changed, file.dressed) = (long_ago, long_ago, long_ago);
    }
    let second = |number: i64| 1_700_000_000 + 100 * number;
    let step = |number: u32| Step {
        number,
        title: format!("run {number}"),
        began: second(number.into()) * SECOND,
        ended: (second(number.into()) + 99) * SECOND,
        ..Step::default()
    };
    note_steps(toy.dir.path(), (1..=3).map(step).collect()).unwrap();
    let set = |path: &str, time: &str, number: i64| {
        let at = second(number) + 5;
        format!("set_inode_field {path} {time} @{at}")
    };
    let mut lines = write(&toy, "/etc/tool.conf", "a = 2\n", second(1) * SECOND);
    lines.extend(write(&toy, "/etc/copy", "n\n", second(3) * SECOND));
    lines.extend([
        // Written by the first step, and its mode is the second's.
        set("/etc/tool.conf", "ctime", 2),
        // Copied by the third with the time of what the first wrote.
        set("/etc/copy", "mtime", 1),
        set("/etc/copy", "ctime", 3),
        // Its directory has another name.
        "mkdir /moved".to_owned(),
        "ln /usr/share/doc/tool/copyright /moved/copyright".to_owned(),
        "unlink /usr/share/doc/tool/copyright".to_owned(),
        // Got another name by the second.
        "ln /usr/bin/tool /usr/bin/other".to_owned(),
        "unlink /usr/bin/tool".to_owned(),
        set("/usr/bin/other", "crtime", -1),
        set("/usr/bin/other", "mtime", -1),
        set("/usr/bin/other", "ctime", 2),
    ]);
    toy.layer(2, &lines);
    let mut second = toy.index("2.qcow2", "configure", Some(first));
    for file in &mut second.files {
        file.claim = None;
    }
    let told = |path: &str| {
        let file = second.find(path).unwrap();
        let all = [file.born, file.changed, file.dressed];
        all.map(|since| {
            second
                .cause(since)
                .step()
                .unwrap_or_else(|| "install".into())
        })
    };
    let step = |number: u32| format!("step {number} (run {number})");
    assert_eq!(
        told("/etc/tool.conf"),
        ["install".into(), step(1), "install".into()]
    );
    assert_eq!(told("/etc/copy"), [step(3), step(3), step(3)]);
    assert_eq!(told("/moved/copyright"), ["an unknown step"; 3]);
    assert_eq!(told("/usr/bin/other"), [step(2), step(2), step(2)]);
}

mod foreign;
