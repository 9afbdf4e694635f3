//! The command that goes on after a failed stage.

use super::Build;
use crate::cli::globals::Globals;
use crate::pipeline::again::Again;

impl Build {
    /// What of this command line that command has. Not what has been done then (`--from`, `--refresh`: later builds go
    /// on with what they began), nor which images were meant, nor what happens to a failed disk.
    pub(super) fn again(&self, globals: &Globals) -> Again {
        let Build {
            names: _,
            all: _,
            updated: _,
            from: _,
            until,
            publish,
            targets,
            refresh: _,
            on_error: _,
            offline,
            locked,
            lock,
            remote,
            no_remote,
            allow_extra_args,
            vars,
            output,
            push,
            on,
            detach,
            caller_state: _,
        } = self;
        let pair = |option: &str, value: String| vec![option.to_owned(), value];
        let flag = |option: &str, given: bool| given.then(|| vec![option.to_owned()]);
        let vars = vars.iter().map(|(name, value)| format!("{name}={value}"));
        let mut all: Vec<Vec<String>> = vec![];
        all.extend(until.map(|stage| pair("--until", stage.name().to_owned())));
        all.extend(publish.as_ref().map(|channel| {
            let words = [Some("--publish".to_owned()), channel.clone()];
            words.into_iter().flatten().collect()
        }));
        all.extend(targets.iter().map(|name| pair("--target", name.clone())));
        all.extend(flag("--offline", *offline));
        all.extend(flag("--locked", *locked));
        all.extend(flag("--lock", *lock));
        all.extend(remote.as_ref().map(|it| pair("--remote", it.to_string())));
        all.extend(flag("--no-remote", *no_remote));
        all.extend(flag("--allow-extra-args", *allow_extra_args));
        all.extend(vars.map(|var| pair("--var", var)));
        all.extend(
            output
                .as_ref()
                .map(|dir| pair("--output", dir.display().to_string())),
        );
        all.extend(push.as_ref().map(|to| pair("--push", to.clone())));
        all.extend(on.as_ref().map(|engine| pair("--on", engine.clone())));
        all.extend(flag("--detach", *detach));
        Again {
            globals: globals.again(),
            options: all.concat(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use crate::cli::{Cli, Verb};

    /// The command that goes on after a failed stage of `web`.
    fn after(words: &str) -> String {
        let words = shlex::split(words).unwrap();
        let cli = Cli::try_parse_from(words).unwrap();
        let Verb::Build(build) = &cli.verb else {
            panic!("{:?}", cli.verb);
        };
        build.again(&cli.globals).command(&["web"])
    }

    #[test]
    fn the_command_that_goes_on_has_what_the_build_was_asked_for() {
        for (typed, goes_on) in [
            ("imgforge build web", "imgforge build web"),
            (
                "imgforge build web --publish --on-error keep",
                "imgforge build web --publish",
            ),
            (
                "imgforge build --all --from seal --refresh -v --publish stable -j2",
                "imgforge build web --publish stable",
            ),
            (
                "imgforge -C 'my recipes' build web db --state=s --accel tcg --until seal",
                "imgforge -C 'my recipes' --state s --accel tcg build web --until seal",
            ),
            (
                "imgforge build web --var 'a=b c' --var \"q=it's\" --target docker --target raw",
                r#"imgforge build web --target docker --target raw --var 'a=b c' --var "q=it's""#,
            ),
            (
                "imgforge build web --offline --locked --no-remote -o out --allow-extra-args",
                "imgforge build web --offline --locked --no-remote --allow-extra-args --output out",
            ),
            (
                "imgforge build web --lock --remote oci://registry.example.org/s --push oci://registry.example.org/p",
                "imgforge build web --lock --remote oci://registry.example.org/s --push oci://registry.example.org/p",
            ),
            (
                "imgforge --trust a --trust b build web --on slurm --detach --connect private",
                "imgforge --trust a:b --connect private build web --on slurm --detach",
            ),
        ] {
            let again = after(typed);
            assert_eq!(again, goes_on, "{typed}");
            assert_eq!(after(&again), goes_on, "it is a command line itself");
        }
    }
}
