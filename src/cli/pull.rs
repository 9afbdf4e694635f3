//! `imgforge pull`.

use std::path::PathBuf;

use super::{App, BEGINS_AGAIN, out, session};
use crate::deploy::medium::Trusted;
use crate::error::Result;
use crate::host::qemu_img::DiskFormat;
use crate::http::Client;
use crate::pipeline::clean;
use crate::pull::{self, Image, Options, Output, Reference, Session};
use crate::store::ledger::Ledger;
use crate::units::Size;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "REPO is a repository of imgforge.yaml, a source of virt-builder's\n\
                  configuration, an address or a directory; without REPO# it is the only one\n\
                  of imgforge.yaml, or `main`. oci://HOST/NAME[:CHANNEL][@REV] is an image in\n\
                  a registry. The first time, name the key that its owner signs with\n\
                  (--fingerprint or --key); it is remembered. Proxies: http_proxy,\n\
                  https_proxy, no_proxy."
)]
pub(crate) struct Pull {
    /// The image, and its revision if it has to be a certain one; or oci://HOST/NAME
    #[arg(value_name = "[REPO#]NAME[@REV]")]
    image: Reference,
    /// Writes the disk to FILE, in place of what is there
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// The format of the disk
    #[arg(long, value_name = "FORMAT", default_value = "raw")]
    format: DiskFormat,
    /// Grows the disk to SIZE, as a guest sees it; file systems grow at its boot
    #[arg(long, value_name = "SIZE")]
    size: Option<Size>,
    /// Which image, and whom to trust.
    #[command(flatten)]
    which: Which,
    /// Keeps no copy in the store
    #[arg(long)]
    no_cache: bool,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

/// Which of a repository's images, and whom to trust about it.
#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// Takes the image of this channel
    #[arg(long, value_name = "CHANNEL")]
    channel: Option<String>,
    /// Takes the image for this architecture instead of the host's
    #[arg(long, value_name = "ARCH")]
    arch: Option<String>,
    /// Trusts the public key in FILE for this repository, from now on
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Trusts the key with this fingerprint for this repository, from now on
    #[arg(long, value_name = "FP")]
    fingerprint: Option<String>,
    /// Takes an older revision than was seen before
    #[arg(long)]
    allow_older: bool,
}

impl Which {
    /// The channel that was named, if one was.
    pub(super) fn channel(&self) -> Option<&str> {
        self.channel.as_deref()
    }

    /// The key that was named, if one was.
    pub(super) fn trusted(&self) -> Option<Trusted<'_>> {
        let (key, fingerprint) = (self.key.as_deref(), self.fingerprint.as_deref());
        let named = key.is_some() || fingerprint.is_some();
        named.then_some(Trusted { key, fingerprint })
    }

    /// Finds the image, and lets `act` work on it. A revision that only a share of the machines gets is left
    /// out where `settled`.
    pub(super) fn find(
        &self,
        app: &App,
        reference: &Reference,
        settled: bool,
        act: impl FnOnce(&Session<'_>, &Image) -> Result<()>,
    ) -> Result<()> {
        let (config, root, store) = session::plain(app)?;
        store.prepare()?;
        clean::sweep(&store, &app.ui)?;
        let ledger = Ledger::open(store.state())?;
        let ui = app.ui.clone();
        let client = Client::new()?.on_notice(move |text| ui.warning(text));
        let session = Session {
            config: &config,
            root: root.as_deref(),
            store: &store,
            ledger: &ledger,
            client: &client,
            registries: pull::Registries::default(),
            ui: &app.ui,
        };
        let options = Options {
            channel: self.channel.as_deref(),
            arch: self.arch.as_deref(),
            key: self.key.as_deref(),
            fingerprint: self.fingerprint.as_deref(),
            allow_older: self.allow_older,
            settled,
        };
        let image = pull::find(&session, reference, &options)?;
        act(&session, &image)
    }
}

impl Pull {
    /// What a signal has left of it.
    pub(super) fn interrupted(&self) -> String {
        match self.no_cache {
            false => "the same command resumes with what has come".into(),
            true => BEGINS_AGAIN.into(),
        }
    }

    pub(crate) fn run(&self, app: &App) -> Result<()> {
        self.which.find(app, &self.image, false, |session, image| {
            let output = Output {
                path: &self.output,
                format: self.format,
                size: self.size,
                keep: !self.no_cache,
                threads: app.globals.most()?,
            };
            let pulled = pull::fetch(session, image, &output)?;
            if self.json {
                return out::json(&serde_json::json!({"image": image, "pulled": pulled}));
            }
            let size = Size::bytes(pulled.size).human();
            out::print(&format!(
                "{}: {} revision {}, a disk of {size}, verified\n",
                pulled.path.display(),
                image.entry,
                pulled.revision
            ))
        })
    }
}
