//! Install trees: which kernel and which initrd, and what they must be.

use std::collections::BTreeMap;

use super::{Media, MediaFile, archive, client, failed};
use crate::error::{Error, Result};
use crate::http::{Client, Url};

/// The index files of trees are small.
pub(super) const LARGEST_INDEX: u64 = 4 << 20;

/// Where Debian's trees have their images, as seen from what people call the tree.
const DEBIAN: &[&str] = &[
    "current/images/",
    "images/",
    "current/legacy-images/",
    "dists/stable/main/installer-amd64/current/images/",
];

/// Their network installer, below that.
const NETBOOT: &str = "netboot/debian-installer/amd64/";

/// What boots the installer of a tree.
#[derive(Debug)]
pub struct Tree {
    kernel: MediaFile,
    initrd: MediaFile,
}

impl Tree {
    /// The installer's kernel.
    pub fn kernel(&self) -> &MediaFile {
        &self.kernel
    }

    /// Its initial RAM disk.
    pub fn initrd(&self) -> &MediaFile {
        &self.initrd
    }

    /// Both files, for who holds them longer than the tree.
    pub fn into_files(self) -> Vec<MediaFile> {
        vec![self.kernel, self.initrd]
    }
}

/// What the recipe says about an installer's kernel or initrd that comes over plain http.
#[derive(Debug, Clone, Copy, Default)]
pub struct Vouched<'a> {
    /// SHA-256, in hex.
    pub sha256: Option<&'a str>,
    /// It is taken although nothing vouches for it.
    pub unverified: bool,
}

impl Vouched<'_> {
    /// Whether the archive's signature decides.
    fn is_needed(&self) -> bool {
        self.sha256.is_none() && !self.unverified
    }
}

/// A file of a tree, and the digest that the tree promises.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Promise {
    path: String,
    sha256: Option<String>,
}

/// The files of a tree, and whether somebody beside the server vouches for the promises.
struct Found {
    base: Url,
    kernel: Promise,
    initrd: Promise,
    signed: bool,
}

