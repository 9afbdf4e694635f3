//! The one HTTP client: index files, images, installation media.
//!
//! `http:`, `https:` and `file:`. Proxies come from the environment (`http_proxy`, `https_proxy`,
//! `all_proxy`, `no_proxy`), trusted authorities from `SSL_CERT_FILE` or the system. A silent or
//! dripping server is given up after a while, redirects are followed a few times and never in a
//! circle, a broken transfer goes on where it stopped: `Range` and `If-Range` make sure that it
//! goes on in the same file. What arrives is not verified here: that is for who knows the digest.

pub(crate) mod exchange;
mod fetch;
mod outside;
mod plain_proxy;
mod proxy;
mod send;
mod stream;
mod tls;
mod url;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::error::{Error, Result};
pub use fetch::Fetched;
pub(crate) use fetch::{note_path, read_note, write_note};
use outside::Reach;
pub(crate) use outside::{is_here, is_inside, own_addresses};
pub use send::{Body, Method, Reply, Request};
pub use stream::{Piece, Stream};
pub use url::Url;
pub(crate) use url::decoded;

/// How long the client waits, and how often it tries.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// A server that sends less than 1 KiB in so long has failed.
    pub stall: Duration,
    /// How long finding the server and connecting to it may take.
    pub connect: Duration,
    /// How often a failed transfer is tried again before it is given up.
    pub retries: u32,
    /// The pause before the first retry; each further one is twice as long.
    pub pause: Duration,
    /// How many redirects are followed in a row.
    pub redirects: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            stall: Duration::from_secs(60),
            connect: Duration::from_secs(30),
            retries: 4,
            pause: Duration::from_secs(1),
            redirects: 10,
        }
    }
}

type Notice = Arc<dyn Fn(&str) + Send + Sync>;

/// The header `Authorization` of a request for an address, where it gets one.
type Authorizer = Arc<dyn Fn(&Url) -> Option<String> + Send + Sync>;

/// A client with its connections.
pub struct Client {
    agents: proxy::Agents,
    limits: Limits,
    notice: Notice,
    /// Whether caches between are told to ask the server.
    anew: bool,
    authorizer: Option<Authorizer>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({:?})", self.limits)
    }
}

/// Whether this process asks nobody.
static SILENT: AtomicBool = AtomicBool::new(false);

/// Has every client of this process refuse what it is asked for, from now on.
pub fn ask_nobody() {
    SILENT.store(true, Ordering::SeqCst);
}

fn is_silent() -> bool {
    SILENT.load(Ordering::SeqCst)
}

impl Client {
    /// A client with the usual limits.
    ///
    /// # Errors
    /// When `SSL_CERT_FILE` names a file that cannot be used.
    pub fn new() -> Result<Self> {
        Self::with(Limits::default())
    }

