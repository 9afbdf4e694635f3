//! What vouches for the kernel and the initrd of an install tree.

use super::*;

/// A tree of Debian's shape over plain http, which no archive signs.
fn debian_tree() -> [(String, String); 3] {
    let images = "/installer-amd64/current/images";
    let netboot = format!("{images}/netboot/debian-installer/amd64/");
    let sums = format!(
        "{}  ./netboot/debian-installer/amd64/linux\n{}  ./netboot/debian-installer/amd64/initrd.gz\n",
        sha256("kernel"),
        sha256("initrd")
    );
    [
        (format!("{images}/SHA256SUMS"), sums),
        (format!("{netboot}linux"), "kernel".into()),
        (format!("{netboot}initrd.gz"), "initrd".into()),
    ]
}

fn serve(files: &[(String, String)]) -> String {
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()))
        .collect();
    server(&files, false).0
}

#[test]
fn over_plain_http_a_server_does_not_vouch_for_itself() {
    let world = World::new();
    let files = debian_tree();
    let address = serve(&files);
    let tree = format!("{address}/installer-amd64");
    let (kernel, none) = (
        format!("{address}{}", files[1].0),
        InstallerDigests::default(),
    );
    let error = world.media().tree(&tree, &none, &none, &none).unwrap_err();
    assert_eq!(error.kind(), crate::error::Kind::Gate);
    let text = error.render().replace(&address, "http://HOST");
    insta::assert_snapshot!(text, @r"
    error: cannot verify the installer's http://HOST/installer-amd64/current/images/netboot/debian-installer/amd64/linux
    caused by: its digest comes from the same server, over plain http: who can change one can change both
    hint: fetch it over https, or write `boot-sha256: {kernel: …, initrd: …}` beside `media:`; `unverified-media: true` accepts it unverified
    ");
    let error = world.media().boot_file(&kernel, &none).unwrap_err();
    assert_eq!(error.kind(), crate::error::Kind::Gate);
    let taken = InstallerDigests {
        sha256: None,
        unverified: true,
    };
    // Nor does it by naming a file of another server, or one that comes over https.
    for elsewhere in [
        "https://127.0.0.1:9/linux",
        "//127.0.0.1:9/linux",
        "../linux",
        "/linux",
    ] {
        let info = format!("[images-x86_64]\nkernel = {elsewhere}\ninitrd = initrd\n");
        let tree = [("/os/.treeinfo".to_owned(), info)];
        let error = world
            .media()
            .tree(&format!("{}/os", serve(&tree)), &none, &none, &taken);
        let error = error.unwrap_err();
        assert!(
            error.message().contains("is not a path below"),
            "{elsewhere}: {error}"
        );
    }

    // The recipe does.
    let (kernel_sum, initrd_sum) = (sha256("kernel"), sha256("initrd"));
    let of = |sum| InstallerDigests {
        sha256: Some(sum),
        unverified: false,
    };
    let found = world
        .media()
        .tree(&tree, &of(&kernel_sum), &of(&initrd_sum), &none)
        .unwrap();
    assert_eq!(std::fs::read(found.initrd().path()).unwrap(), b"initrd");
    let file = world.media().boot_file(&kernel, &of(&kernel_sum)).unwrap();
    assert_eq!(file.path(), found.kernel().path());
    // (A digest that the store knows would need no server.)
    let error = world
        .media()
        .tree(&tree, &of(&sha256("another")), &of(&initrd_sum), &none);
    assert!(
        error
            .unwrap_err()
            .message()
            .ends_with("is not the expected file")
    );

    // Or takes what comes: then the server's digests find what is broken, and no more.
    world.media().tree(&tree, &taken, &taken, &taken).unwrap();
    let mut broken = files;
    broken[2].1 = "broken".into();
    drop((found, file));
    world.store.evict(u64::MAX).unwrap();
    let tree = format!("{}/installer-amd64/", serve(&broken));
    let error = world
        .media()
        .tree(&tree, &taken, &taken, &taken)
        .unwrap_err();
    assert!(error.message().ends_with("is not the expected file"));
}

#[test]
fn what_an_archive_has_signed_is_vouched_for() {
    use crate::host::exec::Program;
    let world = World::new();
    let home = world._dir.path().join("gnupg");
    std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700)
        .create(&home)
        .unwrap();
    let gpg = || {
        let gpg = Program::new("gpg").arg("--homedir").arg(&home);
        gpg.args(["--batch", "--passphrase", "", "--pinentry-mode", "loopback"])
    };
    for name in ["archive", "stranger"] {
        let key = ["--quick-gen-key", name, "ed25519", "sign", "never"];
        gpg().args(key).run().unwrap();
        let path = world._dir.path().join(name);
        std::fs::write(path, gpg().args(["--export", name]).output().unwrap()).unwrap();
    }
    let [(_, sums), ..] = debian_tree();
    let below = "main/installer-amd64/current/images/SHA256SUMS";
    let sign = |text: &str, by: &[&str]| {
        let keys = by.iter().flat_map(|key| ["--local-user", key]);
        let signed = gpg()
            .args(keys)
            .args(["--digest-algo", "SHA512", "--clearsign"]);
        String::from_utf8(signed.input(text.as_bytes()).output().unwrap()).unwrap()
    };
    let release = format!(
        "Origin: Debian\nSuite: stable\nCodename: trixie\nSHA256:\n {} {} {below}\n",
        sha256(&sums),
        sums.len()
    );
    let judge = |release: String, suite: &str, sums: &str| {
        let address = serve(&[(format!("/debian/dists/{suite}/InRelease"), release)]);
        let images = format!("{address}/debian/dists/{suite}/main/installer-amd64/current/images/");
        let images = Url::parse(&images).unwrap();
        let keyring = world._dir.path().join("archive");
        archive::signed(&Client::new().unwrap(), &images, sums.as_bytes(), |_| {
            Ok(keyring.clone())
        })
        .map_err(|error| error.render())
    };
    let good = sign(&release, &["archive"]);
    assert_eq!(judge(good.clone(), "trixie", &sums), Ok(true));
    // One key of several is enough, as with apt.
    assert_eq!(
        judge(sign(&release, &["stranger", "archive"]), "trixie", &sums),
        Ok(true)
    );
    let silent = release.replace(below, "main/other");
    assert_eq!(
        judge(sign(&silent, &["archive"]), "trixie", &sums),
        Ok(false)
    );
    for (release, suite, sums, words) in [
        (good.clone(), "trixie", "other", "is not what"),
        (
            good.clone(),
            "forky",
            sums.as_str(),
            "it is of trixie, not of forky",
        ),
        (
            good.replace("stable", "table"),
            "trixie",
            &sums,
            "the text was changed",
        ),
        (
            sign(&release, &["stranger"]),
            "trixie",
            &sums,
            "none of the keys",
        ),
        (release, "trixie", &sums, "not a clear-signed text"),
    ] {
        let error = judge(release, suite, sums).unwrap_err();
        assert!(error.contains(words), "{words}: {error}");
    }
    let agent = Program::new("gpgconf").arg("--homedir").arg(&home);
    agent.args(["--kill", "all"]).run().unwrap();
}

