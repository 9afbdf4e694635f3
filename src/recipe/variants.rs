//! `variants:`: several images from one recipe, one for each combination of values.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::yaml::checker::bad_word;
use crate::yaml::node::{Node, Value};
use crate::yaml::problem::{Problem, Problems};
use crate::yaml::source::Loc;
use crate::yaml::vars::{Var, bad_name};

/// Images that one recipe may make.
const MOST: usize = 256;

/// An image of a recipe file: the recipe's name, and what its variants make of it.
#[derive(Debug, Clone)]
pub struct Image {
    /// Name of the image: NAME, or NAME-VALUE.
    pub name: String,
    /// The recipe file.
    pub path: PathBuf,
    /// Variables that the variant sets.
    pub vars: Vec<(String, Var)>,
    /// Place of the recipe's `name`, or the beginning of the file.
    pub loc: Loc,
}

/// The images of a recipe; without a `name` the file's name stands in.
pub fn images(problems: &mut Problems, path: &Path, tree: &Node) -> Vec<Image> {
    let name = tree.get("name").filter(|node| !node.is_null());
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let mut images = vec![Image {
        name: name.and_then(Node::as_text).unwrap_or(&stem).to_owned(),
        path: path.to_path_buf(),
        vars: vec![],
        loc: name.map_or(tree.loc, |node| node.loc),
    }];
    let Some(variants) = tree.entry("variants") else {
        return images;
    };
    if !matches!(variants.value.value, Value::Map(_)) {
        problems.push(
            Problem::new(
                variants.value.loc,
                format!("`variants` is a map, and this is {}", variants.value.kind()),
            )
            .help("write `variants: {release: [trixie, bookworm]}`"),
        );
        return images;
    }
    for axis in variants.value.entries() {
        if let Some(message) = bad_name(&axis.key) {
            problems.push(Problem::new(axis.key_loc, message));
        }
        let values = values(problems, &axis.key, &axis.value);
        if values.is_empty() {
            continue;
        }
        if images.len() * values.len() > MOST {
            problems.push(Problem::new(
                axis.key_loc,
                format!("the variants make more than {MOST} images"),
            ));
            break;
        }
        images = images
            .iter()
            .flat_map(|image| {
                values.iter().map(|value| {
                    let mut image = image.clone();
                    image.name = format!("{}-{}", image.name, value.text);
                    image.vars.push((axis.key.clone(), value.clone()));
                    image
                })
            })
            .collect();
    }
    images
}

fn values(problems: &mut Problems, axis: &str, list: &Node) -> Vec<Var> {
    if list.items().is_empty() {
        problems.push(
            Problem::new(
                list.loc,
                format!("the variant `{axis}` is a list of values"),
            )
            .help(format!("write `{axis}: [one, other]`")),
        );
    }
    let mut seen = BTreeSet::new();
    let mut values = vec![];
    for item in list.items() {
        let Some(text) = item.as_text() else {
            let message = format!("a variant's value is a text, and this is {}", item.kind());
            problems.push(Problem::new(item.loc, message));
            continue;
        };
        if let Some(message) = bad_word(text, "a variant") {
            problems.push(Problem::new(item.loc, message));
        } else if !seen.insert(text) {
            problems.push(Problem::new(
                item.loc,
                format!("the value `{text}` is listed twice"),
            ));
        } else {
            values.push(Var {
                text: text.to_owned(),
                loc: item.loc,
            });
        }
    }
    values
}
