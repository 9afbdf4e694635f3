//! What judging functions have in common.

use std::sync::LazyLock;

use regex::Regex;

/// The lines of a text that are no comments.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let numbered = (1..).zip(text.lines());
    numbered.filter(|(_, line)| {
        let line = line.trim_start();
        !line.is_empty() && !line.starts_with(['#', ';']) && !line.starts_with("//")
    })
}

/// The number of the first line, no comment, that the expression matches.
pub(super) fn line_with(text: &str, expression: &LazyLock<Regex>) -> Option<String> {
    lines(text)
        .find(|(_, line)| expression.is_match(line))
        .map(|(number, _)| format!("line {number}"))
}

/// Whether a value of an assignment is a secret, and not a place where one is to be put.
pub(super) fn is_real(value: &str) -> bool {
    let value = value.trim_matches(['"', '\'', ' ', ',', ';', '`']);
    let lower = value.to_ascii_lowercase();
    let marks = ["${", "$(", "{{", "<%", "%(", "%{", "%s"];
    let words = [
        "",
        "none",
        "null",
        "nil",
        "true",
        "false",
        "yes",
        "no",
        "on",
        "off",
        "password",
        "passwd",
        "secret",
        "token",
        "changeme",
        "change_me",
        "example",
        "optional",
        "required",
        "sufficient",
        "prompt",
        "ask",
        "file",
        "files",
        "sha512",
        "yescrypt",
        "unset",
        "undefined",
        "todo",
        "xxx",
        "default",
        "keyring",
        "disabled",
        "enabled",
        "pass",
    ];
    value.len() >= 4
        && !words.contains(&lower.as_str())
        && !marks.iter().any(|mark| value.contains(mark))
        && !value.starts_with(['$', '<', '/', '[', '*', '('])
        && !lower.starts_with("your")
        && !lower.starts_with("env.")
        && !lower.starts_with("!vault")
        && !value
            .chars()
            .all(|c| c == 'x' || c == 'X' || c == '*' || c == '.' || c == '-' || c == '_')
}

/// Bits of information a character of the text has.
pub(super) fn entropy(text: &str) -> f64 {
    let mut counts = [0u32; 256];
    text.bytes().for_each(|byte| counts[usize::from(byte)] += 1);
    let all = text.len() as f64;
    let used = counts.iter().filter(|count| **count > 0);
    used.map(|count| {
        let part = f64::from(*count) / all;
        -part * part.log2()
    })
    .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_value_is_no_placeholder() {
        for (value, real) in [
            ("hunter2", true),
            ("\"S3cr3t!\"", true),
            ("${PASSWORD}", false),
            ("changeme", false),
            ("{{ vault_password }}", false),
            ("<your password>", false),
            ("/run/secrets/x", false),
            ("xxxxxxxx", false),
            ("abc", false),
        ] {
            assert_eq!(is_real(value), real, "{value}");
        }
        assert!(entropy("aaaaaaaa") < 0.1 && entropy("q8Zr1xV7bN3mK0pL") > 3.9);
    }
}
