//! A squashfs within a file, such as a snap, unpacked by squashfs-tools' own program.

use std::io::{self, BufRead, BufReader, Read as _, Write as _};

use super::content::{Found, Search};
use crate::host::exec::Program;

/// What ends the list of files in what unsquashfs prints; their contents follow, one behind the
/// other.
const DATA: &[u8] = b"# START OF DATA";

/// Searches every file of it.
///
/// # Errors
/// When it cannot be unpacked.
pub(super) fn search(
    search: &Search<'_>,
    held: &[u8],
    depth: u32,
    outer: &str,
    found: &mut Found,
) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(held)?;
    let program = Program::new("unsquashfs").args(["-no-progress", "-quiet", "-pf", "/dev/stdout"]);
    let mut running = program.arg(file.path()).spawn().map_err(io::Error::other)?;
    let mut printed = BufReader::new(running.take_stdout());
    for (name, size) in list(&mut printed)? {
        let mut member = (&mut printed).take(size);
        search.all(&mut member, depth - 1, &format!("{outer}{name}: "), found);
        io::copy(&mut member, &mut io::sink())?;
        if member.limit() > 0 {
            break;
        }
    }
    io::copy(&mut printed, &mut io::sink())?;
    running.wait().map_err(io::Error::other)
}

/// Names and sizes of the files with content: `NAME R TIME MODE OWNER GROUP SIZE OFFSET`, with more
/// behind it since 4.6.
fn list(printed: &mut impl BufRead) -> io::Result<Vec<(String, u64)>> {
    let mut files = vec![];
    let mut line = vec![];
    loop {
        line.clear();
        if printed.read_until(b'\n', &mut line)? == 0 {
            return Ok(files);
        }
        if line.starts_with(DATA) {
            // The line that closes the frame.
            printed.read_until(b'\n', &mut line)?;
            return Ok(files);
        }
        let text = String::from_utf8_lossy(&line);
        // Blanks in names are escaped.
        if let Some((name, rest)) = text.rsplit_once(" R ")
            && let Some(size) = rest.split(' ').nth(4)
            && let Ok(size) = size.parse()
        {
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
    }
}
