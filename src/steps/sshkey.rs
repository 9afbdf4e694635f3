//! Public keys as `authorized_keys` holds them, sshd(8): options, kind, base64, comment.

use std::str::FromStr as _;

use ssh_key::PublicKey;

/// Whether a text is a line of `authorized_keys`. (The crate's own `authorized_keys::Entry` takes
/// no blanks inside of quotes, as in `command="a b" ssh-ed25519 …`.)
pub(crate) fn is_line(text: &str) -> bool {
    let text = text.trim();
    let key = |text: &str| PublicKey::from_str(text.trim_start()).is_ok();
    !text.contains('\n') && (key(text) || options_end(text).is_some_and(|end| key(&text[end..])))
}

/// Where the options before a key end: at the first blank outside of quotes.
fn options_end(text: &str) -> Option<usize> {
    let mut quoted = false;
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        match c {
            '"' if before != '\\' => quoted = !quoted,
            ' ' | '\t' if !quoted => return Some(at),
            _ => {}
        }
        before = c;
    }
    None
}

/// The lines of keys in a text: blank lines and comments are none.
pub(super) fn lines(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
    lines.filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// What is wrong with a text that ought to hold lines of `authorized_keys`: a sentence about
/// `name`, and what to do.
pub(super) fn mistake(name: &str, text: &str) -> Option<(String, String)> {
    let bad = lines(text).find(|line| !is_line(line))?;
    let (is, help) = if text.contains("PRIVATE KEY") || text.contains("PuTTY-User-Key-File") {
        let public = format!("name the public key, for example {name}.pub");
        (
            "is a private key, which must never get into an image",
            public,
        )
    } else if bad.contains("BEGIN SSH2 PUBLIC KEY") {
        let help = format!("OpenSSH does not read it: `ssh-keygen -i -f {name}` converts it");
        ("is a key in the format of RFC 4716", help)
    } else if bad.starts_with("-----BEGIN") {
        let help = format!(
            "OpenSSH does not read it: `ssh-keygen -i -m PKCS8 -f {name}` converts a public key"
        );
        ("is a key in the format PEM", help)
    } else {
        let help = "a line is `[options] ssh-ed25519 AAAA… [comment]`, all on one line";
        (
            "has a line that OpenSSH does not read as a public key",
            help.to_owned(),
        )
    };
    Some((format!("{name} {is}"), help))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ9zU3u4m4JX1y2aQ0wXqkq0c8oSxw4p1QpFhH1lV2aB";

    #[test]
    fn lines_are_what_sshd_reads() {
        for line in [
            KEY.to_owned(),
            format!("{KEY} ops@example.org, the second"),
            format!("from=\"10.0.0.0/8,!10.1.1.1\",no-agent-forwarding {KEY} ops"),
            format!("command=\"say \\\"a b\\\" # c\" {KEY}"),
            format!("cert-authority,principals=\"a b\" {KEY}"),
            format!("  restrict {KEY}"),
        ] {
            assert!(is_line(&line), "{line}");
        }
        for line in [
            "ssh-ed25519",
            "ssh-ed25519 AAAA",
            "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIJ9zU3u4m4JX1y2aQ0wXqkq0c8oSxw4p1QpFhH1lV2aB",
            "files/ops.pub",
        ] {
            assert!(!is_line(line), "{line}");
        }
    }

    #[test]
    fn every_other_format_is_named_with_the_way_out() {
        let message = |text: &str| {
            let (sentence, help) = mistake("files/key", text).unwrap();
            format!("{sentence}: {help}")
        };
        let pem = |name: &str| format!("-----BEGIN {name}-----\nAAAA\n-----END {name}-----\n");
        assert!(message(&pem("OPENSSH PRIVATE KEY")).contains("files/key.pub"));
        assert!(message("PuTTY-User-Key-File-3: ssh-ed25519\n").contains("is a private key"));
        assert!(message(&pem("PUBLIC KEY")).contains("-m PKCS8"));
        assert!(
            message("---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n")
                .contains("`ssh-keygen -i -f files/key`")
        );
        assert_eq!(mistake("x", "# nobody yet\n\n"), None);
        assert!(message(&format!("{KEY}\nssh-ed25519\n")).contains("[options]"));
        assert_eq!(
            mistake("x", &format!("\u{feff}# me\r\n{KEY} me\r\n\r\n")),
            None
        );
    }
}
