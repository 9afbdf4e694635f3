//! Registries: the distribution API of OCI (<https://github.com/opencontainers/distribution-spec>), as far as
//! every registry speaks it, over the one HTTP client.
//!
//! Blobs are streamed from and to files, in parts that a broken connection does not cost. What comes from
//! a registry is compared with its digest here; who made it, is for the caller to ask.

mod archive;
mod credentials;
mod fetch;
mod manifest;
mod referrers;
mod refusal;
mod token;
mod upload;

pub use archive::Pushed;
pub use fetch::Fetched;
pub use manifest::{CHANNEL_INDEX, Descriptor, EMPTY_BYTES, Manifest};

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::address::OciAddress;
use crate::digest::Sha256;
use crate::error::{Context as _, Error, Result};
use crate::http::{Body, Client, Limits, Method, Reply, Request, Url};
use token::Access;

/// Manifests may have so many bytes; docker-registry takes no larger ones.
pub const LARGEST_MANIFEST: u64 = 4 << 20;

/// Answers that are no content, in bytes.
const LARGEST_ANSWER: u64 = 1 << 20;

/// More tags than any repository has, and more pages of them.
const MOST_TAGS: usize = 100_000;
const MOST_PAGES: usize = 1000;

/// The media type of the manifests that are read and written.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// The media type of lists of manifests.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// One repository of a registry.
#[derive(Debug)]
pub struct Registry {
    address: OciAddress,
    client: Client,
    /// `https://HOST/v2/NAME/`.
    base: Url,
    access: Arc<Access>,
    limits: Limits,
    /// Whether it takes a small blob by one request, as far as it has said.
    takes_whole: AtomicBool,
}

impl Registry {
    /// The repository at `address`, with the credentials that this user has for it. Nothing is asked yet.
    ///
    /// # Errors
    /// When the environment names authorities, or a file of credentials, that cannot be used.
    pub fn open(address: &OciAddress, limits: Limits) -> Result<Self> {
        let base = Url::parse(&address.base())?;
        let access = Arc::new(Access::new(address));
        let site = base.clone();
        let known = Arc::clone(&access);
        let client = Client::to(&base, limits)?.authorized_by(move |url| {
            let own = url.is_https() == site.is_https() && url.site() == site.site();
            own.then(|| known.header()).flatten()
        });
        Ok(Registry {
            address: address.clone(),
            client,
            base,
            access,
            limits,
            takes_whole: AtomicBool::new(true),
        })
    }

    /// Its address.
    pub fn address(&self) -> &OciAddress {
        &self.address
    }

    /// The manifest of a tag, or of a digest; nothing where there is none.
    ///
    /// # Errors
    /// When the registry cannot be reached or refuses, or what it has does not have the digest.
    pub fn manifest(&self, reference: &str) -> Result<Option<Vec<u8>>> {
        let reply = self.ask_manifest(Method::Get, reference, LARGEST_MANIFEST)?;
        let found = reply.map(|reply| reply.body);
        if let (Some(bytes), Some(digest)) = (&found, reference.strip_prefix("sha256:"))
            && Sha256::of(bytes).as_str() != digest
        {
            let what = format!("{} has another manifest as {reference}", self.address);
            return Err(
                Error::gate(what).hint("ask the registry's administrator; nothing of it was used")
            );
        }
        Ok(found)
    }

    /// Whether a tag, or a digest, has a manifest.
    ///
    /// # Errors
    /// As [`Registry::manifest`].
    pub fn has_manifest(&self, reference: &str) -> Result<bool> {
        let reply = self.ask_manifest(Method::Head, reference, 0)?;
        Ok(reply.is_some())
    }

    fn ask_manifest(&self, method: Method, reference: &str, limit: u64) -> Result<Option<Reply>> {
        let url = self.base.below(&format!("manifests/{reference}"))?;
        let request = Request::new(method, url).header("Accept", format!("{MANIFEST}, {INDEX}"));
        let reply = self.ask(&request, limit)?;
        match reply.status {
            200 => Ok(Some(reply)),
            404 => Ok(None),
            _ => Err(self.refused("giving a manifest", &reply)),
        }
    }

    /// Puts a manifest under a tag; its blobs must be there.
    ///
    /// # Errors
    /// When the registry cannot be reached, refuses, or has understood something else.
    pub fn put_manifest(&self, reference: &str, manifest: Vec<u8>) -> Result<()> {
        self.put(reference, MANIFEST, manifest)
    }

