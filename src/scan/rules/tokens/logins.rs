//! Logins of people and programs, known by their files.

use std::sync::LazyLock;

use regex::Regex;

use super::super::text::{is_real, line_with, lines};
use super::{assigned, rule, token};
use crate::scan::rule::{Bytes, Matcher, Rule};

pub(in crate::scan::rules) const RULES: &[Rule] = &[
    token(
        "url-credentials",
        &Bytes {
            anchors: &["://"],
            pattern: r#"\b[a-zA-Z][a-zA-Z0-9+.-]{1,20}://[^\s/:@"'<>$%{}\[\]()|\\`,;]{1,64}:[^\s/:@"'<>$%{}\[\]()|\\`,;]{3,128}@[A-Za-z0-9\[][A-Za-z0-9.-]*"#,
            judge: |found, _| url_password(found),
            not_in: &[
                "/usr/{bin,sbin,lib,lib64,lib32,libexec,share}/**",
                "/boot/**",
                "/var/lib/{dpkg,apt,rpm}/**",
            ],
        },
    ),
    rule(
        "git-credentials",
        Matcher::Present(&[
            "/**/.git-credentials",
            "/**/.config/git/credentials",
            "/**/.config/hub",
            "/**/.config/glab-cli/config.yml",
            "/**/.config/gh/hosts.yml",
        ]),
    ),
    rule(
        "netrc",
        Matcher::Judged(
            &[
                "/**/.netrc",
                "/**/_netrc",
                "/etc/netrc",
                "/etc/apt/auth.conf",
                "/etc/apt/auth.conf.d/*",
            ],
            |case| {
                static PASSWORD: LazyLock<Regex> = LazyLock::new(|| {
                    Regex::new(r"\b(password|login|account)\s+\S+").expect("fixed")
                });
                line_with(&case.text(), &PASSWORD)
            },
        ),
    ),
    rule(
        "database-login",
        Matcher::Judged(
            &[
                "/**/.pgpass",
                "/**/.my.cnf",
                "/**/.mylogin.cnf",
                "/etc/mysql/debian.cnf",
                "/**/.mongorc.js",
                "/**/.pgpass.conf",
            ],
            |case| {
                static LOGIN: LazyLock<Regex> = LazyLock::new(|| {
                    Regex::new(r"(?i)^(password|pass)\s*=\s*\S+|^[^:]+:[^:]*:[^:]*:[^:]*:\S+")
                        .expect("fixed")
                });
                let binary = case.entry.path.ends_with(".mylogin.cnf").then(String::new);
                binary.or_else(|| line_with(&case.text(), &LOGIN))
            },
        ),
    ),
    rule(
        "storage-login",
        Matcher::Judged(
            &[
                "/**/.s3cfg",
                "/**/rclone.conf",
                "/**/.mc/config.json",
                "/**/.passwd-s3fs",
                "/etc/passwd-s3fs",
                "/**/.smbcredentials",
                "/etc/{samba,cifs}/*cred*",
                "/**/.davfs2/secrets",
                "/etc/davfs2/secrets",
            ],
            |case| {
                let text = case.text();
                let first = lines(&text).next().map(|(number, _)| number);
                first.map(|number| format!("line {number}"))
            },
        ),
    ),
    rule(
        "wifi-password",
        Matcher::Judged(
            &[
                "/etc/wpa_supplicant/*.conf",
                "/etc/wpa_supplicant.conf",
                "/etc/NetworkManager/system-connections/*",
                "/etc/netplan/*",
                "/var/lib/iwd/*",
            ],
            |case| {
                static PSK: LazyLock<Regex> = LazyLock::new(|| {
                    Regex::new(r#"(?i)^\s*"?(psk|password|preshared-?key|passphrase|wep-key0|private-key-password)"?\s*[=:]\s*"?\S{4,}"#).expect("fixed")
                });
                line_with(&case.text(), &PSK)
            },
        ),
    ),
    rule(
        "mail-login",
        Matcher::Judged(
            &[
                "/etc/postfix/sasl_passwd*",
                "/etc/postfix/sasl/*passwd*",
                "/etc/exim4/passwd.client",
                "/**/.msmtprc",
                "/etc/msmtprc",
                "/etc/ssmtp/ssmtp.conf",
                "/**/.fetchmailrc",
                "/etc/fetchmailrc",
            ],
            |case| {
                static LOGIN: LazyLock<Regex> = LazyLock::new(|| {
                    Regex::new(r"(?i)^\S+\s+\S+:\S+|^[^:\s]+:[^:\s]+:\S+|^\s*password\s+\S+|^AuthPass=\S+|\bpass(word)?\s+\S+").expect("fixed")
                });
                line_with(&case.text(), &LOGIN)
            },
        ),
    ),
    rule(
        "subversion-login",
        Matcher::Present(&["/**/.subversion/auth/svn.simple/*", "/**/.cvspass"]),
    ),
    rule(
        "registration-token",
        Matcher::Present(&[
            "/var/lib/ubuntu-advantage/private/*",
            "/var/lib/ubuntu-pro/private/*",
            "/var/lib/tailscale/tailscaled.state",
            "/etc/gitlab-runner/config.toml",
            "/etc/machine-token",
            "/etc/chef/{validation.pem,client.pem,encrypted_data_bag_secret}",
            "/etc/zabbix/*.psk",
            "/var/lib/snapd/state.json.auth",
        ]),
    ),
    rule(
        "secret-assignment",
        Matcher::Judged(assigned::PLACES, assigned::assignment),
    ),
    rule(
        "random-string",
        Matcher::Judged(assigned::PLACES, assigned::random_string),
    ),
];
/// Whether an address holds a password, and not the word for one.
fn url_password(found: &[u8]) -> bool {
    let text = String::from_utf8_lossy(found);
    let login = text
        .split_once("://")
        .and_then(|(_, rest)| rest.rsplit_once('@'));
    let Some((user, password)) = login.and_then(|(login, _)| login.split_once(':')) else {
        return false;
    };
    let words = [
        "user", "username", "foo", "bar", "login", "me", "usr", "u", "myuser",
    ];
    is_real(password)
        && !words.contains(&user.to_ascii_lowercase().as_str())
        && !password.bytes().all(|byte| byte.is_ascii_digit())
}
