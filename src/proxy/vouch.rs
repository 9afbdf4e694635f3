//! What somebody vouches for before a client asks.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};

use sha2::{Digest as _, Sha256};

use super::promises::Promise;
use super::{IDLE, Proxy, rules};
use crate::error::{Context as _, Error, Result};

/// The largest index of packages, in bytes: Fedora's has 20 MB.
const LARGEST: u64 = 256 << 20;

impl Proxy {
    /// Whatever a mirror says: these files below `address`, by their paths and SHA-256 in hex, must be
    /// so. Indexes of packages among them are read at once, so that the packages are known: a client
    /// may read them in a form that says nothing here.
    ///
    /// # Errors
    /// When such an index cannot be had, or is another one.
    pub fn vouch(&self, address: &str, files: &[(String, String)]) -> Result<()> {
        let below = |path: &str| format!("{}/{path}", address.trim_end_matches('/'));
        let mut indexes = vec![];
        for (path, sha256) in files {
            // No route of ours: nobody gets it here.
            let Ok(wanted) = rules::judge(&self.shared.routes, "GET", &below(path)) else {
                continue;
            };
            let promise = Promise {
                sha256: sha256.to_ascii_lowercase(),
                size: None,
            };
            self.shared
                .promises
                .add(wanted.route, &wanted.path, promise);
            if path.ends_with("repodata/repomd.xml") {
                indexes.push(wanted);
            }
        }
        for index in indexes {
            let text = self.read(index.route, &index.path)?;
            let doing = || format!("reading {}", index.path);
            let mut file = tempfile::tempfile().doing(doing)?;
            file.write_all(&text).doing(doing)?;
            for list in self.shared.promises.primary(&index.path, &file) {
                self.read(index.route, &list)?;
            }
        }
        Ok(())
    }

    /// Asks for a file as a client does; what comes is what was promised.
    fn read(&self, route: usize, path: &str) -> Result<Vec<u8>> {
        let name = &self.shared.routes[route].name;
        let promise = self.shared.promises.of(route, path);
        let promised = promise.map(|promise| promise.sha256);
        let asked = self.ask(&format!("/{name}{path}"));
        let mut answer = asked.doing(|| format!("asking the proxy for {path}"))?;
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
        let body = answer.split_off(end.map_or(answer.len(), |end| end + 4));
        let found = hex::encode(Sha256::digest(&body));
        if promised == Some(found) {
            return Ok(body);
        }
        let error = format!("no mirror of {name} has the {path} that is vouched for");
        Err(Error::gate(error)
            .cause("they have another one, or none; proxy.log has what each answered")
            .hint(
                "a mirror may lag behind, or be ahead: name another, compare the digest in the \
                 recipe, or take the tree over https",
            ))
    }

    fn ask(&self, target: &str) -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_read_timeout(Some(IDLE))?;
        let head = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes())?;
        let mut answer = Vec::new();
        stream.take(LARGEST).read_to_end(&mut answer)?;
        Ok(answer)
    }
}