/// Whoever is on the way of a mirror could have a file of the host booted in a guest that has a
/// network.
#[test]
fn a_tree_of_another_host_names_no_file_of_this_one() {
    let world = World::new();
    let secret = world._dir.path().join("secret");
    std::fs::write(&secret, "a key of the host").unwrap();
    for scheme in ["file", "FILE", "File"] {
        let initrd = format!("{scheme}://{}", secret.display());
        let tree = format!(
            "[images-x86_64]\nkernel = linux\ninitrd = {initrd}\n[checksums]\n\
             linux = sha256:{}\n{initrd} = sha256:{}\n",
            sha256("kernel"),
            sha256("a key of the host")
        );
        let files = [("/os/.treeinfo", tree.as_str()), ("/os/linux", "kernel")];
        let (address, asked) = server(&files, false);
        let error = world
            .media()
            .tree(
                &format!("{address}/os"),
                &InstallerDigests::default(),
                &InstallerDigests::default(),
                &InstallerDigests {
                    sha256: None,
                    unverified: true,
                },
            )
            .unwrap_err();
        let text = error.render();
        assert!(text.contains("is not a path below"), "{text}");
        let asked = asked.lock().unwrap().clone();
        assert!(asked.iter().all(|one| one.contains("/os/")), "{asked:?}");
    }
}

