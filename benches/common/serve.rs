//! A server for the benchmarks: ranges, keep-alive, no pipelining.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

/// Serves a directory on loopback, with ranges; returns its address.
pub(crate) fn serve(root: &Path) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let root = root.to_owned();
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let root = root.clone();
            // A client that goes away is no failure of the server.
            std::thread::spawn(move || drop(talk(&connection, &root)));
        }
    });
    url
}

fn talk(mut connection: &TcpStream, root: &Path) -> std::io::Result<()> {
    let mut lines = BufReader::new(connection).lines();
    while let Some(request) = lines.next().transpose()? {
        let mut range = None;
        for line in lines.by_ref() {
            let line = line?.to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            range = range.or(line.strip_prefix("range: bytes=").map(str::to_owned));
        }
        let mut words = request.split(' ');
        let (method, path) = (words.next(), words.next().unwrap_or_default());
        let Ok(mut file) = File::open(root.join(path.trim_start_matches('/'))) else {
            connection.write_all(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n")?;
            continue;
        };
        let size = file.metadata()?.len();
        let (start, end) = match range.as_deref().and_then(|range| range.split_once('-')) {
            Some((start, last)) => {
                let end = last.parse::<u64>().map_or(size, |last| last + 1);
                (start.parse().unwrap_or(0), end.min(size))
            }
            None => (0, size),
        };
        let status = match range {
            Some(_) => format!(
                "206 Part\r\nContent-Range: bytes {start}-{}/{size}",
                end - 1
            ),
            None => "200 OK".into(),
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n",
            end - start
        );
        connection.write_all(head.as_bytes())?;
        if method == Some("GET") {
            file.seek(SeekFrom::Start(start))?;
            std::io::copy(&mut file.take(end - start), &mut connection)?;
        }
    }
    Ok(())
}
