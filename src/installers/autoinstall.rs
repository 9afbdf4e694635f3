//! subiquity, Ubuntu's since 20.04. Its answers are cloud-init's user data:
//! <https://canonical-subiquity.readthedocs-hosted.com/en/latest/reference/autoinstall-reference.html>.

use serde_json::Value;

use super::{Delivery, Finding, Installer, Leaves, PROOF, Progress, Values, first_word};

/// The installer.
pub const AUTOINSTALL: Installer = Installer {
    name: "autoinstall",
    end: ".yaml",
    program: "subiquity",
    shows: |line| match first_word(line) {
        "#cloud-config" => true,
        word => word == "autoinstall:" && line.starts_with(word),
    },
    judge,
    judge_values: first_changed,
    // A NoCloud seed, which cloud-init finds by its label.
    delivery: Delivery::Seed {
        label: "CIDATA",
        files: |answers, instance| {
            vec![
                ("user-data", answers.to_owned()),
                ("meta-data", format!("instance-id: {instance}\n")),
            ]
        },
    },
    // Of live media, of which virt-install does not know it.
    iso_boot: Some(("casper/vmlinuz", "casper/initrd")),
    tree_arg: None,
    unverified: None,
    kernel_args: &["autoinstall"],
    root: "/target",
    // Of curtin as well, which it calls.
    leaves: Leaves {
        answers: &[
            "/autoinstall.yaml",
            "/etc/cloud/cloud.cfg.d/99-installer.cfg",
            "/root/curtin-install-cfg.yaml",
            "/var/log/installer/autoinstall-user-data",
        ],
        logs: &["/root/curtin-install.log", "/var/log/installer.tar*"],
        settings: &[
            "/etc/apt/apt.conf.d/90curtin-aptproxy",
            "/etc/cloud/cloud.cfg.d/subiquity-disable-cloudinit-networking.cfg",
            "/var/lib/cloud/seed",
        ],
    },
    prompts: &[
        "Continue with autoinstall?",
        "Continue in rich mode",
        "Continue in basic mode",
        "Press enter to start a shell",
        "press enter to continue",
    ],
    deadly: &[
        "An error occurred. Press enter to start a shell",
        "Malformed autoinstall in",
        "autoinstall config did not create needed bootloader partition",
    ],
    progress,
    text: str::to_owned,
};

/// `start: subiquity/Install/install/curtin_install/run_curthooks: configuring installed system`.
fn progress(text: &str) -> Option<Progress> {
    let (_, event) = text.split_once("start: subiquity/")?;
    let (path, words) = event.split_once(':').unwrap_or((event, ""));
    let words = words.trim();
    // Without words of its own an event is named by the last part of its path.
    let step = match words.is_empty() {
        true => path.rsplit('/').next().unwrap_or(path).replace('_', " "),
        false => words.to_owned(),
    };
    Some(Progress {
        step,
        percent: None,
    })
}

fn judge(text: &str) -> Vec<Finding> {
    let mut found: Vec<Finding> = first_line(text).into_iter().collect();
    match serde_yaml::from_str::<Value>(text) {
        Ok(tree) => found.extend(content(text, &tree)),
        Err(error) => {
            let line = error.location().map_or(0, |at| at.line());
            let indented = text.lines().enumerate();
            let tab = indented
                .filter(|(_, line)| line.trim_start_matches(' ').starts_with('\t'))
                .map(|(at, _)| at + 1)
                .next();
            found.push(match tab {
                Some(tab) => Finding::new(
                    tab,
                    "the line is indented by a tab, which YAML does not allow",
                    "indent it by blanks",
                ),
                None => Finding::new(
                    usize::try_from(line).unwrap_or(0),
                    format!(
                        "the answers are not YAML: {}",
                        error
                            .without_snippet()
                            .to_string()
                            .lines()
                            .next()
                            .unwrap_or_default()
                    ),
                    "cloud-init would pass over all of it, and the installer would ask",
                ),
            });
        }
    }
    found
}

/// How much of user data cloud-init looks through for a MIME header, in bytes.
const MIME_WITHIN: usize = 4096;

