//! How the base system gets onto the disk.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::PublishedImage;
use crate::address::Address;
use crate::digest::Sha256;
use crate::index::Reference;
use crate::installers::AnswerFile;
use crate::units::Span;

/// What an image is made on.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "there is one a recipe")]
pub enum Base<L = String, P = PublishedImage> {
    /// The image of another recipe of the repository: its name.
    Layer(L),
    /// A published image.
    Published(P),
    /// A base system of its own.
    Install(Install),
}

/// How the base system gets onto the disk; exactly one method.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "Install")]
pub enum Install<I = ImageSource> {
    /// The distribution's own installer, unattended, under libvirt.
    VirtInstall(VirtInstall),
    /// Packages straight onto a disk, without a virtual machine.
    Bootstrap(Bootstrap),
    /// An existing disk image.
    Import(I),
}

/// `install: {virt-install: …}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct VirtInstall {
    /// libosinfo's short id, such as `debian13`.
    pub os: String,
    /// What boots the installer.
    pub media: Media,
    /// What the installer's kernel and initrd must be, where they come over plain http, no archive of
    /// Debian or Ubuntu signs them, and there is no `.treeinfo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot_sha256: Option<BootSums>,
    /// SHA-256 of the `.treeinfo` of an install tree of Fedora and its relatives, 64 hex digits; over
    /// plain http it is needed, as it also covers the second stage and the packages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub treeinfo_sha256: Option<Sha256>,
    /// Accepts an installer that comes over plain http without a signature or a digest.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unverified_media: bool,
    /// Answer file of one of the installers; a strict template.
    #[schemars(extend("description" = AnswerFile::about()))]
    pub answers: AnswerFile,
    /// Added to the installer's kernel command line.
    #[serde(default)]
    pub kernel_args: Vec<String>,
    /// Added to virt-install's command line; as root with `build --allow-extra-args` only.
    #[serde(default)]
    pub extra_args: Vec<String>,
    /// Limit for the whole installation, with hardware acceleration.
    #[serde(default = "default_install_timeout")]
    pub timeout: Span,
    /// No disk, network or console activity for so long is a failure.
    #[serde(default = "default_stall")]
    pub stall: Span,
}

fn default_install_timeout() -> Span {
    Span::seconds(90 * 60)
}

fn default_stall() -> Span {
    Span::seconds(10 * 60)
}

/// Where something is that boots an installer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "String", into = "String")]
#[schemars(with = "String", inline)]
pub enum MediaPlace {
    /// `mirror:PATH`: below the mirror that the build chooses.
    Mirror(String),
    /// An address.
    Address(Address),
    /// A file or directory of this host.
    Path(String),
}

impl From<String> for MediaPlace {
    fn from(text: String) -> Self {
        let below = text.strip_prefix("mirror:");
        match below.filter(|path| !path.is_empty() && !path.contains(char::is_whitespace)) {
            Some(path) => MediaPlace::Mirror(path.to_owned()),
            None => text
                .parse()
                .map_or(MediaPlace::Path(text), MediaPlace::Address),
        }
    }
}

impl From<MediaPlace> for String {
    fn from(place: MediaPlace) -> Self {
        match place {
            MediaPlace::Mirror(path) => format!("mirror:{path}"),
            MediaPlace::Address(address) => address.into(),
            MediaPlace::Path(path) => path,
        }
    }
}

/// What boots an installer; exactly one. A place is a path, an address, or `mirror:PATH`: below the
/// mirror that the build uses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Media {
    /// An install tree: an address, `mirror:PATH` or a directory.
    Location(MediaPlace),
    /// An ISO image.
    Iso(ImageSource),
    /// A kernel and an initrd.
    Boot(BootFiles),
}

/// The file of an image: on this host, or downloaded and then of a known digest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Iso", into = "Iso")]
#[schemars(
    rename = "Iso",
    description = "An ISO image: `url` or `path`, exactly one."
)]
pub enum ImageSource {
    /// A file of this host.
    File {
        /// Where it is, absolute or below the root of the repository.
        path: String,
        /// What it must be, where the recipe says so.
        sha256: Option<Sha256>,
    },
    /// A download.
    Download {
        /// Where it comes from.
        url: Address,
        /// What it must be.
        sha256: Sha256,
    },
}

impl ImageSource {
    /// Where it is.
    pub fn place(&self) -> MediaPlace {
        match self {
            ImageSource::File { path, .. } => MediaPlace::Path(path.clone()),
            ImageSource::Download { url, .. } => MediaPlace::Address(url.clone()),
        }
    }

    /// What it must be, in hex, where the recipe says so.
    pub fn sha256(&self) -> Option<&Sha256> {
        match self {
            ImageSource::File { sha256, .. } => sha256.as_ref(),
            ImageSource::Download { sha256, .. } => Some(sha256),
        }
    }
}

