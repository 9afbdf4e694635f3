//! Patterns of paths: `*`, `?` and `[a-z]` within a name, `**` any directories, `{a,b}` either.

use globset::{Glob, GlobBuilder};

/// The pattern, ready to be a part of a set.
///
/// # Errors
/// When it has a brace or a bracket without its other half.
pub(super) fn pattern(glob: &str) -> Result<Glob, globset::Error> {
    GlobBuilder::new(glob)
        .literal_separator(true)
        .backslash_escape(false)
        .empty_alternates(true)
        .build()
}

/// Whether a path matches a pattern; none matches one that is broken.
pub(super) fn matches(glob: &str, path: &str) -> bool {
    pattern(glob).is_ok_and(|glob| glob.compile_matcher().is_match(path))
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn stars_mean_what_they_mean_to_people() {
        for (glob, path, matching) in [
            ("/etc/*.key", "/etc/a.key", true),
            ("/etc/*.key", "/etc/.key", true),
            ("/etc/*.key", "/etc/b/a.key", false),
            ("/**/.netrc", "/root/.netrc", true),
            ("/**/.netrc", "/.netrc", true),
            ("/**/.netrc", "/root/x.netrc", false),
            ("/var/log/**", "/var/log/a/b", true),
            ("/var/log/**", "/var/log/a\nb", true),
            ("/var/log/**", "/var/log", false),
            ("/etc/{passwd,shadow}-", "/etc/shadow-", true),
            ("/{,root/}core", "/core", true),
            ("/etc/rc?.d", "/etc/rc2.d", true),
            ("/etc/rc?.d", "/etc/rc/.d", false),
            ("/core.[0-9]*", "/core.1234", true),
            ("/core.[0-9]*", "/core.c", false),
            ("/srv/a.b", "/srv/aXb", false),
            ("/srv/a,b", "/srv/a,b", true),
            ("/srv/a,b", "/srv/ab", false),
            ("/srv/a,b", "/srv/a/secret", false),
            (r"/srv/a\b*", r"/srv/a\bc", true),
            ("/srv/{a", "/srv/{a", false),
        ] {
            assert_eq!(matches(glob, path), matching, "{glob} {path}");
        }
    }
}
