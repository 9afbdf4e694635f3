//! The command line: one file a verb, and the one place that draws errors.

mod attach;
mod blame;
mod build;
mod channel;
mod completions;
mod deploy;
mod diff;
mod disk;
mod doctor;
mod examples;
mod gc;
mod globals;
mod image;
mod init;
mod jobs;
mod kit;
mod list;
mod lock;
mod logs;
mod man;
mod out;
mod place;
mod plan;
mod publish;
mod pull;
mod recipes;
mod repo;
mod schema;
mod session;
mod shell;
mod show;
mod size;
mod status;
mod sync;
mod takeover;
mod updates;
mod validate;
mod verify;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::error::{Error, Kind, Result};
use crate::host::{accel, interrupt, temporary};
use crate::hypervisor::{LISTEN_COMMAND, listen_child};
use crate::ui::{self, Ui, summary::Summary};
use globals::Globals;

/// The command line as a whole.
#[derive(Debug, Parser)]
#[command(
    name = "imgforge",
    version,
    about = "Golden machine images: built once, proven, published signed, run everywhere",
    max_term_width = 80,
    disable_help_subcommand = true,
    after_help = "Results go to standard output, everything else to standard error.\n`imgforge COMMAND \
         --help` explains a command and has examples; `imgforge doctor` checks the host."
)]
pub(crate) struct Cli {
    /// Options of every verb.
    #[command(flatten)]
    pub(crate) globals: Globals,
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// The verbs. Adding one is a file in this folder, a line here and a line in [`Verb::run`].
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Checks recipes and the files that they name
    Validate(validate::Validate),
    /// Lists the images of the recipe repository
    List(list::List),
    /// Prints a recipe
    Show(show::Show),
    /// Prints the JSON schema of recipes, for editors
    Schema(schema::Schema),
    /// Builds images
    Build(build::Build),
    /// Writes down what the last build fetched, so that the next one fetches nothing else
    Lock(lock::WriteLock),
    /// Takes what locked builds need to hosts without a network
    Kit(kit::Kit),
    /// Builds an image again from its lock, and says which files become other ones
    Verify(verify::Verify),
    /// Shows what a build would run, and why
    Plan(plan::Plan),
    /// Compares recipes, store and channels; exit code 4 when something drifted
    Status(status::Status),
    /// Lists the fixes that wait for images; exit code 4 when there are any
    Updates(updates::Updates),
    /// Shows how two images differ: packages, configuration, files by cause
    Diff(diff::DiffImages),
    /// Says which step, package and commit a file of an image is from
    Blame(blame::Blame),
    /// Shows what steps, packages or directories of an image cost
    Size(size::ImageSize),
    /// Lists, follows and cancels the jobs of builds on other machines
    Jobs(jobs::Jobs),
    /// Lists the logs of an image's last build, or prints one of them
    Logs(logs::Logs),
    /// Boots a throw-away copy of a stage's disk with a console
    Shell(shell::Shell),
    /// Watches the guest of a running build
    Attach(attach::Attach),
    /// Does a stage's work on an image file, without a recipe
    Disk(disk::Disk),
    /// Publishes what the last build made, without building
    Publish(publish::Publish),
    /// Promotes, rolls back, freezes and shows channels
    Channel(channel::Channel),
    /// Verifies, prunes and copies a repository, yanks revisions
    Repo(repo::Repo),
    /// Gets a published image: verified, resumed, in parallel, sparse
    Pull(pull::Pull),
    /// Writes a published image to a disk of this machine
    Deploy(Box<deploy::Deploy>),
    /// Plans how a published image replaces this machine's running system
    Takeover(takeover::Takeover),
    /// Keeps a cloud at what a channel has
    Sync(sync::SyncCloud),
    /// Clears up after killed builds and makes room in the store
    Gc(gc::Gc),
    /// Makes a recipe repository: imgforge.yaml, a recipe and its folders
    Init(init::Init),
    /// Checks whether this host can build, and names a fix for what is missing
    Doctor(doctor::Doctor),
    /// Prints a completion script for a shell
    Completions(completions::Completions),
    /// Prints or writes the manual pages
    Man(man::Man),
}

