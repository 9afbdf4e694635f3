use super::*;

fn entry() -> IndexEntry {
    IndexEntry {
        id: "web-node".into(),
        name: Some("Debian 13 web node".into()),
        osinfo: Some("debian13".into()),
        arch: "x86_64".into(),
        file: "images/web-node/7/web-node-0123456789ab.xz".into(),
        sha512: Some("ab".repeat(64)),
        revision: 7,
        format: Some("raw".into()),
        size: 10 << 30,
        compressed_size: Some(178_000_000),
        expand: Some("/dev/sda3".into()),
        notes: vec![(None, "First line.\n\n  indented\nlast".into())],
        ..IndexEntry::default()
    }
}

fn read(text: &str) -> Result<Vec<IndexEntry>, Vec<String>> {
    let problems = |list: Vec<Problem>| list.iter().map(Problem::to_string).collect::<Vec<_>>();
    parse(text)
        .and_then(|sections| check(&sections))
        .map_err(problems)
}

#[test]
fn the_writer_writes_upstreams_order_and_reads_back() {
    let mut second = entry();
    second.arch = "aarch64".into();
    second.notes = vec![(Some("de".into()), "Hinweis".into())];
    second.aliases = vec!["web".into(), "node".into()];
    second.hidden = true;
    second.other = vec![
        ("imgforge_version".into(), "0123".into()),
        ("x[y]".into(), "a\nb".into()),
    ];
    let text = write(&[entry(), second.clone()]).unwrap();
    assert_eq!(
        text.replace(&"ab".repeat(64), "SHA"),
        "[web-node]\nname=Debian 13 web node\nosinfo=debian13\n\
         file=images/web-node/7/web-node-0123456789ab.xz\narch=x86_64\nchecksum[sha512]=SHA\n\
         revision=7\nformat=raw\nsize=10737418240\ncompressed_size=178000000\nexpand=/dev/sda3\n\
         notes=First line.\n \n   indented\n last\n\n\
         [web-node]\nname=Debian 13 web node\nosinfo=debian13\n\
         file=images/web-node/7/web-node-0123456789ab.xz\narch=aarch64\nchecksum[sha512]=SHA\n\
         revision=7\nformat=raw\nsize=10737418240\ncompressed_size=178000000\nexpand=/dev/sda3\n\
         notes[de]=Hinweis\naliases=web node\nhidden=true\nimgforge_version=0123\nx[y]=a\n b\n\n"
    );
    assert_eq!(read(&text).unwrap(), [entry(), second]);
}

#[test]
fn the_writer_refuses_what_a_client_would_misread() {
    type Spoil = fn(&mut IndexEntry);
    let cases: Vec<(&str, Spoil)> = vec![
        ("a section", |e| e.id = "a b".into()),
        ("an empty id", |e| e.id = String::new()),
        ("a line break", |e| e.name = Some("a\nb".into())),
        ("a carriage return", |e| e.notes[0].1 = "a\rb".into()),
        ("an absolute path", |e| e.file = "/etc/passwd".into()),
        ("a space in a path", |e| e.file = "a b".into()),
        ("an escape in a path", |e| e.file = "a%20b".into()),
        ("arm64", |e| e.arch = "arm64".into()),
        ("upper-case hex", |e| e.sha512 = Some("AB".repeat(64))),
        ("revision 0", |e| e.revision = 0),
        ("a revision of 63 bits", |e| e.revision = 1 << 62),
        ("a size of 64 bits", |e| e.size = 1 << 63),
        ("an alias like its own name", |e| {
            e.aliases = vec!["web-node".into()]
        }),
        ("an empty alias", |e| e.aliases = vec![String::new()]),
        ("a device", |e| e.expand = Some("sda3".into())),
        ("an odd key", |e| e.other = vec![("a-b".into(), "c".into())]),
        ("a known key as another", |e| {
            e.other = vec![("hidden".into(), "true".into())]
        }),
    ];
    for (what, spoil) in cases {
        let mut spoilt = entry();
        spoil(&mut spoilt);
        assert!(write(&[spoilt]).is_err(), "{what}");
    }
    assert!(write(&[]).is_err(), "an empty index");
    assert!(write(&[entry(), entry()]).is_err(), "the same name twice");
}

