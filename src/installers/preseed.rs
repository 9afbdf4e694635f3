//! debian-installer, and Ubuntu's until 20.04: <https://www.debian.org/releases/stable/amd64/apb>.
//! Its answers are `OWNER QUESTION TYPE VALUE`, as debconf-set-selections(1) reads them,
//! whose `-c` is no check: `findings/debconf-set-selections-checks-nothing.sh`.

use std::collections::BTreeMap;

use super::{
    Delivery, Finding, Installer, Leaves, PROOF, Progress, Values, carriage_return, first_word,
    is_remote,
};
use crate::text::nearest;

/// The installer.
pub const PRESEED: Installer = Installer {
    name: "preseed",
    end: ".cfg",
    program: "debian-installer",
    shows: |line| first_word(line) == "d-i",
    judge,
    judge_values: first_changed,
    delivery: Delivery::Initrd("preseed.cfg"),
    iso_boot: None,
    tree_arg: None,
    unverified: None,
    kernel_args: &[
        "auto=true",
        "priority=critical",
        "file=/preseed.cfg",
        // Lines instead of a drawn screen: they can be logged and understood.
        "DEBIAN_FRONTEND=text",
    ],
    root: "/target",
    leaves: Leaves {
        answers: &["/{,root/,tmp/,var/tmp/}preseed.cfg", "/var/lib/preseed/log"],
        logs: &["/var/log/installer"],
        settings: &[
            "/var/cache/debconf/passwords.dat",
            "/var/cache/debconf/passwords.dat-old",
            "/etc/apt/sources.list~",
            "/etc/apt/apt.conf.d/00CDMountPoint",
            "/etc/apt/apt.conf.d/00trustcdrom",
        ],
    },
    prompts: &[
        "Prompt: '?' for help",
        "[Press enter to continue]",
        "Press enter to continue",
    ],
    deadly: &[],
    progress,
    text: without_status,
};

/// `Installing the base system  ... 10%... 23%... 40%`: all on one line, as it grows.
fn progress(text: &str) -> Option<Progress> {
    let (step, rest) = text.split_once("...")?;
    // The beginning of a status line can stand behind the number.
    let number = |part: &str| part.split_once('%')?.0.trim().parse::<u8>().ok();
    let percent = rest.split("...").filter_map(number).last();
    let step = step.trim();
    (!step.is_empty() && percent.is_some_and(|n| n <= 100)).then(|| Progress {
        step: step.to_owned(),
        percent,
    })
}

/// The installer runs inside of `screen`, which draws its windows and a clock once a minute,
/// wherever the text is: `[   (1*installer)  2 shell  3 shell  4- log   ][ Nov 21  8:31 ]`.
fn without_status(line: &str) -> String {
    let mut text = line.to_owned();
    while let Some(middle) = text.find("2 shell  3 shell") {
        let start = text[..middle].rfind('[').unwrap_or(middle);
        let after = &text[middle..];
        let windows = after.find(']').map_or(after.len(), |at| at + 1);
        let clock = match after[windows..].starts_with('[') {
            true => after[windows..].find(']').map_or(0, |at| at + 1),
            false => 0,
        };
        text.replace_range(start..middle + windows + clock, "");
    }
    text
}

/// Types of debconf's questions, debconf-devel(7), and `seen`, which is a flag.
const TYPES: &[&str] = &[
    "string",
    "boolean",
    "select",
    "multiselect",
    "note",
    "text",
    "password",
    "title",
    "error",
    "seen",
];

/// Questions that name other files, and what they are looked up as.
const OTHERS: &[&str] = &["preseed/include", "preseed/run"];

