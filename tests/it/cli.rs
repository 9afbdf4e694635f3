//! The real program: help, exit codes, generated files, a new recipe repository.

use std::path::Path;
use std::process::{Command, Output, Stdio};

#[allow(clippy::disallowed_methods, reason = "a test runs the program itself")]
fn imgforge(args: &[&str]) -> Output {
    Command::new(crate::slots::IMGFORGE_WITHOUT_GUESTS)
        .args(args)
        .env_remove("IMGFORGE_STATE")
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn good(args: &[&str]) -> String {
    let output = imgforge(args);
    assert!(
        output.status.success(),
        "{args:?}: {}",
        text(&output.stderr)
    );
    text(&output.stdout)
}

fn bad(args: &[&str], code: i32) -> String {
    let output = imgforge(args);
    assert_eq!(
        output.status.code(),
        Some(code),
        "{args:?}: {}",
        text(&output.stderr)
    );
    assert_eq!(text(&output.stdout), "", "{args:?}");
    text(&output.stderr)
}

#[allow(
    clippy::disallowed_methods,
    reason = "checks a generated file with its own program"
)]
fn accepts(program: &str, args: &[&str], file: &Path) {
    let output = Command::new(program).args(args).arg(file).output().unwrap();
    let complaints = text(&output.stderr);
    assert!(
        output.status.success() && complaints.is_empty(),
        "{}: {complaints}",
        file.display()
    );
}

#[test]
fn a_recipe_in_no_repository_is_validated_with_its_folder_as_one() {
    let dir = tempfile::tempdir_in("/var/tmp").unwrap();
    let file = dir.path().join("lonely.yaml");
    let path = file.to_str().unwrap();
    let recipe =
        "name: lonely\ninstall: {bootstrap: {suite: trixie}}\nconfigure: [{shell: go.sh}]\n";
    std::fs::write(&file, recipe).unwrap();
    let said = bad(&["validate", path], 2);
    assert!(said.contains("there is no file go.sh"), "{said}");
    std::fs::write(dir.path().join("go.sh"), "#!/bin/sh\n").unwrap();
    let output = imgforge(&["validate", path]);
    assert_eq!(text(&output.stdout), "1 files: all good\n");
    let said = text(&output.stderr);
    assert!(said.contains("its folder is taken for one"), "{said}");
    bad(
        &["validate", dir.path().join("none.yaml").to_str().unwrap()],
        2,
    );
}

#[test]
fn help_and_version_are_results() {
    assert!(good(&["--help"]).contains("Usage: imgforge"));
    assert_eq!(
        good(&["--version"]),
        concat!("imgforge ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[test]
fn a_misspelt_verb_gets_a_suggestion() {
    let complaint = bad(&["docter"], 2);
    assert!(complaint.contains("'doctor'"), "{complaint}");
}

#[test]
fn a_wrong_directory_is_a_usage_error() {
    let complaint = bad(&["-C", "/no/such/place", "list"], 2);
    assert!(
        complaint.starts_with("error: /no/such/place cannot be"),
        "{complaint}"
    );
}

#[test]
fn errors_are_json_lines_when_asked_for() {
    let complaint = bad(&["--progress", "json", "-C", "/no/such/place", "list"], 2);
    let last: serde_json::Value = serde_json::from_str(complaint.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&last["version"], &last["event"]),
        (&1.into(), &"error".into())
    );
    assert_eq!(
        (&last["kind"], &last["exit-code"]),
        (&"usage".into(), &2.into())
    );
}

#[test]
fn a_new_repository_is_valid_and_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let repo = dir.path().join("images");
    let at = repo.to_str().unwrap();
    std::fs::create_dir_all(repo.join("firstboot")).unwrap();
    std::fs::write(repo.join("firstboot/motd.sh"), "#!/bin/sh\n# mine\n").unwrap();
    assert!(good(&["init", at]).contains("imgforge validate"));
    assert_eq!(
        std::fs::read_to_string(repo.join("firstboot/motd.sh")).unwrap(),
        "#!/bin/sh\n# mine\n"
    );
    good(&["-C", at, "validate"]);
    assert!(good(&["-C", at, "list"]).contains("example"));
    assert!(good(&["-C", at, "show", "example", "--resolved"]).contains("suite: trixie"));
    let complaint = bad(&["init", at], 2);
    assert!(complaint.contains("already"), "{complaint}");
}

#[test]
fn completions_parse() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("imgforge.bash");
    std::fs::write(&file, good(&["completions", "bash"])).unwrap();
    accepts("bash", &["-n"], &file);
    // Words of arguments are completed, too.
    let script = std::fs::read_to_string(&file).unwrap();
    let mut operations = imgforge::sysprep::OPERATIONS.iter();
    assert!(operations.all(|operation| script.contains(operation.name)));
    assert!(good(&["completions", "zsh"]).starts_with("#compdef imgforge"));
    assert!(good(&["completions", "fish"]).contains("complete -c imgforge"));
}

