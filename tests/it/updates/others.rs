//! Images of RPM's family and of Alpine's, against repositories that the families' own programs made.

use imgforge::digest::Sha256;

use super::*;

/// Builds empty packages by rpmbuild: name, version, release, source package's name.
fn build(world: &World, packages: &[(&str, &str, &str, &str)]) {
    for (name, version, release, source) in packages {
        let part = match name == source {
            true => "%files\n".to_owned(),
            false => format!(
                "%package -n {name}\nSummary: x\n%description -n {name}\nx\n%files -n {name}\n"
            ),
        };
        let spec = format!(
            "Name: {source}\nVersion: {version}\nRelease: {release}\nSummary: x\nLicense: MIT\nEpoch: 1\nBuildArch: noarch\n\
             %description\nx\n{part}"
        );
        world.write(&format!("{name}.spec"), spec);
        Program::new("rpmbuild")
            .args(["-bb", "--quiet", "--define"])
            .arg(format!("_topdir {}", world.path("rpmbuild").display()))
            .args(["--define", "_rpmdir %{_topdir}"])
            .arg(world.path(&format!("{name}.spec")))
            .run()
            .unwrap();
    }
}

/// A repository with what was built, and a notice about one package.
fn create(world: &World, notice: Option<(&str, &str, &str)>) {
    let dir = world.path("rpmbuild");
    let create = Program::new("createrepo_c").args(["--quiet", "--general-compress-type=gz"]);
    create.arg(&dir).run().unwrap();
    if let Some((name, version, release)) = notice {
        world.write(
            "updateinfo.xml",
            format!(
                "<updates><update type=\"security\" status=\"final\" version=\"1\" from=\"a@example.org\"><id>RLSA-2025:1</id>\
                 <severity>Critical</severity><pkglist><collection><package name=\"{name}\" version=\"{version}\" \
                 release=\"{release}\" epoch=\"1\" arch=\"noarch\"/></collection></pkglist></update></updates>"
            ),
        );
        Program::new("modifyrepo_c")
            .arg(world.path("updateinfo.xml"))
            .arg(dir.join("repodata"))
            .run()
            .unwrap();
    }
}

#[test]
fn an_image_of_rpm_packages_is_judged_by_its_signed_repository() {
    let (archive, _server, world) = mirror();
    build(
        &world,
        &[
            ("curl", "7.76.1", "31.el9", "curl"),
            ("libcurl", "7.76.1", "31.el9", "curl"),
            ("bash", "5.1.8", "9.el9", "bash"),
            ("tool", "1.0~rc2", "1", "tool"),
        ],
    );
    create(&world, Some(("libcurl", "7.76.1", "30.el9")));
    archive.sign_file(&world.path("rpmbuild/repodata/repomd.xml"));
    let dir = world.path("rpmbuild");
    let server = serve(&dir);
    let rpm = |name: &str, version: &str| Package {
        arch: "noarch".into(),
        ..package(name, version, "")
    };
    let image = |line: String| Contents {
        sources: vec![line],
        ..contents(
            Kind::Rpm,
            &[
                rpm("curl", "1:7.76.1-29.el9"),
                rpm("libcurl", "1:7.76.1-29.el9"),
                rpm("bash", "1:5.1.8-9.el9"),
                rpm("tool", "1:1.0~rc10-1"),
                // An older one beside the newest, as kernels are.
                rpm("bash", "1:5.1.8-6.el9"),
            ],
        )
    };
    let uri = server.text("");
    let uri = uri.trim_end_matches('/');
    world.has("rocky", &image(format!("rpm [id=baseos signed=yes] {uri}")));
    let report = world.updates(&["rocky", "--json"]).exits(4).json();
    let rows = [
        "rocky curl 1:7.76.1-29.el9 1:7.76.1-31.el9 baseos",
        "rocky libcurl 1:7.76.1-29.el9 1:7.76.1-31.el9 baseos *",
    ];
    assert_eq!(waiting(&report), rows);
    let closed = &report["images"][0]["updates"][1];
    assert_eq!(
        (&closed["advisories"], &closed["severity"]),
        (&json!(["RLSA-2025:1"]), &json!("critical"))
    );
    // rpm itself orders them so.
    for (old, new, order) in [
        ("7.76.1-29.el9", "7.76.1-31.el9", "-1"),
        ("1.0~rc10-1", "1.0~rc2-1", "1"),
    ] {
        let text = format!("%{{lua: print(rpm.vercmp('{old}', '{new}'))}}");
        let said = Program::new("rpm").args(["--eval", &text]).text().unwrap();
        assert_eq!(said.trim(), order, "{old} {new}");
    }
    // Without a network as it was.
    world.updates(&["rocky", "--offline"]).exits(4);

    // What nobody has signed does not count by http, nor what was changed.
    std::fs::write(dir.join("repodata/repomd.xml.asc"), "").unwrap();
    world
        .updates(&["rocky"])
        .exits(1)
        .says(&["repodata/repomd.xml does not count"]);
    std::fs::remove_file(dir.join("repodata/repomd.xml.asc")).unwrap();
    world.has("plain", &image(format!("rpm [id=baseos] {uri}")));
    world
        .updates(&["plain"])
        .exits(1)
        .says(&["it has no signature, and does not come by https"]);
    let unknown = "rpm [id=x] https://a.example/$stream/x";
    world.has("unknown", &image(unknown.to_owned()));
    world
        .updates(&["unknown"])
        .exits(1)
        .says(&["https://a.example/$stream/x is not read"]);
}

