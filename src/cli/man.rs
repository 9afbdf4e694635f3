//! `imgforge man`.

use std::io;
use std::path::{Path, PathBuf};

use clap_mangen::Man as Page;
use clap_mangen::roff::{Roff, bold, roman};

use super::out;
use crate::error::{Context as _, Error, Result};
use crate::host::outlet::Outlet;

#[derive(Debug, clap::Args)]
pub(crate) struct Man {
    /// The command whose page is printed; without it the page of imgforge itself
    #[arg(conflicts_with = "output")]
    command: Option<String>,
    /// Writes all pages into DIR, which is made if need be
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
}

const EXIT_STATUS: &[(&str, &str)] = &[
    ("0", "Done."),
    (
        "1",
        "A stage or a download failed, or the disk filled up during one.",
    ),
    ("2", "The command line, a recipe or another input is wrong."),
    (
        "3",
        "The host is not ready: a tool, rights or space are missing.",
    ),
    ("4", "A check, a scan or a signature failed."),
    ("70", "An internal error; please report it."),
    (
        "130, 143",
        "Interrupted by Ctrl-C or SIGTERM; the same command resumes from there.",
    ),
];

const FILES: &[(&str, &str)] = &[
    (
        "imgforge.yaml",
        "Marks a recipe repository, and configures it.",
    ),
    ("recipes/NAME.yaml", "The recipe of the image NAME."),
    (
        "/var/lib/imgforge",
        "The state directory of root: layers, artifacts, logs and locks.",
    ),
    (
        "$XDG_STATE_HOME/imgforge",
        "The state directory of other users; XDG_STATE_HOME is \
                                  ~/.local/state by default.",
    ),
];

const ENVIRONMENT: &[(&str, &str)] = &[
    (
        "IMGFORGE_TRUST",
        "Recipe repositories that are trusted although others can write to them, separated by \
         colons, as --trust.",
    ),
    ("IMGFORGE_STATE", "The state directory, as --state."),
    ("IMGFORGE_CONNECT", "The libvirt connection, as --connect."),
    ("IMGFORGE_ACCEL", "What runs guests, as --accel."),
    ("IMGFORGE_PROGRESS", "How progress is shown, as --progress."),
    ("GNUPGHOME", "Where gpg finds the signing key."),
    (
        "TMPDIR",
        "Where short-lived files go, if nobody else can change them there.",
    ),
    ("NO_COLOR", "No colours on the terminal when set."),
    (
        "http_proxy, https_proxy, no_proxy",
        "Proxies for downloads; guests get them while they are \
                                           built, finished images never.",
    ),
];

impl Man {
    /// Prints one page, or writes all.
    ///
    /// # Errors
    /// When the verb is unknown or a file cannot be written.
    pub(crate) fn run(&self) -> Result<()> {
        let mut pages = pages().doing(|| "making the manual pages".into())?;
        if let Some(dir) = &self.output {
            return write(&pages, dir);
        }
        let wanted = match &self.command {
            Some(command) => format!("imgforge-{command}.1"),
            None => "imgforge.1".into(),
        };
        let at = pages
            .iter()
            .position(|(name, _)| *name == wanted)
            .ok_or_else(|| {
                let command = self.command.as_deref().unwrap_or_default();
                Error::usage(format!("`{command}` is not a command, so it has no page"))
                    .hint("`imgforge --help` lists the commands")
            })?;
        out::print(&String::from_utf8_lossy(&pages.swap_remove(at).1))
    }
}

fn write(pages: &[(String, Vec<u8>)], dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir).doing(|| format!("making {}", dir.display()))?;
    for (name, page) in pages {
        Outlet::of(&dir.join(name))?.write(page)?;
    }
    Ok(())
}

/// File names and roff sources: one page for imgforge, one for each verb that is not hidden.
fn pages() -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut root = super::command();
    root.build();
    let mut pages = vec![("imgforge.1".to_owned(), page(root.clone(), "imgforge")?)];
    for verb in root.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        let name = format!("imgforge-{}", verb.get_name());
        pages.push((format!("{name}.1"), page(verb.clone(), &name)?));
    }
    Ok(pages)
}

fn page(command: clap::Command, name: &str) -> io::Result<Vec<u8>> {
    let page = Page::new(command.name(name.to_owned()).display_name(name.to_owned()))
        .section("1")
        .manual("imgforge")
        .source(concat!("imgforge ", env!("CARGO_PKG_VERSION")));
    let mut bytes = Vec::new();
    page.render(&mut bytes)?;
    for (title, entries) in [
        ("EXIT STATUS", EXIT_STATUS),
        ("FILES", FILES),
        ("ENVIRONMENT", ENVIRONMENT),
    ] {
        let mut roff = Roff::default();
        roff.control("SH", [title]);
        for (term, text) in entries {
            roff.control("TP", []);
            roff.text([bold(*term)]);
            roff.text([roman(*text)]);
        }
        roff.to_writer(&mut bytes)?;
    }
    Ok(bytes)
}
