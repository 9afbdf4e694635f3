//! The declarations against the installed `guestfs.h`, and the library against the table.
#![allow(missing_docs, reason = "a test")]

use std::io::Write as _;
use std::process::{Command, Stdio};

use guestfs_sys::{Library, LoadError, SONAME, abi};

/// Compiles C text and returns the compiler's messages if it refuses it.
#[allow(clippy::disallowed_methods, reason = "a test runs the C compiler")]
fn compile(text: &str) -> Result<(), String> {
    let mut child = Command::new("cc")
        .args(["-fsyntax-only", "-Werror", "-x", "c", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a C compiler: apt install gcc libguestfs-dev");
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
fn the_declarations_agree_with_the_header() {
    let text = abi::declarations();
    assert!(text.contains("prototype of guestfs_launch"), "{text}");
    compile(&text).unwrap();
}

/// What keeps the test above honest: each kind of mistake is refused, by name.
#[test]
fn a_wrong_declaration_is_refused() {
    let right = abi::declarations();
    for (from, to, named) in [
        (
            "(guestfs_launch), int (",
            "(guestfs_launch), int64_t (",
            "prototype of guestfs_launch",
        ),
        (
            "guestfs_h *, char const *, int64_t)",
            "guestfs_h *, char const *, int)",
            "prototype of guestfs_truncate_size",
        ),
        (
            "(guestfs_sh), char * (",
            "(guestfs_sh), char const * (",
            "prototype of guestfs_sh",
        ),
        (
            "discard) == 88",
            "discard) == 80",
            "offset of guestfs_add_drive_opts_argv.discard",
        ),
        (
            "struct guestfs_statns) == 176",
            "struct guestfs_statns) == 128",
            "size of guestfs_statns",
        ),
        (
            "DISCARD_BITMASK == (UINT64_C (1) << 10)",
            "DISCARD_BITMASK == (UINT64_C (1) << 9)",
            "bit of ADD_DRIVE_OPTS DISCARD",
        ),
        (
            "EVENT_PROGRESS == 8",
            "EVENT_PROGRESS == 4",
            "value of EVENT_PROGRESS",
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
    Library::open(SONAME).unwrap();
}

#[test]
fn a_missing_library_says_what_to_install() {
    let error = Library::open("libguestfs-nowhere.so.0").unwrap_err();
    assert!(matches!(error, LoadError::Missing { .. }), "{error}");
    assert!(error.to_string().contains("install libguestfs0"), "{error}");
    assert!(error.to_string().contains("No such file"), "{error}");
}

#[test]
fn a_library_without_the_functions_names_the_first() {
    let error = Library::open("libc.so.6").unwrap_err();
    assert_eq!(
        error.to_string(),
        "libc.so.6 has no function guestfs_create_flags: libguestfs 1.40 or newer is needed"
    );
}
