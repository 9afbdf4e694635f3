//! What people and programs leave.

use std::sync::LazyLock;

use regex::Regex;

use super::text::line_with;
use crate::scan::rule::{Fix, Group, Matcher, Rule};

const fn rule(
    name: &'static str,
    why: &'static str,
    operation: &'static str,
    matcher: Matcher,
) -> Rule {
    by(name, why, Fix::Operation(operation), matcher)
}

const fn by(name: &'static str, why: &'static str, fix: Fix, matcher: Matcher) -> Rule {
    Rule {
        name,
        group: Group::Traces,
        why,
        fix,
        matcher,
    }
}

pub(super) const RULES: &[Rule] = &[
    by(
        "shell-history",
        "people type passwords",
        Fix::Operations(&[
            ("bash-history", &["/{root,home/*}/.bash_history"]),
            ("zsh-history", &["/{root,home/*}/.{zsh_history,zhistory}"]),
            (
                "homes",
                &[
                    "/{root,home/*,var/lib/*}/.{ash_history,sh_history,history}",
                    "/var/lib/*/.{bash_history,zsh_history,zhistory}",
                ],
            ),
        ]),
        Matcher::Present(&[
            "/**/{.bash_history,.zsh_history,.zhistory,.ash_history,.sh_history,.history,.ksh_history,.csh_history}",
            "/**/fish/fish_history",
        ]),
    ),
    by(
        "tool-history",
        "people type passwords",
        Fix::Setting("remove it in the step that ran the program"),
        Matcher::Present(&[
            "/**/{.python_history,.mysql_history,.psql_history,.sqlite_history,.rediscli_history,.node_repl_history,.lesshst,.viminfo,.wget-hsts,.irb_history,.dbshell,.mongosh_history}",
            "/**/.local/state/less/history",
        ]),
    ),
    by(
        "known-hosts",
        "it tells which machines the build has talked to, and trusts them",
        Fix::Operations(&[
            ("ssh-userdir", &["/{root,home/*}/.ssh/*"]),
            ("homes", &["/var/lib/*/.ssh/*"]),
        ]),
        Matcher::Present(&[
            "/{root,home/*}/.ssh/known_hosts*",
            "/var/lib/*/.ssh/known_hosts*",
        ]),
    ),
    by(
        "journal",
        "it tells everything that happened during the build",
        Fix::Operations(&[("logfiles", &["/var/log/**"])]),
        Matcher::Present(&["/var/log/journal/**", "/run/log/journal/**"]),
    ),
    by(
        "login-record",
        "it tells who was logged in during the build",
        Fix::Operations(&[(
            "utmp",
            &[
                "/var/log/*",
                "/var/lib/wtmpdb/wtmp.db",
                "/var/lib/lastlog/lastlog2.db",
            ],
        )]),
        Matcher::Present(&[
            "/var/log/{wtmp,btmp,lastlog,faillog,tallylog}",
            "/var/log/{wtmp,btmp}.*",
            "/var/lib/wtmpdb/*.db",
            "/var/lib/lastlog/*.db",
        ]),
    ),
    rule(
        "audit-log",
        "it tells everything that happened during the build",
        "logfiles",
        Matcher::Present(&["/var/log/audit/*"]),
    ),
    rule(
        "mail-spool",
        "it holds what programs wrote to their owners during the build",
        "mail-spool",
        Matcher::Present(&["/var/{mail,spool/mail}/*"]),
    ),
    by(
        "crash-dump",
        "it holds the memory of a program, with what was secret in it",
        Fix::Operations(&[
            ("crash-data", &["/var/crash/**", "/var/lib/systemd/**"]),
            ("abrt-data", &["/var/spool/abrt/**"]),
            ("tmp-files", &["/tmp/*"]),
        ]),
        Matcher::Present(&[
            "/var/crash/**",
            "/var/lib/systemd/coredump/*",
            "/var/spool/abrt/**",
            "/var/lib/systemd/pstore/**",
            "/{,root/,tmp/,home/*/}core",
            "/{,root/,tmp/,home/*/}core.[0-9]*",
        ]),
    ),
    rule(
        "temporary-file",
        "nobody knows what is in it, and nobody removes it from a machine",
        "tmp-files",
        Matcher::Present(&["/tmp/**", "/var/tmp/**"]),
    ),
    by(
        "editor-backup",
        "it is a copy of a file that somebody has changed for a reason",
        Fix::Operations(&[(
            "backup-files",
            &["/{etc,root,srv}/**/*~", "/{etc,root,srv}/**/*.bak"],
        )]),
        Matcher::Present(&[
            "/{etc,root,home,srv,opt}/**/*~",
            "/{etc,root,home,srv,opt}/**/*.{bak,swp,swo}",
            "/{etc,root,home}/**/#*#",
        ]),
    ),
    rule(
        "scheduled-job",
        "it would run on every machine made from the image, in somebody's name",
        "cron-spool",
        Matcher::Judged(
            &[
                "/var/spool/cron/crontabs/*",
                "/var/spool/cron/*",
                "/var/spool/at/*",
                "/var/spool/cron/atjobs/*",
            ],
            |case| {
                static JOB: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\S").expect("fixed"));
                let number = case.entry.path.ends_with("/.SEQ");
                if number {
                    None
                } else {
                    line_with(&case.text(), &JOB)
                }
            },
        ),
    ),
];