#[test]
fn both_grammars_are_read() {
    let fields = "arch=x86_64\nfile=f\nsize=1\n";
    let cases = [
        ("", 0),
        ("# comment\n", 0),
        (
            "\n\n[a] \t\narch=x86_64\nfile=f\n\nsize=1\n[b]\narch=x86_64\n# c\nfile=f\nsize=1\n",
            2,
        ),
        (&format!("[a]\n{fields}notes=x\n# c\n y\n\n z\n"), 1),
        (
            &format!(
                "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n[a]\n{fields}\
                 -----BEGIN PGP SIGNATURE-----\n\nanything\n"
            ),
            1,
        ),
    ];
    for (text, entries) in cases {
        assert_eq!(read(text).map(|list| list.len()), Ok(entries), "{text}");
    }
    let notes = &read(cases[3].0).unwrap()[0].notes;
    assert_eq!(
        notes[0].1, "x\ny\n\nz",
        "gpg takes the blank off an empty line of notes"
    );
}

#[test]
fn every_mistake_is_found_with_its_line() {
    let text = "[a]\narch=arm64\nfile=http://x/y\nsize=1k\nrevision=1.2\nhidden=yes\n\
                checksum[sha512]=XYZ\nexpand=sda\narch=x\naliases=b  c\n\n\
                [b]\narch=amd64\nfile=f\nsize=1\n\n[b]\narch=x86_64\nfile=f\nsize=1\naliases=a\n";
    let problems = read(text).unwrap_err();
    assert_eq!(
        problems.join("\n"),
        "line 1: the alias `b` would hide the image of that name\n\
         line 2: `arch=arm64`: clients know this architecture as `aarch64` only\n\
         line 3: `file=http://x/y`: the path must be relative to the index\n\
         line 4: `size=1k`: this is not a decimal number\n\
         line 5: `revision=1.2`: this is not a decimal number\n\
         line 6: `hidden=yes`: this is neither `true` nor `false`\n\
         line 7: `checksum[sha512]=XYZ`: a SHA-512 has 128 lower-case hex digits\n\
         line 8: `expand=sda`: this is not a device such as `/dev/sda3`\n\
         line 9: `arch` is already in line 2\n\
         line 10: `aliases=b  c`: aliases are names, with one space between two\n\
         line 17: `b` for x86_64 is already in line 12\n\
         line 17: the alias `a` would hide the image of that name"
    );
}

#[test]
fn numbers_are_read_as_clients_read_them() {
    let revision = |text: &str| {
        read(&format!(
            "[a]\narch=x86_64\nfile=f\nsize=1\nrevision={text}\n"
        ))
        .map(|entries| entries[0].revision)
    };
    for (text, expected) in [
        ("16", 16),
        ("0x1F", 31),
        ("0o17", 15),
        ("0b101", 5),
        ("1_000", 1000),
    ] {
        assert_eq!(revision(text), Ok(expected), "{text}");
    }
    for text in [
        "",
        "-1",
        "+1",
        "_1",
        "0x",
        "1.0",
        " 1",
        "4611686018427387904",
    ] {
        assert!(revision(text).is_err(), "{text}");
    }
}

#[test]
fn syntax_errors_have_lines_too() {
    for (text, expected) in [
        ("[a]", "line 1: the file must end with a newline"),
        ("x=y\n", "line 1: a field before the first section"),
        (
            " x\n",
            "line 1: a continuation line without a field above it",
        ),
        (
            "[a]\r\n",
            "line 1: this is not a section header such as `[debian-12]`",
        ),
        (
            "[a:b]\n",
            "line 1: this is not a section header such as `[debian-12]`",
        ),
        (
            "[a]\nna-me=x\n",
            "line 2: this is neither a section nor a field `key=value`",
        ),
        (
            "[a]\nname[]=x\n",
            "line 2: this is neither a section nor a field `key=value`",
        ),
        (
            "\u{feff}[a]\n",
            "line 1: this is neither a section nor a field `key=value`",
        ),
        (
            "-----BEGIN PGP SIGNED MESSAGE-----\n\n[a]\n",
            "line 2: a signed message needs a `Hash:` header",
        ),
        (
            "-----BEGIN PGP SIGNATURE-----\n",
            "line 1: a signature without a signed message",
        ),
    ] {
        assert_eq!(read(text).unwrap_err()[0], expected, "{text:?}");
    }
}
