//! The examples of every command, which end its `--help`, its manual page and its section of
//! `docs/commands.md`. A test parses each of them.

use clap::Command;

/// A block for each command, by its path: what is typed, and after a `#` what it does.
const EXAMPLES: &str = include_str!("examples.txt");

/// The path of each command that has examples, and their lines.
fn blocks() -> impl Iterator<Item = (&'static str, &'static str)> {
    let blocks = EXAMPLES.split("\n\n");
    blocks.filter_map(|block| block.strip_prefix('[')?.split_once("]\n"))
}

/// The command line, each command of which has its examples.
pub(super) fn add(command: Command) -> Command {
    below(command, "")
}

fn below(command: Command, path: &str) -> Command {
    let command = match text(path) {
        Some(examples) => {
            let before = command.get_after_help().map(|text| format!("{text}\n\n"));
            command.after_help(before.unwrap_or_default() + &examples)
        }
        None => command,
    };
    command.mut_subcommands(|one| {
        let path = format!("{path} {}", one.get_name());
        below(one, path.trim_start())
    })
}

/// The examples of a command, as its help has them.
fn text(path: &str) -> Option<String> {
    let (_, lines) = blocks().find(|(of, _)| *of == path)?;
    let lines = lines.lines().map(|line| format!("\n  {line}"));
    Some("Examples:".to_owned() + &lines.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every command that people see, by its path.
    fn commands(of: &Command, path: &str, found: &mut Vec<(String, String)>) {
        for one in of.get_subcommands().filter(|one| !one.is_hide_set()) {
            let path = format!("{path} {}", one.get_name()).trim_start().to_owned();
            let help = one.get_after_help().map(ToString::to_string);
            commands(one, &path, found);
            found.push((path, help.unwrap_or_default()));
        }
    }

    #[test]
    fn every_command_has_an_example() {
        let mut found = vec![];
        commands(&crate::cli::command(), "", &mut found);
        assert!(found.len() > 40, "{found:?}");
        for (path, help) in &found {
            assert!(
                help.contains(&format!("Examples:\n  imgforge {path}")),
                "{path}: {help}"
            );
        }
        assert_eq!(blocks().count(), EXAMPLES.split("\n\n").count());
        for (path, _) in blocks() {
            assert!(
                found.iter().any(|(other, _)| other == path),
                "there is no `{path}`"
            );
        }
    }

    #[test]
    fn every_example_is_a_command_line() {
        for (path, lines) in blocks() {
            for line in lines.lines() {
                let ends = [" # ", " > ", " | "].map(|end| line.find(end));
                let end = ends.into_iter().flatten().min().unwrap_or(line.len());
                let parsed = crate::cli::command().try_get_matches_from(words(&line[..end]));
                let parsed = parsed.unwrap_or_else(|error| panic!("{line}\n{error}"));
                let mut at = &parsed;
                for word in path.split(' ') {
                    let below = at.subcommand_matches(word);
                    at = below.unwrap_or_else(|| panic!("{line}: not an example of {path}"));
                }
            }
        }
    }

    #[test]
    fn examples_fit_into_eighty_columns() {
        for (path, _) in blocks() {
            for line in text(path).unwrap().lines() {
                assert!(line.len() <= 80, "{} columns: {line}", line.len());
            }
        }
    }

    /// Words of a line whose only quotes are pairs of `'`.
    fn words(line: &str) -> Vec<String> {
        let parts: Vec<&str> = line.split('\'').collect();
        assert!(parts.len() % 2 == 1, "a quote is open: {line}");
        let mut words = vec![];
        for (number, part) in parts.iter().enumerate() {
            match number % 2 {
                0 => words.extend(part.split_whitespace().map(str::to_owned)),
                _ => words.push((*part).to_owned()),
            }
        }
        words
    }
}
