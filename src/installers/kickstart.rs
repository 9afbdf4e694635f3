//! Anaconda: Fedora, RHEL, Rocky, Alma. Its answers are commands, and sections from `%NAME` to `%end`:
//! <https://pykickstart.readthedocs.io/en/latest/kickstart-docs.html>.

use super::{
    Delivery, Finding, Installer, Leaves, PROOF, Progress, Unverified, Values, carriage_return,
    first_word, is_remote, percent, shlex,
};

/// The installer.
pub const KICKSTART: Installer = Installer {
    name: "kickstart",
    end: ".ks",
    program: "Anaconda",
    shows: |line| ["%packages", "%post", "%pre", "%end"].contains(&first_word(line)),
    judge,
    judge_values: |answers| first_cut_off(&answers.real).or_else(|| first_changed(answers)),
    delivery: Delivery::Initrd("ks.cfg"),
    iso_boot: None,
    tree_arg: Some("inst.repo="),
    // Neither its second stage nor, by default, its packages.
    unverified: Some(Unverified {
        args: "inst.",
        proxies: &["--proxy=", "inst.proxy="],
        fetching,
    }),
    kernel_args: &["inst.ks=file:/ks.cfg", "inst.text"],
    root: "/",
    // As the file was, and as it would be written.
    leaves: Leaves {
        answers: &[
            "/root/{anaconda,initial-setup,original}-ks.cfg",
            "/{,root/,tmp/,var/tmp/}ks.cfg",
        ],
        logs: &[
            "/root/{anaconda-post,ks-*}.log",
            "/root/install.log*",
            "/var/log/anaconda",
            "/var/log/anaconda.*",
        ],
        settings: &[],
    },
    prompts: &[
        "Please make a selection from the above",
        "Please make your choice from above",
        "Please respond 'yes' or 'no'",
        "Press ENTER to continue",
        "Press ENTER to quit",
        "Use text mode",
        "Password:",
        "Password (confirm):",
    ],
    deadly: &[
        "Pane is dead",
        "The following problem occurred on line",
        "Non interactive installation failed",
        "An unknown error has occured",
        "An unknown error has occurred",
        "dracut-initqueue timeout - starting timeout scripts",
        "Warning: anaconda: failed to fetch stage2",
    ],
    progress,
    text: str::to_owned,
};

/// What Anaconda says at the beginning of a step.
const STEPS: &[&str] = &[
    "Starting installer",
    "Starting automated install",
    "Checking software",
    "Checking storage",
    "Setting up the installation",
    "Configuring storage",
    "Creating disklabel",
    "Creating ",
    "Running pre-installation",
    "Starting package installation process",
    "Downloading packages",
    "Preparing transaction",
    "Installing boot loader",
    "Performing post-installation",
    "Configuring ",
    "Generating initramfs",
    "Running post-installation",
    "Storing configuration files",
    "Installation complete",
];

/// `Installing bash.x86_64 (12/430)`, `Downloading 12 RPMs, 3 MiB / 9 MiB (33%) done`, and steps.
fn progress(text: &str) -> Option<Progress> {
    let text = text.trim();
    let bracketed = text
        .rsplit_once('(')
        .and_then(|(_, rest)| Some(rest.split_once(')')?.0));
    let share = bracketed.and_then(|inside| match inside.split_once('/') {
        Some((done, total)) => percent(done.trim().parse().ok()?, total.trim().parse().ok()?),
        None => inside.strip_suffix('%')?.parse().ok().filter(|n| *n <= 100),
    });
    let packages = [
        ("Installing ", "installing packages"),
        ("Upgrading ", "installing packages"),
        ("Configuring ", "configuring packages"),
        ("Verifying ", "verifying packages"),
        ("Downloading ", "downloading packages"),
    ];
    let known = packages.iter().find(|(start, _)| text.starts_with(start));
    if let (Some(percent), Some((_, step))) = (share, known) {
        return Some(Progress {
            step: (*step).to_owned(),
            percent: Some(percent),
        });
    }
    let step = STEPS.iter().any(|step| text.starts_with(step));
    step.then(|| Progress {
        step: text.trim_end_matches(['.', ' ']).to_owned(),
        percent: None,
    })
}

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

