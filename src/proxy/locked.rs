//! What a lock names, and nothing else: from the cache by its digest, or from a mirror that still has it.

use std::sync::Arc;

use super::Shared;
use super::cache::Known;
use super::flight::{self, Source};
use super::log::CacheResult;
use super::promises::Promise;
use super::request::Request;
use super::rules::{AllowedFile, shown};
use crate::lock::{Locked, NOT_LOCKED};

/// What answers a request of a locked build.
pub(super) fn source(
    shared: &Arc<Shared>,
    locked: &Locked,
    mut wanted: AllowedFile,
    request: &Request,
) -> Source {
    let addresses = shared.upstream.addresses(&wanted);
    let names: Vec<String> = addresses.iter().map(|address| shown(address)).collect();
    let names = || names.iter().map(String::as_str);
    let Some(file) = locked.find(names()) else {
        if locked.is_absent(names()) {
            return Source::Nothing(404, "nothing was there".into());
        }
        // Who asks about a file gets nothing of it.
        let first = names().take(usize::from(request.method != "HEAD"));
        first.for_each(|url| locked.refuse(url, NOT_LOCKED));
        return Source::Nothing(403, NOT_LOCKED.into());
    };
    if let Some(kept) = shared.cache.content(&file.sha256) {
        locked.serve(&file.url);
        let known = Known {
            url: file.url.clone(),
            sha256: file.sha256.clone(),
            size: file.size,
            etag: None,
            last_modified: None,
            content_type: None,
        };
        return flight::found(shared, &wanted, known, kept, CacheResult::Hit);
    }
    if locked.is_offline() {
        locked.refuse(
            &file.url,
            "it is not in the cache, and --offline asks no mirror",
        );
        return Source::Nothing(502, "not in the cache".into());
    }
    wanted.immutable = true;
    wanted.promise = Some(Promise {
        sha256: file.sha256.clone(),
        size: Some(file.size),
    });
    match flight::source(shared, &wanted, request) {
        Source::Nothing(status, why) => {
            locked.refuse(&file.url, &format!("it is not in the cache, and {why}"));
            Source::Nothing(status, why)
        }
        source => {
            locked.serve(&file.url);
            source
        }
    }
}
