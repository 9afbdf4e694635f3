//! What is kept, and where redirects lead.

use super::*;
use crate::host::exec::Program;

const PACKAGES: &str = "/debian/dists/x/main/binary-amd64/Packages";

/// A list of packages that promises this content of `DEB`.
fn packages(content: &[u8]) -> String {
    let (path, digest) = (
        &DEB["/debian/".len()..],
        hex::encode(Sha256::digest(content)),
    );
    let size = content.len();
    format!("Package: hello\nFilename: {path}\nSize: {size}\nSHA256: {digest}\n\n")
}

/// A mirror with one package and a list of packages that promises `promised`.
fn archive(package: &'static [u8], promised: &'static [u8]) -> Mirror {
    Mirror::start(move |head| match head.contains("/Packages ") {
        true => answer("200 OK", "ETag: \"p\"\r\n", packages(promised).as_bytes()),
        false => answer("200 OK", "ETag: \"d\"\r\n", package),
    })
}

#[test]
fn packages_are_fetched_once_and_counted_among_what_was_fetched() {
    let mirror = archive(b"package", b"package");
    let world = World::new();
    let proxy = world.proxy(&[&mirror]);
    let index = get(&proxy, PACKAGES).body.len() as u64;
    assert_eq!(get(&proxy, DEB).body, b"package");
    assert_eq!(get(&proxy, DEB).body, b"package");
    // A client that takes us for its proxy asks for the mirror's own address.
    let address = format!("{}/pool/main/h/hello/hello_1_all.deb", mirror.address);
    assert_eq!(get(&proxy, &address).body, b"package");
    assert_eq!(proxy.activity(), 21 + index);
    let fetched = proxy.finish().fetched;
    assert_eq!(fetched.len(), 2);
    assert_eq!(
        (fetched[1].url.as_str(), fetched[1].size),
        (address.as_str(), 7)
    );
    // The next build finds it, too, and says that it depends on it.
    let again = world.proxy(&[&mirror]);
    get(&again, PACKAGES);
    assert_eq!(get(&again, DEB).body, b"package");
    assert_eq!(again.finish().fetched, fetched);
    assert_eq!(mirror.requests(), 3, "the index twice, the package once");
}

/// Of 1 MiB, which is a 64th part of the file system: so much stays free.
#[test]
#[ignore = "root: src/proxy/download.rs src/host/space.rs"]
fn what_would_fill_the_hosts_disk_is_not_taken() {
    struct Small<'w>(&'w World);
    impl Drop for Small<'_> {
        fn drop(&mut self) {
            drop(Program::new("umount").arg(self.0.dir.path()).run());
        }
    }
    let endless = vec![7; 80 << 20];
    let mirror = Mirror::start(move |_| answer("200 OK", "ETag: \"d\"\r\n", &endless));
    let world = World::new();
    let mount = Program::new("mount").args(["-t", "tmpfs", "-o", "size=64m,mode=700", "none"]);
    mount.arg(world.dir.path()).run().unwrap();
    let _small = Small(&world);
    let proxy = world.proxy(&[&mirror]);
    let got = get(&proxy, DEB).body.len();
    assert!(
        ((32 << 20)..=(63 << 20) + (64 << 10)).contains(&got),
        "{got}"
    );
    let logged = world.logged();
    assert!(
        logged.contains("is nearly full: less than 1.0 MiB"),
        "{logged}"
    );
    assert_eq!(mirror.requests(), 1, "another attempt has no more room");
    drop(proxy.finish());
}

