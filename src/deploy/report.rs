//! What an installation says to a web server, beside the console: each event, and how it ended, by `POST`.
//!
//! A server that does not take it stops nothing: what it missed is lost.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::error::{Error, Result};
use crate::http::{Body, Client, Limits, Method, Request, Url};
use crate::mutex::Unpoisoned as _;
use crate::ui::json::{self, Failure};
use crate::ui::{Event, Reporter, Ui};

/// So many events may wait for a slow server; further ones are lost.
const WAITING: usize = 64;

/// How far a stage is, is told no more often.
const PAUSE: Duration = Duration::from_secs(5);

/// A server has a few seconds.
const LIMITS: Limits = Limits {
    stall: Duration::from_secs(2),
    connect: Duration::from_secs(5),
    retries: 2,
    pause: Duration::from_secs(1),
    redirects: 3,
};

/// An answer has no more, in bytes; nobody reads it.
const LARGEST_ANSWER: u64 = 64 << 10;

/// The server.
pub struct Report {
    url: Url,
    client: Arc<Client>,
    queue: SyncSender<String>,
    ending: Arc<AtomicBool>,
    worker: JoinHandle<()>,
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Report({})", self.url)
    }
}

/// Draws events as before, and hands them to the server.
struct Posting {
    drawn: Ui,
    queue: SyncSender<String>,
    /// When it was told last how far a stage is.
    told: Mutex<Option<Instant>>,
}

impl Report {
    /// Begins; who uses the second value sends to the server, too.
    ///
    /// # Errors
    /// When the address is none of a web server.
    pub fn begin(url: &str, drawn: &Ui) -> Result<(Report, Ui)> {
        let url = Url::parse(url)?;
        if url.local().is_some() || url.is_oci() {
            return Err(Error::usage(format!("{url} is not a web server"))
                .hint("reports go by HTTP: https://HOST/PATH"));
        }
        let client = Arc::new(Client::to(&url, LIMITS)?);
        let (queue, waiting) = sync_channel(WAITING);
        let ending = Arc::new(AtomicBool::new(false));
        let (own, to, end) = (Arc::clone(&client), url.clone(), Arc::clone(&ending));
        let worker = std::thread::spawn(move || work(&own, &to, &waiting, &end));
        let posting = Posting {
            drawn: drawn.clone(),
            queue: queue.clone(),
            told: Mutex::default(),
        };
        let report = Report {
            url,
            client,
            queue,
            ending,
            worker,
        };
        Ok((report, Ui::new(posting)))
    }

    /// Tells how it ended, and waits until the server knows, or has failed. `ui`, which [`Report::begin`] gave,
    /// ends with it.
    pub fn end(self, ui: Ui, result: &Result<impl Serialize>) {
        let now = jiff::Timestamp::now();
        let text = match result {
            Ok(done) => json::line(now, done),
            Err(error) => json::line(now, &Failure::new(error)),
        };
        self.ending.store(true, Ordering::SeqCst);
        drop((ui, self.queue));
        // It panics nowhere.
        drop(self.worker.join());
        let request = request(&self.url, text);
        drop(self.client.send(&request, LARGEST_ANSWER));
    }
}

/// Sends one after the other. What still waits when the end comes is of no use any more.
fn work(client: &Client, url: &Url, waiting: &Receiver<String>, ending: &AtomicBool) {
    while let Ok(text) = waiting.recv() {
        if !ending.load(Ordering::SeqCst) {
            drop(client.send_once(request(url, text), LARGEST_ANSWER));
        }
    }
}

fn request(url: &Url, text: String) -> Request {
    Request::new(Method::Post, url.clone())
        .header("content-type", "application/json")
        .body(Body::Bytes(Arc::new(text.into_bytes())))
}

impl Reporter for Posting {
    fn event(&self, event: &Event) {
        self.drawn.event(event);
        if let Event::Progress { .. } = event {
            let mut told = self.told.lock().unpoisoned();
            if told.is_some_and(|last| last.elapsed() < PAUSE) {
                return;
            }
            *told = Some(Instant::now());
        }
        // A full queue loses it.
        drop(
            self.queue
                .try_send(json::line(jiff::Timestamp::now(), event)),
        );
    }

    fn close(&self) {
        self.drawn.close();
    }
}
