//! Which operations a recipe wants: `[default, -logfiles, apt-lists]`.

use super::{OPERATIONS, Operation};
use crate::error::{Error, Result};
use crate::text::nearest;

/// Operations of virt-sysprep that there are not, each with the reason.
pub const REFUSED: &[(&str, &str)] = &[
    (
        "customize",
        "it fills the machine id and the random seed again, so that all clones share them; use the \
         steps of `configure`, which run before",
    ),
    (
        "script",
        "it mounts the guest's file systems on the host; a `shell` step of `configure` runs a script \
         inside the guest",
    ),
];

/// Words for sets of operations.
const SETS: &[&str] = &["default", "defaults", "all"];

/// Why a name of virt-sysprep is refused, if it is.
pub fn refused(name: &str) -> Option<&'static str> {
    let mut refused = REFUSED.iter().filter(|(refused, _)| *refused == name);
    refused.next().map(|(_, reason)| *reason)
}

/// Every word that [`select`] knows, without the `-`.
pub fn words() -> impl Iterator<Item = &'static str> {
    let names = OPERATIONS.iter().map(|operation| operation.name);
    SETS.iter().copied().chain(names)
}

/// The operations of a selection, in the table's order. Words count from left to right: `default`
/// (also `defaults`) and `all` add sets, a name adds one, and `-` before either takes away.
///
/// # Errors
/// When a word means no operation; all such words are named at once.
pub fn select<S: AsRef<str>>(words: &[S]) -> Result<Vec<&'static Operation>> {
    let mut chosen = vec![false; OPERATIONS.len()];
    let mut unknown = Vec::new();
    for word in words {
        let word = word.as_ref();
        let (name, wanted) = match word.strip_prefix('-') {
            Some(name) => (name, false),
            None => (word, true),
        };
        let mut found = false;
        for (operation, chosen) in OPERATIONS.iter().zip(&mut chosen) {
            let meant = match name {
                "default" | "defaults" => operation.default,
                "all" => true,
                name => operation.name == name,
            };
            if meant {
                found = true;
                *chosen = wanted;
            }
        }
        // What is refused can be left out all the same, as in virt-sysprep's `defaults,-customize`.
        if !found && (wanted || refused(name).is_none()) {
            unknown.push(describe(name));
        }
    }
    if !unknown.is_empty() {
        return Err(Error::usage(unknown.join("; "))
            .hint("`imgforge disk seal --list` shows the operations"));
    }
    Ok(OPERATIONS
        .iter()
        .zip(chosen)
        .filter(|(_, chosen)| *chosen)
        .map(|(operation, _)| *operation)
        .collect())
}

fn describe(name: &str) -> String {
    if let Some(reason) = refused(name) {
        return format!("the operation `{name}` is refused: {reason}");
    }
    match nearest(name, words()) {
        Some(known) => {
            format!("`{name}` is not an operation of seal; did you mean `{known}`?")
        }
        None => format!("`{name}` is not an operation of seal"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(words: &[&str]) -> Vec<&'static str> {
        select(words)
            .unwrap()
            .iter()
            .map(|operation| operation.name)
            .collect()
    }

    #[test]
    fn the_default_is_what_the_table_says() {
        let marked: Vec<_> = OPERATIONS
            .iter()
            .filter(|o| o.default)
            .map(|o| o.name)
            .collect();
        assert_eq!(names(&["default"]), marked);
        assert_eq!(names(&["defaults"]), marked);
        assert!(marked.contains(&"machine-id") && !marked.contains(&"apt-lists"));
    }

    #[test]
    fn words_count_from_left_to_right_and_the_table_orders() {
        assert_eq!(
            names(&["ssh-hostkeys", "bash-history"]),
            ["bash-history", "ssh-hostkeys"]
        );
        assert_eq!(names(&["default", "-default", "apt-lists"]), ["apt-lists"]);
        assert_eq!(names(&["-logfiles", "logfiles"]), ["logfiles"]);
        assert_eq!(names(&["all", "-all"]), [""; 0]);
        assert!(!names(&["default", "-logfiles"]).contains(&"logfiles"));
        assert!(names(&["all", "-default"]).contains(&"fs-uuids"));
    }

    #[test]
    fn every_unknown_word_is_named_with_the_nearest() {
        let error = select(&["default", "-logfile", "xyz"]).unwrap_err();
        assert_eq!(
            error.message(),
            "`logfile` is not an operation of seal; did you mean `logfiles`?; \
             `xyz` is not an operation of seal"
        );
        assert_eq!(error.kind().exit_code(), 2);
    }

    #[test]
    fn what_fills_again_is_refused_with_a_reason() {
        let error = select(&["customize"]).unwrap_err();
        assert!(error.message().contains("share"), "{error}");
        assert!(select(&["script"]).is_err());
        assert_eq!(names(&["default", "-customize"]), names(&["default"]));
    }

    #[test]
    fn the_table_is_in_order_and_says_what_it_does() {
        let names: Vec<_> = OPERATIONS.iter().map(|operation| operation.name).collect();
        assert!(names.is_sorted(), "{names:?}");
        for operation in OPERATIONS {
            assert!(
                operation.doc.ends_with('.') && operation.doc.len() > 20,
                "{operation:?}"
            );
            assert!(!operation.heading.ends_with('.'), "{operation:?}");
        }
    }
}
