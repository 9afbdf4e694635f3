use std::sync::{Arc, Mutex};

use super::*;
use crate::ui::{Event, Reporter};

fn remembered(dir: &Path, ui: &Ui) -> RememberedRepository {
    RememberedRepository::of_dir(dir, &dir.join("repo"), ui).unwrap()
}

/// Keeps the warnings.
#[derive(Default, Clone)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl Reporter for Warnings {
    fn event(&self, event: &Event) {
        if let Event::Warning { text } = event {
            self.0.lock().unwrap().push(text.clone());
        }
    }
}

#[test]
fn a_damaged_memory_is_told_once_and_begun_anew() {
    let dir = tempfile::tempdir().unwrap();
    let (warnings, count) = (Warnings::default(), |one: &Warnings| {
        one.0.lock().unwrap().len()
    });
    let ui = Ui::new(warnings.clone());
    let seen = remembered(dir.path(), &ui);
    seen.made("5a", 7, vec![]).unwrap();
    assert_eq!(
        (remembered(dir.path(), &ui).read().serial, count(&warnings)),
        (Some(7), 0)
    );
    let file = seen.dir().join(MEMORY_FILE);
    std::fs::write(&file, r#"{"url": "file:"#).unwrap();
    let seen = remembered(dir.path(), &ui);
    assert_eq!((seen.read().serial, count(&warnings)), (None, 1));
    let said = warnings.0.lock().unwrap()[0].clone();
    for part in ["is damaged", "memory.json: ", "memory.json.damaged"] {
        assert!(said.contains(part), "{said}");
    }
    assert!(!file.exists() && file.with_extension("json.damaged").exists());
    seen.made("5a", 8, vec![]).unwrap();
    assert_eq!(
        (remembered(dir.path(), &ui).read().serial, count(&warnings)),
        (Some(8), 1)
    );
    // The next one leaves the first where it is.
    std::fs::write(&file, "{").unwrap();
    remembered(dir.path(), &ui);
    let first = std::fs::read(file.with_extension("json.damaged")).unwrap();
    assert_eq!(
        (&first[..], count(&warnings)),
        (&br#"{"url": "file:"#[..], 2)
    );
    assert!(file.with_extension("json.damaged.2").exists());
}

/// Of a user who may not read it, or a disk that fails, nobody knows what is in it.
#[test]
fn a_memory_that_cannot_be_read_is_no_damaged_one() {
    let dir = tempfile::tempdir().unwrap();
    let ui = Ui::new(Warnings::default());
    let seen = remembered(dir.path(), &ui);
    seen.made("5a", 7, vec![]).unwrap();
    let (file, kept) = (seen.dir().join(MEMORY_FILE), dir.path().join("kept"));
    std::fs::rename(&file, &kept).unwrap();
    std::fs::create_dir(&file).unwrap();
    let error = RememberedRepository::of_dir(dir.path(), &dir.path().join("repo"), &ui);
    let error = error.unwrap_err().to_string();
    assert!(error.contains("cannot be read"), "{error}");
    assert!(seen.made("5a", 8, vec![]).is_err());
    assert!(file.is_dir());
    std::fs::remove_dir(&file).unwrap();
    std::fs::rename(&kept, &file).unwrap();
    assert_eq!(remembered(dir.path(), &ui).read().serial, Some(7));
}

#[test]
fn what_somebody_else_has_seen_meanwhile_is_not_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let seen = remembered(dir.path(), &Ui::silent());
    let address = seen.address("index.asc").unwrap();
    let take = |second: i64, older: bool| {
        let mark = Mark {
            address: &address,
            when: Timestamp::from_second(second).unwrap(),
            repository: None,
            claims: false,
            number: None,
        };
        seen.take(&[mark], None, older).unwrap();
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
    let seen = remembered(dir.path(), &Ui::silent());
    let address = seen.address(".imgforge/state.sjson").unwrap();
    for (serial, older, expected) in [(3, false, 3), (1, false, 3), (1, true, 3), (5, false, 5)] {
        let mark = Mark {
            address: &address,
            when: Timestamp::from_second(100).unwrap(),
            repository: None,
            claims: false,
            number: Some(serial),
        };
        seen.take(&[mark], Some(serial), older).unwrap();
        assert_eq!(seen.read().serial, Some(expected), "{serial} {older}");
    }
}

/// An imgforge that did not know numbers always wrote the same one; those of others are none of ours.
#[test]
fn of_two_transactions_the_later_one_counts() {
    let dir = tempfile::tempdir().unwrap();
    let seen = remembered(dir.path(), &Ui::silent());
    let address = seen.address("index.asc").unwrap();
    let text = |repository: &str, state: &str| {
        format!("# imgforge state={state}\n# imgforge repository={repository}\n")
    };
    let mark =
        |second: i64, text: &str| Mark::of(&address, Timestamp::from_second(second).unwrap(), text);
    let is_newer = |second, text: &str| seen.read().newer(&mark(second, text)).is_some();
    let take = |second, text: &str| seen.take(&[mark(second, text)], None, false).unwrap();
    take(300, &text("a", "1"));
    assert!(is_newer(200, &text("a", "1")) && !is_newer(200, &text("a", "4")));
    take(200, &text("a", "4"));
    for (second, id, state, expected) in [
        (400, "a", "3", true),
        (400, "a", "1", true),
        (400, "a", "x", true),
        (400, "a", "4", false),
        (100, "a", "4", true),
        (100, "a", "5", false),
        (400, "b", "3", false),
        (100, "b", "5", true),
    ] {
        let newer = is_newer(second, &text(id, state));
        assert_eq!(newer, expected, "{second} {id} {state}");
    }
    assert!(is_newer(400, "# imgforge repository=a\n"));
    assert_eq!(seen.read().last(), Some(4));
    assert_eq!(number("{\"state\": 7, \"repository\": \"a\"}"), Some(7));
}
