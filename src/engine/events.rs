//! The events of a job, from the file that it appends them to.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

use serde::Deserialize;

use crate::error::{Error, Kind};
use crate::ui::{Event, json};

/// What is read of a file at one time, in bytes.
const MOST: u64 = 16 << 20;

/// What a line of a job says.
#[derive(Debug)]
pub(super) enum Said {
    /// What happens.
    Event(Event),
    /// What ended it.
    Failure(Error),
    /// What the program says that is no event: why it does not start, where it panicked.
    Text(String),
}

/// A file of events that grows.
#[derive(Debug)]
pub(super) struct Tail {
    path: PathBuf,
    read: u64,
    partial: Vec<u8>,
}

impl Tail {
    /// Of a file, which need not be there yet.
    pub(super) fn new(path: PathBuf) -> Self {
        Tail {
            path,
            read: 0,
            partial: vec![],
        }
    }

    /// What was said since the last time, in whole lines; what is of another version of the format is passed over.
    pub(super) fn next(&mut self) -> Vec<Said> {
        let mut new = vec![];
        let read = File::open(&self.path).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.read))?;
            file.take(MOST).read_to_end(&mut new)
        });
        let Ok(read @ 1..) = read else {
            return vec![];
        };
        self.read += read as u64;
        self.partial.append(&mut new);
        let end = self.partial.iter().rposition(|byte| *byte == b'\n');
        let rest = self.partial.split_off(end.map_or(0, |end| end + 1));
        let whole = std::mem::replace(&mut self.partial, rest);
        let lines = whole.split(|byte| *byte == b'\n');
        lines.filter_map(said).collect()
    }
}

#[derive(Deserialize)]
struct Line {
    version: u32,
    event: String,
}

/// The last line of a command that failed; see [`json::Failure`].
#[derive(Deserialize)]
struct Failure {
    kind: String,
    message: String,
    causes: Vec<String>,
    evidence: Vec<String>,
    hint: Option<String>,
    resume: Option<String>,
}

fn said(line: &[u8]) -> Option<Said> {
    let Ok(head) = serde_json::from_slice::<Line>(line) else {
        let text = String::from_utf8_lossy(line).trim().to_owned();
        return (!text.is_empty()).then_some(Said::Text(text));
    };
    if head.version != json::VERSION {
        return None;
    }
    if head.event != "error" {
        return serde_json::from_slice(line).ok().map(Said::Event);
    }
    let failure: Failure = serde_json::from_slice(line).ok()?;
    let kind = match failure.kind.as_str() {
        "usage" => Kind::Usage,
        "host" => Kind::Host,
        "gate" => Kind::Gate,
        "internal" => Kind::Internal,
        // The queue says who interrupted it.
        "interrupted" => return None,
        _ => Kind::Stage,
    };
    let mut error = Error::new(kind, failure.message).evidence(failure.evidence);
    for cause in failure.causes {
        error = error.cause(cause);
    }
    if let Some(hint) = failure.hint {
        error = error.hint(hint);
    }
    Some(Said::Failure(match failure.resume {
        Some(resume) => error.resume(resume),
        None => error,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::samples;

    #[test]
    fn all_that_a_job_says_comes_through_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web.events");
        let mut tail = Tail::new(path.clone());
        assert!(tail.next().is_empty());
        let now = jiff::Timestamp::now();
        let failure = Error::gate("the gate refused")
            .cause("a key")
            .evidence(["line"])
            .hint("do");
        let failure = failure.resume("imgforge build web");
        let last = json::line(now, &json::Failure::new(&failure));
        let lines = samples::all()
            .into_iter()
            .map(|event| json::line(now, &event) + "\n");
        let mut text: String = lines.collect();
        text.insert_str(
            0,
            "\nnothing of ours\n{\"version\":2,\"event\":\"notice\",\"text\":\"x\"}\n",
        );
        text += &last;
        std::fs::write(&path, &text).unwrap();
        let mut texts = vec![];
        let mut events = vec![];
        for said in tail.next() {
            match said {
                Said::Event(event) => events.push(event),
                Said::Text(text) => texts.push(text),
                Said::Failure(error) => panic!("its line has not ended: {error}"),
            }
        }
        assert_eq!(texts, ["nothing of ours"]);
        assert_eq!(events, samples::all());
        std::fs::write(&path, text + "\n").unwrap();
        let said = tail.next();
        let [Said::Failure(error)] = said.as_slice() else {
            panic!("{said:?}");
        };
        assert_eq!(error.render(), failure.render());
        assert_eq!(error.kind(), Kind::Gate);
    }
}
