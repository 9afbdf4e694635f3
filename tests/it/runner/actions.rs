//! Single actions of the runner, with what they call replaced.

use super::*;

/// As apt of Debian 13 says it of a key that is bound by SHA-1 only.
const BOUND_BY_SHA1: &str = "\
Err:1 http://10.0.2.2:1/deb x InRelease
  Sub-process /usr/bin/sqv returned an error code (1), error message is: Signing key on \
7A5B8B4E0F0C1D2E3F405162738495A6B7C8D9E0 is not bound:            No binding signature at time 2026-03-01T00:00:00Z   \
because: Policy rejected non-revocation signature (PositiveCertification) requiring second pre-image resistance   \
because: SHA1 is not considered secure since 2026-02-01T00:00:00Z
W: OpenPGP signature verification failed: http://10.0.2.2:1/deb x InRelease
E: The repository 'http://10.0.2.2:1/deb x InRelease' is not signed.
";

#[test]
fn the_reason_of_unread_lists_names_the_key() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let missing = "W: GPG error: http://x InRelease: The following signatures couldn't be verified because \
                   the public key is not available: NO_PUBKEY 648ACFD622F3D138\nE: The repository is not signed.\n";
    for name in SHELLS {
        for (said, reason) in [
            (
                BOUND_BY_SHA1,
                "Signing key on 7A5B8B4E0F0C1D2E3F405162738495A6B7C8D9E0 is not bound: SHA1 is not considered \
                 secure since 2026-02-01; its owner has to sign the key again, with SHA-256 or better",
            ),
            (
                missing,
                "NO_PUBKEY 648ACFD622F3D138: is this the key of the repository?",
            ),
            (
                "Ign:1\nE: Failed to fetch http://x  404\nE: Some index",
                "E: Failed to fetch http://x  404",
            ),
            ("", "see the lines above"),
        ] {
            let program = match name {
                "busybox" => Program::new(name).arg("sh"),
                shell => Program::new(shell),
            };
            let script = format!(
                ". {}/runner/guest/lib/packages.sh; why_unread",
                folder.display()
            );
            let text = program.args(["-euc", &script]).input(said).text();
            assert_eq!(text.unwrap(), reason, "{name}");
        }
    }
}

#[test]
fn puppet_8_gets_old_facts_when_asked_and_says_so_when_not() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let run = |version: &str, legacy: &str| {
        let dir = tempfile::tempdir().unwrap();
        let puppet = dir.path().join("puppet");
        let fake = format!(
            "#!/bin/sh\ncase $1 in --version) echo {version}; exit;; esac\necho \"args: $*\"\n\
             case $* in *--include_legacy_facts*) exit 2;; esac\n\
             echo \"Error: Evaluation Error: Unknown variable: '::osfamily'. (line: 1)\"; exit 1\n"
        );
        imgforge::host::exec::write_program(&puppet, &fake).unwrap();
        fs::write(
            dir.path().join("puppet.sh"),
            format!("legacy_facts='{legacy}'\n"),
        )
        .unwrap();
        fs::write(dir.path().join("facts.sh"), "").unwrap();
        let script = format!(
            ". {0}/runner/guest/lib/common.sh; . {0}/runner/guest/lib/packages.sh; need_lists() {{ :; }}\n\
             booted_with_systemd() {{ false; }}; payload() {{ tar -cf - -T /dev/null; }}\n. {0}/steps/puppet.sh",
            folder.display()
        );
        let path = format!(
            "{}:{}",
            dir.path().display(),
            std::env::var("PATH").unwrap()
        );
        let program = Program::new("dash").args(["-euc", &format!("exec 2>&1; {script}")]);
        let program = program
            .env("PATH", path)
            .env("RUN", dir.path())
            .env("STEP", dir.path())
            .env("N", "1");
        let said = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
        let sink = std::sync::Arc::clone(&said);
        let ran = program.lines(move |line| *sink.lock().unwrap() += &format!("{line}\n"));
        (ran.is_ok(), said.lock().unwrap().clone())
    };
    let (fine, said) = run("8.10.0", "yes");
    assert!(fine && said.contains("Puppet made its changes"), "{said}");
    let (fine, said) = run("8.10.0", "");
    assert!(!fine && said.contains("no fact `::osfamily`"), "{said}");
    assert!(said.contains("legacy-facts: true"), "{said}");
    // It has them by itself, and old ones do not know the option.
    let (fine, said) = run("7.23.0", "yes");
    assert!(!fine && !said.contains("include_legacy_facts"), "{said}");
    assert!(!said.contains("legacy-facts"), "{said}");
}
