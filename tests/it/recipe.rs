//! The recipe language: whole repositories, good and bad.

use std::fs;
use std::path::{Path, PathBuf};

use imgforge::recipe::types::Base;
use imgforge::recipe::{Problems, Repo, Role, json_schema};

use crate::support::World;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/recipes")
}

fn good() -> Repo {
    Repo::open(&fixtures().join("good")).unwrap()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The good repository in a directory of its own, with the bad fixtures' fragments and files.
fn workshop() -> (tempfile::TempDir, Repo) {
    let dir = tempfile::tempdir().unwrap();
    copy(&fixtures().join("good"), dir.path());
    copy(
        &fixtures().join("bad/_base"),
        &dir.path().join("recipes/_base"),
    );
    copy(&fixtures().join("bad/support"), dir.path());
    let repo = open(dir.path());
    (dir, repo)
}

/// As the next command finds it.
fn open(dir: &Path) -> Repo {
    Repo::open(dir).unwrap()
}

fn validate(repo: &Repo, name: &str, text: &[u8]) -> Problems {
    let repo = open(repo.root());
    let file = repo.root().join("recipes").join(name);
    fs::write(&file, text).unwrap();
    let problems = repo
        .validate_files(std::slice::from_ref(&file), &[])
        .unwrap();
    fs::remove_file(file).unwrap();
    problems
}

fn yaml_files(dir: &Path) -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, fs::read_to_string(&path).unwrap())
        })
        .collect();
    files.sort();
    files
}

#[test]
fn the_whole_language_validates() {
    let problems = good().validate_all(&[]).unwrap();
    assert!(problems.is_empty(), "{}", problems.render(false));
}

#[test]
fn names_are_those_of_the_variants() {
    let names = good().names().unwrap();
    assert_eq!(
        names,
        [
            "debian-base",
            "imported",
            "mini",
            "web-node-bookworm",
            "web-node-trixie"
        ]
    );
}

#[test]
fn an_image_is_resolved_with_its_variables_and_files() {
    let web = good()
        .load("web-node-trixie", &[("organisation".into(), "acme".into())])
        .unwrap_or_else(|error| panic!("{}", error.render()));
    assert_eq!(web.recipe.summary, "Debian trixie web node");
    assert_eq!(web.vars["greeting"], "hello from ops@acme.org");
    assert_eq!(web.base, Base::Layer("debian-base".into()));
    let scripts: Vec<&str> = web
        .files
        .iter()
        .filter(|file| file.role == Role::Step)
        .map(|file| file.written.as_str())
        .filter(|path| path.starts_with("firstboot/"))
        .collect();
    assert_eq!(scripts, ["firstboot/harden.sh"]);
    insta::assert_snapshot!("web-node-resolved", web.render());
}

#[test]
fn a_resolved_recipe_reads_back_as_the_same_recipe() {
    let (_dir, repo) = workshop();
    let web = repo.load("web-node-bookworm", &[]).unwrap();
    fs::write(repo.root().join("recipes/web-node.yaml"), web.render()).unwrap();
    let again = repo
        .load("web-node-bookworm", &[])
        .unwrap_or_else(|error| panic!("{}", error.render()));
    assert_eq!(again.recipe, web.recipe);
}

#[test]
fn every_mistake_is_explained() {
    let (_dir, repo) = workshop();
    let fixtures = yaml_files(&fixtures().join("bad"));
    assert!(fixtures.len() >= 50, "only {} fixtures", fixtures.len());
    for (name, text) in fixtures {
        let problems = validate(&repo, &name, text.as_bytes());
        assert!(!problems.is_empty(), "{name} has no problem");
        let name = name.trim_end_matches(".yaml");
        insta::assert_snapshot!(format!("bad-{name}"), problems.render(false));
    }
}

#[test]
fn every_mistake_in_the_configuration_is_explained() {
    let (_dir, repo) = workshop();
    for (name, text) in yaml_files(&fixtures().join("bad/config")) {
        fs::write(repo.root().join("imgforge.yaml"), text).unwrap();
        let error = open(repo.root()).config().unwrap_err();
        assert_eq!(error.kind().exit_code(), 2);
        let name = name.trim_end_matches(".yaml");
        insta::assert_snapshot!(format!("bad-config-{name}"), error.render());
    }
}

