use super::super::accounts::Account;
use crate::error::Result;
use crate::sysprep::{GuestRoot, Operation};

pub(super) static OPERATION: Operation = Operation::files(
    "user-account",
    "Remove the accounts of people",
    "Removes every account with a number from `UID_MIN` to `UID_MAX` of `/etc/login.defs`, its \
     home, mail and jobs, except accounts that the recipe or a target declares. Off by default.",
    run,
)
.off()
.gone(&["home/bea/work"])
.edited(&[(
    "etc/passwd",
    "pg:x:105:110::/var/lib/pg:/bin/sh\nbea:x:1001:1001::/home/bea:/bin/sh\n",
    "pg:x:105:110::/var/lib/pg:/bin/sh\n",
)]);

/// Where an account has a line of its own.
const LINES: &[&str] = &["/etc/passwd", "/etc/shadow", "/etc/subuid", "/etc/subgid"];

/// Where groups have theirs: name first, members last.
const GROUPS: &[&str] = &["/etc/group", "/etc/gshadow"];

fn run(root: &mut GuestRoot<'_>) -> Result<()> {
    let definitions = match root.guest.is_file("/etc/login.defs")? {
        true => root.guest.read_file("/etc/login.defs")?,
        false => Vec::new(),
    };
    let definitions = String::from_utf8_lossy(&definitions);
    let people = number(&definitions, "UID_MIN", 1000)..=number(&definitions, "UID_MAX", 60000);
    let accounts = root.accounts().iter().cloned();
    let (gone, staying): (Vec<Account>, Vec<Account>) = accounts.partition(|account| {
        people.contains(&account.uid) && account.uid != 0 && !root.declared.names(&account.name)
    });
    if gone.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = gone.iter().map(|account| account.name.as_str()).collect();
    root.edit(LINES, |text| {
        super::without_lines(text, |line| names.contains(&first(line)))
    })?;
    root.edit(GROUPS, |text| without_members(text, &names))?;
    for account in &gone {
        let used = staying
            .iter()
            .any(|other| other.home.starts_with(&account.home));
        if account.home.len() > 1 && account.home.starts_with('/') && !used {
            root.remove_path(&account.home)?;
        }
        for dir in [
            "/var/spool/mail",
            "/var/mail",
            "/var/spool/cron",
            "/var/spool/cron/crontabs",
        ] {
            root.remove_path(&format!("{dir}/{}", account.name))?;
        }
    }
    Ok(())
}

fn first(line: &str) -> &str {
    line.split(':').next().unwrap_or_default()
}

fn number(definitions: &str, name: &str, usual: u32) -> u32 {
    definitions
        .lines()
        .filter_map(|line| line.trim().strip_prefix(name))
        .find_map(|value| value.trim().parse().ok())
        .unwrap_or(usual)
}

/// Without the accounts' own groups, and without the accounts among other groups' members.
fn without_members(text: &str, names: &[&str]) -> String {
    let mut out = String::new();
    for line in text.split_inclusive('\n') {
        let bare = line.trim_end_matches('\n');
        if names.contains(&first(bare)) {
            continue;
        }
        match bare.rsplit_once(':') {
            Some((head, members)) if members.split(',').any(|m| names.contains(&m)) => {
                let rest: Vec<_> = members.split(',').filter(|m| !names.contains(m)).collect();
                out += &format!("{head}:{}\n", rest.join(","));
            }
            _ => out += line,
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_leave_their_groups() {
        let text = "root:x:0:\nsudo:x:27:ann,bob\nann:x:1000:\nwheel:x:10:bob\n";
        assert_eq!(
            without_members(text, &["ann"]),
            "root:x:0:\nsudo:x:27:bob\nwheel:x:10:bob\n"
        );
    }

    #[test]
    fn the_limits_are_of_login_defs() {
        let text = "# UID_MIN 5\nSYS_UID_MIN 100\nUID_MIN\t\t 500\n";
        assert_eq!(number(text, "UID_MIN", 1000), 500);
        assert_eq!(number(text, "UID_MAX", 60000), 60000);
    }
}
