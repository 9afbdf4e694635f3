//! The recipe language: whole repositories, good and bad.

use std::path::{Path, PathBuf};

use imgforge::recipe::{Repo, Role};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/recipes")
}

fn good() -> Repo {
    Repo::open(&fixtures().join("good")).unwrap()
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
    assert_eq!(web.parent.as_deref(), Some("debian-base"));
    let scripts: Vec<&str> = web
        .files
        .iter()
        .filter(|file| file.role == Role::Script)
        .map(|file| file.written.as_str())
        .collect();
    assert_eq!(scripts, ["firstboot/harden.sh"]);
    insta::assert_snapshot!("web-node-resolved", web.render());
}
