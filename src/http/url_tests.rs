//! Tests of `url`.

use super::*;

#[test]
fn references_join_as_in_rfc_3986() {
    let base = Url::parse("http://host:8080/a/b/index.asc?signed=a/b").unwrap();
    for (reference, expected) in [
        ("images/x.xz", "http://host:8080/a/b/images/x.xz"),
        ("../../x.xz", "http://host:8080/x.xz"),
        ("../../../../x.xz", "http://host:8080/x.xz"),
        ("./x/./y/..", "http://host:8080/a/b/x/"),
        ("/root", "http://host:8080/root"),
        ("//other/x", "http://other/x"),
        ("https://other", "https://other/"),
        ("?q=1", "http://host:8080/a/b/index.asc?q=1"),
    ] {
        assert_eq!(base.join(reference).unwrap().to_string(), expected);
    }
}

/// `.treeinfo`, records, redirects and indexes all come through here.
#[test]
fn what_another_host_says_never_names_a_file_of_this_one() {
    let base = Url::parse("http://host/a/b/.treeinfo").unwrap();
    for leads in [
        "file:///root/.ssh/id_ed25519",
        "FILE:///etc/shadow",
        "File://localhost/etc/shadow",
        "file://host/etc/shadow",
        "file:/etc/shadow",
        "file:etc/shadow",
        "ftp://host/x",
        "data:text/plain,x",
        "javascript:x",
    ] {
        let error = base.join(leads).unwrap_err();
        assert!(error.hint_text().is_some(), "{leads}: {}", error.render());
    }
    for (reference, expected) in [
        ("//etc/shadow", "http://etc/shadow"),
        ("/etc/shadow", "http://host/etc/shadow"),
        ("../../../../../etc/shadow", "http://host/etc/shadow"),
        ("..%2f..%2fetc", "http://host/a/b/..%2f..%2fetc"),
        (
            "%66ile:///etc/shadow",
            "http://host/a/b/%66ile:///etc/shadow",
        ),
        (
            "file%3A///etc/shadow",
            "http://host/a/b/file%3A///etc/shadow",
        ),
        ("\\\\etc\\shadow", "http://host/a/b/\\\\etc\\shadow"),
        ("./file:///etc", "http://host/a/b/file:///etc"),
        ("/file:///etc/shadow", "http://host/file:///etc/shadow"),
        ("https://host/x", "https://host/x"),
    ] {
        let url = base.join(reference).unwrap();
        assert_eq!((url.to_string().as_str(), url.local()), (expected, None));
    }
    let secure = Url::parse("https://host/a").unwrap();
    assert!(secure.join("file:///etc/shadow").is_err());
    let error = secure.join("http://host/a").unwrap_err();
    assert!(error.message().contains("leads to plain http"), "{error}");
    assert_eq!(
        secure.join("//other/a").unwrap().to_string(),
        "https://other/a"
    );
}

#[test]
fn a_path_below_a_directory_stays_there() {
    for base in ["http://host/r", "file:///srv/r/"] {
        let base = Url::parse(base).unwrap();
        let url = base.below("images/web/1/web.xz").unwrap();
        assert!(url.to_string().ends_with("/r/images/web/1/web.xz"), "{url}");
        assert!(
            base.below("a:b/c")
                .unwrap()
                .to_string()
                .ends_with("/r/a:b/c")
        );
        for leads in [
            "",
            "/etc/shadow",
            "../x",
            "a/../../x",
            "a/./b",
            "a//b",
            "//other/x",
            "%2e%2e/x",
            "a/%2E%2e/x",
            "..%2fx",
            "%2Fetc",
            "file:///etc/shadow",
            "http://other/x",
            "a?b",
            "a#b",
        ] {
            assert!(base.below(leads).is_err(), "{leads}");
        }
    }
}

#[test]
fn passwords_are_not_shown() {
    let url = Url::parse("https://me:secret@host/x").unwrap();
    assert_eq!(url.to_string(), "https://host/x");
    assert_eq!(url.secret_text(), "https://me:secret@host/x");
    let url = Url::parse("https://TOKEN@host/x?a=1&sig=secret").unwrap();
    assert_eq!(
        format!("{url} {url:?}"),
        "https://host/x?a=1&sig=… Url(https://host/x?a=1&sig=…)"
    );
    assert_eq!(url.secret_text(), "https://TOKEN@host/x?a=1&sig=secret");
    for odd in [
        "https://me:sec/ret@host/x",
        "https://me:secret?@host/x",
        "https://me:secret@host/ x",
    ] {
        let error = Url::parse(odd).unwrap_err().render();
        assert!(
            !error.contains("ret") || error.contains("a password"),
            "{error}"
        );
        assert!(!error.contains("sec"), "{error}");
    }
    let error = Url::parse("ftp://me:secret@host/x").unwrap_err();
    assert!(!error.render().contains("secret"), "{}", error.render());
}

#[test]
fn paths_become_addresses_and_paths_again() {
    for path in ["/srv/a b/50%/c#d", "/srv/images/"] {
        let url = Url::of_path(Path::new(path)).unwrap();
        assert_eq!(url.local().unwrap(), Path::new(path));
    }
    let url = Url::parse("file:///srv/a%20b").unwrap();
    assert_eq!(url.local().unwrap(), Path::new("/srv/a b"));
    assert_eq!(Url::parse("http://h/x").unwrap().local(), None);
}

#[test]
fn what_is_no_address_is_refused() {
    for bad in [
        "",
        "host/x",
        "http://",
        "http:///x",
        "gopher://x/",
        "http://h/a b",
    ] {
        assert!(Url::parse(bad).is_err(), "{bad}");
    }
    assert!(Url::parse("file://other/x").is_err());
}
