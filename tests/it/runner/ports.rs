//! Steps of each machine, secrets, and ports that nobody reads.

use super::*;

#[test]
fn instance_steps_are_placed_run_once_and_remove_themselves() {
    for name in SHELLS {
        let own = [
            shell("echo own-1 >>order"),
            shell("[ -e go ] && echo own-2 >>order"),
        ];
        let fake = Fake::with(
            name,
            Mode::Configure,
            &[shell("echo built >>order")],
            &own,
            &[],
        );
        fs::create_dir_all(fake.path("root/usr/lib/systemd/system")).unwrap();
        assert!(fake.boot().is_err());
        assert!(fake.journal().complete(1), "{name}");
        assert_eq!(
            fake.text("root/order"),
            "built\n",
            "they do not run during the build"
        );
        let link = "root/etc/systemd/system/multi-user.target.wants/imgforge-instance.service";
        assert!(fake.path(link).exists());
        let script = fake.path("root/usr/lib/imgforge-instance/lib/instance.sh");
        assert!(
            fake.program(&script).run().is_err(),
            "the second step fails"
        );
        fake.file("root/go", "");
        fake.program(&script).run().unwrap();
        assert_eq!(fake.text("root/order"), "built\nown-1\nown-2\n");
        assert!(!fake.path("root/usr/lib/imgforge-instance").exists());
        assert!(fs::symlink_metadata(fake.path(link)).is_err());
        assert!(fake.text("dev/ttyS0").contains("first boot: done"));
    }
}

#[test]
fn first_boot_steps_of_an_image_below_are_held_back_and_come_first() {
    for name in SHELLS {
        let parent = [shell("echo below-1 >>order"), shell("echo below-2 >>order")];
        let below = Fake::with(name, Mode::Configure, &[shell("true")], &parent, &[]);
        fs::create_dir_all(below.path("root/usr/lib/systemd/system")).unwrap();
        assert!(below.boot().is_err());
        for own in [false, true] {
            let steps = own.then(|| shell("echo own >>order"));
            let built = shell("[ ! -e usr/lib/imgforge-instance ]");
            let fake = Fake::with(name, Mode::Configure, &[built], steps.as_slice(), &[]);
            fs::create_dir_all(fake.path("root/usr/lib/systemd/system")).unwrap();
            let from = below.path("root/usr/lib/imgforge-instance");
            let held = fake.path("root/usr/lib/imgforge-instance.held");
            let copy = Program::new("cp").arg("-a").arg(from).arg(&held);
            copy.run().unwrap();
            assert!(fake.boot().is_err());
            assert!(fake.journal().complete(1), "{name}");
            assert!(!held.exists());
            let script = fake.path("root/usr/lib/imgforge-instance/lib/instance.sh");
            fake.program(&script).run().unwrap();
            let more = if own { "own\n" } else { "" };
            assert_eq!(fake.text("root/order"), format!("below-1\nbelow-2\n{more}"));
            assert!(!fake.path("root/usr/lib/imgforge-instance.own").exists());
        }
    }
}

#[test]
fn secrets_come_over_the_port_into_files() {
    for name in SHELLS {
        let secrets = ["enrol".to_owned()];
        let step = Step {
            secrets: BTreeMap::from([("TOKEN".to_owned(), "enrol".to_owned())]),
            ..shell(
                "cat \"$IMGFORGE_SECRET_ENROL\" >copy; ls -l \"$IMGFORGE_SECRET_ENROL\" >mode; \
                 printf %s \"$TOKEN\" >variable",
            )
        };
        let fake = Fake::with(name, Mode::Configure, &[step], &[], &secrets);
        let (mut host, guest) = terminal();
        // Held open: a terminal hangs up when its last user closes it, a port does not.
        let held = fs::File::options()
            .read(true)
            .write(true)
            .open(&guest)
            .unwrap();
        fs::remove_file(fake.path("dev/vport0p1")).unwrap();
        std::os::unix::fs::symlink(guest, fake.path("dev/vport0p1")).unwrap();
        let mut answering = host.try_clone().unwrap();
        let answer = std::thread::spawn(move || {
            let mut heard = String::new();
            let mut buffer = [0; 256];
            while let Ok(n @ 1..) = host.read(&mut buffer) {
                heard.push_str(&String::from_utf8_lossy(&buffer[..n]));
                if heard.ends_with("secrets\n") {
                    let values = BTreeMap::from([("enrol".to_owned(), b"two\nlines".to_vec())]);
                    answering
                        .write_all(protocol::secrets(&values).as_bytes())
                        .unwrap();
                }
                if heard.contains("done ") {
                    break;
                }
            }
            heard
        });
        assert!(fake.boot().is_err());
        let journal = fake.journal();
        assert!(journal.complete(1), "{name}: {journal:?}");
        drop(held);
        assert!(
            answer
                .join()
                .unwrap()
                .contains(&format!("hello {}", fake.job.nonce))
        );
        assert_eq!(fake.text("root/copy"), "two\nlines");
        assert_eq!(fake.text("root/variable"), "two\nlines");
        assert!(fake.text("root/mode").starts_with("-rw-------"));
    }
}

#[test]
fn secrets_that_do_not_come_are_a_failure() {
    let mut fake = Fake::with(
        "dash",
        Mode::Configure,
        &[shell("echo never >>order")],
        &[],
        &["enrol".to_owned()],
    );
    fake.patience = 5;
    assert!(fake.boot().is_err());
    let journal = fake.journal();
    assert_eq!(
        (journal.failure.as_deref(), journal.done),
        (Some("secrets"), Some(125))
    );
    assert_eq!(fake.text("root/order"), "");
}

#[test]
fn a_port_that_nobody_reads_does_not_stop_a_step() {
    for name in SHELLS {
        let step = shell(
            "yes 'a long line of output that nobody reads' | head -n 20000; echo end >>order",
        );
        let fake = Fake::new(name, Mode::Configure, &[step]);
        fs::remove_file(fake.path("dev/vport0p2")).unwrap();
        Program::new("mkfifo")
            .arg(fake.path("dev/vport0p2"))
            .run()
            .unwrap();
        assert!(fake.boot().is_err());
        assert!(fake.journal().complete(1), "{name}");
        assert_eq!(fake.text("root/order"), "end\n");
    }
}

/// Both ends of a pseudo terminal that passes bytes as they are.
fn terminal() -> (fs::File, PathBuf) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
    let host = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&host).unwrap();
    unlockpt(&host).unwrap();
    let name = ptsname(&host, vec![]).unwrap().into_string().unwrap();
    let mut settings = tcgetattr(&host).unwrap();
    settings.make_raw();
    tcsetattr(&host, OptionalActions::Now, &settings).unwrap();
    (fs::File::from(host), PathBuf::from(name))
}