    /// As [`Registry::put_manifest`], of any kind.
    fn put(&self, reference: &str, media_type: &str, manifest: Vec<u8>) -> Result<()> {
        let reply = self.offer(reference, media_type, manifest)?;
        match reply.status {
            201 | 202 => Ok(()),
            _ => Err(self.refused("taking a manifest", &reply)),
        }
    }

    /// What it answers to a manifest.
    fn offer(&self, reference: &str, media_type: &str, manifest: Vec<u8>) -> Result<Reply> {
        let digest = Sha256::of(&manifest);
        let url = self.base.below(&format!("manifests/{reference}"))?;
        let body = Body::Bytes(Arc::new(manifest));
        let request = Request::new(Method::Put, url).header("Content-Type", media_type);
        let reply = self.ask(&request.body(body), LARGEST_ANSWER)?;
        if matches!(reply.status, 201 | 202) {
            self.agrees(&reply, &digest)?;
        }
        Ok(reply)
    }

    /// The tags of the repository, sorted; none where there is no such repository.
    ///
    /// # Errors
    /// When the registry cannot be reached or refuses, or there is no end of them.
    pub fn tags(&self) -> Result<Vec<String>> {
        #[derive(serde::Deserialize)]
        struct Page {
            tags: Option<Vec<String>>,
        }
        let mut url = self.base.below("tags/list")?.with_query("n=1000")?;
        let mut all = std::collections::BTreeSet::new();
        for _ in 0..MOST_PAGES {
            let reply = self.ask(&Request::new(Method::Get, url.clone()), LARGEST_MANIFEST)?;
            let page: Option<Page> = match reply.status {
                200 => serde_json::from_slice(&reply.body).ok(),
                404 => return Ok(vec![]),
                _ => None,
            };
            let Some(page) = page else {
                return Err(self.refused("listing its tags", &reply));
            };
            let before = all.len();
            let named = page.tags.unwrap_or_default().into_iter();
            all.extend(named.filter(|tag| is_tag(tag)));
            // `<URL>; rel="next"`; one that brings nothing new would go on for ever.
            let next = reply.header("link").and_then(|link| {
                link.split_once('<')?
                    .1
                    .split_once('>')
                    .map(|(next, _)| next)
            });
            match next.filter(|_| all.len() > before) {
                Some(_) if all.len() > MOST_TAGS => break,
                Some(next) => url = url.join(next)?,
                None => return Ok(all.into_iter().collect()),
            }
        }
        Err(
            Error::stage(format!("{} never ends its list of tags", self.address))
                .hint("ask the registry's administrator; nothing of it was used"),
        )
    }

    /// Removes the manifest that a tag has, and all tags that have it.
    ///
    /// # Errors
    /// When the registry cannot be reached, or lets nobody remove anything.
    pub fn delete(&self, tag: &str) -> Result<()> {
        let Some(there) = self.manifest(tag)? else {
            return Ok(());
        };
        self.remove(&Sha256::of(&there))
    }

    /// Removes the manifest with a digest, and all tags that have it; where there is none, nothing.
    ///
    /// # Errors
    /// As [`Registry::delete`].
    pub fn remove(&self, manifest: &Sha256) -> Result<()> {
        let url = format!("manifests/sha256:{}", manifest.as_str());
        let request = Request::new(Method::Delete, self.base.below(&url)?);
        let reply = self.ask(&request, LARGEST_ANSWER)?;
        match reply.status {
            200 | 202 | 204 | 404 => Ok(()),
            400 | 405 | 501 => Err(self.answered("removing anything", &reply).hint(
                "it keeps everything: docker-registry removes with `storage: {delete: {enabled: true}}`, or \
                 `REGISTRY_STORAGE_DELETE_ENABLED=true`; others have a setting or a retention of their own",
            )),
            _ => Err(self.refused("removing a manifest", &reply)),
        }
    }

    /// Puts a small blob there, unless it is there.
    ///
    /// # Errors
    /// When the registry cannot be reached, refuses, or has understood something else.
    pub fn push_bytes(&self, bytes: &[u8]) -> Result<Sha256> {
        use std::io::Write as _;
        let digest = Sha256::of(bytes);
        let doing = || "writing a temporary file".to_owned();
        let mut file = tempfile::tempfile().doing(doing)?;
        file.write_all(bytes).doing(doing)?;
        self.push_blob(&digest, &Arc::new(file), bytes.len() as u64)?;
        Ok(digest)
    }

