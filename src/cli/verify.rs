//! `imgforge verify`.

use std::path::{Path, PathBuf};

use super::{App, out, recipes, session};
use crate::error::{Error, Result};
use crate::host::statedir;
use crate::pipeline::rebuild::{self, Rebuilt};
use crate::store::ledger::Scratch;
use crate::units::Size;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The second build is made in an empty store, which takes nothing but downloads from the\n\
                  usual one. Times are not compared; docs/kit.md says what else each build has of its own."
)]
pub(crate) struct Verify {
    /// An image, which this host has built and locked
    #[arg(value_name = "NAME")]
    name: String,
    /// Builds it again from its lock and compares all files; exit code 4 when they differ
    #[arg(long, required = true)]
    rebuild: bool,
    /// Makes the second build in DIR, and leaves it there
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Sets a variable (can be repeated)
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = recipes::variable)]
    vars: Vec<(String, String)>,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

/// Where the second build is made.
enum Place {
    /// It goes at the end.
    Scratch(Scratch),
    Kept(PathBuf),
}

impl Place {
    fn path(&self) -> &Path {
        match self {
            Place::Scratch(scratch) => scratch.path(),
            Place::Kept(path) => path,
        }
    }

    fn kept(&self) -> Option<&Path> {
        match self {
            Place::Scratch(_) => None,
            Place::Kept(path) => Some(path),
        }
    }
}

impl Verify {
    /// Runs the verb.
    ///
    /// # Errors
    /// [`Kind::Gate`](crate::error::Kind::Gate) when something differs, after it was told.
    pub(crate) fn run(&self, app: &App) -> Result<()> {
        let session = session::open(app)?;
        let names = session.repo.named(&self.name);
        let [image] = names.as_slice() else {
            let hint = format!("name one of {}", names.join(", "));
            return Err(
                Error::usage(format!("`{}` has several architectures", self.name)).hint(hint),
            );
        };
        let original = rebuild::original(&session, &self.vars, image)?;
        session.store.prepare()?;
        let place = match &self.keep {
            Some(dir) => Place::Kept(empty(app, dir)?),
            None => {
                let beside = session.store.state().join("rebuild");
                Place::Scratch(session.host.ledger()?.scratch(&beside)?)
            }
        };
        let made = {
            let mut apart = session::open_at(app, place.path().to_owned())?;
            apart.host.isolate();
            rebuild::compare(&session, &apart, &self.vars, (image, &original))
        };
        let made = made.map_err(|error| rebuild::describe_failure(error, image, place.kept()))?;
        app.ui.close();
        match self.json {
            true => out::json(&made)?,
            false => out::print(&text(&made))?,
        }
        judge(&made)
    }
}

/// A directory for a state of its own.
fn empty(app: &App, dir: &Path) -> Result<PathBuf> {
    let dir = std::path::absolute(dir)
        .map_err(|cause| Error::usage(format!("{} cannot be used", dir.display())).cause(cause))?;
    let dir = statedir::check_whole(&dir, &app.globals.trust)?;
    match std::fs::read_dir(&dir).map(|mut names| names.next().is_some()) {
        Ok(true) => Err(Error::usage(format!("{} is not empty", dir.display()))
            .cause("the second build is made in an empty store")
            .hint("name a new directory with --keep DIR")),
        _ => Ok(dir),
    }
}

fn text(made: &Rebuilt) -> String {
    let Rebuilt {
        image, compared, ..
    } = made;
    let mut text = String::new();
    for (one, cause) in compared.differences.iter().zip(&made.causes) {
        text += &format!("{}\n", one.path);
        for change in &one.changes {
            let [was, now] = [&change.was, &change.now].map(|side| match side.as_str() {
                "" => "nothing",
                side => side,
            });
            text += &format!("  {:<12}{was}; again: {now}\n", change.what);
        }
        text += &format!("  {:<12}{cause}\n", "by");
    }
    for unread in &compared.unread {
        text += &format!("not compared: {unread}\n");
    }
    let (files, differ) = (compared.files, compared.differences.len());
    let size = Size::bytes(compared.bytes).human();
    text += &match differ {
        0 => format!("{image}: all {files} files ({size}) are the same when it is built again\n"),
        _ => format!("{image}: {differ} of {files} files differ when it is built again\n"),
    };
    if !compared.own.is_empty() {
        let own: Vec<&str> = compared.own.keys().map(String::as_str).collect();
        text += &format!(
            "  compared without what each build has of its own: {}\n",
            own.join(", ")
        );
    }
    let blocks = compared.blocks;
    text + &match blocks.differ {
        0 => "  the disks are equal byte by byte\n".to_owned(),
        differ => format!(
            "  of the disks {differ} of {} blocks of 4 KiB differ\n",
            blocks.all
        ),
    }
}

fn judge(made: &Rebuilt) -> Result<()> {
    let Rebuilt {
        image, compared, ..
    } = made;
    if !compared.differences.is_empty() {
        let many = compared.differences.len();
        let mut differ = compared.differences.iter();
        let hint = match differ.find(|one| !one.path.ends_with(')')) {
            Some(first) => format!(
                "`imgforge blame {image}:{}` says more of the first one",
                first.path
            ),
            None => format!(
                "`imgforge verify {image} --rebuild --keep DIR` keeps the second disk: compare the \
                 partitions of both"
            ),
        };
        return Err(Error::gate(format!(
            "{many} files of {image} differ when it is built again from its lock"
        ))
        .hint(hint));
    }
    match compared.unread.as_slice() {
        [] => Ok(()),
        unread => Err(Error::gate(format!("not all of {image} could be compared"))
            .evidence(unread.iter().cloned())
            .hint("it compares file systems of the kinds ext and FAT that are not encrypted")),
    }
}
