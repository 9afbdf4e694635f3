//! Conditions, files and scripts.

use imgforge::runner::Relay;
use imgforge::steps::Tools;

use super::*;

#[test]
fn conditions_choose_by_distribution_and_release() {
    for name in SHELLS {
        let on = |distro, release, word| Step {
            when: when(distro, release),
            ..shell(format!("echo {word} >>order"))
        };
        let steps = [
            on(Some("debian"), None, "like"),
            on(Some("ubuntu"), Some("noble"), "codename"),
            on(None, Some("24.04"), "version"),
            on(Some("rhel"), None, "never"),
            on(None, Some("trixie"), "never"),
        ];
        let fake = Fake::new(name, Mode::Configure, &steps);
        assert!(fake.boot().is_err());
        assert!(fake.journal().complete(5));
        assert_eq!(fake.text("root/order"), "like\ncodename\nversion\n");
    }
}

#[test]
fn files_and_scripts_come_from_the_payload() {
    for name in SHELLS {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("tree/deep/empty")).unwrap();
        fs::write(dir.path().join("tree/deep/conf"), "for {{ who }}\n").unwrap();
        fs::write(
            dir.path().join("tool.sh"),
            "#!/bin/sh\necho \"$0 $1|$2\" >>order\n",
        )
        .unwrap();
        let file = |from: Option<&str>, content: Option<&str>, to: &str, mode: Option<&str>| Step {
            action: Action::Files(Files {
                source: match from {
                    Some(path) => Source::Path {
                        path: path.into(),
                        template: path == "tree",
                    },
                    None => Source::Content(content.unwrap_or_default().into()),
                },
                to: to.into(),
                mode: mode.map(|mode| mode.parse().unwrap()),
                owner: None,
            }),
            ..shell("")
        };
        let script = Shell::Script {
            path: "tool.sh".into(),
            args: vec!["a b".into(), "it's".into()],
        };
        let steps = [
            file(Some("tree"), None, "/etc/app", None),
            file(None, Some("secret-ish\n"), "/etc/one", Some("0600")),
            file(Some("tool.sh"), None, "/usr/local/bin/", Some("0755")),
            Step {
                action: Action::Shell(script),
                ..shell("")
            },
        ];
        let vars = BTreeMap::from([("who".to_owned(), "everybody".to_owned())]);
        let mut fake = Fake::new(name, Mode::Configure, &[]);
        fake.job = Job::prepare(&Request {
            mode: Mode::Configure,
            steps: &steps,
            instance: &[],
            vars: &vars,
            secrets: &[],
            root: dir.path(),
            accel: Accel::Kvm,
        })
        .unwrap();
        fake.job
            .write(&fake.path("dev/vdb"), &fake.path("dev/vdc"))
            .unwrap();
        // A directory that is a link in the guest stays one.
        fs::create_dir(fake.path("root/real")).unwrap();
        std::os::unix::fs::symlink("../real", fake.path("root/etc/app")).unwrap();
        assert!(fake.boot().is_err());
        let journal = fake.journal();
        assert!(
            journal.complete(4),
            "{name}: {journal:?} {}",
            fake.text("dev/vport0p2")
        );
        assert_eq!(fake.text("root/real/deep/conf"), "for everybody\n");
        assert!(fake.path("root/real/deep/empty").is_dir());
        let mode =
            |path: &str| fs::metadata(fake.path(path)).unwrap().permissions().mode() & 0o7777;
        assert_eq!(
            (mode("root/etc/one"), mode("root/usr/local/bin/tool.sh")),
            (0o600, 0o755)
        );
        assert!(fake.text("root/order").ends_with("script a b|it's\n"));
    }
}

