//! A squashfs within a file, such as a snap, unpacked by squashfs-tools' own program.

use std::io::{self, BufRead, BufReader, Read, Write as _};
use std::path::Path;
use std::process::ChildStdout;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::content::{Found, Search};
use crate::host::exec::Program;
use crate::host::{interrupt, space, temporary};

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
pub(super) fn search(search: &Search<'_>, held: Vec<u8>, found: &mut Found) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(temporary::roomy())?;
    space::ask(file.as_file(), file.path())?;
    file.write_all(&held)?;
    drop(held);
    let mut running = unpacking(file.path()).spawn().map_err(io::Error::other)?;
    let mut printed = BufReader::new(Watched::new(running.take_stdout(), PATIENCE));
    let files = list(&mut printed)?;
    let mut contents = Contents::new(&mut printed);
    for (name, size) in files {
        let mut member = (&mut contents).take(size);
        search.member(&name, &mut member, found);
        if found.is_too_much() {
            return Ok(());
        }
        io::copy(&mut member, &mut io::sink())?;
        if member.limit() > 0 {
            return Err(io::Error::other(format!(
                "{name} ends {} bytes before its end",
                member.limit()
            )));
        }
    }
    if io::copy(&mut contents, &mut io::sink())? > 0 {
        return Err(io::Error::other("more is in it than in its files"));
    }
    running.wait().map_err(io::Error::other)
}

/// The program that prints all of it, with caches and threads that have room in what it may take.
fn unpacking(file: &Path) -> Program {
    let program = Program::new("unsquashfs").args(["-no-progress", "-quiet", "-pf", "/dev/stdout"]);
    let program = program.args(["-processors", "1", "-da", "64", "-fr", "64"]);
    let program = program.arg(file).on_foreign_content(SECONDS);
    program.seeing(file)
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

/// What follows the list. Targets of links are printed as they are, and can say that it ends.
struct Contents<R> {
    inner: R,
    /// The last bytes.
    before: Vec<u8>,
}

impl<R> Contents<R> {
    /// As the list ends, if it does not end before.
    const END: &[u8] = b"\n#\n# START OF DATA";

    fn new(inner: R) -> Self {
        Contents {
            inner,
            before: b"\n".to_vec(),
        }
    }
}

impl<R: Read> Read for Contents<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.before.extend(&buffer[..read]);
        if memchr::memmem::find(&self.before, Self::END).is_some() {
            return Err(io::Error::other(
                "the list of its files says that it ends twice",
            ));
        }
        let old = self.before.len().saturating_sub(Self::END.len() - 1);
        self.before.drain(..old);
        Ok(read)
    }
}

/// Names and sizes of the files with content, whose contents follow in this order without a gap.
fn list(printed: &mut impl BufRead) -> io::Result<Vec<(String, u64)>> {
    let damaged = || io::Error::other("the list of its files is damaged");
    let (mut files, mut line, mut end) = (vec![], vec![], 0u64);
    let mut escaped = false;
    loop {
        let start = line.len();
        if printed.take(LINE).read_until(b'\n', &mut line)? == 0 {
            return Err(damaged());
        }
        if line[start..].starts_with(DATA) {
            // The line that closes the frame.
            line.clear();
            printed.take(LINE).read_until(b'\n', &mut line)?;
            return if line == b"#\n" {
                Ok(files)
            } else {
                Err(damaged())
            };
        }
        if line.last() != Some(&b'\n') || line.len() as u64 > LINE {
            return Err(damaged());
        }
        let Some(blank) = blank(&line[start..], &mut escaped) else {
            // Ends of lines are not escaped: the name goes on, or a comment begins.
            if line == b"#\n" {
                line.clear();
            }
            continue;
        };
        let (name, rest) = line.split_at(start + blank);
        if let Some((size, offset)) = item(&rest[1..]).ok_or_else(damaged)? {
            if offset != end {
                return Err(damaged());
            }
            if files.len() == FILES {
                return Err(io::Error::other("it has more than a million files"));
            }
            end = end.checked_add(size).ok_or_else(damaged)?;
            files.push((String::from_utf8_lossy(name).into_owned(), size));
        }
        line.clear();
        escaped = false;
    }
}

/// The first blank that is not escaped, which ends the name. What follows it has no escapes: the
/// target of a link may look like any line.
fn blank(line: &[u8], escaped: &mut bool) -> Option<usize> {
    line.iter().position(|byte| {
        let is_end = *byte == b' ' && !*escaped;
        *escaped = *byte == b'\\' && !*escaped;
        is_end
    })
}

