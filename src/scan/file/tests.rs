use super::*;
use crate::host::accel::Accel;
use crate::scan::Known;
use crate::ui::Ui;

/// An archive with these members, whatever their names are.
fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut all = vec![];
    for (name, content) in members {
        let mut header = tar::Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_entry_type(tar::EntryType::Regular);
        header.set_cksum();
        all.extend(header.as_bytes());
        all.extend(*content);
        all.resize(all.len().next_multiple_of(512), 0);
    }
    all.resize(all.len() + 1024, 0);
    all
}

fn scanned(archive: &[u8], scratch: &Path) -> Result<ScanReport> {
    let secrets = [("token".to_owned(), b"s3cret-value".to_vec())];
    let subject = Subject {
        known: Known::new(&secrets.into()),
        ..Subject::default()
    };
    let host = Host {
        scratch,
        accel: Accel::Tcg,
        ui: &Ui::silent().stage("test", "scan"),
    };
    disks(archive, Path::new("disk.ova"), &subject, &host, 1)
}

/// Who may write the archive puts another in its place once it has been looked at.
#[test]
fn an_archive_that_changed_is_written_nowhere_else() {
    let dir = tempfile::tempdir().unwrap();
    let scratch = dir.path().join("scratch");
    std::fs::create_dir(&scratch).unwrap();
    let planted = dir.path().join("planted");
    let absolute = planted.to_str().unwrap();
    for name in [absolute, "../../planted", "scratch/../../../planted"] {
        let error = scanned(&archive(&[(name, b"* * * * * root true\n")]), &scratch);
        assert!(!planted.exists(), "{name}");
        let error = error.unwrap_err();
        assert!(error.message().contains("changed"), "{error}");
    }
    let many: Vec<String> = (0..=MEMBERS)
        .map(|number| format!("{number}.raw"))
        .collect();
    let many: Vec<(&str, &[u8])> = many.iter().map(|name| (&**name, &b"x"[..])).collect();
    assert!(scanned(&archive(&many), &scratch).is_err());
    assert_eq!(scratch.read_dir().unwrap().count(), 0, "nothing is left");
}

/// Else each could keep the other from being scanned.
#[test]
fn descriptions_that_name_each_other_or_another_disk_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let describe = |part: &str| {
        let text = format!("# Disk DescriptorFile\nRW 8 FLAT \"{part}\" 0\n");
        text.into_bytes()
    };
    let (one, two) = (describe("two.vmdk"), describe("one.vmdk"));
    let disk = [&b"QFI\xfb\0\0\0\x03"[..], &[0; 504]].concat();
    let hiding = describe("disk.qcow2");
    for members in [
        [("one.vmdk", &one[..]), ("two.vmdk", &two[..])],
        [("one.vmdk", &hiding[..]), ("disk.qcow2", &disk[..])],
    ] {
        let error = scanned(&archive(&members), dir.path()).unwrap_err();
        assert!(error.message().contains("refers to another"), "{error}");
    }
}

#[test]
fn of_two_members_of_one_name_both_are_searched() {
    let dir = tempfile::tempdir().unwrap();
    let both = archive(&[("Vagrantfile", b"s3cret-value"), ("Vagrantfile", b"none")]);
    let report = scanned(&both, dir.path()).unwrap();
    assert_eq!(report.findings.len(), 1, "{report:?}");
}