#[test]
fn an_unknown_name_is_a_suggestion() {
    let render = |name: &str| good().load(name, &[]).unwrap_err().render();
    insta::assert_snapshot!(render("debain-base"), @r"
    error: there is no recipe `debain-base`
    hint: did you mean `debian-base`?
    ");
    insta::assert_snapshot!(render("windows"), @r"
    error: there is no recipe `windows`
    hint: the recipes are `debian-base`, `imported`, `mini`, `web-node-trixie`, `web-node-bookworm`
    ");
}

#[test]
fn bad_variables_of_the_command_line_are_explained() {
    let vars = [
        ("no-name".to_owned(), "x".to_owned()),
        ("release".to_owned(), "sid".to_owned()),
    ];
    let error = good().load("web-node-trixie", &vars).unwrap_err();
    insta::assert_snapshot!("bad-command-line-variables", error.render());
}

#[test]
fn a_directory_without_recipes_is_explained() {
    // Nobody keeps recipes above this directory.
    let error = Repo::open(Path::new("/proc")).unwrap_err();
    assert_eq!(error.kind().exit_code(), 2);
    assert!(error.hint_text().unwrap().contains("imgforge init"));
}

#[test]
fn two_recipes_of_one_name_are_a_problem() {
    let (_dir, repo) = workshop();
    let recipes = repo.root().join("recipes");
    fs::copy(recipes.join("mini.yaml"), recipes.join("other.yaml")).unwrap();
    fs::remove_dir_all(recipes.join("_base")).unwrap();
    copy(
        &fixtures().join("good/recipes/_base"),
        &recipes.join("_base"),
    );
    let problems = repo.validate_all(&[]).unwrap();
    insta::assert_snapshot!(problems.render(false), @r"
    error: two recipes make `mini`
     --> recipes/other.yaml:1:7
      |
    1 | name: mini
      |       ^^^^
      |
     ::: recipes/mini.yaml:1:7
      |
    1 | name: mini
      |       ---- the other
    ");
    assert!(repo.load("mini", &[]).is_err());
    assert!(repo.load("debian-base", &[]).is_ok());
}

#[test]
fn a_fragment_that_nobody_includes_is_checked_too() {
    let (_dir, repo) = workshop();
    let problems = repo.validate_all(&[]).unwrap();
    assert!(
        problems.files().contains(&"recipes/_base/broken.yaml"),
        "{:?}",
        problems.files()
    );
}

/// Truncated at every byte, and with bytes changed: an answer every time, and never a panic.
#[test]
fn options_beside_facts_are_no_facts() {
    let (_dir, repo) = workshop();
    let text = b"name: old\nfrom: debian-base\nconfigure:\n\
        - puppet: {manifest: puppet/site.pp, legacy-facts: true}\n\
        - puppet: {agent: {server: puppet.example, certname: old, legacy-facts: true}}\n";
    let problems = validate(&repo, "old.yaml", text);
    assert_eq!(problems.messages(), [""; 0]);
}

#[test]
fn no_text_is_too_broken() {
    let (_dir, repo) = workshop();
    let text = fs::read_to_string(repo.root().join("recipes/web-node.yaml")).unwrap();
    let text = text.replace("[trixie, bookworm]", "[trixie]").into_bytes();
    for end in 0..text.len() {
        validate(&repo, "mutant.yaml", &text[..end]).render(end % 2 == 0);
    }
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize % below
    };
    let spice = b"\0\t\n \"'#&*!|>%@`{}[],:-?~<\xff\xc3\xa9a1";
    for round in 0..400 {
        let mut mutant = text.clone();
        for _ in 0..=random(6) {
            let at = random(mutant.len());
            match random(4) {
                0 => mutant[at] = spice[random(spice.len())],
                1 => mutant.insert(at, spice[random(spice.len())]),
                2 => drop(mutant.remove(at)),
                _ => {
                    let until = at + random(40).min(mutant.len() - at);
                    let piece: Vec<u8> = mutant[at..until].to_vec();
                    let to = random(mutant.len());
                    mutant.splice(to..to, piece);
                }
            }
        }
        validate(&repo, "mutant.yaml", &mutant).render(round % 2 == 0);
    }
}

#[test]
fn bombs_end_in_their_budgets() {
    let (_dir, repo) = workshop();
    let deep_block: String = (0..1000)
        .map(|depth| format!("{}a:\n", " ".repeat(depth)))
        .collect();
    let wide: String = (0..30_000).map(|key| format!("key{key}: x\n")).collect();
    let texts = format!(
        "a: &a \"{}\"\nb: [{}]\n",
        "x".repeat(1 << 20),
        "*a,".repeat(1000)
    );
    let merges = format!(
        "a0: &a0 {{{}}}\n{}",
        (0..100)
            .map(|key| format!("k{key}: x,"))
            .collect::<String>(),
        (1..500)
            .map(|n| format!("a{n}: &a{n} {{<<: *a{}, n{n}: x}}\n", n - 1))
            .collect::<String>()
    );
    let templates = format!(
        "name: bomb\nvars: {{a0: xxxxxxxxxx{}}}\n",
        (1..16)
            .map(|n| format!(
                ", a{n}: \"{}\"",
                format!("{{{{ a{} }}}}", n - 1).repeat(100)
            ))
            .collect::<String>()
    );
    for (what, text, message) in [
        ("deep flow", "[".repeat(1 << 20), "nest"),
        ("deep maps", "{a: ".repeat(100_000), "nest"),
        ("deep block", deep_block, "nest"),
        ("many values", wide, "grows beyond 20000 values"),
        ("aliases of a long text", texts, "grows beyond 2 MiB"),
        ("merges of merges", merges, "grows beyond 20000 values"),
        (
            "variables of variables",
            templates,
            "expands to more than 64 KiB",
        ),
        ("a huge file", "x".repeat(3 << 20), "larger than 2 MiB"),
        (
            "a long line",
            format!("summary: {}: y\n", "x".repeat(1 << 20)),
            "broken",
        ),
    ] {
        let problems = validate(&repo, "bomb.yaml", text.as_bytes());
        let found = problems
            .messages()
            .iter()
            .any(|found| found.contains(message));
        assert!(found, "{what}: {:.2000}", problems.render(false));
        assert!(problems.render(false).len() < 200_000, "{what}");
    }
}

#[test]
fn the_schema_for_editors_knows_short_forms_and_written_keys() {
    let schema = json_schema();
    assert!(schema["properties"]["include"].is_object());
    let forms = schema["$defs"]["Step"]["oneOf"].as_array().unwrap();
    assert_eq!(
        forms[0]["enum"],
        serde_json::json!(["upgrade", "checkpoint", "reboot"])
    );
    let packages = forms
        .iter()
        .find(|form| form["required"] == serde_json::json!(["packages"]))
        .unwrap();
    let bodies = packages["properties"]["packages"]["anyOf"]
        .as_array()
        .unwrap();
    assert_eq!(bodies[0]["type"], "array");
    assert!(bodies[1]["properties"]["retries"].is_object());
}

#[test]
fn the_printed_reference_is_current() {
    let printed = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/recipe.md");
    let current = World::new().ok(&["schema", "--markdown"]).out;
    assert!(
        fs::read_to_string(printed).unwrap() == current,
        "run `make docs`"
    );
}

#[test]
fn the_shipped_recipes_validate() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let repo = Repo::open(&root.join("recipes")).unwrap();
    assert_eq!(repo.root(), root);
    assert!(repo.names().unwrap().contains(&"debian-mini".to_owned()));
    let problems = repo.validate_all(&[]).unwrap();
    assert!(problems.is_empty(), "{}", problems.render(false));
}

#[test]
fn a_root_that_grows_is_the_last_work_of_configure() {
    let (dir, repo) = workshop();
    let text = "name: grown\ninstall: {bootstrap: {suite: trixie}}\nmachine: {grow: true}\n\
                configure: [upgrade]\n";
    fs::write(dir.path().join("recipes/grown.yaml"), text).unwrap();
    let resolved = repo.load("grown", &[]).unwrap();
    let steps = &resolved.recipe.configure;
    let last = steps.last().unwrap();
    assert_eq!(
        (steps.len(), last.name.as_deref()),
        (3, Some("let the root grow with its disk"))
    );
    let text = text.replace("{grow: true}", "{grow: false}");
    fs::write(dir.path().join("recipes/grown.yaml"), text).unwrap();
    let repo = open(dir.path());
    assert_eq!(repo.load("grown", &[]).unwrap().recipe.configure.len(), 1);
}
