//! `imgforge schema`.

use super::out;
use crate::error::Result;
use crate::recipe::{reference, schema};
use crate::{deploy, sysprep, targets};

#[derive(Debug, clap::Args)]
pub(crate) struct Schema {
    /// The schema of imgforge.yaml instead of a recipe's
    #[arg(long)]
    config: bool,
    /// The schema of the machine files of `deploy disk` instead of a recipe's
    #[arg(long, conflicts_with = "config")]
    machine: bool,
    /// Prints the reference for people: docs/recipe.md
    #[arg(long, hide = true)]
    markdown: bool,
    /// Prints the table of docs/targets.md
    #[arg(long, hide = true)]
    targets: bool,
}

impl Schema {
    /// Prints the JSON schema, for editors.
    pub(crate) fn run(&self) -> Result<()> {
        if self.markdown {
            let page = reference::render() + &sysprep::markdown();
            return out::print(&wrapped(&page));
        }
        if self.targets {
            return out::print(&targets::markdown());
        }
        if self.machine {
            out::json(&deploy::schema())
        } else if self.config {
            out::json(schema::config())
        } else {
            out::json(&schema::written())
        }
    }
}

/// Columns of a line of the docs.
const COLUMNS: usize = 110;

/// A page with its long lines broken; tables and headings keep theirs.
fn wrapped(page: &str) -> String {
    let mut out = String::new();
    for line in page.lines() {
        let fixed = line.starts_with(['|', '#']);
        let indent = if line.starts_with("* ") { "  " } else { "" };
        let mut width = 0;
        for (number, word) in line.split(' ').enumerate() {
            let wide = word.chars().count();
            if number > 0 && width + 1 + wide > COLUMNS && !fixed {
                out.push('\n');
                out.push_str(indent);
                width = indent.len();
            } else if number > 0 {
                out.push(' ');
                width += 1;
            }
            out.push_str(word);
            width += wide;
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_broken_and_tables_are_not() {
        let word = "word ".repeat(30);
        let word = word.trim_end();
        let (first, rest) = ("word ".repeat(22), "word ".repeat(8));
        let (first, rest) = (first.trim_end(), rest.trim_end());
        for (page, expected) in [
            (
                format!("# {word}\n\n| {word} |\n"),
                format!("# {word}\n\n| {word} |\n"),
            ),
            (format!("{word}\n"), format!("{first}\n{rest}\n")),
            ("* short\n".into(), "* short\n".into()),
            (
                format!("* {word}\n"),
                format!("* {}\n  {rest} word\n", &first[5..]),
            ),
        ] {
            assert_eq!(wrapped(&page), expected);
        }
    }
}
