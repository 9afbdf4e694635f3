//! Steps as a recipe writes them, read and checked without a recipe: for the tests of each kind.

use std::collections::BTreeMap;
use std::path::Path;

use super::entry::Content;
use super::kind::{Check, Scope};
use super::{Step, Tools, annotate, check, lengthen};
use crate::yaml::checker::Checker;
use crate::yaml::problem::Problems;
use crate::yaml::{de, parse, walk};

/// The list of steps in `text`, whose files are below `root`.
///
/// # Errors
/// The messages of all mistakes.
pub(super) fn read(root: &Path, text: &str) -> Result<Vec<Step>, Vec<String>> {
    let mut problems = Problems::default();
    let file = problems.sources.add("steps.yaml", None, text);
    let mut tree = parse::parse(&mut problems, file).expect("YAML");
    lengthen(&mut problems, &mut tree);
    let mut schema = schemars::schema_for!(Vec<Step>).to_value();
    annotate(&mut schema);
    walk::check(&mut problems, &mut tree, &schema);
    let steps: Vec<Step> = de::from_node(&tree).expect("what fits its schema");
    let vars = BTreeMap::new();
    let mut checker = Checker {
        problems: &mut problems,
        root,
        vars: &vars,
        files: vec![],
    };
    let mut cx = Check {
        checker: &mut checker,
        secrets: vec!["known"],
        instance: false,
        os: None,
        users: BTreeMap::new(),
    };
    check(&mut cx, &steps, Some(&tree));
    match problems.messages().as_slice() {
        [] => Ok(steps),
        messages => Err(messages.iter().map(ToString::to_string).collect()),
    }
}

/// What the guest gets of the step: the texts of its small files by name, and the paths of its payload.
pub(super) fn translate(root: &Path, step: &Step) -> (BTreeMap<String, String>, Vec<String>) {
    let (vars, tools) = (BTreeMap::new(), Tools::default());
    let scope = Scope {
        root,
        vars: &vars,
        secrets: &["known".to_owned()],
        tools: &tools,
    };
    let translated = step.translate(scope).unwrap().expect("work in the guest");
    let text = |content: &Content| match content {
        Content::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => format!("{other:?}"),
    };
    let files = translated.files.iter();
    let files = files.map(|file| (file.path.clone(), text(&file.content)));
    let payload = translated.payload.into_iter().flatten();
    (files.collect(), payload.map(|entry| entry.path).collect())
}