fn judge(text: &str) -> Vec<Finding> {
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
            found.extend(cut_off(number, line));
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

/// A word that goes on behind a `#`, which its writer took for a part of it.
fn cut_off(number: usize, line: &str) -> Option<Finding> {
    let kept = shlex::command(line);
    let cut = kept.len() < line.len() && !kept.ends_with([' ', '\t']) && !kept.is_empty();
    cut.then(|| {
        Finding::new(
            number,
            "a `#` within a word begins a comment: Anaconda ignores the rest of the line",
            "put the word into quotes, or a blank before the comment",
        )
    })
}

/// The first [`cut_off`] outside of sections.
fn first_cut_off(answers: &str) -> Option<Finding> {
    commands(answers).find_map(|(number, line)| cut_off(number, line))
}

/// The lines of commands, with their numbers: those outside of sections.
fn commands(answers: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut section = false;
    answers.lines().enumerate().filter_map(move |(at, line)| {
        let first = first_word(line);
        section = match section {
            true => first != "%end",
            false => SECTIONS.contains(&first),
        };
        let command = !section && !first.starts_with(['#', '%']);
        command.then_some((at + 1, line))
    })
}

/// The first command to which Anaconda does not give a secret as it is: it is cut off at a `#`, or a `\` or a
/// quote is gone from it. One that blanks make several words of is refused by Anaconda itself.
fn first_changed(answers: &Values) -> Option<Finding> {
    let real: Vec<&str> = answers.real.lines().collect();
    commands(&answers.marked).find_map(|(number, marked)| {
        let taken = shlex::words(real.get(number - 1)?);
        let blanks = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        // Whole lines that are a secret have the syntax of lines.
        answers.filled(marked)?;
        let meant = answers.filled(&shlex::words(marked))?;
        (blanks(&taken) != blanks(&meant)).then(|| {
            Finding::new(
                number,
                "Anaconda does not take a secret in this line as it is: outside of quotes a `#` begins a \
                 comment, and quotes and `\\` are no part of a word",
                "put the variable into quotes that the secret does not have: '…' keeps all else as it is",
            )
        })
    })
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

/// Commands that fetch.
const FETCH: [&str; 6] = [
    "url",
    "repo",
    "liveimg",
    "ostreesetup",
    "%include",
    "%ksappend",
];

/// The commands that fetch something, outside of sections.
fn fetching(answers: &str) -> Vec<String> {
    let (mut found, mut section) = (vec![], false);
    for line in answers.lines() {
        let first = first_word(line);
        let fetches = FETCH.contains(&first);
        if fetches && first.starts_with('%') {
            found.push(line.to_owned());
        } else if fetches && !section {
            found.push(shlex::command(line).to_owned());
        } else if first == "%end" {
            section = false;
        } else if first.starts_with('%') {
            section = true;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_counted_and_steps_are_named() {
        let seen = |text| progress(text).map(|p| (p.step, p.percent));
        let packages = |n| Some(("installing packages".to_owned(), Some(n)));
        assert_eq!(seen("Installing bash.x86_64 (12/430)"), packages(2));
        assert_eq!(seen("Installing zstd.x86_64 (430/430)"), packages(100));
        assert_eq!(
            seen("Downloading 12 RPMs, 3 MiB / 9 MiB (33%) done."),
            Some(("downloading packages".to_owned(), Some(33)))
        );
        assert_eq!(
            seen("Installing boot loader"),
            Some(("Installing boot loader".to_owned(), None))
        );
        assert_eq!(seen("[   12.3] xfs filesystem (1/2)"), None);
    }

    fn lines(text: &str) -> Vec<usize> {
        judge(text).into_iter().map(|f| f.line).collect()
    }

    const END: &str = "%post --erroronfail\nimgforge-proof\n%end\n";

    #[test]
    fn good_answers_are_good() {
        let text = format!(
            "text # a comment\nrootpw --plaintext \"a#b\" 'c#'\nreboot --eject\n\
             %pre\necho part / >/tmp/part\n%end\n%include /tmp/part\n\
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
            ("poweroff\nrootpw --plaintext pass#word\n", 2),
            ("%pre\npoweroff\n%end\n", 0),
        ] {
            assert_eq!(lines(&format!("{text}{END}")), [line], "{text:?}");
        }
        assert_eq!(lines("poweroff\n%post\nimgforge-proof\n"), [2]);
    }

    #[test]
    fn a_value_with_a_hash_outside_of_quotes_cuts_its_line_off() {
        let line = |text: &str| first_cut_off(text).map(|found| found.line);
        let sections = "%pre\na#b\n%end\n# a#b\n%include /tmp/a#b\n";
        assert_eq!(line(&format!("{sections}rootpw pass#word\n")), Some(6));
        assert_eq!(line(&format!("{sections}rootpw \"pass#word\"\n")), None);
    }

    #[test]
    fn a_secret_arrives_as_it_is_or_is_refused() {
        let refused = |template: &str, secret: &str| {
            let values = Values::with(template, secret);
            (KICKSTART.judge_values)(&values).map(|found| found.line)
        };
        let bare = "text # {}\nrootpw --plaintext {} # root's\n";
        for secret in [
            "pass #word",
            "#word",
            r"pa\ss",
            r"pass\",
            "pa\"s\"s",
            "pass#word",
        ] {
            assert_eq!(refused(bare, secret), Some(2), "{secret}");
            assert_eq!(refused("%post\necho {}\n%end\n", secret), None);
            assert_eq!(refused("rootpw '{}'\n", secret), None, "{secret}");
        }
        assert_eq!(refused("rootpw \"{}\"\n", "pass #word"), None);
        assert_eq!(refused("rootpw \"{}\"\n", "pa\"s\"s"), Some(1));
        assert_eq!(refused("rootpw \"{}\"\n", r"pa\ss"), None);
        assert_eq!(refused("rootpw \"{}\"\n", r"pa\\ss"), Some(1));
        assert_eq!(refused("rootpw '{}'\n", "pa's's"), Some(1));
        assert_eq!(refused(bare, "$6$a.b/c$d"), None);
        // A secret of several options, and whole commands with their comment.
        assert_eq!(refused("user {} # x\n", "--name=a --password=b"), None);
        assert_eq!(refused("{}\n", "rootpw \"pass#word\" # ours"), None);
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
