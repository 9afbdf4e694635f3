//! Pages for people in the place of texts for programs.

use crate::error::{Error, Result};
use crate::http::Url;

/// A page for people is no index that somebody has forged.
pub(super) fn refuse_page(bytes: &[u8], url: &Url) -> Result<()> {
    let start = String::from_utf8_lossy(&bytes[..bytes.len().min(4096)]).to_ascii_lowercase();
    let text = start.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
    if !["<!doctype html", "<html", "<head", "<body"]
        .iter()
        .any(|tag| text.starts_with(tag))
    {
        return Ok(());
    }
    let title = text
        .split_once("<title>")
        .and_then(|(_, rest)| rest.split_once("</title>"))
        .map(|(title, _)| title.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|title| !title.is_empty());
    let error = Error::stage(format!("the server sent a page of HTML in place of {url}"));
    let error = match title {
        Some(title) => error.cause(format!("its title is `{title}`")),
        None => error,
    };
    Err(error.hint(
        "open the address in a browser: a sign-in page, a proxy's or a network's, may be in \
         between; or the address is that of a page, not of a repository",
    ))
}