    /// Whether there is a blob.
    ///
    /// # Errors
    /// When the registry cannot be reached or refuses.
    pub fn has_blob(&self, digest: &Sha256) -> Result<bool> {
        let reply = self.ask(&Request::new(Method::Head, self.blob(digest)?), 0)?;
        match reply.status {
            200 => Ok(true),
            404 => Ok(false),
            _ => Err(self.refused("looking for a blob", &reply)),
        }
    }

    /// A small blob, of `limit` bytes at most; nothing where there is none with this digest.
    ///
    /// # Errors
    /// When the registry cannot be reached or refuses, or the blob is larger.
    pub fn read_blob(&self, digest: &Sha256, limit: u64) -> Result<Option<Vec<u8>>> {
        let reply = self.ask(&Request::new(Method::Get, self.blob(digest)?), limit)?;
        match reply.status {
            200 => Ok(Some(reply.body).filter(|bytes| Sha256::of(bytes) == *digest)),
            404 => Ok(None),
            _ => Err(self.refused("giving a blob", &reply)),
        }
    }

    fn blob(&self, digest: &Sha256) -> Result<Url> {
        self.base
            .below(&format!("blobs/sha256:{}", digest.as_str()))
    }

    /// What the registry says of the digest of what it took, if it says something, is what it was sent.
    fn agrees(&self, reply: &Reply, digest: &Sha256) -> Result<()> {
        let ours = format!("sha256:{}", digest.as_str());
        match reply.header("docker-content-digest") {
            Some(theirs) if theirs.starts_with("sha256:") && theirs != ours => {
                let what = format!("{} stored other bytes than it was sent", self.address);
                Err(Error::stage(what).cause(format!("it has {theirs}, and was sent {ours}")))
            }
            _ => Ok(()),
        }
    }

    /// Sends a request that may be sent again, with what this user may do; asks for more once where that
    /// is not enough, and follows to where the answer is.
    fn ask(&self, request: &Request, limit: u64) -> Result<Reply> {
        let mut request = request.clone();
        let mut asked = false;
        for _ in 0..=self.limits.redirects {
            let reply = self.client.send(&self.with_access(&request), limit);
            let reply = reply.map_err(|error| error.hint(self.reach()))?;
            if reply.status == 401 && !asked && self.is_own(&request.url) {
                asked = true;
                if self.access.gain(&self.client, &self.base, &reply)? {
                    continue;
                }
            }
            let reads = matches!(request.method, Method::Get | Method::Head);
            match reply.header("location") {
                Some(to) if reads && matches!(reply.status, 301 | 302 | 303 | 307 | 308) => {
                    request.url = request.url.join(to)?;
                }
                _ => return Ok(reply),
            }
        }
        Err(Error::stage(format!("{} redirects too often", request.url)))
    }

    /// What to do where nobody answers.
    fn reach(&self) -> String {
        let mut v2 = self.base.to_string();
        v2.truncate(v2.find("/v2/").map_or(v2.len(), |at| at + "/v2/".len()));
        format!(
            "`curl -i {v2}` shows whether it can be reached; the same command resumes where this \
             one stopped"
        )
    }

    /// As [`Registry::ask`], once: none where the way to the server broke, with why.
    fn ask_once(&self, request: &Request) -> Result<Result<Reply, String>> {
        let request = self.with_access(request);
        self.client.send_once(request, LARGEST_ANSWER)
    }

    fn with_access(&self, request: &Request) -> Request {
        let header = self.access.header().filter(|_| self.is_own(&request.url));
        match header {
            Some(header) => request.clone().header("Authorization", header),
            None => request.clone(),
        }
    }

    fn is_own(&self, url: &Url) -> bool {
        url.is_https() == self.base.is_https() && url.site() == self.base.site()
    }
}

/// Refuses what is no `oci://HOST[/PREFIX]`, below which repositories have their names.
///
/// # Errors
/// When it is none.
pub fn check_prefix(prefix: &str) -> Result<()> {
    OciAddress::below(prefix, "x").map(drop).map_err(|_| {
        let prefix = crate::address::hide(prefix);
        Error::usage(format!("`{prefix}` is not a place in a registry"))
            .hint("write `oci://HOST/PREFIX`, such as `oci://registry.example.org/images`")
    })
}

/// Whether a text can be a tag.
pub fn is_tag(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= 128
        && text.bytes().next().is_some_and(is_word)
        && text
            .bytes()
            .all(|byte| is_word(byte) || b".-".contains(&byte))
}

/// Reads what is no challenge, for the fuzzer.
pub(crate) fn challenge(text: &str) {
    drop((
        token::Challenge::parse(text),
        refusal::words(text.as_bytes()),
    ));
}
