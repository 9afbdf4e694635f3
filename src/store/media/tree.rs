//! Install trees: which kernel and which initrd, and what they must be.

mod info;

use sha2::{Digest as _, Sha256};

use super::{Media, MediaFile, archive, client, compare};
use crate::error::{Error, Result};
use crate::http::{Client, Url};
use crate::machine::Arch;
pub(crate) use info::treeinfo;
use info::{checksums, uncovered};

/// The index files of trees are small.
pub(super) const LARGEST_INDEX: u64 = 4 << 20;

/// Where Debian's trees have their images, as seen from what people call the tree.
const DEBIAN: &[&str] = &[
    "current/images/",
    "images/",
    "current/legacy-images/",
    "dists/stable/main/installer-{arch}/current/images/",
];

/// Their network installer, below that.
const NETBOOT: &str = "netboot/debian-installer/{arch}/";

/// What boots the installer of a tree.
#[derive(Debug)]
pub struct Tree {
    kernel: MediaFile,
    initrd: MediaFile,
    sums: Vec<(String, String)>,
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

    /// What a `.treeinfo` that the recipe vouches for says of files of the tree, itself among them:
    /// paths below the tree, and SHA-256 in hex.
    pub fn sums(&self) -> &[(String, String)] {
        &self.sums
    }

    /// Both files, for who holds them longer than the tree.
    pub fn into_files(self) -> Vec<MediaFile> {
        vec![self.kernel, self.initrd]
    }
}

/// What the recipe says about an installer's kernel, initrd or `.treeinfo` over plain http.
#[derive(Debug, Clone, Copy, Default)]
pub struct InstallerDigests<'a> {
    /// SHA-256, in hex.
    pub sha256: Option<&'a str>,
    /// It is taken although nothing vouches for it.
    pub unverified: bool,
}

impl InstallerDigests<'_> {
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
    sums: Vec<(String, String)>,
}

impl Media<'_> {
    /// The kernel and the initrd of the install tree at `location`. Fedora and its
    /// relatives describe them in `.treeinfo`, Debian in `SHA256SUMS`, which its archive signs. By the
    /// `info` of a `.treeinfo` over plain http the rest of the tree can be verified, which the
    /// digests of kernel and initrd say nothing of.
    ///
    /// # Errors
    /// When there is no such tree, a file of it is missing or not what the tree says, or it comes
    /// over plain http and nothing vouches for it.
    pub fn tree(
        &self,
        location: &str,
        kernel: &InstallerDigests<'_>,
        initrd: &InstallerDigests<'_>,
        info: &InstallerDigests<'_>,
    ) -> Result<Tree> {
        let url = Url::parse_or_path(location)?.as_directory();
        let client = client(&url, self.ui)?;
        self.ui.step("reading the install tree");
        let needed = kernel.is_needed() || initrd.is_needed();
        let found = self.find(&client, &url, needed, info)?;
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
            sums: found.sums,
        })
    }

    fn find(
        &self,
        client: &Client,
        url: &Url,
        needed: bool,
        info: &InstallerDigests<'_>,
    ) -> Result<Found> {
        for name in [".treeinfo", "treeinfo"] {
            let at = url.join(name)?;
            if let Some(bytes) = self.index(client, &at, LARGEST_INDEX)? {
                return self.described(url, name, &bytes, info);
            }
        }
        if info.sha256.is_some() {
            return Err(no_tree(
                url,
                "it has no .treeinfo, and the recipe has the digest of one",
            ));
        }
        for images in DEBIAN {
            let base = url.join(&images.replace("{arch}", self.arch.debian))?;
            if let Some(Sums { text, signed }) = self.sums(client, &base, needed)? {
                let (kernel, initrd) = sums(&text, self.arch)
                    .ok_or_else(|| no_tree(url, "its SHA256SUMS names no network installer"))?;
                return Ok(Found {
                    base,
                    kernel,
                    initrd,
                    signed,
                    sums: vec![],
                });
            }
        }
        Err(no_tree(
            url,
            "it has neither .treeinfo nor images/SHA256SUMS",
        ))
    }

    /// A tree that its `.treeinfo` describes: Anaconda fetches the rest of it, and verifies nothing.
    fn described(
        &self,
        url: &Url,
        name: &str,
        bytes: &[u8],
        info: &InstallerDigests<'_>,
    ) -> Result<Found> {
        let plain = url.local().is_none() && !url.is_https();
        let text = String::from_utf8_lossy(bytes);
        let mut sums = vec![];
        if let Some(promised) = info.sha256 {
            let found = hex::encode(Sha256::digest(bytes));
            compare(&format!("{url}{name}"), Some(promised), &found)?;
            sums = checksums(&text);
            if plain && let Some(missing) = uncovered(&text, self.arch, &sums) {
                return Err(Error::gate(format!("cannot verify {missing} of {url}"))
                    .cause(format!("its {name} has no SHA-256 of it"))
                    .hint(
                        "fetch the tree over https; `unverified-media: true` accepts it unverified",
                    ));
            }
            sums.push((name.to_owned(), found));
        } else if plain && !info.unverified {
            return Err(nobody_vouches_for_tree(url, name));
        } else if plain {
            self.ui.ui().warning(format!(
                "the install tree {url}, its second stage and its packages are not verified; the \
                 recipe allows that"
            ));
        }
        let none = || {
            no_tree(
                url,
                &format!(
                    "its {name} names no kernel and initrd for {}",
                    self.arch.as_str()
                ),
            )
        };
        let (kernel, initrd) = treeinfo(&text, self.arch).ok_or_else(none)?;
        Ok(Found {
            base: url.clone(),
            kernel,
            initrd,
            signed: info.sha256.is_some(),
            sums,
        })
    }

    /// A kernel or an initrd by its path or address. The archives of Debian and Ubuntu sign the
    /// digests of theirs, in the `SHA256SUMS` of the directory `images/`.
    ///
    /// # Errors
    /// As [`Media::file`]; also when it comes over plain http and nothing vouches for it.
    pub fn boot_file(&self, place: &str, vouched: &InstallerDigests<'_>) -> Result<MediaFile> {
        let url = Url::parse_or_path(place)?;
        let text = url.secret_text();
        let images = text
            .find("/images/netboot/")
            .map(|at| at + "/images/".len());
        let (mut promised, mut signed) = (None, false);
        if let Some(images) = images.filter(|_| url.local().is_none()) {
            let base = Url::parse(&text[..images])?;
            let client = client(&base, self.ui)?;
            if let Some(sums) = self.sums(&client, &base, vouched.is_needed())? {
                promised = self::promised(&sums.text, &text[images..]);
                signed = sums.signed;
            }
        }
        let sum = self.vouched(&url, vouched, promised.as_deref(), signed)?;
        self.at(&url, sum.as_deref())
    }

    fn sums(&self, client: &Client, images: &Url, needed: bool) -> Result<Option<Sums>> {
        let url = images.join("SHA256SUMS")?;
        let Some(bytes) = self.index(client, &url, LARGEST_INDEX)? else {
            return Ok(None);
        };
        let plain = needed && url.local().is_none() && !url.is_https();
        // A lock has the digest of what was signed, which may not count any more.
        let is_locked = || self.fetching.locked().is_some();
        let signed =
            plain && (is_locked() || archive::signed(client, images, &bytes, archive::of_host)?);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Ok(Some(Sums { text, signed }))
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
        vouched: &InstallerDigests<'_>,
        promised: Option<&str>,
        signed: bool,
    ) -> Result<Option<String>> {
        let name = url.file_name();
        let how = match vouched.sha256 {
            Some(_) => "the recipe has its digest",
            None if signed && promised.is_some() => "its digest is signed",
            None if url.local().is_some() => "it is on this host",
            None if url.is_https() => "it comes over https",
            None if vouched.unverified => {
                self.ui
                    .ui()
                    .warning(format!("{url} is not verified; the recipe allows that"));
                "the recipe takes it unverified"
            }
            None => return Err(nobody_vouches(url, promised.is_some())),
        };
        self.ui.line(format!("{name}: {how}"));
        Ok(vouched.sha256.or(promised).map(str::to_owned))
    }
}

