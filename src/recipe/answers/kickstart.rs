//! Anaconda's answers: commands, and sections from `%NAME` to `%end`.
//! <https://pykickstart.readthedocs.io/en/latest/kickstart-docs.html>

use super::{Finding, PROOF, carriage_return, is_remote};

const SECTIONS: &[&str] = &[
    "%packages",
    "%pre",
    "%pre-install",
    "%post",
    "%onerror",
    "%traceback",
    "%addon",
    "%anaconda",
    "%certificate",
];

/// What ends an installation without a key being pressed.
const ENDS: &[&str] = &["poweroff", "shutdown", "reboot"];

pub(super) fn judge(text: &str) -> Vec<Finding> {
    let mut found: Vec<Finding> = carriage_return(text).into_iter().collect();
    let mut open: Option<(usize, &str)> = None;
    let (mut ends, mut halts) = (false, None);
    let (mut proven, mut elsewhere) = (false, None);
    for (at, line) in text.lines().enumerate() {
        let number = at + 1;
        let words = line.trim();
        let first = words.split_whitespace().next().unwrap_or_default();
        let comment = words.starts_with('#');
        if matches!(first, "%include" | "%ksappend") {
            found.extend(included(number, words));
        } else if SECTIONS.contains(&first) {
            if let Some(before) = open.replace((number, words)) {
                found.push(unclosed(before));
            }
        } else if first == "%end" {
            open = None;
        } else if words.contains(PROOF) && !comment {
            let post = open.is_some_and(|(_, head)| is_post(head));
            proven |= post;
            elsewhere = elsewhere.or((!post).then_some(number));
        } else if open.is_none() && !comment {
            ends |= ENDS.contains(&first);
            halts = halts.or((first == "halt").then_some(number));
        }
    }
    found.extend(open.map(unclosed));
    if !ends {
        found.push(Finding::new(
            halts.unwrap_or(0),
            "the installation does not end by itself: Anaconda halts, or waits for a key",
            "add the command `poweroff`",
        ));
    }
    if !proven {
        let place = "a `%post` section that runs in the new system";
        let example = "`{{ imgforge_sentinel }}` as the end of `%post --erroronfail`";
        found.push(Finding::no_proof(elsewhere.unwrap_or(0), place, example));
    }
    found
}

/// `%post` with the new system as its root.
fn is_post(head: &str) -> bool {
    let mut words = head.split_whitespace();
    words.next() == Some("%post") && !words.any(|word| word == "--nochroot")
}

fn unclosed((line, head): (usize, &str)) -> Finding {
    let name = head.split_whitespace().next().unwrap_or_default();
    Finding::new(
        line,
        format!("the section `{name}` has no `%end`"),
        "end it with a line `%end`",
    )
}

/// A file that the installer has not got. What `%pre` writes has an absolute path.
fn included(line: usize, words: &str) -> Option<Finding> {
    let name = words.split_whitespace().nth(1).unwrap_or_default();
    (!name.starts_with('/') && !is_remote(name)).then(|| {
        Finding::new(
            line,
            format!("the installer finds no `{name}`: the answers are injected alone"),
            "copy its lines into this file, give an address, or let `%pre` write it to /tmp",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<usize> {
        judge(text).into_iter().map(|f| f.line).collect()
    }

    const END: &str = "%post --erroronfail\nimgforge-proof\n%end\n";

    #[test]
    fn good_answers_are_good() {
        let text = format!(
            "text\nreboot --eject\n%pre\necho part / >/tmp/part\n%end\n%include /tmp/part\n\
             %packages\n@core\n%end\n{END}"
        );
        assert_eq!(lines(&text), [0; 0]);
    }

    #[test]
    fn what_anaconda_stops_at_is_named_with_its_line() {
        for (text, line) in [
            ("poweroff\r\n", 1),
            ("poweroff\n%packages\n@core\n", 2),
            ("poweroff\n%include common.ks\n", 2),
            ("text\n", 0),
            ("text\nhalt\n", 2),
            ("text\n# poweroff\n", 0),
            ("%pre\npoweroff\n%end\n", 0),
        ] {
            assert_eq!(lines(&format!("{text}{END}")), [line], "{text:?}");
        }
        assert_eq!(lines("poweroff\n%post\nimgforge-proof\n"), [2]);
    }

    #[test]
    fn the_proof_comes_from_the_new_system() {
        for (text, line) in [
            ("%post\n%end\n", 0),
            ("%post\n# imgforge-proof\n%end\n", 0),
            ("%post --nochroot\nimgforge-proof\n%end\n", 3),
            ("%pre\nimgforge-proof\n%end\n", 3),
            ("%packages\nimgforge-proof\n%end\n", 3),
        ] {
            assert_eq!(lines(&format!("poweroff\n{text}")), [line], "{text:?}");
        }
    }
}