fn judge(text: &str) -> Vec<Finding> {
    let mut found: Vec<Finding> = carriage_return(text).into_iter().collect();
    found.extend(text.lines().enumerate().filter_map(blank_behind_backslash));
    let mut last_act = None;
    let mut elsewhere = None;
    for (line, words) in logical(text) {
        if words.contains(PROOF) {
            elsewhere = Some(line);
        }
        let mut parts = words.split_whitespace();
        let (Some(_), Some(question), Some(kind)) = (parts.next(), parts.next(), parts.next())
        else {
            found.push(Finding::new(
                line,
                "the line is not `OWNER QUESTION TYPE VALUE`",
                "for example `d-i time/zone string Etc/UTC`; comments begin with `#`",
            ));
            continue;
        };
        let value = parts.collect::<Vec<_>>().join(" ");
        found.extend(wrong_value(line, question, kind, &value));
        if question == "preseed/late_command" {
            last_act = Some((line, value.contains(PROOF)));
        }
    }
    let place = "the last `preseed/late_command`";
    let example = "`d-i preseed/late_command string …; {{ imgforge_sentinel }}`";
    match (last_act, elsewhere) {
        (Some((_, true)), _) => {}
        (_, line) => found.push(Finding::no_proof(line.unwrap_or(0), place, example)),
    }
    found
}

/// Lines with their continuations, without comments, and where each begins.
fn logical(text: &str) -> Vec<(usize, String)> {
    let mut all: Vec<(usize, String)> = vec![];
    let mut open = false;
    for (at, line) in text.lines().enumerate() {
        let line = line.trim_end_matches('\r');
        if !open && (line.trim().is_empty() || line.trim_start().starts_with('#')) {
            continue;
        }
        let body = line.trim_end().trim_end_matches('\\');
        match (open, all.last_mut()) {
            (true, Some((_, whole))) => {
                whole.push(' ');
                whole.push_str(body);
            }
            _ => all.push((at + 1, body.to_owned())),
        }
        open = line.trim_end().ends_with('\\');
    }
    all
}

/// The first line that a secret makes another one of: by a `\\` at its end the next line goes on with it.
fn first_changed(answers: &Values) -> Option<Finding> {
    let real: BTreeMap<usize, String> = logical(&answers.real).into_iter().collect();
    logical(&answers.marked)
        .into_iter()
        .find_map(|(line, marked)| {
            let meant = answers.filled(&marked)?;
            let same = real
                .get(&line)
                .is_some_and(|real| real.split_whitespace().eq(meant.split_whitespace()));
            (!same).then(|| {
            Finding::new(
                line,
                "a secret makes another line of it: at the end of a line `\\` joins the next one",
                "choose another secret: debconf has no way to write it",
            )
        })
        })
}

fn blank_behind_backslash((at, line): (usize, &str)) -> Option<Finding> {
    let line = line.trim_end_matches('\r');
    let blank = line.trim_end() != line && line.trim_end().ends_with('\\');
    let comment = line.trim_start().starts_with('#');
    (blank && !comment).then(|| {
        Finding::new(
            at + 1,
            "there is a blank behind the backslash, so the next line is no part of this one",
            "let the backslash be the last character of the line",
        )
    })
}

