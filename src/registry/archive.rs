//! An image in the layout of OCI, in one archive: sent as it is, to the byte.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::manifest::{Descriptor, Index, Manifest};
use super::{INDEX, LARGEST_MANIFEST, MANIFEST, Registry};
use crate::digest::Sha256;
use crate::error::{Context as _, Error, Result};

/// What [`Registry::push_archive`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// The digest of what the tag has.
    pub digest: Sha256,
    /// Bytes that the registry did not have.
    pub sent: u64,
}

/// An archive, whose files are read where they lie.
struct Archive {
    path: PathBuf,
    file: Arc<File>,
    /// First byte and size of each file.
    members: HashMap<String, (u64, u64)>,
}

impl Registry {
    /// Puts the one image of the archive at `path` under a tag: blobs first, then the manifests, of several
    /// architectures the list of them last.
    ///
    /// # Errors
    /// When the archive is damaged, or has no image or several; when the registry cannot be reached or refuses.
    pub fn push_archive(&self, path: &Path, tag: &str) -> Result<Pushed> {
        let archive = Archive::open(path)?;
        let index = archive.text("index.json")?;
        let index = Index::read(&index).map(|index| index.manifests);
        let Some([top]) = index.as_deref() else {
            return Err(archive.damaged("it has no image, or several"));
        };
        let (digest, sent) = self.push_image(&archive, top, Some(tag))?;
        Ok(Pushed { digest, sent })
    }

    fn push_image(
        &self,
        archive: &Archive,
        image: &Descriptor,
        tag: Option<&str>,
    ) -> Result<(Sha256, u64)> {
        let (digest, bytes) = archive.manifest(image)?;
        let mut sent = 0;
        match image.media_type.as_str() {
            // A list of images has no lists.
            INDEX if tag.is_some() => {
                let list = Index::read(&bytes)
                    .ok_or_else(|| archive.damaged("a list in it cannot be read"))?;
                for one in &list.manifests {
                    sent += self.push_image(archive, one, None)?.1;
                }
            }
            MANIFEST => {
                let manifest = Manifest::read(&bytes);
                let manifest =
                    manifest.ok_or_else(|| archive.damaged("a manifest in it cannot be read"))?;
                for blob in manifest.layers.iter().chain([&manifest.config]) {
                    let (digest, part) = archive.blob(blob)?;
                    if self.push_part(&digest, &archive.file, part)? {
                        sent += blob.size;
                    }
                }
            }
            other => return Err(archive.damaged(&format!("it has a {other}"))),
        }
        let own = format!("sha256:{}", digest.as_str());
        self.put(tag.unwrap_or(&own), &image.media_type, bytes)?;
        Ok((digest, sent))
    }
}

impl Archive {
    fn open(path: &Path) -> Result<Self> {
        let doing = || format!("reading {}", path.display());
        let file = File::open(path).doing(doing)?;
        let mut members = HashMap::new();
        let mut tar = tar::Archive::new(&file);
        for entry in tar.entries_with_seek().doing(doing)? {
            let entry = entry.doing(doing)?;
            if entry.header().entry_type().is_file() {
                let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
                members.insert(name, (entry.raw_file_position(), entry.size()));
            }
        }
        Ok(Archive {
            path: path.to_owned(),
            file: Arc::new(file),
            members,
        })
    }

    /// A small file.
    fn text(&self, name: &str) -> Result<Vec<u8>> {
        let part = self.members.get(name).copied();
        let part = part.filter(|(_, size)| *size <= LARGEST_MANIFEST);
        let (start, size) = part.ok_or_else(|| self.damaged(&format!("it has no {name}")))?;
        let mut bytes = vec![0; usize::try_from(size).unwrap_or_default()];
        let read = self.file.read_exact_at(&mut bytes, start);
        read.doing(|| format!("reading {}", self.path.display()))?;
        Ok(bytes)
    }

    fn manifest(&self, image: &Descriptor) -> Result<(Sha256, Vec<u8>)> {
        let (digest, _) = self.blob(image)?;
        let bytes = self.text(&place(&digest))?;
        match Sha256::of(&bytes) == digest {
            true => Ok((digest, bytes)),
            false => Err(self.damaged("a manifest in it has another digest")),
        }
    }

    /// The digest of a blob, and where it lies; that its bytes have it, the registry says.
    fn blob(&self, blob: &Descriptor) -> Result<(Sha256, (u64, u64))> {
        let digest = blob.digest();
        let digest = digest.ok_or_else(|| self.damaged("a digest in it is not a SHA-256"))?;
        let part = self.members.get(&place(&digest)).copied();
        let part = part.filter(|(_, size)| *size == blob.size);
        let part = part.ok_or_else(|| self.damaged("a blob is missing in it, or cut"))?;
        Ok((digest, part))
    }

    fn damaged(&self, why: &str) -> Error {
        Error::gate(format!(
            "{} is not an image that can be sent",
            self.path.display()
        ))
        .cause(why)
        .hint("build it again")
    }
}

fn place(digest: &Sha256) -> String {
    format!("blobs/sha256/{}", digest.as_str())
}