impl Media<'_> {
    /// The kernel and the initrd of the install tree at `location`, for x86_64. Fedora and its
    /// relatives describe them in `.treeinfo`, Debian in `SHA256SUMS`, which its archive signs.
    ///
    /// # Errors
    /// When there is no such tree, a file of it is missing or not what the tree says, or it comes
    /// over plain http and nothing vouches for it.
    pub fn tree(&self, location: &str, kernel: &Vouched<'_>, initrd: &Vouched<'_>) -> Result<Tree> {
        let url = Url::parse_or_path(location)?.as_directory();
        let client = client(&url, self.ui)?;
        self.ui.step("reading the install tree");
        let needed = kernel.is_needed() || initrd.is_needed();
        let found = find(&client, &url, needed)?;
        // Both, before anything is fetched; what the tree names lies in it, so that it is vouched
        // for as the tree is.
        let below = |promise: &Promise| found.base.below(promise.path.trim_start_matches("./"));
        let places = [&found.kernel, &found.initrd].map(below);
        let [kernel_url, initrd_url] = places;
        let (kernel_url, initrd_url) = (kernel_url?, initrd_url?);
        let sums = |url: &Url, vouched, promise: &Promise| {
            self.vouched(url, vouched, promise.sha256.as_deref(), found.signed)
        };
        let kernel_sum = sums(&kernel_url, kernel, &found.kernel)?;
        let initrd_sum = sums(&initrd_url, initrd, &found.initrd)?;
        Ok(Tree {
            kernel: self.at(&kernel_url, kernel_sum.as_deref())?,
            initrd: self.at(&initrd_url, initrd_sum.as_deref())?,
        })
    }

    /// A kernel or an initrd by its path or address. The archives of Debian and Ubuntu sign the
    /// digests of theirs, in the `SHA256SUMS` of the directory `images/`.
    ///
    /// # Errors
    /// As [`Media::file`]; also when it comes over plain http and nothing vouches for it.
    pub fn boot_file(&self, place: &str, vouched: &Vouched<'_>) -> Result<MediaFile> {
        let url = Url::parse_or_path(place)?;
        let text = url.secret_text();
        let images = text
            .find("/images/netboot/")
            .map(|at| at + "/images/".len());
        let (mut promised, mut signed) = (None, false);
        if let Some(images) = images.filter(|_| url.local().is_none()) {
            let base = Url::parse(&text[..images])?;
            let client = client(&base, self.ui)?;
            if let Some(sums) = read_sums(&client, &base, vouched.is_needed())? {
                promised = self::promised(&sums.text, &text[images..]);
                signed = sums.signed;
            }
        }
        let sum = self.vouched(&url, vouched, promised.as_deref(), signed)?;
        self.at(&url, sum.as_deref())
    }

    fn at(&self, url: &Url, sha256: Option<&str>) -> Result<MediaFile> {
        let place = match url.local() {
            Some(path) => path.display().to_string(),
            None => url.secret_text(),
        };
        self.file(&place, sha256)
    }

    /// The digest that a kernel or an initrd must have, when something vouches for it: the recipe,
    /// the archive's signature, the server's certificate, or that it is on this host.
    fn vouched(
        &self,
        url: &Url,
        vouched: &Vouched<'_>,
        promised: Option<&str>,
        signed: bool,
    ) -> Result<Option<String>> {
        let name = url.file_name();
        let how = match vouched.sha256 {
            Some(_) => "the recipe has its digest",
            None if signed && promised.is_some() => "the archive has signed its digest",
            None if url.local().is_some() => "it is on this host",
            None if url.is_https() => "it comes over https",
            None if vouched.unverified => {
                self.ui
                    .ui()
                    .warning(format!("nothing vouches for {url}; the recipe takes it"));
                "the recipe takes it unverified"
            }
            None => return Err(nobody_vouches(url, promised.is_some())),
        };
        self.ui.line(format!("{name}: {how}"));
        Ok(vouched.sha256.or(promised).map(str::to_owned))
    }
}

fn nobody_vouches(url: &Url, promised: bool) -> Error {
    let error = Error::gate(format!("nothing vouches for the installer's {url}"));
    let error = match promised {
        true => error.cause("its digest comes from the same server, over plain http: who can change one can change both"),
        false => error.cause("it comes over plain http, and no signature or digest covers it"),
    };
    error.hint(
        "take it over https, or write `boot-sha256: {kernel: …, initrd: …}` beside `media:`; \
         `unverified-media: true` takes whatever comes",
    )
}

/// A `SHA256SUMS`, and whether the archive has signed it.
struct Sums {
    text: String,
    signed: bool,
}

fn read_sums(client: &Client, images: &Url, needed: bool) -> Result<Option<Sums>> {
    let url = images.join("SHA256SUMS")?;
    let bytes = client.read_optional(&url, LARGEST_INDEX);
    let Some(bytes) = bytes.map_err(|error| failed(&url, error))? else {
        return Ok(None);
    };
    let plain = needed && url.local().is_none() && !url.is_https();
    let signed = plain && archive::signed(client, images, &bytes, archive::of_host)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(Some(Sums { text, signed }))
}

