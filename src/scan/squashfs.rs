//! A squashfs within a file, such as a snap, unpacked by squashfs-tools' own program.

use std::io::{self, BufRead, BufReader, Read, Write as _};
use std::path::Path;
use std::process::ChildStdout;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::content::{Found, Search};
use crate::host::exec::Program;
use crate::host::{interrupt, temporary};

/// What ends the list of files in what unsquashfs prints; their contents follow, one behind the
/// other.
const DATA: &[u8] = b"# START OF DATA";

/// More files than this are a trap: each is noted before any is read.
const FILES: usize = 1 << 20;

/// More than any path and what is said of it, in bytes.
const LINE: u64 = 64 << 10;

/// So long it may say nothing: a damaged one can keep it busy for ever.
const PATIENCE: Duration = Duration::from_secs(300);

/// How many seconds of a processor it may take: more than what unpacks to the bound of one search
/// needs.
const SECONDS: u32 = 1800;

/// Searches every file of it, until so much has come out that it is a trap.
///
/// # Errors
/// When it cannot be unpacked, or imgforge is interrupted; then the program is ended.
pub(super) fn search(
    search: &Search<'_>,
    held: Vec<u8>,
    depth: u32,
    outer: &str,
    found: &mut Found,
) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(temporary::roomy())?;
    file.write_all(&held)?;
    drop(held);
    let mut running = unpacking(file.path()).spawn().map_err(io::Error::other)?;
    let mut printed = BufReader::new(Watched::new(running.take_stdout(), PATIENCE));
    for (name, size) in list(&mut printed)? {
        let mut member = (&mut printed).take(size);
        search.all(&mut member, depth - 1, &format!("{outer}{name}: "), found);
        if found.is_too_much() {
            return Ok(());
        }
        io::copy(&mut member, &mut io::sink())?;
        if member.limit() > 0 {
            break;
        }
    }
    io::copy(&mut printed, &mut io::sink())?;
    running.wait().map_err(io::Error::other)
}

/// The program that prints all of it, with caches and threads that have room in what it may take.
fn unpacking(file: &Path) -> Program {
    let program = Program::new("unsquashfs").args(["-no-progress", "-quiet", "-pf", "/dev/stdout"]);
    let program = program.args(["-processors", "1", "-da", "64", "-fr", "64"]);
    program.arg(file).on_foreign_content(SECONDS)
}

/// What a program prints. Reading ends with imgforge, and with the patience.
struct Watched {
    inner: ChildStdout,
    patience: Duration,
}

impl Watched {
    fn new(inner: ChildStdout, patience: Duration) -> Self {
        Watched { inner, patience }
    }
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let began = Instant::now();
        let moment = Timespec {
            tv_sec: 0,
            tv_nsec: 100_000_000,
        };
        loop {
            if interrupt::raised() {
                return Err(io::Error::other("interrupted"));
            }
            let mut fds = [PollFd::new(&self.inner, PollFlags::IN)];
            match poll(&mut fds, Some(&moment)) {
                Ok(0) if began.elapsed() > self.patience => {
                    return Err(io::Error::other(format!(
                        "unsquashfs said nothing for {} s",
                        self.patience.as_secs()
                    )));
                }
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return self.inner.read(buffer),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Names and sizes of the files with content: `NAME R TIME MODE OWNER GROUP SIZE OFFSET`, with more
/// behind it since 4.6.
fn list(printed: &mut impl BufRead) -> io::Result<Vec<(String, u64)>> {
    let mut files = vec![];
    let mut line = vec![];
    loop {
        line.clear();
        if printed.take(LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(files);
        }
        if line.starts_with(DATA) {
            // The line that closes the frame.
            printed.take(LINE).read_until(b'\n', &mut line)?;
            return Ok(files);
        }
        if line.last() != Some(&b'\n') {
            return Err(io::Error::other("the list of its files is damaged"));
        }
        let text = String::from_utf8_lossy(&line);
        // Blanks in names are escaped.
        if let Some((name, rest)) = text.rsplit_once(" R ")
            && let Some(size) = rest.split(' ').nth(4)
            && let Ok(size) = size.parse()
        {
            if files.len() == FILES {
                return Err(io::Error::other("it has more than a million files"));
            }
            files.push((name.to_owned(), size));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_files_is_read_to_its_end() {
        let text = "/ D 17 755 0 0\na/x\\ y R 17 644 0 0 6 0\nb R 17 644 0 0 30 6 1\nl S 17 777 0 0 b\n#\n\
                    # START OF DATA - DO NOT MODIFY\n#\nhello\n";
        let mut printed = text.as_bytes();
        let files = [("a/x\\ y".to_owned(), 6), ("b".to_owned(), 30)];
        assert_eq!(list(&mut printed).unwrap(), files);
        assert_eq!(printed, b"hello\n");
        let mut endless = io::BufReader::new(io::repeat(b'x'));
        assert!(list(&mut endless).is_err());
    }

    #[test]
    fn a_program_that_says_nothing_is_not_waited_for() {
        let mut running = Program::new("sleep").arg("600").spawn().unwrap();
        let mut silent = Watched::new(running.take_stdout(), Duration::ZERO);
        let error = silent.read(&mut [0]).unwrap_err();
        assert!(error.to_string().contains("said nothing"), "{error}");
    }
}
