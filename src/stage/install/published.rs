//! import of `REPO#name`: an image that a repository has published.

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::http::Client;
use crate::pull::{self, Format, Options, Output, Reference, Session};
use crate::stage::Context;
use crate::store::Store;

/// Fetches the image into `scratch`, verified by the keys that this host trusts for its
/// repository. `None` when the text names a file.
///
/// # Errors
/// As [`pull::find`] and [`pull::fetch`].
pub(super) fn fetch(context: &Context<'_>, image: &str, scratch: &Path) -> Result<Option<PathBuf>> {
    let Some(reference) = reference(image) else {
        return Ok(None);
    };
    context.ui.step(format!("pulling {reference}"));
    let store = Store::new(context.host.state());
    let ui = context.ui.clone();
    let client = Client::new()?.on_notice(move |text| ui.line(text));
    let session = Session {
        config: context.config,
        root: Some(&context.resolved.root),
        store: &store,
        ledger: context.host.ledger()?,
        client: &client,
        ui: context.ui.ui(),
    };
    let found = pull::find(&session, &reference, &Options::default())?;
    let path = scratch.join("published.raw");
    let output = Output {
        path: &path,
        format: Format::Raw,
        size: None,
        keep: true,
        threads: None,
    };
    pull::fetch(&session, &found, &output)?;
    Ok(Some(path))
}

/// Whether `image` is `REPO#NAME[@REV]`.
fn reference(image: &str) -> Option<Reference> {
    let reference: Reference = image.parse().ok()?;
    reference.repository.is_some().then_some(reference)
}