impl Verb {
    fn run(&self, app: &App) -> Result<()> {
        match self {
            Verb::Validate(verb) => verb.run(app),
            Verb::List(verb) => verb.run(app),
            Verb::Show(verb) => verb.run(app),
            Verb::Schema(verb) => verb.run(),
            Verb::Build(verb) => verb.run(app),
            Verb::Lock(verb) => verb.run(app),
            Verb::Kit(verb) => verb.run(app),
            Verb::Verify(verb) => verb.run(app),
            Verb::Plan(verb) => verb.run(app),
            Verb::Status(verb) => verb.run(app),
            Verb::Updates(verb) => verb.run(app),
            Verb::Diff(verb) => verb.run(app),
            Verb::Blame(verb) => verb.run(app),
            Verb::Size(verb) => verb.run(app),
            Verb::Jobs(verb) => verb.run(app),
            Verb::Logs(verb) => verb.run(app),
            Verb::Shell(verb) => verb.run(app),
            Verb::Attach(verb) => verb.run(app),
            Verb::Disk(verb) => verb.run(app),
            Verb::Publish(verb) => verb.run(app),
            Verb::Channel(verb) => verb.run(app),
            Verb::Repo(verb) => verb.run(app),
            Verb::Pull(verb) => verb.run(app),
            Verb::Deploy(verb) => verb.run(app),
            Verb::Takeover(verb) => verb.run(app),
            Verb::Sync(verb) => verb.run(app),
            Verb::Gc(verb) => verb.run(app),
            Verb::Init(verb) => verb.run(app),
            Verb::Doctor(verb) => verb.run(app),
            Verb::Completions(verb) => verb.run(),
            Verb::Man(verb) => verb.run(),
        }
    }

    /// What a signal has left of it, and what to type next.
    fn interrupted(&self) -> String {
        match self {
            Verb::Build(_) => {
                "finished stages are kept: the same command goes on where this one stopped".into()
            }
            Verb::Attach(verb) => verb.interrupted(),
            Verb::Jobs(verb) => verb.interrupted(),
            Verb::Shell(_) => "nothing of the copy is kept; the same command boots another".into(),
            Verb::Pull(verb) => verb.interrupted(),
            _ => BEGINS_AGAIN.into(),
        }
    }
}

/// What most interrupted commands do when they are given again.
const BEGINS_AGAIN: &str = "the same command begins again";

/// What a verb gets: the options of all verbs and a way to the screen.
#[derive(Debug)]
pub(crate) struct App {
    /// Options of every verb.
    pub(crate) globals: Globals,
    /// Who draws events.
    pub(crate) ui: Ui,
    /// What the events of this command add up to.
    pub(crate) summary: Arc<Summary>,
}

/// Runs the program with this process' arguments.
pub fn main() -> ExitCode {
    install_panic_hook();
    if std::env::args_os()
        .nth(1)
        .is_some_and(|arg| arg == accel::PROBE_COMMAND)
    {
        return accel::probe_child();
    }
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|arg| arg == LISTEN_COMMAND) {
        return listen_child(arguments);
    }
    let code = std::panic::catch_unwind(|| start(std::env::args_os().collect()));
    ExitCode::from(code.unwrap_or_else(|_| Kind::Internal.exit_code()))
}

fn start(args: Vec<OsString>) -> u8 {
    let matches = command().try_get_matches_from(args);
    let cli = match matches.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too; a reader that has gone is no failure.
            drop(error.print());
            return error.exit_code() as u8;
        }
    };
    let json = cli.globals.progress == globals::Progress::Json;
    match run(cli) {
        Ok(()) => 0,
        Err(error) if error.kind() == Kind::Interrupted(out::SIGPIPE) => 0,
        Err(error) => {
            ui::write_error(&error, json);
            error.kind().exit_code()
        }
    }
}

