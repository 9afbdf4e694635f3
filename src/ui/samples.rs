//! One event of each kind, for the reporters' tests.

use std::time::Duration;

use super::{Event, Unit};

/// Fails to compile when an event is added: add its sample to [`all`] too.
fn index(event: &Event) -> usize {
    match event {
        Event::Started { .. } => 0,
        Event::Cached { .. } => 1,
        Event::Waiting { .. } => 2,
        Event::Progress { .. } => 3,
        Event::Step { .. } => 4,
        Event::Line { .. } => 5,
        Event::Finished { .. } => 6,
        Event::Failed { .. } => 7,
        Event::Artifact { .. } => 8,
        Event::Published { .. } => 9,
        Event::Pulled { .. } => 10,
        Event::Notice { .. } => 11,
        Event::Warning { .. } => 12,
    }
}

/// How far a stage of `web` is.
pub(super) fn progress(stage: &str, done: u64, total: u64, unit: Unit) -> Event {
    Event::Progress {
        image: "web".into(),
        stage: stage.into(),
        done,
        total,
        unit,
    }
}

pub(crate) fn all() -> Vec<Event> {
    let (image, stage) = (String::from("web"), String::from("install"));
    let key = String::from("0123456789abcdef");
    vec![
        Event::Started {
            image: image.clone(),
            stage: stage.clone(),
            key: key.clone(),
            last: Some(Duration::from_secs(112)),
        },
        Event::Cached {
            image: image.clone(),
            stage: stage.clone(),
            key,
        },
        Event::Waiting {
            image: image.clone(),
            stage: stage.clone(),
            pid: 4242,
        },
        progress("install", 512 << 20, 1 << 30, Unit::Bytes),
        Event::Step {
            image: image.clone(),
            stage: stage.clone(),
            name: "packages: nginx".into(),
        },
        Event::Line {
            image: image.clone(),
            stage: stage.clone(),
            text: "Setting up nginx".into(),
        },
        Event::Finished {
            image: image.clone(),
            stage: stage.clone(),
            took: Duration::from_millis(12_345),
            note: Some("1.2 GiB".into()),
        },
        Event::Failed {
            image: image.clone(),
            stage,
            message: "the guest crashed".into(),
        },
        Event::Artifact {
            image: image.clone(),
            kind: "qcow2".into(),
            path: "out/web.qcow2".into(),
            size: 3 << 30,
            sha512: "c0ffee".into(),
        },
        Event::Published {
            image: image.clone(),
            channel: "nightly".into(),
            revision: 7,
            url: "https://images.example.org/".into(),
        },
        Event::Pulled {
            image,
            revision: 7,
            fetched: 19 << 20,
            reused: 258 << 20,
            copied: 612 << 20,
            changed: 3 << 20,
        },
        Event::Notice {
            text: "the key is new".into(),
        },
        Event::Warning {
            text: "no space soon".into(),
        },
    ]
}

#[test]
fn there_is_a_sample_of_each() {
    let order: Vec<usize> = all().iter().map(index).collect();
    assert_eq!(order, (0..13).collect::<Vec<_>>());
}
