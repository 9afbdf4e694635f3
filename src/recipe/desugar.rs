//! Short forms of steps, made long wherever a recipe has steps.

use crate::steps::lengthen;
use crate::yaml::node::Node;
use crate::yaml::problem::Problems;

/// Makes every step of a recipe long: `configure`, `instance`, and `configure` of each target.
pub fn recipe(problems: &mut Problems, tree: &mut Node) {
    for key in ["configure", "instance"] {
        if let Some(list) = tree.get_mut(key) {
            lengthen(problems, list);
        }
    }
    let targets = tree.get_mut("targets").map(Node::entries_mut);
    for target in targets.into_iter().flatten() {
        if let Some(list) = target.value.get_mut("configure") {
            lengthen(problems, list);
        }
    }
}
