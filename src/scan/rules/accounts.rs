//! Accounts and passwords.

use std::sync::LazyLock;

use regex::Regex;

use super::text::line_with;
use crate::scan::rule::{Bytes, Case, Fix, Group, Matcher, Rule};

const fn rule(name: &'static str, why: &'static str, fix: Fix, matcher: Matcher) -> Rule {
    Rule {
        name,
        group: Group::Accounts,
        why,
        fix,
        matcher,
    }
}

const LOCK: Fix = Fix::Setting(
    "lock the account (`usermod -p '*' NAME`), or declare it under `users` with `password`",
);

pub(super) const RULES: &[Rule] = &[
    rule(
        "password-hash",
        "everyone who knows the password can log in to every machine made from the image",
        LOCK,
        Matcher::Judged(&["/etc/shadow"], |case| {
            accounts(
                case,
                |hash| hash.len() > 4 && !hash.starts_with(['*', '!']),
                true,
            )
        }),
    ),
    rule(
        "empty-password",
        "anybody can log in to every machine made from the image, without a password",
        LOCK,
        Matcher::Judged(&["/etc/shadow", "/etc/passwd"], |case| {
            accounts(case, str::is_empty, false)
        }),
    ),
    rule(
        "password-in-passwd",
        "every user of the machine can read the hash",
        LOCK,
        Matcher::Judged(&["/etc/passwd"], |case| {
            accounts(
                case,
                |field| field.len() > 4 && !field.starts_with(['*', '!']),
                true,
            )
        }),
    ),
    rule(
        "group-password",
        "everyone who knows the password can join the group",
        Fix::Setting("remove it with `gpasswd -r GROUP`"),
        Matcher::Judged(&["/etc/gshadow", "/etc/group"], |case| {
            accounts(
                case,
                |field| field.len() > 4 && !field.starts_with(['*', '!']),
                false,
            )
        }),
    ),
    rule(
        "password-backup",
        "it holds the accounts and hashes of before the last change",
        Fix::Operations(&[
            ("passwd-backups", &["/etc/*-"]),
            ("backup-files", &["/etc/*.bak", "/var/backups/*.bak"]),
        ]),
        Matcher::Judged(
            &[
                "/etc/{shadow,gshadow,passwd,group}-",
                "/etc/{shadow,gshadow,passwd}.{bak,old,orig,rpmsave,dpkg-old}",
                "/var/backups/{shadow,gshadow,passwd,group}.bak",
                "/etc/security/opasswd",
            ],
            |case| {
                // Names of groups and users are no secret; that a file is a copy matters for hashes.
                let shadow =
                    case.entry.path.contains("shadow") || case.entry.path.ends_with("opasswd");
                let hashes = || {
                    accounts(
                        case,
                        |hash| hash.len() > 4 && !hash.starts_with(['*', '!']),
                        false,
                    )
                };
                if shadow {
                    hashes()
                } else {
                    case.entry.path.ends_with('-').then(String::new)
                }
            },
        ),
    ),
    rule(
        "second-root",
        "another name for root is how intruders stay",
        Fix::Setting("remove the account, or give it an id of its own"),
        Matcher::Judged(&["/etc/passwd"], |case| {
            let text = case.text();
            let second = text.lines().find(|line| {
                let fields: Vec<&str> = line.split(':').collect();
                fields.get(2) == Some(&"0") && fields[0] != "root"
            });
            second.map(|line| format!("the account {}", line.split(':').next().unwrap_or_default()))
        }),
    ),
    rule(
        "web-password",
        "it lets everyone who has the image try passwords at leisure",
        Fix::Setting("make the file at a machine's first boot, with a step of `instance`"),
        Matcher::Judged(
            &[
                "/**/.htpasswd",
                "/**/htpasswd",
                "/**/*.htpasswd",
                "/etc/nginx/*passwd*",
            ],
            |case| {
                static HASH: LazyLock<Regex> =
                    LazyLock::new(|| Regex::new(r"^[^:\s]+:\S{10,}").expect("fixed"));
                line_with(&case.text(), &HASH)
            },
        ),
    ),
    rule(
        "password-hash-elsewhere",
        "it lets everyone who has the image try passwords at leisure",
        Fix::Setting("remove the file in the step that brought it"),
        Matcher::Bytes(&Bytes {
            anchors: &[
                "$6$",
                "$5$",
                "$y$",
                "$gy$",
                "$2a$",
                "$2b$",
                "$2y$",
                "$apr1$",
                "$1$",
                "$argon2",
                "$7$",
                "$scrypt$",
                "grub.pbkdf2.",
            ],
            pattern: r"\$6\$(?:rounds=[0-9]+\$)?[./A-Za-z0-9]{4,16}\$[./A-Za-z0-9]{86}|\$5\$(?:rounds=[0-9]+\$)?[./A-Za-z0-9]{4,16}\$[./A-Za-z0-9]{43}|\$g?y\$[./A-Za-z0-9]{2,8}\$[./A-Za-z0-9]{4,86}\$[./A-Za-z0-9]{43}|\$2[aby]\$[0-9]{2}\$[./A-Za-z0-9]{53}|\$apr1\$[./A-Za-z0-9]{2,8}\$[./A-Za-z0-9]{22}|\$1\$[./A-Za-z0-9]{2,8}\$[./A-Za-z0-9]{22}|\$argon2id?\$v=[0-9]+\$[a-z0-9=,]+\$[A-Za-z0-9+/]{8,}\$[A-Za-z0-9+/]{16,}|\$7\$[./A-Za-z0-9]{11,97}\$[./A-Za-z0-9]{43}|grub\.pbkdf2\.sha512\.[0-9]+\.[0-9A-Fa-f]{32,}\.[0-9A-Fa-f]{64,}",
            judge: |_, after| {
                after
                    .first()
                    .is_none_or(|byte| !byte.is_ascii_alphanumeric())
            },
            not_in: &[
                "/etc/shadow*",
                "/etc/passwd*",
                "/etc/gshadow*",
                "/etc/group*",
                "/var/backups/*",
                "/**/*htpasswd",
                "/etc/nginx/*passwd*",
                "/etc/security/opasswd",
            ],
        }),
    ),
];

