//! An install tree over plain http, whose clients verify nothing.

use std::collections::HashMap;
use std::io::Write as _;

use super::*;

type Files = HashMap<String, Vec<u8>>;

/// The files of a tree below `/debian/os/`, and what its `.treeinfo` says of them.
fn tree() -> (Files, Vec<(String, String)>) {
    let sum = |bytes: &[u8]| hex::encode(Sha256::digest(bytes));
    let primary = format!(
        "<metadata><package type=\"rpm\"><checksum type=\"sha256\">{}</checksum>\
         <size package=\"7\"/><location href=\"Packages/x.rpm\"/></package></metadata>",
        sum(b"package")
    );
    let mut to = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
    to.write_all(primary.as_bytes()).unwrap();
    let primary = to.finish().unwrap();
    let name = format!("repodata/{}-primary.xml", sum(&primary));
    let data = |end: &str, bytes: &[u8]| {
        format!(
            "<data type=\"primary\"><checksum type=\"sha256\">{}</checksum>\
             <location href=\"{name}.{end}\"/></data>",
            sum(bytes)
        )
    };
    // What Fedora's package manager prefers says nothing to anybody else.
    let repomd = format!(
        "<repomd>{}{}</repomd>",
        data("zck", b"zck"),
        data("gz", &primary)
    );
    let files = [
        ("images/install.img", b"second stage".to_vec()),
        ("repodata/repomd.xml", repomd.into_bytes()),
        (&*format!("{name}.gz"), primary),
        ("Packages/x.rpm", b"package".to_vec()),
        ("images/updates.img", b"nobody vouches for this".to_vec()),
        ("other/repodata/repomd.xml", b"<repomd></repomd>".to_vec()),
    ];
    let sums = files[..2].iter();
    let sums = sums.map(|(path, bytes)| ((*path).to_owned(), sum(bytes)));
    let sums = sums.collect();
    let files = files.map(|(path, bytes)| (format!("/debian/os/{path}"), bytes));
    (files.into(), sums)
}

fn serve(files: Files) -> Mirror {
    Mirror::start(move |head| {
        let path = head.split(' ').nth(1).unwrap_or_default();
        match files.get(path) {
            Some(bytes) => answer("200 OK", "", bytes),
            None => answer("404 Not Found", "", b""),
        }
    })
}

#[test]
fn a_tree_that_is_vouched_for_is_relayed_and_nothing_else_over_plain_http() {
    let (files, sums) = tree();
    let (right, world) = (serve(files.clone()), World::new());
    let proxy = world.proxy_of(&[&right], true);
    proxy
        .vouch(&format!("{}/os/", right.address), &sums)
        .unwrap();
    // Nobody has asked for an index yet.
    for (path, body) in [
        ("Packages/x.rpm", "package"),
        ("images/install.img", "second stage"),
    ] {
        let reply = get(&proxy, &format!("/debian/os/{path}"));
        assert_eq!(
            (reply.status, &*reply.body),
            (200, body.as_bytes()),
            "{path}"
        );
    }
    for path in ["images/updates.img", "other/repodata/repomd.xml"] {
        let path = format!("/debian/os/{path}");
        assert_eq!(get(&proxy, &path).status, 403, "{path}");
        let head = ask(&proxy, &format!("HEAD {path} HTTP/1.1\r\nHost: x"));
        assert_eq!(head.status, 403, "{path}");
    }
    drop(proxy);

    // Between this host and the mirror somebody has another second stage, and another package.
    let mut evil = files.clone();
    for path in ["images/install.img", "Packages/x.rpm"] {
        evil.insert(format!("/debian/os/{path}"), b"evil of size".to_vec());
    }
    let (evil, world) = (serve(evil), World::new());
    let asked = |proxy: &Proxy, path: &str| get(proxy, &format!("/debian/os/{path}")).body;
    let proxy = world.proxy_of(&[&evil], true);
    proxy.vouch(&format!("{}/os", evil.address), &sums).unwrap();
    for path in ["images/install.img", "Packages/x.rpm"] {
        assert_ne!(asked(&proxy, path), b"evil of size", "{path}");
    }
    drop(proxy);
    // (Who verifies by themselves get what the mirror has.)
    let proxy = world.proxy(&[&evil]);
    assert_eq!(asked(&proxy, "images/install.img"), b"evil of size");
}

#[test]
fn an_index_that_is_not_what_is_vouched_for_is_told_before_anybody_asks() {
    let (mut files, sums) = tree();
    files.insert(
        "/debian/os/repodata/repomd.xml".into(),
        b"<repomd/>".to_vec(),
    );
    let (mirror, world) = (serve(files), World::new());
    let proxy = world.proxy_of(&[&mirror], true);
    let error = proxy.vouch(&format!("{}/os", mirror.address), &sums);
    let text = error.unwrap_err().render();
    assert!(text.contains("repomd.xml that is vouched for"), "{text}");
    assert!(text.contains("hint: a mirror may lag behind"), "{text}");
}
