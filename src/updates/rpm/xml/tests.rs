use super::*;

#[test]
fn an_index_tells_its_parts_packages_and_notices() {
    let digest = "ab".repeat(32);
    let text = format!(
        "<?xml version=\"1.0\"?>\n<repomd xmlns=\"http://linux.duke.edu/metadata/repo\">\n<revision>1763200800</revision>\n\
         <data type=\"primary\"><checksum type=\"sha256\">{digest}</checksum><open-checksum type=\"sha256\">cd</open-checksum>\
         <location href=\"repodata/x-primary.xml.gz\"/><size>7</size><open-size>70</open-size></data>\
         <data type=\"filelists\"><checksum type=\"sha\">00</checksum><location href=\"y\"/></data></repomd>"
    );
    let repomd = Repomd::read(text.as_bytes()).unwrap();
    assert_eq!((repomd.made, repomd.parts.len()), (Some(1_763_200_800), 1));
    let part = &repomd.parts["primary"];
    assert_eq!(
        (&*part.location, &part.sha256, part.size, part.open_size),
        ("repodata/x-primary.xml.gz", &digest, 7, Some(70))
    );
    assert!(Repomd::read(&text.as_bytes()[..text.len() - 9]).is_err());
    assert!(Repomd::read(b"<html><body>welcome</body></html>").is_err());

    let text = r#"<metadata xmlns:rpm="http://linux.duke.edu/metadata/rpm" packages="2"><package type="rpm"><name>openssl-libs</name>
        <arch>x86_64</arch><version epoch="1" ver="3.0.7" rel="28.el9"/><description>a &lt;b&gt; <![CDATA[<name>no</name>]]></description>
        <format><rpm:sourcerpm>openssl-3.0.7-28.el9.src.rpm</rpm:sourcerpm><rpm:provides><rpm:entry name="bash"/></rpm:provides></format></package>
        <package type="rpm"><name>nodejs</name><arch>x86_64</arch><version epoch="1" ver="18" rel="1.module+el9"/></package></metadata>"#;
    let mut found = vec![];
    primary(text.as_bytes(), &|_| true, &mut |offer, arch| {
        found.push(format!(
            "{} {} {} {arch}",
            offer.name, offer.version, offer.source
        ));
    })
    .unwrap();
    assert_eq!(found, ["openssl-libs 1:3.0.7-28.el9 openssl x86_64"]);

    let text = r#"<updates><update type="security" from="a"><id>RLSA-1</id><severity>Important</severity><references>
        <reference href="h" id="CVE-1" type="cve"/></references><pkglist><collection short="x"><name>x</name>
        <package name="openssl-libs" version="3.0.7" release="28.el9" epoch="1" arch="x86_64" src="s"><filename>f</filename></package>
        </collection></pkglist></update><update type="bugfix"><id>RLBA-2</id><pkglist><collection>
        <package name="openssl-libs" version="3.0.7" release="29.el9" epoch="1"/></collection></pkglist></update></updates>"#;
    let notices = updateinfo(text.as_bytes(), &|name| name == "openssl-libs").unwrap();
    let expected = Notice {
        version: "1:3.0.7-28.el9".into(),
        id: "RLSA-1".into(),
        severity: Severity::High,
    };
    assert_eq!(notices["openssl-libs"], [expected]);

    let list = r#"<metalink><files><file name="repomd.xml"><resources><url protocol="https">https://a.example/x/repodata/repomd.xml</url>
        </resources></file></files></metalink>"#;
    let read = Metalink::read(list.as_bytes()).unwrap();
    assert_eq!(read.uris, ["https://a.example/x"]);
    assert!(read.has("any"), "it names no digest");
    let list = r#"<metalink xmlns:mm0="m"><files><file name="repomd.xml"><mm0:timestamp>5</mm0:timestamp><verification>
        <hash type="md5">aa</hash><hash type="sha256">BB</hash></verification><mm0:alternates><mm0:alternate><verification>
        <hash type="sha256">cc</hash></verification></mm0:alternate></mm0:alternates></file></files></metalink>"#;
    let read = Metalink::read(list.as_bytes()).unwrap();
    assert_eq!(read.newest.as_deref(), Some("bb"));
    let has = ["bb", "cc", "aa"].map(|digest| read.has(digest));
    assert_eq!(has, [true, true, false]);
}

#[test]
fn an_index_was_made_when_its_revision_says_or_its_newest_part() {
    let made = |revision: &str, times: &[&str]| {
        let part = |time: &&str| {
            let sha256 = "a".repeat(64);
            format!(
                "<data type=\"primary\"><checksum type=\"sha256\">{sha256}</checksum><location href=\"x\"/>\
                 <timestamp>{time}</timestamp></data>"
            )
        };
        let parts: String = times.iter().map(part).collect();
        let text = format!("<repomd><revision>{revision}</revision>{parts}</repomd>");
        Repomd::read(text.as_bytes()).unwrap().made
    };
    let times = ["1763200700", "1763200800.5", "1763200600"];
    assert_eq!(made("1763200900", &times), Some(1_763_200_900));
    assert_eq!(made("9.6", &times), Some(1_763_200_800));
    assert_eq!(made("42", &times), Some(1_763_200_800));
    assert_eq!(made("20251115120000", &times), Some(1_763_200_800));
    assert_eq!(made("42", &[""]), Some(42));
    assert_eq!(made("second", &[""]), None);
}

#[test]
fn what_has_no_end_is_refused_before_it_fills_the_memory() {
    let endless = b"<metadata><package><name>"
        .chain(io::repeat(b'x'))
        .take(1 << 40);
    let error = primary(endless, &|_| true, &mut |_, _| {}).unwrap_err();
    assert!(error.to_string().contains("without an end"), "{error}");
}