/// Serves a directory.
pub(super) fn serve(dir: &Path) -> Server {
    let dir = dir.to_owned();
    Server::start(move |request, _| {
        let path = dir.join(request.path.trim_start_matches('/'));
        match std::fs::read(path) {
            Ok(body) => Answer::of(&body),
            Err(_) => Answer::status(404),
        }
    })
}

/// Signs an index of Alpine's as `abuild-sign` does: an archive without an end in front of it.
fn sign(world: &World, index: &[u8], key: &str) -> Vec<u8> {
    world.write("index", index);
    let signature = Program::new("openssl")
        .args(["dgst", "-sha1", "-sign"])
        .args([world.path(key), world.path("index")])
        .output()
        .unwrap();
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(signature.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, format!(".SIGN.RSA.{key}.rsa.pub"), &*signature)
        .unwrap();
    let mut head = tar.into_inner().unwrap();
    head.truncate(head.len() - 1024);
    let head = Program::new("gzip").input(head).output().unwrap();
    [&head[..], index].concat()
}

#[test]
fn an_image_of_alpine_is_judged_by_its_signed_index() {
    let (_archive, _server, world) = mirror();
    for key in ["alpine", "other"] {
        let private = world.path(key);
        Program::new("openssl")
            .args(["genrsa", "-out"])
            .arg(&private)
            .arg("2048")
            .run()
            .unwrap();
        Program::new("openssl")
            .args(["rsa", "-pubout", "-in"])
            .arg(&private)
            .arg("-out")
            .arg(world.path(&format!("{key}.rsa.pub")))
            .run()
            .unwrap();
    }
    let index_of = |libssl3: &str, made: u64| {
        let list = format!(
            "C:Q1x\nP:libssl3\nV:{libssl3}\nA:x86_64\no:openssl\nt:{made}\n\nP:musl\nV:1.2.5-r0\nA:x86_64\no:musl\n\
             t:1710000000\n\nP:busybox\nV:1.36.1-r9\nA:x86_64\n"
        );
        let mut tar = tar::Builder::new(Vec::new());
        for (name, text) in [("DESCRIPTION", "v3.20"), ("APKINDEX", &*list)] {
            let mut header = tar::Header::new_ustar();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, text.as_bytes()).unwrap();
        }
        let packed = tar.into_inner().unwrap();
        Program::new("gzip").input(packed).output().unwrap()
    };
    let index = index_of("3.3.2-r1", 1_720_000_000);
    let write = |bytes: Vec<u8>| world.write("alpine-repo/main/x86_64/APKINDEX.tar.gz", bytes);
    write(sign(&world, &index, "alpine"));
    let server = serve(&world.path("alpine-repo"));
    let apk = |name: &str, version: &str, source: &str| Package {
        arch: "x86_64".into(),
        ..package(name, version, source)
    };
    let image = Contents {
        distro: "alpinelinux".into(),
        release: "3.20".into(),
        sources: vec![format!("apk [signed=yes] {}", server.text("main"))],
        ..contents(
            Kind::Apk,
            &[
                apk("libssl3", "3.3.2-r0", "openssl"),
                apk("musl", "1.2.5-r0", ""),
                apk("busybox", "1.36.1-r10", ""),
            ],
        )
    };
    world.has("alpine", &image);
    let unknown = "its key, alpine.rsa.pub, is not known here";
    world.updates(&["alpine"]).exits(1).says(&[unknown]);
    world.replace(
        "imgforge.yaml",
        "[archive.gpg]",
        "[archive.gpg, alpine.rsa.pub, other.rsa.pub]",
    );
    let advisory = json!({"id": "ALPINE-CVE-1", "affected": [{
        "package": {"ecosystem": "Alpine:v3.20", "name": "openssl"},
        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "3.3.2-r1"}]}],
    }]});
    world.write("alpine.json", advisory.to_string());
    let config = world.read("imgforge.yaml");
    world.write(
        "imgforge.yaml",
        format!("{config}advisories: [{{format: osv, from: alpine.json}}]\n"),
    );
    let report = world.updates(&["alpine", "--json"]).exits(4).json();
    let row = "alpine libssl3 3.3.2-r0 3.3.2-r1 main *";
    assert_eq!(waiting(&report), [row]);
    assert_eq!(
        report["images"][0]["updates"][0]["advisories"],
        json!(["ALPINE-CVE-1"])
    );

    // Of another key with the name of the right one; changed; without a signature.
    let wrong = sign(&world, &index, "other");
    let good = sign(&world, &index, "alpine");
    std::fs::rename(world.path("other.rsa.pub"), world.path("kept")).unwrap();
    write(wrong);
    world
        .updates(&["alpine"])
        .exits(1)
        .says(&["its key, other.rsa.pub, is not known here"]);
    let mut changed = good.clone();
    let last = changed.len() - 1;
    changed[last] ^= 1;
    write(changed);
    world
        .updates(&["alpine"])
        .exits(1)
        .says(&["the signature is wrong: the index was changed"]);
    write(index);
    world
        .updates(&["alpine"])
        .exits(1)
        .says(&["it has no signature"]);
    write(good.clone());
    world.updates(&["alpine"]).exits(4);

    // An older one that is as well signed hides nothing.
    let newer = index_of("3.3.2-r2", 1_730_000_000);
    write(sign(&world, &newer, "alpine"));
    world.updates(&["alpine"]).exits(4).prints(&["3.3.2-r2"]);
    write(good);
    world.updates(&["alpine"]).exits(4).prints(&["3.3.2-r2"]);
}

