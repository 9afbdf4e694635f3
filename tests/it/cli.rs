//! The real program: help, exit codes, generated files, a new recipe repository.

use std::path::Path;

use crate::support::{IMGFORGE, Run as _, Said, World, external};

fn imgforge(args: &[&str]) -> Said {
    let mut command = crate::support::imgforge();
    command.args(args).env("NO_COLOR", "1").said()
}

#[track_caller]
fn good(args: &[&str]) -> String {
    imgforge(args).ok().out
}

#[track_caller]
fn bad(args: &[&str], code: i32) -> String {
    let said = imgforge(args).exits(code);
    assert_eq!(said.out, "", "{args:?}");
    said.err
}

/// A generated file's own program has nothing to say of it.
fn accepts(program: &str, args: &[&str], file: &Path) {
    let said = external(program).args(args).arg(file).said().ok();
    assert_eq!(said.err, "", "{}", file.display());
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
    let said = imgforge(&["validate", path]);
    assert_eq!(said.out, "1 files: all good\n");
    said.says(&["its folder is used as one"]);
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

/// The value is on the machine that builds, and its file's name may be misspelt.
#[test]
fn a_secret_without_its_file_is_named_where_recipes_are_read_and_ends_a_build() {
    let world = World::importing();
    let import = world.read("recipes/small.yaml");
    world.write("recipes/small.yaml", format!("{import}secrets: {{pw: {{file: secrets/pw}}}}\nconfigure: [{{shell: {{run: 'true'}}}}]\n"));
    let file = world
        .path("secrets/pw")
        .canonicalize()
        .unwrap_or_else(|_| world.path("secrets/pw"));
    let file = file.display();
    let warning = format!(
        "small: the file of the secret `pw` is not on this host, and a build needs it: {file}"
    );
    for args in [&["validate"][..], &["validate", "small"]] {
        world.ok(args).says(&[&warning]).prints(&["all good"]);
    }
    world.run(&["build", "small"]).exits(2).says(&[
        "error: the secret `pw` has no value\n",
        &format!("caused by: {file} cannot be read: No such file or directory"),
        "hint: write it into a file of this name",
    ]);
    world.write("secrets/pw", "open sesame\n");
    let said = world.ok(&["validate"]);
    assert_eq!(said.err, "");
}

#[test]
fn a_log_is_printed_by_every_name_that_is_offered() {
    let world = World::importing();
    for (name, text) in [
        ("check.log", "looked\n"),
        ("gate.json", "{\"passed\": false}\n"),
        ("unit-clone-a-console.png", "not text"),
    ] {
        world.write(&format!("state/logs/small/{name}"), text);
    }
    world
        .ok(&["logs", "small"])
        .prints(&["check.log\n", "gate.json\n", "console.png\n"]);
    let refused = world.run(&["logs", "small", "seal"]).exits(2);
    refused.says(&[
        "there is no log of the stage `seal`",
        "has logs of check, gate\n",
    ]);
    assert_eq!(world.ok(&["logs", "small", "check"]).out, "looked\n");
    assert_eq!(
        world.ok(&["logs", "small", "gate"]).out,
        "{\"passed\": false}\n"
    );
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
    let doctor = imgforge(&["--state", state.to_str().unwrap(), "doctor", "--json"]);
    let findings = doctor.exits(3).json();
    let finding = findings
        .as_array()
        .unwrap()
        .iter()
        .find(|f| f["what"] == "state directory")
        .unwrap();
    assert_eq!(finding["level"], "fail");
    assert!(finding["fix"].as_str().unwrap().contains("--state"));
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let script = format!("{IMGFORGE} schema | head -c1; echo ${{PIPESTATUS[0]}}");
    let said = external("bash").args(["-c", &script]).said();
    assert_eq!((said.out.as_str(), said.err.as_str()), ("{0\n", ""));
}

#[test]
fn the_shipped_recipes_are_valid() {
    good(&["-C", env!("CARGO_MANIFEST_DIR"), "validate"]);
}

#[test]
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
        let words = command.strip_prefix("imgforge ").unwrap();
        let mut command = crate::support::imgforge();
        command.args(words.split_whitespace());
        command.current_dir(dir.path()).said().ok();
    }
    assert!(commands.len() >= 6, "{commands:?}");
}
