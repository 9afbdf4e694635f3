//! Keys, and who may log in with one.

use std::sync::LazyLock;

use regex::Regex;

use super::der::is_der_key;
use super::pem;
use super::text::{line_with, lines};
use crate::scan::homes::Keys;
use crate::scan::rule::{Bytes, Case, Fix, Group, Matcher, Rule};

const SETTING: Fix =
    Fix::Setting("remove it in the step that brought it; a machine gets its keys when it starts");
const WHY: &str = "whoever has the image has the key";

const fn rule(name: &'static str, why: &'static str, fix: Fix, matcher: Matcher) -> Rule {
    Rule {
        name,
        group: Group::Keys,
        why,
        fix,
        matcher,
    }
}

const fn bytes(name: &'static str, bytes: &'static Bytes) -> Rule {
    rule(name, WHY, SETTING, Matcher::Bytes(bytes))
}

pub(super) const RULES: &[Rule] = &[
    bytes("private-key", &pem::PLAIN),
    bytes("encoded-private-key", &pem::ENCODED),
    bytes(
        "putty-key",
        &Bytes {
            anchors: &["PuTTY-User-Key-File-"],
            pattern: r"PuTTY-User-Key-File-[0-9]: ",
            judge: |_, after| contains(after, b"Private-Lines:"),
            not_in: &[],
        },
    ),
    bytes(
        "ssh1-key",
        &Bytes {
            anchors: &["SSH PRIVATE KEY FILE FORMAT 1.1"],
            pattern: r"SSH PRIVATE KEY FILE FORMAT 1\.1\n",
            judge: |_, after| after.starts_with(&[0]),
            not_in: &[],
        },
    ),
    bytes(
        "age-key",
        &Bytes {
            anchors: &["AGE-SECRET-KEY-1"],
            pattern: "AGE-SECRET-KEY-1[0-9A-Z]{58}",
            judge: always,
            not_in: &[],
        },
    ),
    bytes(
        "wireguard-key",
        &Bytes {
            anchors: &[
                "PrivateKey",
                "PresharedKey",
                "private-key=",
                "preshared-key=",
            ],
            pattern: r"(?i:private-?key|preshared-?key)\s*=\s*[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=",
            judge: always,
            not_in: &[],
        },
    ),
    rule(
        "wireguard-key-file",
        WHY,
        SETTING,
        Matcher::Judged(&["/etc/wireguard/**"], |case| {
            let text = case.text();
            let word = text.trim();
            let key =
                word.len() == 44 && word.ends_with('=') && !word.contains(char::is_whitespace);
            (key && !case.entry.path.ends_with(".pub")).then(String::new)
        }),
    ),
    bytes(
        "dnssec-key",
        &Bytes {
            anchors: &["Private-key-format: v1"],
            pattern: r"Private-key-format: v1\.[0-9]",
            judge: always,
            not_in: &[],
        },
    ),
    bytes(
        "tsig-key",
        &Bytes {
            anchors: &["hmac-"],
            pattern: r#"algorithm\s+"?hmac-[a-z0-9-]+"?\s*;\s*secret\s+"?[A-Za-z0-9+/]{16,}={0,2}"?"#,
            judge: always,
            not_in: &[],
        },
    ),
    bytes(
        "tor-key",
        &Bytes {
            anchors: &["== ed25519v1-secret"],
            pattern: "== ed25519v1-secret: type[0-9] ==",
            judge: |_, after| after.starts_with(&[0]),
            not_in: &[],
        },
    ),
    bytes(
        "openvpn-key",
        &Bytes {
            anchors: &["-----BEGIN OpenVPN "],
            pattern: r"-----BEGIN OpenVPN [A-Za-z0-9 -]{3,30}-----\r?\n",
            judge: |_, after| run(after, |b| b.is_ascii_hexdigit() || b"+/=".contains(&b)) >= 32,
            not_in: &[],
        },
    ),
    bytes(
        "jwk",
        &Bytes {
            anchors: &["\"kty\""],
            pattern: r#"\{[^{}]{0,1500}"kty"\s*:\s*"[A-Za-z]{2,3}"[^{}]{0,4000}"#,
            judge: |found, _| {
                static PRIVATE: LazyLock<regex::bytes::Regex> = LazyLock::new(|| {
                    crate::scan::find::compile(r#""[dk]"\s*:\s*"[A-Za-z0-9_-]{20,}"#)
                });
                PRIVATE.is_match(found)
            },
            not_in: &[],
        },
    ),
    bytes(
        "signify-key",
        &Bytes {
            anchors: &["untrusted comment: "],
            pattern: r"untrusted comment: [^\n]*(?i:secret key)[^\n]*\n[A-Za-z0-9+/=]{60,}",
            judge: always,
            not_in: &[],
        },
    ),
    rule(
        "gpg-secret-keys",
        WHY,
        SETTING,
        Matcher::Present(&[
            "/**/private-keys-v1.d/*.key",
            "/**/secring.gpg",
            "/**/secring.pgp",
        ]),
    ),
    rule(
        "java-keystore",
        WHY,
        SETTING,
        Matcher::Judged(
            &[
                "/**/*.jks",
                "/**/*.keystore",
                "/**/*.ks",
                "/**/cacerts",
                "/**/*.jceks",
            ],
            |case| {
                let magic = case.content.starts_with(&[0xfe, 0xed, 0xfe, 0xed])
                    || case.content.starts_with(&[0xce, 0xce, 0xce, 0xce]);
                // The tag of the first entry: 1 is a key, 2 a certificate.
                (magic && case.content.get(12..16) == Some(&[0, 0, 0, 1])).then(String::new)
            },
        ),
    ),
    rule(
        "pkcs12",
        WHY,
        SETTING,
        Matcher::Present(&["/**/*.p12", "/**/*.pfx", "/**/*.pkcs12"]),
    ),
    rule(
        "der-key",
        WHY,
        SETTING,
        Matcher::Judged(&["/**/*.{der,key,p8,pk8,pkcs8,pvk,priv,bin}"], |case| {
            is_der_key(case.content).then(String::new)
        }),
    ),
    rule(
        "keytab",
        "it lets its owner act as this machine or service in a Kerberos realm",
        Fix::Operations(&[("kerberos-hostkeytab", &["/etc/krb5.keytab"])]),
        Matcher::Present(&["/**/*.keytab"]),
    ),
    rule(
        "disk-key",
        "it opens an encrypted disk of every machine made from the image",
        SETTING,
        Matcher::Present(&[
            "/etc/cryptsetup-keys.d/*",
            "/etc/luks-keys/**",
            "/**/crypto_keyfile.bin",
            "/**/*.luks-key",
        ]),
    ),
    rule(
        "vpn-secret",
        "it lets whoever has the image into a private network",
        SETTING,
        Matcher::Judged(
            &[
                "/etc/ipsec.secrets",
                "/etc/ipsec.d/*.secrets",
                "/etc/ppp/{chap,pap}-secrets",
            ],
            |case| {
                static SECRET: LazyLock<Regex> = LazyLock::new(|| {
                    Regex::new(r#"(PSK|EAP|XAUTH|RSA|ECDSA|\S+\s+\S+\s+"?\S+)"#).expect("fixed")
                });
                line_with(&case.text(), &SECRET)
            },
        ),
    ),
    rule(
        "authorized-keys",
        "its owner can log in to every machine made from the image",
        Fix::Operations(&[
            ("ssh-userdir", &["/{root,home/*}/.ssh/*"]),
            ("homes", &["/var/lib/*/.ssh/*"]),
        ]),
        Matcher::Owned(
            &[
                "/**/.ssh/authorized_keys",
                "/**/.ssh/authorized_keys2",
                "/etc/ssh/authorized_keys",
                "/etc/ssh/authorized_keys.d/**",
                "/etc/ssh/authorized_keys/**",
                "/etc/ssh/*/authorized_keys",
                "/etc/dropbear/authorized_keys",
                "/etc/dropbear/initramfs/authorized_keys",
                "/etc/dropbear-initramfs/authorized_keys",
            ],
            authorized_keys,
        ),
    ),
];

fn always(_: &[u8], _: &[u8]) -> bool {
    true
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(text, part).is_some()
}

fn run(text: &[u8], wanted: impl Fn(u8) -> bool) -> usize {
    text.iter().take_while(|byte| wanted(**byte)).count()
}

fn authorized_keys(case: &Case<'_>) -> Keys {
    Keys::read(lines(&case.text()), case.declared)
}
