//! The declarations against the installed headers, and the library against the table.
#![allow(missing_docs, reason = "a test")]

use std::io::Write as _;
use std::process::{Command, Stdio};

use libvirt_sys::{Library, LoadError, SONAMES, declarations};

/// Compiles C text and returns the compiler's messages if it refuses it.
#[allow(clippy::disallowed_methods, reason = "a test runs the C compiler")]
fn compile(text: &str) -> Result<(), String> {
    let mut child = Command::new("cc")
        .args(["-fsyntax-only", "-Werror", "-x", "c", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a C compiler: apt install gcc libvirt-dev");
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn({
        let text = text.to_owned();
        move || stdin.write_all(text.as_bytes())
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

#[test]
fn the_declarations_agree_with_the_headers() {
    compile(&declarations()).unwrap();
}

/// What keeps the test above honest: each kind of mistake is refused, by name.
#[test]
fn a_wrong_declaration_is_refused() {
    let right = declarations();
    for (from, to, named) in [
        (
            "(virDomainFree), int (",
            "(virDomainFree), unsigned_int (",
            "prototype of virDomainFree",
        ),
        (
            "int (virConnectPtr, int, unsigned_int)",
            "int (virConnectPtr, int, int)",
            "prototype of virConnectSetKeepAlive",
        ),
        (
            "cpuTime) == 32",
            "cpuTime) == 24",
            "offset of virDomainInfo.cpuTime",
        ),
        (
            "->memory), unsigned_long)",
            "->memory), unsigned_int)",
            "type of virDomainInfo.memory",
        ),
        (
            "sizeof (virDomainInterfaceStatsStruct) == 64",
            "sizeof (virDomainInterfaceStatsStruct) == 56",
            "size of virDomainInterfaceStatsStruct",
        ),
        (
            "EVENT_STOPPED == 5",
            "EVENT_STOPPED == 4",
            "value of VIR_DOMAIN_EVENT_STOPPED",
        ),
    ] {
        let wrong = right.replacen(from, to, 1);
        assert_ne!(wrong, right, "{from} is not in the declarations");
        let message = compile(&wrong).expect_err(named);
        assert!(message.contains(named), "{named}: {message}");
    }
}

#[test]
fn the_installed_library_has_every_function() {
    Library::open(SONAMES).unwrap();
}

#[test]
fn what_is_missing_is_named() {
    let error = Library::open([SONAMES[0], "libvirt-nowhere.so.0"]).unwrap_err();
    assert!(matches!(error, LoadError::Missing { .. }), "{error}");
    let said = error.to_string();
    assert!(
        said.starts_with("libvirt-nowhere.so.0 cannot be loaded: "),
        "{said}"
    );
    assert!(said.contains("No such file"), "{said}");
    let error = Library::open(["libc.so.6", "libm.so.6"]).unwrap_err();
    let said = "there is no function virConnectOpen: libvirt 6.0 or newer is needed";
    assert_eq!(error.to_string(), said);
}