fn run(cli: Cli) -> Result<()> {
    interrupt::install()?;
    if let Some(dir) = &cli.globals.directory {
        std::env::set_current_dir(dir).map_err(|cause| {
            Error::usage(format!("{} cannot be the working directory", dir.display())).cause(cause)
        })?;
    }
    let summary = Arc::new(Summary::default());
    let ui = ui::choose(cli.globals.look(), Arc::clone(&summary));
    let app = App {
        globals: cli.globals,
        ui,
        summary,
    };
    if let Some(refused) = temporary::settle() {
        app.ui.warning(format!(
            "TMPDIR is not used: others may change what is in {}, or it is not there",
            refused.display()
        ));
    }
    let result = cli.verb.run(&app);
    app.ui.close();
    result.map_err(|error| match error.kind() {
        Kind::Interrupted(_) => error.hint(cli.verb.interrupted()),
        _ => error,
    })
}

/// The definition of the command line, for completions and manual pages.
pub fn command() -> clap::Command {
    examples::add(Cli::command())
}

#[allow(clippy::print_stderr, reason = "a panic has no other way to the user")]
fn install_panic_hook() {
    std::panic::set_hook(Box::new(|panic| {
        eprintln!(
            "error: this is a bug in imgforge: {panic}\n\
             hint: please report it with the command line and the output of `imgforge doctor --json`"
        );
    }));
}

/// Reads a file that the user named.
///
/// # Errors
/// When it cannot be read; that is the command line's fault.
pub(crate) fn read_named(path: &std::path::Path) -> Result<String> {
    std::fs::read_to_string(path)
        .map_err(|cause| Error::usage(format!("{} cannot be read", path.display())).cause(cause))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(command: &clap::Command, path: &str, act: &mut impl FnMut(&str, &clap::Command)) {
        act(path, command);
        for sub in command.get_subcommands() {
            walk(sub, &format!("{path} {}", sub.get_name()), act);
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn only_a_build_that_was_interrupted_speaks_of_stages() {
        for (words, hint) in [
            (
                "build web",
                "finished stages are kept: the same command goes on where this one stopped",
            ),
            (
                "attach web",
                "the build goes on; `imgforge attach web` shows its guest again",
            ),
            (
                "jobs 0123abcd",
                "the jobs go on; `imgforge jobs 0123abcd` follows them again",
            ),
            ("jobs", BEGINS_AGAIN),
            ("jobs 0123abcd --cancel", BEGINS_AGAIN),
            (
                "shell web",
                "nothing of the copy is kept; the same command boots another",
            ),
            (
                "pull web -o web.raw",
                "the same command resumes with what has come",
            ),
            ("pull web -o web.raw --no-cache", BEGINS_AGAIN),
            ("deploy disk web --disk /dev/sdb", BEGINS_AGAIN),
            ("disk scan web.raw", BEGINS_AGAIN),
        ] {
            let words = format!("imgforge {words}");
            let cli = Cli::try_parse_from(words.split(' ')).unwrap();
            assert_eq!(cli.verb.interrupted(), hint, "{words}");
        }
    }

    #[test]
    fn help_fits_into_80_columns() {
        let mut root = command();
        root.build();
        walk(&root, "imgforge", &mut |path, command| {
            for help in [
                command.clone().render_help().to_string(),
                command.clone().render_long_help().to_string(),
            ] {
                for line in help.lines() {
                    assert!(line.chars().count() <= 80, "{path}: {line}");
                }
            }
        });
    }

    #[test]
    fn no_verb_has_an_argument_named_as_a_global_one() {
        // clap merges the two silently.
        let root = command();
        let global: Vec<_> = root
            .get_arguments()
            .map(|arg| arg.get_id().clone())
            .collect();
        for verb in root.get_subcommands() {
            for arg in verb.get_arguments() {
                assert!(
                    !global.contains(arg.get_id()),
                    "{} {}",
                    verb.get_name(),
                    arg.get_id()
                );
            }
        }
    }

    #[test]
    fn every_verb_and_option_has_help() {
        walk(&command(), "imgforge", &mut |path, command| {
            assert!(command.get_about().is_some(), "{path} has no help");
            for arg in command.get_arguments() {
                assert!(arg.get_help().is_some(), "{path} {}", arg.get_id());
            }
        });
    }
}
