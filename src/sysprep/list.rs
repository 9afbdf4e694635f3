//! The operations for people, from the table.

use std::fmt::Write as _;

use super::{OPERATIONS, REFUSED};

/// Names, a `*` on what `default` contains, and headings.
pub fn table() -> String {
    let width = OPERATIONS.iter().map(|o| o.name.len()).max().unwrap_or(0);
    let mut out = String::new();
    for operation in OPERATIONS {
        let mark = if operation.default { '*' } else { ' ' };
        let (name, heading) = (operation.name, operation.heading);
        let _ = writeln!(out, "{name:width$} {mark} {heading}");
    }
    out
}

/// The section of `docs/recipe.md`.
pub fn markdown() -> String {
    let mut out = String::from(
        "\n## Operations of `seal`\n\n\
         Words count from left to right: `default` (or `defaults`) and `all` add sets, a name adds one, \
         and `-` before either takes away. The names are virt-sysprep's where it has such an operation. \
         What the recipe declares (users' keys, files of `files`) is never removed.\n\n\
         | operation | in `default` | what it does |\n|---|---|---|\n",
    );
    for operation in OPERATIONS {
        let mark = if operation.default { "yes" } else { "" };
        let _ = writeln!(out, "| `{}` | {mark} | {} |", operation.name, operation.doc);
    }
    out.push_str("\nOf virt-sysprep's operations, these are refused:\n\n");
    for (name, reason) in REFUSED {
        let _ = writeln!(out, "* `{name}`: {reason}.");
    }
    out
}
