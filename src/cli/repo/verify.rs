//! `imgforge repo verify`.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::super::place::RepositoryArgs;
use super::super::{App, out, read_named, session};
use crate::error::{Error, Result};
use crate::gpg::{self, Keyring, Signers};
use crate::http::Url;
use crate::index::{self, clients};
use crate::pull::configured_at;
use crate::repository::place::LocalRepository;
use crate::repository::seen::RememberedRepository;
use crate::repository::trust;
use crate::repository::verify::{VerifyReport, audit};
use crate::units::Size;

/// The most faults that are shown.
const SHOWN: usize = 50;

#[derive(Debug, clap::Args)]
pub(crate) struct Verify {
    /// The repository (default: the one of imgforge.yaml)
    #[arg(value_name = "DIR|URL", conflicts_with = "repository")]
    place: Option<String>,
    /// Checks only the grammar and the rules of one index file, signed or not
    #[arg(long, value_name = "FILE", conflicts_with_all = ["place", "repository"])]
    index: Option<PathBuf>,
    /// Trusts the public keys in FILE instead of those of imgforge.yaml, or else the repository's own
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Prints JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    repository: RepositoryArgs,
}

impl Verify {
    pub(crate) fn run(&self, app: &App) -> Result<()> {
        if let Some(file) = &self.index {
            return self.check_index(file);
        }
        let (place, configured, seen) = match &self.place {
            Some(place) => {
                let (signers, seen) = configured(app, place)?;
                (place.clone(), signers, seen)
            }
            None => {
                let (path, signers, seen) = self.repository.to_read(app)?;
                (path.to_string_lossy().into_owned(), signers, seen)
            }
        };
        let named = Signers {
            keys: self.key.clone(),
            ..Signers::default()
        };
        let ui = app.ui.stage("repository", "verify");
        let signers = named.or(configured);
        let report = audit(&place, &signers, &ui)?;
        if report.faults.is_empty() && report.channels > 0 {
            trust::proved(&signers, &seen, &app.ui);
        }
        app.ui.close();
        report.notes.iter().for_each(|note| app.ui.notice(note));
        self.tell(&place, &report)
    }

    fn tell(&self, place: &str, report: &VerifyReport) -> Result<()> {
        if self.json {
            out::json(&json!({
                "place": place,
                "valid": report.faults.is_empty(),
                "faults": report.faults,
                "channels": report.channels,
                "entries": report.entries,
                "revisions": report.revisions,
                "files": report.files,
                "bytes": report.bytes,
                "signatures": report.signatures,
                "notes": report.notes,
            }))?;
        }
        if report.faults.is_empty() {
            if self.json {
                return Ok(());
            }
            return out::print(&format!(
                "{place} is right: {} channels, {} entries, {} revisions, {} signatures, \
                 {} files, {}\n",
                report.channels,
                report.entries,
                report.revisions,
                report.signatures,
                report.files,
                Size::bytes(report.bytes).human()
            ));
        }
        let count = report.faults.len();
        let more = (count > SHOWN).then(|| format!("and {} more", count - SHOWN));
        let shown = report.faults.iter().take(SHOWN).cloned();
        let noun = if count == 1 { "fault" } else { "faults" };
        Err(Error::gate(format!("{place} has {count} {noun}"))
            .evidence(shown.chain(more))
            .hint("copy damaged files back from a mirror, or publish the images again"))
    }

    fn check_index(&self, file: &Path) -> Result<()> {
        let text = read_named(file)?;
        if let Some(key) = &self.key {
            gpg::verify(text.as_bytes(), &Keyring::of_file(key, None)?)?;
        }
        let verdict = clients::verdict(&text);
        let read = index::parse(&text).and_then(|sections| index::check(&sections));
        let count = read.map_err(|problems| {
            let path = file.display();
            let lines = problems.iter().take(SHOWN).map(ToString::to_string);
            Error::gate(format!("{path} breaks a rule of virt-builder's indexes")).evidence(lines)
        })?;
        let says = |result: &std::result::Result<(), index::Problem>| match result {
            Ok(()) => "reads it".to_owned(),
            Err(problem) => format!("does not: {problem}"),
        };
        out::print(&format!(
            "{}: {} entries\nvirt-builder before 1.55.6: {}\nvirt-builder since 1.55.6: {}\n",
            file.display(),
            count.len(),
            says(&verdict.old),
            says(&verdict.current)
        ))?;
        match (&verdict.old, &verdict.current) {
            (Ok(()), Ok(())) => Ok(()),
            _ => Err(Error::gate(format!(
                "{} cannot be read by every virt-builder",
                file.display()
            ))),
        }
    }
}

/// Whose signatures count for a repository that was named by its address: of imgforge.yaml, or one
/// whose key `pull` was told.
fn configured(app: &App, place: &str) -> Result<(Signers, RememberedRepository)> {
    let (config, root, store) = session::plain(app)?;
    let root = root.unwrap_or_default();
    let url = Url::parse_or_path(place)?;
    let seen = RememberedRepository::of(store.state(), &url, &app.ui)?;
    let signers = match configured_at(&config, &root, &url).map(|known| (known, url.local())) {
        Some((known, Some(path))) => {
            let place = LocalRepository::at(known, place, path, &root);
            place.trusted(&config, store.state(), &app.ui)?
        }
        Some((known, None)) if known.signers(&root).is_named() => known.signers(&root),
        _ => {
            let known = seen.remembered();
            known.map_or_else(Signers::default, Signers::of_keyring)
        }
    };
    Ok((signers, seen))
}
