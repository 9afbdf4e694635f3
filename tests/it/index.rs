//! Every file of `tests/fixtures/index`, read by the installed virt-builder and by imgforge.

use std::path::{Path, PathBuf};

use imgforge::host::exec::Program;
use imgforge::index::{check, clients, parse};
use serde_json::Value;

/// What a kind of reader makes of a file: whether its grammar takes it, and how many images it
/// lists, if it does not refuse it.
type Verdict = (bool, Option<usize>);

struct Row {
    file: PathBuf,
    name: String,
    old: Verdict,
    current: Verdict,
    ours: Option<usize>,
}

fn rows() -> Vec<Row> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/index");
    let table = std::fs::read_to_string(dir.join("verdicts.txt")).unwrap();
    let count = |word: &str| (word != "no").then(|| word.parse().unwrap());
    let lines = table.lines().filter(|line| !line.starts_with('#'));
    let rows: Vec<Row> = lines
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [name, g, c, h, d, ours] = words[..] else {
                panic!("{line}");
            };
            Row {
                file: dir.join(format!("{name}.index")),
                name: name.to_owned(),
                old: (g == "ok", count(c)),
                current: (h == "ok", count(d)),
                ours: count(ours),
            }
        })
        .collect();
    let files = std::fs::read_dir(&dir).unwrap().count() - 1;
    assert_eq!(
        rows.len(),
        files,
        "a file without a verdict, or the other way round"
    );
    assert!(rows.len() >= 60);
    rows
}

#[test]
fn imgforge_reads_what_any_client_reads_but_for_traps() {
    for row in rows() {
        let text = String::from_utf8(std::fs::read(&row.file).unwrap()).unwrap();
        let name = &row.name;
        let verdict = clients::verdict(&text);
        assert_eq!(verdict.old.is_ok(), row.old.0, "{name}: {:?}", verdict.old);
        assert_eq!(
            verdict.current.is_ok(),
            row.current.0,
            "{name}: {:?}",
            verdict.current
        );
        let read = parse(&text).and_then(|sections| check(&sections));
        assert_eq!(
            read.as_ref().ok().map(Vec::len),
            row.ours,
            "{name}: {read:?}"
        );
        // Refusing more than some client does is right; taking more than every client is not.
        if row.ours.is_some() {
            assert!(row.old.1.is_some() || row.current.1.is_some(), "{name}");
        }
    }
}

#[test]
fn the_installed_virt_builder_agrees_with_the_table() {
    let version = Program::new("virt-builder")
        .arg("--version")
        .text()
        .unwrap();
    let number = version.trim_start_matches("virt-builder ");
    let parts: Vec<u32> = number
        .split(['.', 'r'])
        .map_while(|part| part.parse().ok())
        .collect();
    let old = parts < vec![1, 55, 6];
    let rows = rows();
    let (first, second) = rows.split_at(rows.len() / 2);
    std::thread::scope(|scope| {
        for half in [first, second] {
            let version = &version;
            scope.spawn(move || {
                let dir = tempfile::tempdir().unwrap();
                for row in half {
                    let expected = if old { row.old } else { row.current };
                    assert_eq!(
                        installed(&row.file, dir.path()),
                        expected,
                        "{} {version}",
                        row.name
                    );
                }
            });
        }
    });
}

fn installed(file: &Path, dir: &Path) -> Verdict {
    let grammar = Program::new("virt-index-validate").arg(file).run().is_ok();
    let config = dir.join("virt-builder/repos.d");
    std::fs::create_dir_all(&config).unwrap();
    let source = format!("[test]\nuri=file://{}\n", file.display());
    std::fs::write(config.join("test.conf"), source).unwrap();
    let list = Program::new("virt-builder")
        .env("XDG_CONFIG_HOME", dir)
        .env("XDG_CACHE_HOME", dir)
        .env("VIRT_BUILDER_DIRS", "/nonexistent")
        .args(["--list", "--list-format", "json"])
        .json::<Value>();
    let count = list
        .ok()
        .map(|list| list["templates"].as_array().unwrap().len());
    (grammar, count)
}
