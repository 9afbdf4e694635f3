//! Options that every verb takes, and what they choose.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::ValueEnum;

use crate::error::{Context as _, Error, Result};
use crate::host::accel::Setting;
use crate::host::statedir;
use crate::recipe::obeyed::TRUST;
use crate::ui::{Renderer, Style};

/// Options of every verb.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Globals {
    /// Works as if started in DIR
    #[arg(short = 'C', long, global = true, value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
    /// Keeps layers, logs and locks in DIR
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "IMGFORGE_STATE",
        hide_env = true
    )]
    pub(crate) state: Option<PathBuf>,
    /// Trusts the recipe repository in DIR although others can write to it; can be given often
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        value_delimiter = ':',
        env = TRUST,
        hide_env = true
    )]
    pub(crate) trust: Vec<PathBuf>,
    /// Libvirt connection instead of the one that fits this user; root's `private` is its own
    #[arg(
        long,
        global = true,
        value_name = "URI",
        env = "IMGFORGE_CONNECT",
        hide_env = true
    )]
    pub(crate) connect: Option<String>,
    /// What runs the guests' instructions
    #[arg(
        long,
        global = true,
        value_name = "WHICH",
        default_value = "auto",
        env = "IMGFORGE_ACCEL",
        hide_env = true
    )]
    pub(crate) accel: Setting,
    /// Works on at most N images or targets at a time
    #[arg(short, long, global = true, value_name = "N")]
    pub(crate) jobs: Option<Jobs>,
    /// How progress is shown, on standard error
    #[arg(
        long,
        global = true,
        value_name = "HOW",
        default_value = "auto",
        env = "IMGFORGE_PROGRESS",
        hide_env = true
    )]
    pub(crate) progress: Progress,
    /// Shows what guests and programs print
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
    /// Shows warnings and errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
}

/// The values of `--jobs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Jobs {
    /// At most so many at a time.
    Most(NonZeroUsize),
    /// `plan --jobs json` lists them.
    Json,
}

impl FromStr for Jobs {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "json" => Ok(Jobs::Json),
            number => match number.parse() {
                Ok(most) => Ok(Jobs::Most(most)),
                Err(cause) => Err(format!(
                    "{cause}; write a number from 1 on, or `json` for `plan`"
                )),
            },
        }
    }
}

/// The values of `--progress`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Progress {
    /// `fancy` on a terminal, else `plain`
    #[default]
    Auto,
    /// One live line a stage
    Fancy,
    /// Stable lines, for logs
    Plain,
    /// One JSON object a line; see docs/events.md
    Json,
}

impl Globals {
    /// How events are drawn.
    pub(crate) fn look(&self) -> Renderer {
        let style = match self.progress {
            Progress::Auto => Style::Auto,
            Progress::Fancy => Style::Fancy,
            Progress::Plain => Style::Plain,
            Progress::Json => Style::Json,
        };
        Renderer {
            style,
            verbose: self.verbose,
            quiet: self.quiet,
        }
    }

    /// How much is worked on at a time, if somebody says so.
    ///
    /// # Errors
    /// Of `--jobs json`, which `plan` alone knows.
    pub(crate) fn most(&self) -> Result<Option<NonZeroUsize>> {
        match self.jobs {
            Some(Jobs::Json) => Err(Error::usage("only `plan` lists jobs")
                .hint("`-j N` is the number of images or targets at a time")),
            Some(Jobs::Most(most)) => Ok(Some(most)),
            None => Ok(None),
        }
    }

    /// What a job of this command gets, too; the state directory is the command's.
    ///
    /// # Errors
    /// When the working directory is gone.
    pub(crate) fn of_jobs(&self) -> Result<Vec<String>> {
        let mut words = vec![];
        for dir in &self.trust {
            let dir = std::path::absolute(dir).doing(|| format!("finding {}", dir.display()))?;
            words.extend(["--trust".to_owned(), dir.display().to_string()]);
        }
        if let Some(uri) = &self.connect {
            words.extend(["--connect".to_owned(), uri.clone()]);
        }
        if let (true, Some(accel)) = (self.accel != Setting::Auto, self.accel.to_possible_value()) {
            words.extend(["--accel".to_owned(), accel.get_name().to_owned()]);
        }
        Ok(words)
    }

