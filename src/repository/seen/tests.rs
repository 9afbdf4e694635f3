use super::*;

#[test]
fn what_somebody_else_has_seen_meanwhile_is_not_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let seen = RememberedRepository::of_dir(dir.path(), &dir.path().join("repo")).unwrap();
    let address = seen.address("index.asc").unwrap();
    let take = |second: i64, older: bool| {
        let mark = Mark {
            address: &address,
            when: Timestamp::from_second(second).unwrap(),
            repository: None,
            claims: false,
            serial: None,
        };
        seen.take(&[mark], older).unwrap();
        seen.read().signed[&address.to_string()]
    };
    assert_eq!(take(100, false), 100);
    assert_eq!(take(200, false), 200);
    assert_eq!(take(100, false), 200);
    assert_eq!(take(100, true), 100, "on demand");
}

#[test]
fn the_number_of_a_transaction_never_goes_back() {
    let dir = tempfile::tempdir().unwrap();
    let seen = RememberedRepository::of_dir(dir.path(), &dir.path().join("repo")).unwrap();
    let address = seen.address(".imgforge/state.sjson").unwrap();
    for (serial, older, expected) in [(3, false, 3), (1, false, 3), (1, true, 3), (5, false, 5)] {
        let mark = Mark {
            address: &address,
            when: Timestamp::from_second(100).unwrap(),
            repository: None,
            claims: false,
            serial: Some(serial),
        };
        seen.take(&[mark], older).unwrap();
        assert_eq!(seen.read().serial, Some(expected), "{serial} {older}");
    }
}