#[test]
fn under_a_lock_no_proxy_of_the_images_counts_for_dnf() {
    let dir = tempfile::tempdir().unwrap();
    let dnf = dir.path().join("dnf");
    fs::write(&dnf, "#!/bin/sh\necho \"$http_proxy|$no_proxy|$*\"\n").unwrap();
    fs::set_permissions(&dnf, fs::Permissions::from_mode(0o755)).unwrap();
    let lib = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/src/runner/guest/lib/packages.sh"
    );
    let own = "localhost,127.0.0.1,::1";
    for (locked, expected) in [
        ("", format!("http://relay|{own},far.example|-y install a")),
        (
            "yes",
            format!(
                "http://relay|{own}|-y --setopt=proxy=http://relay --setopt=*.proxy=http://relay install a"
            ),
        ),
    ] {
        let said = Program::new("sh")
            .args(["-c", ". \"$0\"; MANAGER=dnf; dnf_run install a", lib])
            .env("PATH", format!("{}:/usr/bin:/bin", dir.path().display()))
            .env("IMGFORGE_RELAY", "http://relay")
            .env("no_proxy", "far.example")
            .env("IMGFORGE_LOCKED", locked)
            .text()
            .unwrap();
        assert_eq!(said, expected);
    }
}

#[test]
fn package_managers_have_the_builds_proxy_and_the_guest_keeps_nothing_of_it() {
    let told = r#"sh -c 'echo relay $IMGFORGE_RELAY
        echo env $http_proxy,$HTTPS_PROXY,$no_proxy; mkdir -p own
        echo "Acquire::http::Proxy \"http://own.example\";" >own/90own
        echo "Acquire::http::Proxy::deb.example \"DIRECT\";" >>own/90own
        echo "Acquire::http::ProxyAutoDetect \"/find/own.example\";" >>own/90own
        echo "Acquire::https::Proxy-Auto-Detect \"/find/own.example\";" >>own/90own
        echo "Dir::Etc::parts \"$PWD/own\";" >>"$APT_CONFIG"
        apt-config dump' | grep -e ^relay -e ^env -e Proxy -e Valid"#;
    for (name, replays) in SHELLS.iter().flat_map(|name| [(name, false), (name, true)]) {
        let mut fake = Fake::new(name, Mode::Configure, &[]);
        let request = Request {
            mode: Mode::Configure,
            steps: &[shell(told)],
            instance: &[],
            vars: &BTreeMap::new(),
            secrets: &[],
            root: fake.dir.path(),
            accel: Accel::Kvm,
        };
        let relay = Relay {
            address: "http://10.0.2.2:4711".into(),
            replays,
        };
        fake.job = Job::prepare_with(&request, &Tools::default(), Some(&relay)).unwrap();
        let hosts = "10.9.9.9\tpkgs.internal  pkgs # ours\n";
        fs::create_dir_all(fake.path("root/etc")).unwrap();
        fs::write(fake.path("root/etc/hosts"), hosts).unwrap();
        fake.job
            .write(&fake.path("dev/vdb"), &fake.path("dev/vdc"))
            .unwrap();
        assert!(fake.boot().is_err());
        let said = fake.text("dev/vport0p2");
        // What the image sets, and names that only the guest knows, are no way past a lock.
        let (has, lacks): (&[&str], &[&str]) = match replays {
            false => (
                &[
                    "Acquire::http::Proxy \"http://own.example\";",
                    "Acquire::http::Proxy::deb.example \"DIRECT\";",
                    "Acquire::http::Proxy::pkgs.internal \"DIRECT\";",
                    "Acquire::http::Proxy::pkgs \"DIRECT\";",
                    "env http://10.0.2.2:4711,http://10.0.2.2:4711,localhost,127.0.0.1,::1,pkgs.internal,pkgs",
                ],
                &["Valid", "ours", "10.9.9.9"],
            ),
            true => (
                &[
                    "Acquire::http::Proxy \"http://10.0.2.2:4711\";",
                    "Acquire::Check-Valid-Until \"false\";",
                    "env http://10.0.2.2:4711,http://10.0.2.2:4711,localhost,127.0.0.1,::1\n",
                ],
                &["own.example", "deb.example", "pkgs"],
            ),
        };
        let both = [
            "relay http://10.0.2.2:4711",
            "Acquire::http::Proxy::localhost \"DIRECT\";",
        ];
        for line in both.iter().chain(has) {
            assert!(said.contains(line), "{name} {line}: {said}");
        }
        for line in lacks {
            assert!(!said.contains(line), "{name} {line}: {said}");
        }
        let left = Program::new("grep")
            .args(["-r", "4711"])
            .arg(fake.path("root"));
        assert!(left.text().is_err(), "{name}");
    }
}