    /// What a command line for another checkout gets, too, as it was given here: a path is one of there.
    pub(crate) fn elsewhere(&self) -> Vec<String> {
        let path = |name: &str, path: &Option<PathBuf>| {
            let path = path.as_ref()?.display().to_string();
            Some([name.to_owned(), path])
        };
        let accel = self.accel.to_possible_value();
        let accel = accel.filter(|_| self.accel != Setting::Auto);
        let words = [
            path("-C", &self.directory),
            path("--state", &self.state),
            accel.map(|accel| ["--accel".to_owned(), accel.get_name().to_owned()]),
        ];
        words.into_iter().flatten().flatten().collect()
    }

    /// What the same command has in another shell, as it was given; what the environment says, it says there, too.
    pub(crate) fn again(&self) -> Vec<String> {
        let from_environment =
            |name: &str, text: &str| std::env::var(name).is_ok_and(|it| it == text);
        let path = |dir: &PathBuf| dir.display().to_string();
        let trust: Vec<String> = self.trust.iter().map(path).collect();
        let accel = self.accel.to_possible_value();
        let accel = accel.filter(|_| self.accel != Setting::Auto);
        let accel = accel.map(|accel| accel.get_name().to_owned());
        let given = [
            ("-C", None, self.directory.as_ref().map(path)),
            (
                "--state",
                Some("IMGFORGE_STATE"),
                self.state.as_ref().map(path),
            ),
            (
                "--trust",
                Some(TRUST),
                Some(trust.join(":")).filter(|all| !all.is_empty()),
            ),
            ("--connect", Some("IMGFORGE_CONNECT"), self.connect.clone()),
            ("--accel", Some("IMGFORGE_ACCEL"), accel),
        ];
        let words = given.into_iter().filter_map(|(option, variable, value)| {
            let value = value?;
            let everywhere = variable.is_some_and(|name| from_environment(name, &value));
            (!everywhere).then(|| [option.to_owned(), value])
        });
        words.flatten().collect()
    }

    /// The state directory: `--state`, else what imgforge.yaml says, else the user's default. Nobody else
    /// changes what is there.
    ///
    /// # Errors
    /// As [`statedir::check_whole`], and when neither `XDG_STATE_HOME` nor `HOME` tells where a user's state
    /// belongs.
    pub(crate) fn state_dir(&self, configured: Option<&Path>) -> Result<PathBuf> {
        let chosen = self.state.as_deref().or(configured);
        let dir = match chosen {
            Some(dir) => dir.to_owned(),
            None => default_state(
                rustix::process::geteuid().is_root(),
                std::env::var_os("XDG_STATE_HOME").map(PathBuf::from),
                std::env::var_os("HOME").map(PathBuf::from),
            )?,
        };
        let dir = std::path::absolute(&dir).map_err(|cause| {
            Error::usage(format!("{} cannot be the state directory", dir.display())).cause(cause)
        })?;
        statedir::check_whole(&dir, &self.trust)
    }
}

fn default_state(root: bool, xdg: Option<PathBuf>, home: Option<PathBuf>) -> Result<PathBuf> {
    if root {
        return Ok("/var/lib/imgforge".into());
    }
    xdg.filter(|dir| dir.is_absolute())
        .or_else(|| home.map(|home| home.join(".local/state")))
        .map(|dir| dir.join("imgforge"))
        .ok_or_else(|| {
            Error::host("neither XDG_STATE_HOME nor HOME is set, so there is no state directory")
                .hint("name one with --state DIR")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_directory_depends_on_the_user() {
        let home = Some(PathBuf::from("/home/me"));
        let xdg = Some(PathBuf::from("/data/state"));
        let relative = Some(PathBuf::from("state"));
        let at = |root, xdg, home| default_state(root, xdg, home).unwrap();
        assert_eq!(
            at(true, xdg.clone(), home.clone()),
            Path::new("/var/lib/imgforge")
        );
        assert_eq!(
            at(false, xdg, home.clone()),
            Path::new("/data/state/imgforge")
        );
        assert_eq!(
            at(false, relative, home),
            Path::new("/home/me/.local/state/imgforge")
        );
        assert!(
            default_state(false, None, None)
                .unwrap_err()
                .hint_text()
                .is_some()
        );
    }
}