#[test]
fn manual_pages_render_without_a_complaint() {
    let dir = tempfile::tempdir().unwrap();
    good(&["man", "-o", dir.path().to_str().unwrap()]);
    let mut pages = 0;
    for page in std::fs::read_dir(dir.path()).unwrap() {
        let page = page.unwrap().path();
        let source = std::fs::read_to_string(&page).unwrap();
        for section in ["EXIT STATUS", "FILES", "ENVIRONMENT"] {
            assert!(source.contains(section), "{}: {section}", page.display());
        }
        accepts("groff", &["-man", "-Tutf8", "-ww", "-z"], &page);
        pages += 1;
    }
    assert!(pages > 5, "{pages}");
    assert!(good(&["man", "doctor"]).contains("imgforge\\-doctor"));
    bad(&["man", "nothing"], 2);
}

#[test]
fn a_state_directory_that_cannot_be_is_a_failed_check() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let state = file.path().join("state");
    let output = imgforge(&["--state", state.to_str().unwrap(), "doctor", "--json"]);
    assert_eq!(output.status.code(), Some(3));
    let findings: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
    let finding = findings
        .iter()
        .find(|f| f["what"] == "state directory")
        .unwrap();
    assert_eq!(finding["level"], "fail");
    assert!(finding["fix"].as_str().unwrap().contains("--state"));
}

#[test]
#[allow(clippy::disallowed_methods, reason = "a pipe needs a shell")]
fn a_reader_that_goes_away_is_no_failure() {
    let script = format!(
        "{} schema | head -c1; echo ${{PIPESTATUS[0]}}",
        crate::slots::IMGFORGE_WITHOUT_GUESTS
    );
    let output = Command::new("bash").args(["-c", &script]).output().unwrap();
    assert_eq!(
        (text(&output.stdout), text(&output.stderr)),
        ("{0\n".into(), String::new())
    );
}

#[test]
fn the_shipped_recipes_are_valid() {
    good(&["-C", env!("CARGO_MANIFEST_DIR"), "validate"]);
}

#[test]
#[allow(clippy::disallowed_methods, reason = "a test runs the program itself")]
fn the_commands_of_the_readme_work() {
    let readme = include_str!("../../README.md");
    let commands: Vec<&str> = readme
        .split("```sh\n")
        .skip(1)
        .flat_map(|rest| rest.split("```").next().unwrap().lines())
        .collect();
    // What this test cannot run is a target of the Makefile.
    let makefile = include_str!("../../Makefile");
    let dir = tempfile::tempdir().unwrap();
    for command in &commands {
        if let Some(target) = command.strip_prefix("make ") {
            assert!(makefile.contains(&format!("\n{target}: ")), "{command}");
            continue;
        }
        let program = crate::slots::IMGFORGE_WITHOUT_GUESTS;
        let output = Command::new(program)
            .args(
                command
                    .strip_prefix("imgforge ")
                    .unwrap()
                    .split_whitespace(),
            )
            .current_dir(dir.path())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{command}: {}",
            text(&output.stderr)
        );
    }
    assert!(commands.len() >= 6, "{commands:?}");
}