fn wrong_value(line: usize, question: &str, kind: &str, value: &str) -> Option<Finding> {
    if !TYPES.contains(&kind) {
        let help = match nearest(kind, TYPES.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the types are {}", TYPES.join(", ")),
        };
        return Some(Finding::new(
            line,
            format!("debconf has no type `{kind}`, so `{question}` keeps its default"),
            help,
        ));
    }
    if kind == "boolean" && !matches!(value, "true" | "false") {
        return Some(Finding::new(
            line,
            format!("`{question}` is a boolean, and `{value}` is neither `true` nor `false`"),
            "write `true` or `false`",
        ));
    }
    if OTHERS.contains(&question) {
        let missing = value.split_whitespace().find(|name| !is_remote(name))?;
        return Some(Finding::new(
            line,
            format!("the installer finds no `{missing}`: the answers are injected alone"),
            "copy its lines into this file, or give an address",
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_no_text() {
        let status = |time| {
            format!(
                "[           (1*installer)  2 shell  3 shell  4- log           ][ Nov 21  {time} ]"
            )
        };
        let line = format!(
            "Loading  ... 25%{}... 50%{}... 75%",
            status("8:31"),
            status("8:32")
        );
        assert_eq!(without_status(&line), "Loading  ... 25%... 50%... 75%");
        assert_eq!(
            without_status("Prompt: '?' for help> [ (1*installer)  2 shell  3 sh"),
            "Prompt: '?' for help> [ (1*installer)  2 shell  3 sh"
        );
        assert_eq!(without_status("[ 2 shell  3 shell"), "");
        assert_eq!(without_status("plain"), "plain");
    }

    #[test]
    fn the_last_share_of_a_growing_line_counts() {
        let seen = |text| progress(text).map(|p| (p.step, p.percent));
        let base = |n| Some(("Installing the base system".to_owned(), Some(n)));
        assert_eq!(seen("Installing the base system  ... 10%... 23%"), base(23));
        assert_eq!(seen("Installing the base system  ... 10%... 2"), base(10));
        let cut = "Installing the base system  ... 10%... 23%[           (1*inst";
        assert_eq!(seen(cut), base(23));
        assert_eq!(seen("Loading additional components..."), None);
        assert_eq!(seen("[    3.1] usb 1-1: new device"), None);
        assert_eq!(seen("... 40%"), None);
    }

    fn of(text: &str) -> Vec<(usize, String)> {
        let found = judge(text).into_iter();
        found.map(|f| (f.line, f.message)).collect()
    }

    fn lines(text: &str) -> Vec<usize> {
        of(text).into_iter().map(|(line, _)| line).collect()
    }

    const LATE: &str = "d-i preseed/late_command string true && imgforge-proof\n";

    #[test]
    fn good_answers_are_good() {
        let text = format!(
            "# a comment \\ \n\nd-i time/zone string Etc/UTC\nd-i netcfg/get_domain string\n\
             d-i partman-auto/expert_recipe string x :: \\\n  1 1 1 free . \\\n  # no comment here\n\
             tasksel tasksel/first multiselect\nd-i a/b seen true\nd-i c/d boolean false\n\
             d-i preseed/include string http://mirror.example/a.cfg\n{LATE}"
        );
        assert_eq!(of(&text), vec![]);
    }

    #[test]
    fn what_debconf_would_pass_over_is_named_with_its_line() {
        for (text, line) in [
            ("d-i a/b string x\r\n", 1),
            ("d-i a/b string x \\ \n  y\n", 1),
            ("\nd-i a/b string x \\\t\n  y\n", 2),
            ("d-i a/b strnig x\n", 1),
            ("d-i a/b boolean yes\n", 1),
            ("d-i a/b boolean\n", 1),
            ("d-i a/b\n", 1),
            ("d-i preseed/include string common.cfg\n", 1),
            ("d-i preseed/include string /common.cfg\n", 1),
            ("d-i preseed/include string file:///common.cfg\n", 1),
            ("d-i preseed/include string http://x.example/a b.cfg\n", 1),
            ("d-i preseed/run string fix.sh\n", 1),
        ] {
            assert_eq!(lines(&format!("{text}{LATE}")), [line], "{text:?}");
        }
    }

    #[test]
    fn a_secret_that_takes_the_next_line_is_refused() {
        let refused = |template: &str, secret: &str| {
            first_changed(&Values::with(template, secret)).map(|found| found.line)
        };
        let end = "d-i a/a string x\nd-i a/b password {}\nd-i a/c string y\n";
        assert_eq!(refused(end, r"pass\"), Some(2));
        assert_eq!(refused(end, r"pa\ss #word"), None);
        assert_eq!(
            refused("d-i a/b string '{}' y\nd-i a/c string y\n", r"pass\"),
            None
        );
        assert_eq!(refused("{}\nd-i a/c string y\n", "# nothing"), None);
    }

    #[test]
    fn the_proof_is_the_last_act() {
        assert_eq!(lines("d-i a/b string x\n"), [0]);
        assert_eq!(
            lines("d-i preseed/early_command string imgforge-proof\n"),
            [1]
        );
        assert_eq!(lines(&format!("# {LATE}")), [0]);
        // debconf keeps the last value only.
        let again = "d-i preseed/late_command string in-target true\n";
        assert_eq!(lines(&format!("{LATE}{again}")), [1]);
        let long = "d-i preseed/late_command string true; \\\n  true; \\\n  imgforge-proof\n";
        assert_eq!(lines(long), [0; 0]);
    }
}
