//! Lists of packages, which a suite's signed index names: verified, and read without being kept in memory.

use std::io::{self, BufReader, Read};

use super::cache::{Cache, Verified};
use super::suite::{Offers, Want};
use crate::distro::release::{self, Release};
use crate::error::{Error, Kind, Result};
use crate::http::Url;

/// What unpacking a list may take, in bytes: `xz -9` needs 65 MiB. The file may be anybody's until all of it was read.
const MEMORY: u64 = 128 << 20;

/// The lists of a suite.
pub(super) struct Lists<'a> {
    pub(super) cache: &'a Cache,
    /// The suite's directory.
    pub(super) base: &'a Url,
    pub(super) release: &'a Release,
    /// Whether a package is.
    pub(super) wanted: &'a dyn Fn(&str) -> bool,
}

impl Lists<'_> {
    /// The wanted packages of a list; none where the suite has no such list.
    pub(super) fn read(&self, want: &Want) -> Result<Option<Offers>> {
        let mut list = self.one(want)?;
        if self.release.all_apart {
            let all = Want {
                arch: "all".to_owned(),
                ..want.clone()
            };
            for (name, offers) in self.one(&all)?.into_iter().flatten() {
                let list = list.get_or_insert_default();
                list.entry(name).or_default().extend(offers);
            }
        }
        Ok(list)
    }

    fn one(&self, want: &Want) -> Result<Option<Offers>> {
        let (base, release) = (self.base, self.release);
        let path = format!("{}/binary-{}/Packages", want.component, want.arch);
        let ends = [".xz", ".gz", ".zst", ""];
        let found = ends.iter().find_map(|end| {
            let path = format!("{path}{end}");
            let (sha256, size) = release.files.get(&path)?;
            Some((*end, path, sha256, *size))
        });
        let Some((end, path, sha256, size)) = found else {
            return Ok(None);
        };
        let url = base.join(&path)?;
        let named = format!(
            "{}/binary-{}/by-hash/SHA256/{sha256}",
            want.component, want.arch
        );
        let mut urls = match release.by_hash && url.local().is_none() {
            true => vec![base.join(&named)?],
            false => vec![],
        };
        urls.push(url.clone());
        let mut offers = Offers::new();
        let largest = release.files.get(path.trim_end_matches(end));
        let listed = Listed {
            urls: &urls,
            sha256,
            size,
            end,
            largest: largest.map_or(u64::MAX, |(_, size)| *size),
        };
        read_listed(self.cache, &listed, &mut |reader| {
            offers.clear();
            release::scan(reader, self.wanted, &mut |offer| {
                offers.entry(offer.name.clone()).or_default().push(offer);
            })
        })?;
        Ok(Some(offers))
    }
}

/// A file that an index names.
pub(super) struct Listed<'a> {
    /// Where it may be; the last one is its name for people.
    pub(super) urls: &'a [Url],
    pub(super) sha256: &'a str,
    pub(super) size: u64,
    /// How its name ends, by which it is unpacked.
    pub(super) end: &'a str,
    /// Bytes when unpacked, at most.
    pub(super) largest: u64,
}

/// Reads such a file, twice where what was kept of it has been damaged; whatever was read counts only when this
/// has ended well.
///
/// # Errors
/// When it cannot be had or read, or is not what the index says.
pub(super) fn read_listed(
    cache: &Cache,
    listed: &Listed<'_>,
    read: &mut dyn FnMut(&mut dyn Read) -> io::Result<()>,
) -> Result<()> {
    let Listed {
        urls,
        sha256,
        size,
        end,
        largest,
    } = *listed;
    let url = urls
        .last()
        .ok_or_else(|| Error::internal("a file without an address"))?;
    let mut once = || {
        let file = cache.listed(urls, sha256, size)?;
        let mut bytes = Verified::new(BufReader::with_capacity(256 << 10, file));
        let scanned = read(&mut unpacked(&mut bytes, end)?.take(largest));
        let whole = bytes.is(sha256, size);
        match (whole, scanned) {
            (Ok(true), Ok(())) => Ok(()),
            (Ok(true), Err(cause)) | (Err(cause), _) => {
                Err(Error::stage(format!("{url} cannot be read")).cause(cause))
            }
            (Ok(false), _) => {
                cache.forget(sha256);
                Err(Error::gate(format!("{url} is not what its index says"))
                    .cause("its size or its digest is another one"))
            }
        }
    };
    match once() {
        Err(error) if error.kind() == Kind::Gate && url.local().is_none() => once(),
        result => result,
    }
}

/// The plain text of a file whose name ends so.
///
/// # Errors
/// When the unpacker cannot begin.
pub(super) fn unpacked<'a>(from: impl Read + 'a, end: &str) -> Result<Box<dyn Read + 'a>> {
    Ok(match end {
        ".xz" => {
            let stream = xz2::stream::Stream::new_stream_decoder(MEMORY, xz2::stream::CONCATENATED);
            let stream = stream.map_err(|cause| Error::stage("xz cannot begin").cause(cause))?;
            Box::new(xz2::read::XzDecoder::new_stream(from, stream))
        }
        ".gz" => Box::new(flate2::read::MultiGzDecoder::new(from)),
        ".zst" => Box::new(
            zstd::stream::read::Decoder::new(from)
                .map_err(|cause| Error::stage("zstd cannot begin").cause(cause))?,
        ),
        _ => Box::new(from),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_would_take_gigabytes_to_unpack_is_refused() {
        use std::io::Write as _;
        let mut packer = xz2::write::XzEncoder::new(Vec::new(), 0);
        packer.write_all(b"Package: x\n").unwrap();
        let mut packed = packer.finish().unwrap();
        let mut text = String::new();
        unpacked(&*packed, ".xz")
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "Package: x\n");
        // Size of the header, flags, filter, one byte of properties: the size of the dictionary.
        let header = 12;
        assert_eq!(packed[header + 2..header + 4], [0x21, 1]);
        packed[header + 4] = 40;
        let end = header + (usize::from(packed[header]) + 1) * 4 - 4;
        let mut crc = flate2::Crc::new();
        crc.update(&packed[header..end]);
        packed[end..end + 4].copy_from_slice(&crc.sum().to_le_bytes());
        let error = unpacked(&*packed, ".xz")
            .unwrap()
            .read(&mut [0; 8])
            .unwrap_err();
        assert!(error.to_string().contains("memory"), "{error}");
    }
}
