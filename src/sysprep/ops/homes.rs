use crate::error::Result;
use crate::guest::literal;
use crate::sysprep::{GuestRoot, Operation};

pub(super) static OPERATION: Operation = Operation::files(
    "homes",
    "Remove what users outside /home leave",
    "Removes `.ssh` and the histories of shells of users whose home is neither `/root` nor in \
     `/home`, except declared keys, and everywhere the histories of editors, database clients \
     and other programs.",
    run,
)
.ours()
.gone(&[
    "var/lib/pg/.ssh/id_ed25519",
    "var/lib/pg/.bash_history",
    "home/ann/.python_history",
]);

/// What belongs to operations of its own in `/root` and `/home`.
const ELSEWHERE: &[&str] = &[".ssh", ".bash_history", ".zsh_history", ".zhistory"];

const EVERYWHERE: &[&str] = &[
    ".ash_history",
    ".histfile",
    ".history",
    ".lesshst",
    ".mysql_history",
    ".node_repl_history",
    ".psql_history",
    ".python_history",
    ".rediscli_history",
    ".sh_history",
    ".sqlite_history",
    ".viminfo",
    ".wget-hsts",
];

fn run(root: &mut GuestRoot<'_>) -> Result<()> {
    let mut patterns = Vec::new();
    let mut homes: Vec<_> = root.accounts().iter().map(|a| a.home.clone()).collect();
    homes.sort();
    homes.dedup();
    homes.retain(|home| home != "/root" && !in_home(home));
    for home in &homes {
        let names = ELSEWHERE.iter().chain(EVERYWHERE);
        patterns.extend(names.map(|name| format!("{}/{name}", literal(home))));
    }
    for home in ["/root", "/home/*"] {
        patterns.extend(EVERYWHERE.iter().map(|name| format!("{home}/{name}")));
    }
    let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
    root.remove(&patterns)?;
    for home in &homes {
        root.keep_declared_keys(|at| at.starts_with(&format!("{home}/.ssh/")))?;
    }
    Ok(())
}

/// Whether the patterns of other operations, `/home/*/…`, reach a home.
fn in_home(home: &str) -> bool {
    home.strip_prefix("/home/")
        .is_some_and(|name| !name.contains('/'))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_home_below_another_one_is_elsewhere() {
        assert!(super::in_home("/home/ann"));
        assert!(!super::in_home("/home/ldap/ann"));
        assert!(!super::in_home("/var/lib/pg"));
    }
}