    /// A client with other limits.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn with(limits: Limits) -> Result<Self> {
        Self::make(limits, proxy::Proxies::of_environment(), Reach::Any)
    }

    /// A client for the server of `url`: the host's proxies do not reach servers on the host.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn to(url: &Url, limits: Limits) -> Result<Self> {
        match url.is_loopback() {
            true => Self::make(limits, proxy::Proxies::default(), Reach::Any),
            false => Self::with(limits),
        }
    }

    /// A client that uses no proxy: for servers on this host.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn direct() -> Result<Self> {
        Self::make(Limits::default(), proxy::Proxies::default(), Reach::Any)
    }

    /// A client for servers that another server named: it connects to none that [`is_inside`],
    /// whatever a name stands for.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn outside() -> Result<Self> {
        let proxies = proxy::Proxies::of_environment();
        Self::make(Limits::default(), proxies, Reach::Outside)
    }

    /// A client for servers that a guest names: it reaches none of this host.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub fn elsewhere() -> Result<Self> {
        let proxies = proxy::Proxies::of_environment();
        Self::make(Limits::default(), proxies, Reach::Elsewhere)
    }

    /// A request of another kind: GET, or HEAD.
    pub(crate) fn request(&self, head: bool, url: &Url) -> proxy::Builder {
        let mut request = self.agents.request(head, url);
        let authorizer = self.authorizer.as_ref();
        if let Some(header) = authorizer.and_then(|authorizer| authorizer(url)) {
            request = request.header("Authorization", header);
        }
        match self.anew {
            true => request.header("Cache-Control", "no-cache"),
            false => request,
        }
    }

    /// The proxy that reads a request for `url`, as `HOST:PORT`.
    pub(crate) fn reader(&self, url: &Url) -> Option<String> {
        self.agents.reader(url)
    }

    fn make(limits: Limits, proxies: proxy::Proxies, reach: Reach) -> Result<Self> {
        let tls = ureq::tls::TlsConfig::builder()
            .root_certs(tls::roots()?)
            .build();
        // Our own limits come first; the library's end the threads of those given up.
        let late = limits.stall + Duration::from_secs(1);
        let config = || {
            ureq::Agent::config_builder()
                .tls_config(tls.clone())
                .http_status_as_error(false)
                // Followed by ourselves, to see circles.
                .max_redirects(0)
                .max_redirects_will_error(false)
                .user_agent(concat!("imgforge/", env!("CARGO_PKG_VERSION")))
                // Ranges count bytes as they are sent.
                .accept_encoding("identity")
                .timeout_resolve(Some(limits.connect))
                .timeout_connect(Some(limits.connect))
                .timeout_recv_response(Some(late))
                .timeout_per_read(Some(late))
                .timeout_per_write(Some(late))
        };
        Ok(Client {
            agents: proxy::Agents::new(config, proxies, reach),
            limits,
            notice: Arc::new(|_| {}),
            anew: false,
            authorizer: None,
        })
    }

    /// How long it waits, and how often it tries.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Tells `notice` each time when a failed transfer is tried again.
    #[must_use]
    pub fn on_notice(mut self, notice: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.notice = Arc::new(notice);
        self
    }

    /// Asks `authorizer` for the header `Authorization` of each file that is read; it is asked for every
    /// address that the server redirects to, too, and answers for its own only.
    #[must_use]
    pub fn authorized_by(
        mut self,
        authorizer: impl Fn(&Url) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        self.authorizer = Some(Arc::new(authorizer));
        self
    }

    /// Starts to read a file, from its beginning.
    ///
    /// # Errors
    /// When it does not exist, or the server cannot be reached or fails.
    pub fn open(&self, url: &Url) -> Result<Stream<'_>> {
        Stream::open(self, url, 0, None, None)?.ok_or_else(|| missing(url))
    }

    /// Starts to read a part of a file: from byte `start` to before byte `end`, or to its end.
    /// `validator` says what the file was when an earlier part of it was read. Where the server
    /// cannot give the part, or the file is another one now, the first piece is
    /// [`Piece::Restart`] and the whole file follows.
    ///
    /// # Errors
    /// As [`Client::open`].
    pub fn open_at(
        &self,
        url: &Url,
        start: u64,
        end: Option<u64>,
        validator: Option<&str>,
    ) -> Result<Stream<'_>> {
        Stream::open(self, url, start, end, validator)?.ok_or_else(|| missing(url))
    }

    /// As [`Client::open_at`]; nothing when the server says that there is no such file.
    ///
    /// # Errors
    /// As [`Client::open`].
    pub fn open_known_at(
        &self,
        url: &Url,
        start: u64,
        end: Option<u64>,
        validator: Option<&str>,
    ) -> Result<Option<Stream<'_>>> {
        Stream::open(self, url, start, end, validator)
    }

    /// Reads a small file whole; it may have at most `limit` bytes.
    ///
    /// # Errors
    /// As [`Client::open`]; also when it is larger.
    pub fn read(&self, url: &Url, limit: u64) -> Result<Vec<u8>> {
        self.read_known(url, limit)?.ok_or_else(|| missing(url))
    }

    /// As [`Client::read`]; nothing when the server says that there is no such file. To forbid it
    /// is another answer: for files that should be there.
    ///
    /// # Errors
    /// As [`Client::read`].
    pub fn read_known(&self, url: &Url, limit: u64) -> Result<Option<Vec<u8>>> {
        let stream = Stream::open(self, url, 0, None, None)?;
        stream.map(|stream| whole(stream, url, limit)).transpose()
    }

    /// As [`Client::read_known`], past caches and over a new connection, which may lead to another
    /// server of the same name.
    ///
    /// # Errors
    /// As [`Client::read`].
    pub fn read_anew(&self, url: &Url, limit: u64) -> Result<Option<Vec<u8>>> {
        let client = Client {
            notice: Arc::clone(&self.notice),
            anew: true,
            authorizer: self.authorizer.clone(),
            ..Self::make(self.limits, self.agents.proxies(), Reach::Any)?
        };
        client.read_known(url, limit)
    }

    /// As [`Client::read`], of a file that need not be there: nothing also when the server forbids
    /// it, as stores such as S3 do with what is not there where nobody may list what is.
    ///
    /// # Errors
    /// As [`Client::read`].
    pub fn read_optional(&self, url: &Url, limit: u64) -> Result<Option<Vec<u8>>> {
        let stream = Stream::open_optional(self, url)?;
        stream.map(|stream| whole(stream, url, limit)).transpose()
    }
}

/// The bytes of a file, `limit` at most.
fn whole(mut stream: Stream<'_>, url: &Url, limit: u64) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    while let Some(piece) = stream.next_piece()? {
        match piece {
            Piece::Restart => all.clear(),
            Piece::Bytes(bytes) => all.extend_from_slice(&bytes),
        }
        if all.len() as u64 > limit {
            return Err(too_large(url, limit));
        }
    }
    Ok(all)
}

fn missing(url: &Url) -> Error {
    Error::stage(format!("{url} does not exist"))
        .hint("check the address; the server answered that there is no such file")
}

fn too_large(url: &Url, limit: u64) -> Error {
    let limit = crate::units::Size::bytes(limit).human();
    Error::stage(format!("{url} is larger than the {limit} that it may have"))
        .hint("check the address: this is not the file that was expected there")
}
