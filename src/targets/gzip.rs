//! gzip by several processors: the same bytes for the same input, however many there are.
//!
//! Each part is deflated on its own and ends at a byte, as pigz does it; together they are one
//! gzip member without a name or a time.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use flate2::{Compress, Compression, Crc, FlushCompress};

use crate::mutex::Unpoisoned as _;

/// How much is deflated on its own, in bytes.
const PART: usize = 1 << 20;

const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// An empty last block of deflate.
const LAST: [u8; 2] = [3, 0];

type Job = (Vec<u8>, Sender<io::Result<Vec<u8>>>);

/// Writes a gzip file; [`Gzip::finish`] ends it.
#[derive(Debug)]
pub(super) struct Gzip<W> {
    to: W,
    part: Vec<u8>,
    crc: Crc,
    jobs: Sender<Job>,
    pending: VecDeque<Receiver<io::Result<Vec<u8>>>>,
    threads: usize,
    /// A part of zeroes, deflated: a hole of gigabytes is thousands of them.
    zeroes: Vec<u8>,
}

impl<W: Write> Gzip<W> {
    /// Begins a file.
    pub(super) fn new(mut to: W) -> io::Result<Self> {
        to.write_all(&HEADER)?;
        let threads = std::thread::available_parallelism()
            .map_or(1, usize::from)
            .min(8);
        let (jobs, queue) = channel::<Job>();
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..threads {
            let queue = Arc::clone(&queue);
            // It ends when the writer is gone.
            std::thread::spawn(move || work(&queue));
        }
        Ok(Gzip {
            to,
            part: Vec::with_capacity(PART),
            crc: Crc::new(),
            jobs,
            pending: VecDeque::new(),
            threads,
            zeroes: deflate(&[0; PART])?,
        })
    }

    fn queue_part(&mut self) -> io::Result<()> {
        let (done, result) = channel();
        if self.part.len() == PART && self.part.iter().all(|byte| *byte == 0) {
            self.part.clear();
            drop(done.send(Ok(self.zeroes.clone())));
        } else {
            let part = std::mem::replace(&mut self.part, Vec::with_capacity(PART));
            self.jobs.send((part, done)).map_err(io::Error::other)?;
        }
        self.pending.push_back(result);
        while self.pending.len() > 2 * self.threads {
            self.take()?;
        }
        Ok(())
    }

    fn take(&mut self) -> io::Result<()> {
        let Some(result) = self.pending.pop_front() else {
            return Ok(());
        };
        let deflated = result.recv().map_err(io::Error::other)??;
        self.to.write_all(&deflated)
    }

    /// Writes everything and returns what was written to.
    pub(super) fn finish(mut self) -> io::Result<W> {
        if !self.part.is_empty() {
            self.queue_part()?;
        }
        while !self.pending.is_empty() {
            self.take()?;
        }
        self.to.write_all(&LAST)?;
        self.to.write_all(&self.crc.sum().to_le_bytes())?;
        self.to.write_all(&self.crc.amount().to_le_bytes())?;
        Ok(self.to)
    }
}

impl<W: Write> Write for Gzip<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(PART - self.part.len());
        self.part.extend_from_slice(&bytes[..count]);
        self.crc.update(&bytes[..count]);
        if self.part.len() == PART {
            self.queue_part()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn work(queue: &Mutex<Receiver<Job>>) {
    loop {
        let job = queue.lock().unpoisoned().recv();
        let Ok((part, done)) = job else { return };
        // Nobody waits for it after a failure.
        drop(done.send(deflate(&part)));
    }
}

fn deflate(part: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(part.len() + part.len() / 64 + 1024);
    let mut state = Compress::new(Compression::new(6), false);
    state
        .compress_vec(part, &mut out, FlushCompress::Sync)
        .map_err(io::Error::other)?;
    match state.total_in() == part.len() as u64 && out.len() < out.capacity() {
        true => Ok(out),
        false => Err(io::Error::other("deflate wants more room than there is")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    fn packed(content: &[u8]) -> Vec<u8> {
        let mut gzip = Gzip::new(vec![]).unwrap();
        gzip.write_all(content).unwrap();
        gzip.finish().unwrap()
    }

    #[test]
    fn others_read_it_and_it_is_the_same_each_time() {
        let noise =
            (0..3 * PART as u32 / 4 + 7).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes());
        let hole = [&[1][..], &vec![0; 3 * PART], &[2]].concat();
        for content in [
            vec![],
            b"short".to_vec(),
            vec![0; PART],
            hole,
            noise.collect(),
        ] {
            let file = packed(&content);
            assert_eq!(file, packed(&content));
            let mut back = vec![];
            flate2::read::GzDecoder::new(&file[..])
                .read_to_end(&mut back)
                .unwrap();
            assert_eq!(back, content);
            let out = crate::host::exec::Program::new("gzip")
                .arg("-dc")
                .input(file)
                .output();
            assert_eq!(out.unwrap(), content);
        }
    }
}