#[test]
fn a_package_that_no_index_of_this_build_promises_is_not_kept() {
    let mirror = archive(b"package", b"package");
    let world = World::new();
    let proxy = world.proxy(&[&mirror]);
    for _ in 0..2 {
        assert_eq!(get(&proxy, DEB).body, b"package");
    }
    assert_eq!(mirror.requests(), 2);
    assert_eq!(world.addresses(), 0);
    assert!(world.logged().starts_with("passed 200"));
    get(&proxy, PACKAGES);
    get(&proxy, DEB);
    drop(proxy);
    // Kept now; but an index that promises something else makes it worthless.
    let other = archive(b"PACKAGE", b"PACKAGE");
    let moved = Mirror {
        address: mirror.address.clone(),
        asked: Arc::default(),
    };
    let proxy = world.proxy(&[&moved, &other]);
    assert_eq!(get(&proxy, DEB).body, b"package", "asked again");
    assert_eq!(mirror.requests(), 5);
}

#[test]
fn a_page_in_place_of_a_package_is_never_kept_and_the_next_mirror_is_asked() {
    // A sign-in page, of another length and of the same one.
    let portal = archive(b"please sign in", b"package");
    let forger = archive(b"PACKAGE", b"package");
    let honest = archive(b"package", b"package");
    let world = World::new();
    let proxy = world.proxy(&[&portal, &honest]);
    get(&proxy, PACKAGES);
    assert_eq!(get(&proxy, DEB).body, b"package");
    assert!(
        world
            .logged()
            .contains("another size there than the index says")
    );
    drop(proxy);
    let world = World::new();
    let proxy = world.proxy(&[&forger]);
    get(&proxy, PACKAGES);
    assert_eq!(get(&proxy, DEB).body, b"PACKAG", "never all of it");
    assert_eq!(get(&proxy, DEB).body, b"PACKAG");
    assert_eq!(forger.requests(), 3);
}

#[test]
fn a_body_without_an_end_of_its_own_is_not_kept() {
    let mirror = Mirror::start(|_| b"HTTP/1.1 200 OK\r\nETag: \"x\"\r\n\r\nbroken o".to_vec());
    let world = World::new();
    let proxy = world.proxy(&[&mirror]);
    for path in [DEB, "/debian/dists/x/InRelease"] {
        assert_eq!(get(&proxy, path).body, b"broken o");
    }
    assert_eq!(world.addresses(), 0);
}

#[test]
fn who_wants_nothing_kept_gets_it_from_the_mirror() {
    let content = b"content";
    let mirror = Mirror::start(|head| {
        assert!(
            !head.to_ascii_lowercase().contains("if-none-match"),
            "{head}"
        );
        answer("200 OK", "ETag: \"x\"\r\n", b"content")
    });
    let world = World::new();
    let proxy = world.proxy(&[&mirror]);
    for path in [named(content).as_str(), "/debian/dists/x/InRelease"] {
        get(&proxy, path);
        let fresh = format!("GET {path} HTTP/1.1\r\nCache-Control: no-cache");
        assert_eq!(ask(&proxy, &fresh).body, content);
    }
    assert_eq!(mirror.requests(), 4);
}

#[test]
fn a_redirect_leads_to_other_hosts_only_with_what_is_verified() {
    let content = b"content";
    let elsewhere = Mirror::start(|_| answer("200 OK", "", b"content"));
    let target = elsewhere.address.clone();
    let mirror = Mirror::start(move |_| {
        let location = format!("Location: {target}/x\r\n");
        answer("302 Found", &location, b"")
    });
    let world = World::new();
    // Not to this host, whatever is verified, unless the recipe names it.
    let proxy = world.proxy(&[&mirror]);
    for path in [named(content).as_str(), "/debian/dists/x/InRelease"] {
        let reply = get(&proxy, path);
        assert_eq!(reply.status, 502);
        let body = String::from_utf8_lossy(&reply.body).into_owned();
        assert!(body.contains("no mirror of the recipe"), "{body}");
    }
    assert_eq!(elsewhere.requests(), 0);
    let proxy = world.proxy(&[&mirror, &elsewhere]);
    assert_eq!(get(&proxy, &named(content)).body, content);
    assert_eq!(mirror.requests(), 3, "it was followed, not fallen back");
}