/// Kernel and initrd may be right, and the second stage and every package another one.
#[test]
fn over_plain_http_a_tree_of_anaconda_is_vouched_for_as_a_whole() {
    let world = World::new();
    let (kernel_sum, initrd_sum) = (sha256("kernel"), sha256("initrd"));
    let info = format!(
        "[checksums]\nimages/vmlinuz = sha256:{kernel_sum}\nimages/initrd.img = sha256:{initrd_sum}\n\
         images/install.img = sha256:{}\nrepodata/repomd.xml = sha256:{}\n\
         [images-x86_64]\nkernel = images/vmlinuz\ninitrd = images/initrd.img\n\
         [stage2]\nmainimage = images/install.img\n",
        sha256("stage2"),
        sha256("repomd")
    );
    let serve_with = |info: &str| {
        let files = [
            ("/os/.treeinfo", info),
            ("/os/images/vmlinuz", "kernel"),
            ("/os/images/initrd.img", "initrd"),
        ];
        let files = files.map(|(path, text)| (path.to_owned(), text.to_owned()));
        format!("{}/os", serve(&files))
    };
    let none = InstallerDigests::default();
    let of = |sum| InstallerDigests {
        sha256: Some(sum),
        unverified: false,
    };
    let media = world.media();
    let address = serve_with(&info);
    // As it was enough.
    let error = media.tree(&address, &of(&kernel_sum), &of(&initrd_sum), &none);
    let error = error.unwrap_err();
    assert_eq!(error.kind(), crate::error::Kind::Gate);
    let text = error.render();
    let host = address.strip_suffix("/os").unwrap();
    insta::assert_snapshot!(text.replace(host, "http://HOST"), @r"
    error: cannot verify the install tree http://HOST/os/
    caused by: its second stage and its packages come over plain http as well, and Anaconda verifies neither
    hint: fetch it over https, or write `treeinfo-sha256: …` beside `media:`, the SHA-256 of its .treeinfo from somewhere that you trust; `unverified-media: true` accepts it unverified
    ");

    let info_sum = sha256(&info);
    let tree = media.tree(&address, &none, &none, &of(&info_sum)).unwrap();
    assert_eq!(std::fs::read(tree.kernel().path()).unwrap(), b"kernel");
    let sums: Vec<&str> = tree.sums().iter().map(|(path, _)| path.as_str()).collect();
    assert!(
        sums.contains(&"repodata/repomd.xml") && sums.contains(&".treeinfo"),
        "{sums:?}"
    );

    let evil = info.replace(&sha256("stage2"), &sha256("evil"));
    let error = media.tree(&serve_with(&evil), &none, &none, &of(&info_sum));
    assert!(
        error
            .unwrap_err()
            .message()
            .ends_with("is not the expected file")
    );
    for (line, said) in [
        ("images/install.img = sha256:", "images/install.img"),
        ("images/initrd.img = sha256:", "images/initrd.img"),
        ("repodata/repomd.xml = sha256:", "repodata/repomd.xml"),
    ] {
        let silent = info.replace(line, "other = md5:");
        let sum = sha256(&silent);
        let error = media.tree(
            &serve_with(&silent),
            &none,
            &none,
            &InstallerDigests {
                sha256: Some(&sum),
                unverified: false,
            },
        );
        let text = error.unwrap_err().render();
        assert!(text.contains(&format!("cannot verify {said} of")), "{text}");
    }
}