fn find(client: &Client, url: &Url, needed: bool) -> Result<Found> {
    let read = |at: &Url| {
        let bytes = client.read_optional(at, LARGEST_INDEX);
        let bytes = bytes.map_err(|error| failed(at, error))?;
        Ok::<_, Error>(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    };
    for name in [".treeinfo", "treeinfo"] {
        if let Some(text) = read(&url.join(name)?)? {
            let (kernel, initrd) = treeinfo(&text).ok_or_else(|| {
                no_tree(
                    url,
                    &format!("its {name} names no kernel and initrd for x86_64"),
                )
            })?;
            return Ok(Found {
                base: url.clone(),
                kernel,
                initrd,
                signed: false,
            });
        }
    }
    for images in DEBIAN {
        let base = url.join(images)?;
        if let Some(Sums { text, signed }) = read_sums(client, &base, needed)? {
            let (kernel, initrd) = sums(&text)
                .ok_or_else(|| no_tree(url, "its SHA256SUMS names no network installer"))?;
            return Ok(Found {
                base,
                kernel,
                initrd,
                signed,
            });
        }
    }
    Err(no_tree(
        url,
        "it has neither .treeinfo nor images/SHA256SUMS",
    ))
}

fn no_tree(url: &Url, why: &str) -> Error {
    Error::stage(format!("{url} is no install tree"))
        .cause(why)
        .hint(
            "`location:` is the directory that holds .treeinfo (Fedora and its relatives) or \
             current/images/ (Debian): open it in a browser, or use `iso:` or `boot:`",
        )
}

/// Kernel and initrd of a `.treeinfo`.
pub(crate) fn treeinfo(text: &str) -> Option<(Promise, Promise)> {
    let mut sections: BTreeMap<&str, BTreeMap<&str, &str>> = BTreeMap::new();
    let mut section = "";
    for line in text.lines().map(str::trim) {
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            section = name;
        } else if let Some((key, value)) = line.split_once('=')
            && !line.starts_with(['#', ';'])
        {
            let values = sections.entry(section).or_default();
            values.insert(key.trim(), value.trim());
        }
    }
    let images = sections.get("images-x86_64")?;
    let checksums = sections.get("checksums");
    let promise = |name: &str| {
        let path = *images.get(name)?;
        let sum = checksums.and_then(|sums| sums.get(path)?.strip_prefix("sha256:"));
        Some(Promise {
            path: path.to_owned(),
            sha256: sum.map(str::to_owned),
        })
    };
    Some((promise("kernel")?, promise("initrd")?))
}

/// Kernel and initrd of the network installer in a `SHA256SUMS`.
pub(crate) fn sums(text: &str) -> Option<(Promise, Promise)> {
    let promise = |name: &str| {
        let path = format!("{NETBOOT}{name}");
        let sha256 = Some(promised(text, &path)?);
        Some(Promise { path, sha256 })
    };
    Some((promise("linux")?, promise("initrd.gz")?))
}

/// The digest of the file at `path` in a `SHA256SUMS`.
fn promised(text: &str, path: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (sum, listed) = line.split_once(char::is_whitespace)?;
        let listed = listed.trim().trim_start_matches('*');
        (listed.trim_start_matches("./") == path).then(|| sum.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_treeinfo_promises_kernel_and_initrd() {
        let text = "[checksums]\nimages/pxeboot/vmlinuz = sha256:aa\n\
                    images/pxeboot/initrd.img = md5:bb\n\n# a comment\n[general]\narch = x86_64\n\n\
                    [images-x86_64]\nkernel = images/pxeboot/vmlinuz\ninitrd = images/pxeboot/initrd.img\n";
        let (kernel, initrd) = treeinfo(text).unwrap();
        assert_eq!(kernel.path, "images/pxeboot/vmlinuz");
        assert_eq!(kernel.sha256.as_deref(), Some("aa"));
        assert_eq!(initrd.sha256, None);
        assert_eq!(treeinfo("[images-aarch64]\nkernel = x\ninitrd = y\n"), None);
    }

    #[test]
    fn debians_sums_promise_the_network_installer() {
        let text = "11  ./netboot/gtk/debian-installer/amd64/linux\n\
                    22  ./netboot/debian-installer/amd64/linux\n\
                    33 *netboot/debian-installer/amd64/initrd.gz\n";
        let (kernel, initrd) = sums(text).unwrap();
        assert_eq!(kernel.sha256.as_deref(), Some("22"));
        assert_eq!(initrd.path, "netboot/debian-installer/amd64/initrd.gz");
        assert_eq!(initrd.sha256.as_deref(), Some("33"));
        assert_eq!(sums("11  ./hd-media/vmlinuz\n"), None);
    }
}