/// cloud-init knows user data by how it begins, in letters of any case and behind blanks and empty
/// lines, but no comments (`type_from_starts_with`, `convert_string` and `detect_template` of its
/// sources).
fn first_line(text: &str) -> Option<Finding> {
    let lower = text.to_lowercase();
    let mime = &lower.as_bytes()[..lower.len().min(MIME_WITHIN)];
    let mime = memchr::memmem::find(mime, b"mime-version:").is_some();
    let is_config = |text: &str| {
        let text = text.trim_start();
        let others = ["#cloud-config-archive", "#cloud-config-jsonp"];
        text.starts_with("#cloud-config") && !others.iter().any(|other| text.starts_with(other))
    };
    // Only a template may not have an empty line before it:
    // findings/cloud-init-empty-line-before-template.sh.
    let template = lower.split_once('\n');
    let template = template.filter(|(first, _)| first.trim_end() == "## template: jinja");
    if mime || is_config(&lower) || template.is_some_and(|(_, rest)| is_config(rest)) {
        return None;
    }
    let begins = |line: &&str| !line.trim().is_empty();
    Some(Finding::new(
        text.lines().position(|line| begins(&line)).unwrap_or(0) + 1,
        "the first line is not `#cloud-config`, so cloud-init passes over the answers",
        "begin the file with the line `#cloud-config`",
    ))
}

fn content(text: &str, tree: &Value) -> Vec<Finding> {
    let Some(answers) = tree.get("autoinstall").and_then(Value::as_object) else {
        let keys = ["version:", "identity:", "late-commands:", "storage:"];
        let bare = |line: &str| keys.iter().any(|key| line.starts_with(key));
        let line = text.lines().position(bare).map_or(0, |at| at + 1);
        return vec![Finding::new(
            line,
            "the answers do not stand below the key `autoinstall:`, so the installer has none",
            "put them below `autoinstall:`, indented",
        )];
    };
    let mut found = vec![];
    let line_of = |key: &str| {
        let is = |line: &str| line.trim_start().starts_with(key);
        text.lines().position(is).map_or(0, |at| at + 1)
    };
    if answers.get("version").and_then(Value::as_u64) != Some(1) {
        found.push(Finding::new(
            line_of("version:"),
            "`autoinstall` has no `version: 1`, and the installer refuses it",
            "add `version: 1`",
        ));
    }
    if let Some(asks) = answers.get("interactive-sections")
        && asks.as_array().is_none_or(|list| !list.is_empty())
    {
        found.push(Finding::new(
            line_of("interactive-sections:"),
            "`interactive-sections` makes the installer wait for somebody",
            "remove it, or let it be `[]`",
        ));
    }
    let said = |key: &str| answers.get(key).is_some_and(contains);
    if !said("late-commands") {
        let line = text
            .lines()
            .position(|line| line.contains(PROOF) && !line.trim_start().starts_with('#'))
            .map_or(0, |at| at + 1);
        let example = "`- {{ imgforge_sentinel }}` as the end of `late-commands`";
        found.push(Finding::no_proof(line, "`late-commands`", example));
    }
    found
}

/// The first text of which YAML makes another one, or something else than a text, because of a secret in it.
fn first_changed(answers: &Values) -> Option<Finding> {
    let marked: Value = serde_yaml::from_str(&answers.marked).ok()?;
    let line = match serde_yaml::from_str::<Value>(&answers.real) {
        Ok(real) => changed(answers, &marked, &real)?,
        Err(error) => error
            .location()
            .map_or(0, |at| at.line())
            .try_into()
            .unwrap_or(0),
    };
    Some(Finding::new(
        line,
        "YAML does not take a secret in this line as it is: outside of quotes ` #` begins a comment, and other \
         characters have a meaning, too",
        "put the variable into single quotes, in which `{{ NAME|replace(\"'\", \"''\") }}` stands for any value",
    ))
}

fn changed(answers: &Values, marked: &Value, real: &Value) -> Option<usize> {
    match (marked, real) {
        (Value::Object(marked), Value::Object(real)) => marked
            .iter()
            .find_map(|(key, marked)| changed(answers, marked, real.get(key)?)),
        (Value::Array(marked), Value::Array(real)) => {
            let mut both = marked.iter().zip(real);
            both.find_map(|(marked, real)| changed(answers, marked, real))
        }
        (Value::String(text), real) => {
            let same = |meant: String| match real {
                Value::String(real) => *real == meant,
                Value::Object(_) | Value::Array(_) => answers.filled(text).is_none(),
                // As YAML writes it: `yes` is no `true`.
                other => {
                    let read = other.to_string();
                    read == meant
                }
            };
            let changed = !same(answers.filled_whole(text)?);
            changed.then(|| answers.line_of(text))
        }
        _ => None,
    }
}