/// As it is written.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("x-either" = ["url", "path"], "x-download" = "url"))]
struct Iso {
    /// Where to download it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    url: Option<Address>,
    /// A local file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    /// SHA-256, 64 hex digits; needed for `url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha256: Option<Sha256>,
}

impl TryFrom<Iso> for ImageSource {
    type Error = &'static str;

    fn try_from(Iso { url, path, sha256 }: Iso) -> Result<Self, &'static str> {
        match (url, path, sha256) {
            (Some(url), None, Some(sha256)) => Ok(ImageSource::Download { url, sha256 }),
            (None, Some(path), sha256) => Ok(ImageSource::File { path, sha256 }),
            (Some(_), None, None) => Err("a download needs its `sha256`"),
            _ => Err("an image has either `url` or `path`"),
        }
    }
}

impl From<ImageSource> for Iso {
    fn from(source: ImageSource) -> Self {
        let (url, path, sha256) = match source {
            ImageSource::File { path, sha256 } => (None, Some(path), sha256),
            ImageSource::Download { url, sha256 } => (Some(url), None, Some(sha256)),
        };
        Iso { url, path, sha256 }
    }
}

/// An installer's kernel and initrd.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct BootFiles {
    /// The kernel: a path, an address or `mirror:PATH`.
    pub kernel: MediaPlace,
    /// The initrd: a path, an address or `mirror:PATH`.
    pub initrd: MediaPlace,
}

/// Digests of an installer's kernel and initrd.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct BootSums {
    /// SHA-256 of the kernel, 64 hex digits.
    pub kernel: Sha256,
    /// SHA-256 of the initrd, 64 hex digits.
    pub initrd: Sha256,
}

/// `install: {bootstrap: …}`: Debian and Ubuntu suites through mmdebstrap.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Bootstrap {
    /// The suite, such as `trixie` or `noble`.
    pub suite: String,
    /// Packages beside the essential ones, the kernel, the boot loader and systemd's network tools.
    #[serde(default)]
    pub packages: Vec<String>,
    /// Archive components; default: `main` for Debian, `main universe` for Ubuntu.
    #[serde(default)]
    pub components: Vec<String>,
    /// The kernel package; default: the distribution's for virtual machines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel: Option<String>,
    /// The archive's address; default: the host's own mirror of the same distribution, else the tool's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<Address>,
    /// With the suite's updates and security updates, while building and in the image; `false` for a mirror
    /// that has the suite alone.
    #[serde(default = "with_updates", skip_serializing_if = "Clone::clone")]
    pub updates: bool,
}

fn with_updates() -> bool {
    true
}

/// What an import takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Import", into = "Import")]
#[schemars(rename = "Import", description = "`install: {import: …}`.")]
pub enum Imported {
    /// A published image.
    Published(Reference),
    /// A disk image.
    Image(ImageSource),
}

/// As it is written.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[schemars(extend("x-download" = "image"))]
struct Import {
    /// A path, a URL, or `REPO#name`.
    #[schemars(extend("format" = "image"))]
    image: String,
    /// SHA-256 of the file as it is (compressed or not), 64 hex digits; needed for a URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha256: Option<Sha256>,
}

impl TryFrom<Import> for Imported {
    type Error = String;

    fn try_from(Import { image, sha256 }: Import) -> Result<Self, String> {
        if image.contains('#') {
            return image.parse().map(Imported::Published);
        }
        let url: Option<Address> = image.parse().ok();
        let path = url.is_none().then_some(image);
        Ok(Imported::Image(Iso { url, path, sha256 }.try_into()?))
    }
}

impl From<Imported> for Import {
    fn from(imported: Imported) -> Self {
        let (image, sha256) = match imported {
            Imported::Published(reference) => (reference.into(), None),
            Imported::Image(source) => (source.place().into(), source.sha256().cloned()),
        };
        Import { image, sha256 }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_import_is_a_file_a_reference_or_a_download_with_its_digest() {
        let read = |value| serde_json::from_value::<Imported>(value);
        let sum = "0".repeat(64);
        for written in [
            json!({"image": "disk.img"}),
            json!({"image": "/srv/disk.img", "sha256": sum}),
            json!({"image": "https://a.example/disk.img", "sha256": sum}),
            json!({"image": "https://a.example/index.asc#web@7"}),
        ] {
            let imported = read(written.clone()).unwrap();
            assert_eq!(serde_json::to_value(imported).unwrap(), written);
        }
        let error = read(json!({"image": "http://127.0.0.1:9/disk.img"})).unwrap_err();
        assert_eq!(error.to_string(), "a download needs its `sha256`");
        assert!(read(json!({"image": "main#a b"})).is_err());
    }
}