fn nobody_vouches(url: &Url, promised: bool) -> Error {
    let error = Error::gate(format!("cannot verify the installer's {url}"));
    let error = match promised {
        true => error.cause("its digest comes from the same server, over plain http: who can change one can change both"),
        false => error.cause("it comes over plain http, and no signature or digest covers it"),
    };
    error.hint(
        "fetch it over https, or write `boot-sha256: {kernel: …, initrd: …}` beside `media:`; \
         `unverified-media: true` accepts it unverified",
    )
}

/// A `SHA256SUMS`, and whether the archive has signed it.
struct Sums {
    text: String,
    signed: bool,
}

fn nobody_vouches_for_tree(url: &Url, name: &str) -> Error {
    Error::gate(format!("cannot verify the install tree {url}"))
        .cause("its second stage and its packages come over plain http as well, and Anaconda verifies neither")
        .hint(format!(
            "fetch it over https, or write `treeinfo-sha256: …` beside `media:`, the SHA-256 of \
             its {name} from somewhere that you trust; `unverified-media: true` accepts it \
             unverified"
        ))
}

fn no_tree(url: &Url, why: &str) -> Error {
    Error::stage(format!("{url} is not an install tree"))
        .cause(why)
        .hint(
            "`location:` is the directory that holds .treeinfo (Fedora and its relatives) or \
             current/images/ (Debian): open it in a browser, or use `iso:` or `boot:`",
        )
}

/// Kernel and initrd of the network installer in a `SHA256SUMS`.
pub(crate) fn sums(text: &str, arch: Arch) -> Option<(Promise, Promise)> {
    let promise = |name: &str| {
        let path = NETBOOT.replace("{arch}", arch.debian) + name;
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
    fn debians_sums_promise_the_network_installer() {
        let text = "11  ./netboot/gtk/debian-installer/amd64/linux\n\
                    22  ./netboot/debian-installer/amd64/linux\n\
                    33 *netboot/debian-installer/amd64/initrd.gz\n";
        let (kernel, initrd) = sums(text, Arch::default()).unwrap();
        assert_eq!(kernel.sha256.as_deref(), Some("22"));
        assert_eq!(initrd.path, "netboot/debian-installer/amd64/initrd.gz");
        assert_eq!(initrd.sha256.as_deref(), Some("33"));
        assert_eq!(sums("11  ./hd-media/vmlinuz\n", Arch::default()), None);
        assert_eq!(sums(text, Arch::Aarch64), None);
        let (kernel, _) = sums(&text.replace("amd64", "arm64"), Arch::Aarch64).unwrap();
        assert_eq!(kernel.path, "netboot/debian-installer/arm64/linux");
    }
}
