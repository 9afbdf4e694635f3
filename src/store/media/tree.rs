//! Install trees: which kernel and which initrd, and what they must be.

use std::collections::BTreeMap;

use super::{Media, MediaFile, client, failed};
use crate::error::{Error, Result};
use crate::http::{Client, Url};

/// The index files of trees are small.
const LARGEST_INDEX: u64 = 4 << 20;

/// Where Debian's trees have their images, as seen from what people call the tree.
const DEBIAN: &[&str] = &[
    "current/images/",
    "images/",
    "current/legacy-images/",
    "dists/stable/main/installer-amd64/current/images/",
];

/// Their network installer, below that.
const NETBOOT: &str = "netboot/debian-installer/amd64/";

/// What boots the installer of a tree, verified by what the tree says of it.
#[derive(Debug)]
pub struct Tree {
    kernel: MediaFile,
    initrd: MediaFile,
    verified: bool,
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

    /// Whether the tree told the digests of both.
    pub fn is_verified(&self) -> bool {
        self.verified
    }
}

/// A file of a tree, and the digest that the tree promises.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Promise {
    path: String,
    sha256: Option<String>,
}

impl Media<'_> {
    /// The kernel and the initrd of the install tree at `location`, for x86_64. Fedora and its
    /// relatives describe them in `.treeinfo`, Debian in `SHA256SUMS`.
    ///
    /// # Errors
    /// When there is no such tree, or a file of it is missing or not what the tree says.
    pub fn tree(&self, location: &str) -> Result<Tree> {
        let url = Url::parse_or_path(location)?.as_directory();
        let client = client(&url, self.ui)?;
        self.ui.step("reading the install tree");
        let (base, kernel, initrd) = find(&client, &url)?;
        let verified = kernel.sha256.is_some() && initrd.sha256.is_some();
        if !verified {
            let text = format!(
                "the install tree {url} does not tell the digests of its kernel and initrd"
            );
            self.ui.ui().warning(text);
        }
        let file = |promise: &Promise| {
            let url = base.join(&promise.path)?;
            let place = match url.local() {
                Some(path) => path.display().to_string(),
                None => url.secret_text(),
            };
            self.file(&place, promise.sha256.as_deref())
        };
        Ok(Tree {
            kernel: file(&kernel)?,
            initrd: file(&initrd)?,
            verified,
        })
    }
}

impl Media<'_> {
    /// A kernel or an initrd by its path or address. Debian's mirrors tell the digests of theirs
    /// in the `SHA256SUMS` of the directory `images/`.
    ///
    /// # Errors
    /// As [`Media::file`].
    pub fn boot_file(&self, place: &str) -> Result<MediaFile> {
        let url = Url::parse_or_path(place)?;
        let text = url.secret_text();
        let images = text
            .find("/images/netboot/")
            .map(|at| at + "/images/".len());
        let Some(images) = images.filter(|_| url.local().is_none()) else {
            return self.file(place, None);
        };
        let sums = Url::parse(&text[..images])?.join("SHA256SUMS")?;
        let bytes = client(&sums, self.ui)?.read_optional(&sums, LARGEST_INDEX);
        let bytes = bytes
            .map_err(|error| failed(&sums, error))?
            .unwrap_or_default();
        let promised = promised(&String::from_utf8_lossy(&bytes), &text[images..]);
        self.file(place, promised.as_deref())
    }
}

fn find(client: &Client, url: &Url) -> Result<(Url, Promise, Promise)> {
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
            return Ok((url.clone(), kernel, initrd));
        }
    }
    for images in DEBIAN {
        let base = url.join(images)?;
        if let Some(text) = read(&base.join("SHA256SUMS")?)? {
            let (kernel, initrd) = sums(&text)
                .ok_or_else(|| no_tree(url, "its SHA256SUMS names no network installer"))?;
            return Ok((base, kernel, initrd));
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
fn treeinfo(text: &str) -> Option<(Promise, Promise)> {
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
fn sums(text: &str) -> Option<(Promise, Promise)> {
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