/// The accounts whose second field is `wrong`; a declared password is none.
fn accounts(case: &Case<'_>, wrong: impl Fn(&str) -> bool, declared: bool) -> Option<String> {
    let text = case.text();
    let names: Vec<&str> = text
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            let (name, hash) = (fields.next()?, fields.next()?);
            // NIS' `+` lines have no field of their own.
            let found = !name.is_empty() && !name.starts_with(['+', '-', '#']) && wrong(hash);
            (found && !(declared && case.declared.password(name, hash))).then_some(name)
        })
        .collect();
    match names.as_slice() {
        [] => None,
        [one] => Some(format!("the account {one}")),
        many => Some(format!("the accounts {}", many.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::{Account, Declared, FileEntry};

    #[test]
    fn accounts_with_usable_passwords_are_named_unless_declared() {
        let text = "root:*:1:::::\nops:$y$j9T$a$b:1:::::\nann:$6$x$y:1:::::\nbin:!:1:::::\n";
        let entry = FileEntry::new("/etc/shadow".into(), 0o100_640, (0, 42), 1);
        let mut declared = Declared::default();
        let account = Account {
            password: true,
            ..Account::default()
        };
        declared.accounts.insert("ops".into(), account);
        let case = Case {
            entry: &entry,
            content: text.as_bytes(),
            declared: &declared,
        };
        let hash = |hash: &str| hash.len() > 4;
        assert_eq!(accounts(&case, hash, true).unwrap(), "the account ann");
        assert_eq!(
            accounts(&case, hash, false).unwrap(),
            "the accounts ops, ann"
        );
        assert_eq!(accounts(&case, str::is_empty, false), None);
    }
}