fn contains(value: &Value) -> bool {
    match value {
        Value::String(text) => text
            .lines()
            .any(|line| line.contains(PROOF) && !line.trim_start().starts_with('#')),
        Value::Array(list) => list.iter().any(contains),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_that_begin_are_steps() {
        let seen = |text| progress(text).map(|p| p.step);
        assert_eq!(
            seen("start: subiquity/Install/install/postinstall/run_unattended_upgrades: downloading updates").as_deref(),
            Some("downloading updates")
        );
        assert_eq!(
            seen("[  61.2] cloud-init: start: subiquity/Early/load_autoinstall_data:").as_deref(),
            Some("load autoinstall data")
        );
        assert_eq!(seen("finish: subiquity/Network: SUCCESS"), None);
    }

    fn lines(text: &str) -> Vec<usize> {
        judge(text).into_iter().map(|f| f.line).collect()
    }

    const GOOD: &str = "#cloud-config\nautoinstall:\n  version: 1\n  interactive-sections: []\n  \
                        late-commands:\n    - imgforge-proof\n";

    #[test]
    fn good_answers_are_good() {
        assert_eq!(judge(GOOD), []);
        assert_eq!(judge(&GOOD.replace('\n', "\r\n")), []);
        for before in [
            "\n",
            " \n\n",
            "\r\n",
            "## template: jinja\n",
            "## Template: Jinja \n\n",
        ] {
            assert_eq!(judge(&format!("{before}{GOOD}")), [], "{before:?}");
        }
        assert_eq!(judge(&GOOD.replace("#cloud", "#Cloud")), []);
        let list = GOOD.replace("- imgforge-proof", "- [sh, -c, 'true; imgforge-proof']");
        assert_eq!(judge(&list), []);
    }

    #[test]
    fn a_secret_arrives_as_it_is_or_is_refused() {
        let refused = |template: &str, secret: &str| {
            let values = Values::with(&format!("{GOOD}{template}"), secret);
            first_changed(&values).map(|found| found.line)
        };
        let bare = "  identity: {a: b}\n  user-data:\n    passwords: [x]\n    token: {}\n";
        for secret in [
            "pass #word",
            "#word",
            "yes",
            "&pass",
            "a: b: c",
            "0x10",
            "[a",
        ] {
            assert_eq!(refused(bare, secret), Some(10), "{secret}");
            let quoted = bare.replace("{}", "'{}'");
            assert_eq!(refused(&quoted, secret), None, "{secret}");
        }
        for secret in ["pass#word", "$6$a.b/c$d", "12345", "{a: b}"] {
            assert_eq!(refused(bare, secret), None, "{secret}");
        }
        let block = "  late: |\n    {}\n    x: {}\n";
        assert_eq!(refused(block, "a: #b"), None);
        assert_eq!(refused("  late: [echo {}]\n", "a: b"), Some(7));
        assert_eq!(refused("  late: \"{}\"\n", r"a\tb"), Some(7));
    }

    #[test]
    fn what_cloud_init_or_the_installer_pass_over_is_named_with_its_line() {
        for (from, to, line) in [
            ("#cloud-config\n", "", 1),
            ("#cloud-config\n", "# cloud-config\n", 1),
            ("#cloud-config\n", "# of ours\n#cloud-config\n", 1),
            ("#cloud-config\n", "\n# of ours\n#cloud-config\n", 2),
            ("#cloud-config\n", "\u{feff}#cloud-config\n", 1),
            ("#cloud-config\n", "#cloud-config-jsonp\n", 1),
            (
                "#cloud-config\n",
                "\n## template: jinja\n#cloud-config\n",
                2,
            ),
            ("  version: 1\n", "", 0),
            ("version: 1", "version: 2", 3),
            ("sections: []", "sections: [network]", 4),
            ("  interactive", "\tinteractive", 4),
            ("version: 1", "version: [1", 4),
            ("- imgforge-proof", "- 'true'", 0),
            ("- imgforge-proof", "- 'true' # imgforge-proof", 6),
            ("late-commands", "early-commands", 6),
        ] {
            let text = GOOD.replace(from, to);
            assert_ne!(text, GOOD);
            assert_eq!(lines(&text), [line], "{text}");
        }
        let bare = "#cloud-config\nversion: 1\nlate-commands: [imgforge-proof]\n";
        assert_eq!(lines(bare), [2]);
    }
}
