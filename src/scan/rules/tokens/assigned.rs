//! Values that their names or their randomness give away.

use std::sync::LazyLock;

use regex::Regex;

use super::super::text::{entropy, is_real, line_with, lines};
use crate::scan::rule::Case;

/// Where people put configuration.
pub(super) const PLACES: &[&str] = &[
    "/etc/**",
    "/root/**",
    "/home/**",
    "/opt/**",
    "/srv/**",
    "/usr/local/**",
    "/var/www/**",
    "/var/backups/**",
    "/tmp/**",
    "/var/tmp/**",
    "/*",
];

/// Larger texts are data.
const LARGEST: usize = 1 << 20;

/// A name that says what the value is, and the value.
static ASSIGNED: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r#"(?ix) [\w.-]* (?: api_?-?key | auth_?-?key | service_?-?key | account_?-?key | db_?-?key
        | database_?-?key | priv_?-?key | private_?-?key | client_?-?key | db_?-?pass | database_?-?pass
        | key_?-?pass | password | passwd | pwd | passphrase | secret | token | contrase(?:ñ|n)a
        | access_?-?key | credentials? | apikey )
        \w* ["'\]]* \s* (?: := | => | -> | == | != | = | : ) \s* ["']? ([^\s"']{4,}) "#,
    )
    .expect("fixed")
});

/// A text in quotes, or the value of a setting.
static QUOTED: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r#"["']([A-Za-z0-9+/=_-]{20,})["']|^\s*[\w.-]+\s*[=:]\s*([A-Za-z0-9+/=_-]{20,})\s*$"#,
    )
    .expect("fixed")
});

/// Bits a character from which on a text is random, of base64 and of hexadecimal digits.
const RANDOM: f64 = 4.3;
const RANDOM_HEX: f64 = 3.0;

static TWILIO: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\b(?:SK|AC)[0-9a-f]{32}\b").expect("fixed"));

static CHAT_BOT: LazyLock<Regex> = LazyLock::new(|| {
    let telegram = r"\b[0-9]{8,10}:[A-Za-z0-9_-]{35}\b";
    let discord = r"\b[MNO][A-Za-z0-9_-]{23,25}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,38}";
    Regex::new(&format!("{telegram}|{discord}")).expect("fixed")
});

pub(super) fn twilio(case: &Case<'_>) -> Option<String> {
    line_with(&configuration(case)?, &TWILIO)
}

pub(super) fn chat_bot(case: &Case<'_>) -> Option<String> {
    line_with(&configuration(case)?, &CHAT_BOT)
}

pub(super) fn assignment(case: &Case<'_>) -> Option<String> {
    let text = configuration(case)?;
    let found = lines(&text).find(|(_, line)| {
        let mut all = ASSIGNED.captures_iter(line);
        line.len() < 4096
            && all.any(|found| found.get(1).is_some_and(|value| is_secret(value.as_str())))
    });
    found.map(|(number, _)| format!("line {number}"))
}

fn is_secret(value: &str) -> bool {
    let value = value.trim_end_matches([';', ',', ')', '}', ']']);
    let code = value.contains(['(', '{', '[']) || value.contains("::") || value.contains("->");
    is_real(value) && !code
}

pub(super) fn random_string(case: &Case<'_>) -> Option<String> {
    let text = configuration(case)?;
    let random = |value: &str| {
        let hex = value.bytes().all(|byte| byte.is_ascii_hexdigit());
        let enough = if hex { RANDOM_HEX } else { RANDOM };
        let digits = value.bytes().any(|byte| byte.is_ascii_digit());
        digits && entropy(value) > enough && !is_digest_name(value)
    };
    let found = lines(&text).find(|(_, line)| {
        let mut all = QUOTED.captures_iter(line);
        line.len() < 4096
            && all.any(|found| {
                let value = found.get(1).or_else(|| found.get(2));
                value.is_some_and(|value| random(value.as_str()))
            })
    });
    found.map(|(number, _)| format!("line {number}"))
}

/// A path or a list of words is long and mixed, but not random.
fn is_digest_name(value: &str) -> bool {
    value.contains('/') && value.split('/').all(|part| part.len() < 16)
        || value
            .split(['-', '_'])
            .filter(|part| part.len() > 2)
            .count()
            > 3
}

/// The text of a configuration file, but not of what is public by its kind.
fn configuration<'c>(case: &'c Case<'_>) -> Option<std::borrow::Cow<'c, str>> {
    let path = case.entry.path.as_str();
    let public = [
        "/etc/ssl/certs/",
        "/etc/ca-certificates",
        "/etc/pki/ca-trust/",
        "/etc/pki/rpm-gpg/",
    ];
    let other_rules = [
        "/etc/shadow",
        "/etc/gshadow",
        "/etc/passwd",
        "/etc/group",
        "/etc/machine-id",
    ];
    let text = case.content.len() <= LARGEST
        && !case.content.contains(&0)
        && !public
            .iter()
            .chain(&other_rules)
            .any(|start| path.starts_with(start))
        && !path.ends_with(".pub")
        && !path.ends_with(".asc")
        && !path.ends_with(".crt");
    text.then(|| case.text())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::{Declared, FileEntry};

    fn says(judge: fn(&Case<'_>) -> Option<String>, text: &str) -> bool {
        let entry = FileEntry::new("/etc/app.conf".into(), 0o100_644, (0, 0), text.len() as u64);
        let declared = Declared::default();
        judge(&Case {
            entry: &entry,
            content: text.as_bytes(),
            declared: &declared,
        })
        .is_some()
    }

    #[test]
    fn assignments_of_secrets_are_told_from_talk_about_them() {
        for (text, secret) in [
            ("password = hunter22", true),
            ("DB_PASSWORD=\"s3cr3t!x\"", true),
            ("api_key: 0a1b2c3d4e5f", true),
            ("\"client_secret\": \"abcdef12345\"", true),
            ("# password = hunter22", false),
            ("password = ${PASSWORD}", false),
            ("password\trequisite\tpam_deny.so", false),
            ("PASS_MAX_DAYS 99999", false),
            ("passwd: files systemd", false),
            ("PermitEmptyPasswords no", false),
            ("secret = get_secret(name)", false),
        ] {
            assert_eq!(says(assignment, text), secret, "{text}");
        }
    }

    #[test]
    fn random_strings_are_told_from_names() {
        for (text, random) in [
            (
                "x = \"c3VwZXIgbG9uZyBzdHJpbmcgc2hvdWxkIGNhdXNlIGVub3VnaCBlbnRyb3B5\"",
                true,
            ),
            ("x = '2b00042f7481c7b056c4b410d28f33cf'", true),
            ("value: q8Zr1xV7bN3mK0pLq2W9sT4uYe6R", true),
            ("x = \"/usr/lib/x86_64-linux-gnu/security\"", false),
            ("x = \"a-name-with-several-parts-64bit\"", false),
            ("x = \"abcdefghijklmnopqrstuvwxyz\"", false),
        ] {
            assert_eq!(says(random_string, text), random, "{text}");
        }
    }
}