/// Size and place of a file's content, of `R TIME MODE OWNER GROUP SIZE OFFSET`, with more behind it
/// since 4.6; `Some(None)` of what has no content, which another letter says.
fn item(rest: &[u8]) -> Option<Option<(u64, u64)>> {
    let rest = String::from_utf8_lossy(rest);
    let mut words = rest.trim_end_matches('\n').split(' ');
    let kind = words.next()?;
    if kind != "R" {
        let known = kind.len() == 1 && kind.as_bytes()[0].is_ascii_alphabetic();
        return known.then_some(None);
    }
    let mut number = |at| words.nth(at)?.parse().ok();
    Some(Some((number(4)?, number(0)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_sees_nothing_else() {
        let file = Path::new("/a/file");
        assert_eq!(unpacking(file).sees(), Some(vec![file]));
    }

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
        for damaged in [
            "a R 17 644 0 0 6 0\nb R 17 644 0 0 6 7\n",
            "a R 17 644 0 0 6\n",
            "a RS 17 644 0 0 6 0\n",
            "a R 17 644 0 0 6 0\n# START OF DATA\n",
        ] {
            assert!(list(&mut damaged.as_bytes()).is_err(), "{damaged}");
        }
    }

    /// What of a tree of files was found, and why not all.
    fn searched(make: impl FnOnce(&Path)) -> (usize, Option<String>) {
        let dir = tempfile::tempdir().unwrap();
        let [tree, file] = ["tree", "file"].map(|name| dir.path().join(name));
        std::fs::create_dir(&tree).unwrap();
        make(&tree);
        // Behind all links, in what has to be unpacked.
        let mut packed = flate2::write::GzEncoder::new(vec![], flate2::Compression::default());
        packed.write_all(SECRET).unwrap();
        std::fs::write(tree.join("zz.gz"), packed.finish().unwrap()).unwrap();
        let make = Program::new("mksquashfs").args([&tree, &file]);
        make.args(["-quiet", "-no-progress"]).run().unwrap();
        let known = crate::scan::Known::new(&[("token".to_owned(), SECRET.to_vec())].into());
        let search = Search {
            finder: &crate::scan::find::Finder::known_only(&known),
            skip: &[],
            most: 1 << 30,
            depth: 8,
            member: "",
        };
        let mut found = Found::default();
        let held = std::fs::read(&file).unwrap();
        search.all(&mut held.as_slice(), &mut found);
        (found.known.len(), found.unsearched())
    }

    const SECRET: &[u8] = b"s3cret-value-1";

    #[test]
    fn no_name_or_target_of_a_link_hides_a_file() {
        let link = |target: &'static str| {
            move |tree: &Path| std::os::unix::fs::symlink(target, tree.join("link")).unwrap()
        };
        let plain = "x R 1 644 0 0 99999999 0";
        assert_eq!(searched(link(plain)), (1, None));
        assert_eq!(searched(link("x\\")), (1, None));
        let name = |tree: &Path| {
            for name in [
                "a R 1 644 0 0 9 0",
                "a\nb S c",
                "# START OF DATA",
                "#\n#",
                "d\\ e\"\\",
            ] {
                std::fs::write(tree.join(name), name).unwrap();
            }
        };
        assert_eq!(searched(name), (1, None));
        // Ends of lines in targets are not escaped either.
        for target in [
            "x\na R 1 644 0 0 99999999 0",
            "x\na R 1 644 0 0 2 0",
            "x\n# START OF DATA - DO NOT MODIFY\n#",
            "x\na R 1 644 0 0 200 0\n#\n# START OF DATA - DO NOT MODIFY\n#",
        ] {
            let (_, why) = searched(link(target));
            assert!(why.is_some(), "{target}");
        }
        // What is empty takes nothing from anyone.
        assert_eq!(searched(link("x\na R 1 644 0 0 0 0\nb")).0, 1);
    }

    #[test]
    fn an_end_of_the_list_in_the_contents_is_told() {
        let end = "\n#\n# START OF DATA - DO NOT MODIFY\n#\n";
        let text = format!("{}{end}", "x".repeat(5000));
        for size in 1..60 {
            let small = BufReader::with_capacity(size, text.as_bytes());
            let read = io::copy(&mut Contents::new(small), &mut io::sink());
            assert!(read.is_err(), "{size}");
        }
        let read = io::copy(
            &mut Contents::new(&text.as_bytes()[..5010]),
            &mut io::sink(),
        );
        assert_eq!(read.unwrap(), 5010);
        assert!(io::copy(&mut Contents::new(&end.as_bytes()[1..]), &mut io::sink()).is_err());
    }

    #[test]
    fn a_program_that_says_nothing_is_not_waited_for() {
        let mut running = Program::new("sleep").arg("600").spawn().unwrap();
        let mut silent = Watched::new(running.take_stdout(), Duration::ZERO);
        let error = silent.read(&mut [0]).unwrap_err();
        assert!(error.to_string().contains("said nothing"), "{error}");
    }
}