#[test]
fn an_index_that_does_not_say_when_it_was_made_hides_nothing() {
    let (archive, _server, world) = mirror();
    let publish =
        |revision: &str, version: &str| publish(&world, &archive, "rpms", (revision, version));
    publish("1763200800", "1");
    let server = serve(&world.path("rpms"));
    let bash = Package {
        arch: "noarch".into(),
        ..package("bash", "1-1", "")
    };
    let image = Contents {
        sources: vec![format!("rpm [id=os signed=yes] {}", server.text(""))],
        ..contents(Kind::Rpm, &[bash])
    };
    world.has("rocky", &image);
    // Nor does it say what is a security fix.
    world
        .updates(&["rocky"])
        .exits(1)
        .says(&["none of its repositories says which updates are security fixes"]);
    publish("second", "2");
    world.updates(&["rocky"]).exits(4).prints(&["bash"]);
    // An older one does.
    publish("1763200900", "3");
    world.updates(&["rocky"]).exits(4).prints(&["3-1"]);
    publish("1763200800", "1");
    world.updates(&["rocky"]).exits(4).prints(&["3-1"]);
}

/// Writes a signed repository with this version of bash; the digest of its index.
pub(super) fn publish(
    world: &World,
    archive: &Archive,
    dir: &str,
    (revision, version): (&str, &str),
) -> Sha256 {
    let list = format!(
        "<metadata><package type=\"rpm\"><name>bash</name><arch>noarch</arch>\
         <version epoch=\"0\" ver=\"{version}\" rel=\"1\"/></package></metadata>"
    );
    let (sha256, size) = (Sha256::of(list.as_bytes()), list.len());
    let location = format!("repodata/{version}-primary.xml");
    world.write(&format!("{dir}/{location}"), list);
    let index = format!(
        "<repomd><revision>{revision}</revision><data type=\"primary\"><checksum type=\"sha256\">{sha256}</checksum>\
         <location href=\"{location}\"/><size>{size}</size></data></repomd>"
    );
    let digest = Sha256::of(index.as_bytes());
    let path = format!("{dir}/repodata/repomd.xml");
    world.write(&path, index);
    drop(std::fs::remove_file(world.path(&format!("{path}.asc"))));
    archive.sign_file(&world.path(&path));
    digest
}

#[test]
fn of_a_list_of_mirrors_the_newest_index_counts_and_none_that_it_does_not_name() {
    let (archive, _server, world) = mirror();
    let [old, new] =
        [("old", "1763200800", "2"), ("new", "1763200900", "3")].map(|(dir, revision, version)| {
            publish(
                &world,
                &archive,
                &format!("rpms/{dir}"),
                (revision, version),
            )
        });
    publish(&world, &archive, "rpms/foreign", ("1763201000", "4"));
    let server = serve(&world.path("rpms"));
    let urls = |end: &str| {
        let url = |dir: &str| server.text(&format!("{dir}{end}"));
        ["gone", "foreign", "old", "new"].map(url)
    };
    let tags: String = urls("/repodata/repomd.xml")
        .iter()
        .map(|url| format!("<url protocol=\"http\">{url}</url>"))
        .collect();
    let hash = |digest: &Sha256| {
        format!("<verification><hash type=\"sha256\">{digest}</hash></verification>")
    };
    world.write(
        "rpms/metalink",
        format!(
            "<metalink><files><file name=\"repomd.xml\">{}<alternates><alternate>{}</alternate></alternates>\
             <resources>{tags}</resources></file></files></metalink>",
            hash(&new),
            hash(&old)
        ),
    );
    world.write("rpms/mirrorlist", urls("")[2..].join("\n"));
    let bash = Package {
        arch: "noarch".into(),
        ..package("bash", "1-1", "")
    };
    for way in ["metalink", "mirrorlist"] {
        let line = format!("rpm-{way} [id=os signed=yes] {}", server.text(way));
        let image = Contents {
            sources: vec![line],
            ..contents(Kind::Rpm, std::slice::from_ref(&bash))
        };
        world.has(way, &image);
        let said = world.updates(&[way]).exits(4).prints(&["3-1"]);
        if way == "metalink" {
            said.says(&["it is not what the list of its mirrors says"]);
        }
    }
}
