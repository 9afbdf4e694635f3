//! The guest's user database, as text.

/// A line of passwd(5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Login name.
    pub name: String,
    /// Number of the user.
    pub uid: u32,
    /// Number of the user's own group.
    pub gid: u32,
    /// Home directory.
    pub home: String,
}

/// The accounts in a passwd(5); lines that are none are passed over.
pub(crate) fn parse(passwd: &str) -> Vec<Account> {
    let account = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, uid, gid, _, home, _] = fields.as_slice() else {
            return None;
        };
        Some(Account {
            name: (*name).to_owned(),
            uid: uid.parse().ok()?,
            gid: gid.parse().ok()?,
            home: home.trim_end_matches('/').to_owned(),
        })
    };
    passwd.lines().filter_map(account).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_lines_are_accounts() {
        let text = "root:x:0:0:root:/root:/bin/sh\n+nis\n#:\npg:x:105:1:,,:/var/lib/pg/:/bin/sh\n";
        let accounts = parse(text);
        assert_eq!(accounts.len(), 2);
        assert_eq!(accounts[1].home, "/var/lib/pg");
        assert_eq!((accounts[1].uid, accounts[1].gid), (105, 1));
    }
}
