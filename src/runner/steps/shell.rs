//! `shell`: a script or a line.

use super::{Scope, read};
use crate::error::{Error, Result};
use crate::host::exec::quote;
use crate::recipe::types::Shell;
use crate::runner::payload::Entry;

pub(super) fn translate(shell: &Shell, scope: Scope<'_>) -> Result<Vec<Entry>> {
    let words: Vec<String> = shell.args.iter().map(|arg| quote(arg)).collect();
    let args = Entry::bytes("args.sh", format!("set -- {}\n", words.join(" ")));
    let Some(script) = &shell.script else {
        let run = shell.run.clone().unwrap_or_default();
        return Ok(vec![Entry::bytes("run", run + "\n"), args]);
    };
    let bytes = read(scope.root, script)?;
    if !bytes.starts_with(b"#!") {
        return Err(
            Error::usage(format!("the script {script} has no `#!` line"))
                .hint("its first line names the interpreter, such as `#!/bin/sh`"),
        );
    }
    Ok(vec![
        Entry {
            mode: 0o700,
            ..Entry::bytes("script", bytes)
        },
        args,
    ])
}
