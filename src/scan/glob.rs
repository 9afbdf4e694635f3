//! Patterns of paths: `*` within a name, `**/` any directories, `?` one character.

/// The pattern as a regular expression for a whole path.
pub(super) fn expression(glob: &str) -> String {
    let mut out = String::from("^");
    let mut rest = glob;
    while let Some(c) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("**/") {
            out += "(?:[^/]*/)*";
            rest = after;
        } else if let Some(after) = rest.strip_prefix("**") {
            out += ".*";
            rest = after;
        } else {
            match c {
                '*' => out += "[^/]*",
                '?' => out += "[^/]",
                '{' => out += "(?:",
                '}' => out += ")",
                ',' => out += "|",
                c => out += &regex::escape(c.encode_utf8(&mut [0; 4])),
            }
            rest = &rest[c.len_utf8()..];
        }
    }
    out + "$"
}

/// Whether a path matches a pattern.
pub(super) fn matches(glob: &str, path: &str) -> bool {
    regex::RegexBuilder::new(&expression(glob))
        .dot_matches_new_line(true)
        .build()
        .is_ok_and(|expression| expression.is_match(path))
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn stars_mean_what_they_mean_to_people() {
        for (glob, path, matching) in [
            ("/etc/*.key", "/etc/a.key", true),
            ("/etc/*.key", "/etc/b/a.key", false),
            ("/**/.netrc", "/root/.netrc", true),
            ("/**/.netrc", "/.netrc", true),
            ("/**/.netrc", "/root/x.netrc", false),
            ("/var/log/**", "/var/log/a/b", true),
            ("/etc/{passwd,shadow}-", "/etc/shadow-", true),
            ("/etc/rc?.d", "/etc/rc2.d", true),
            ("/srv/a.b", "/srv/aXb", false),
        ] {
            assert_eq!(matches(glob, path), matching, "{glob} {path}");
        }
    }
}
