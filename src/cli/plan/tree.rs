//! The graph of several plans, as a tree: what builds on what, and which stages run.

use std::fmt::Write as _;

use crate::recipe::types::Base;
use crate::stage::plan::Plan;

/// One line an image, below the image that it builds on.
pub(super) fn draw(plans: &[Plan]) -> String {
    let rows: Vec<Row> = plans.iter().map(Row::of).collect();
    let mut text = String::new();
    let known = |name: &str| rows.iter().any(|row| row.name == name);
    for row in &rows {
        if row.parent.as_deref().is_none_or(|parent| !known(parent)) {
            branch(&rows, row, "", "", &mut text);
        }
    }
    text
}

struct Row {
    name: String,
    parent: Option<String>,
    state: String,
}

impl Row {
    fn of(plan: &Plan) -> Row {
        let runs: Vec<&str> = plan
            .stages
            .iter()
            .filter(|stage| !stage.cached)
            .map(|stage| stage.label.as_str())
            .collect();
        let state = match runs.as_slice() {
            [] => "cached".to_owned(),
            labels => format!("run {}", labels.join(", ")),
        };
        Row {
            name: plan.image().to_owned(),
            parent: plan.below().map(|below| below.image().to_owned()),
            state: match &plan.base {
                Base::Published(pin) => {
                    format!("{} {state}, on {}", plan.version(), pin.describe())
                }
                Base::Layer(_) | Base::Install(_) => format!("{} {state}", plan.version()),
            },
        }
    }
}

fn branch(rows: &[Row], row: &Row, mark: &str, indent: &str, text: &mut String) {
    let name = format!("{mark}{}", row.name);
    let _ = writeln!(text, "{name:<32} {}", row.state);
    let children: Vec<&Row> = rows
        .iter()
        .filter(|child| child.parent.as_deref() == Some(&row.name))
        .collect();
    for (index, child) in children.iter().enumerate() {
        let last = index + 1 == children.len();
        let (fork, below) = if last {
            ("└─ ", "   ")
        } else {
            ("├─ ", "│  ")
        };
        branch(
            rows,
            child,
            &format!("{indent}{fork}"),
            &format!("{indent}{below}"),
            text,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_hang_below_their_parents() {
        let row = |name: &str, parent: Option<&str>| Row {
            name: name.into(),
            parent: parent.map(str::to_owned),
            state: "cached".into(),
        };
        let rows = [
            row("base", None),
            row("compute", Some("node")),
            row("node", Some("base")),
            row("storage", Some("node")),
            row("other", None),
        ];
        let mut text = String::new();
        for top in rows.iter().filter(|row| row.parent.is_none()) {
            branch(&rows, top, "", "", &mut text);
        }
        let lines: Vec<&str> = text
            .lines()
            .map(|line| line.trim_end_matches(" cached").trim_end())
            .collect();
        assert_eq!(
            lines,
            ["base", "└─ node", "   ├─ compute", "   └─ storage", "other"]
        );
    }
}
