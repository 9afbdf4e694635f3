//! Whose an `authorized_keys` is: where a key is declared for one account, it is for no other.

use std::collections::BTreeMap;

use super::declared::Declared;

/// The homes of an image's accounts.
#[derive(Debug, Default)]
pub(super) struct Homes(BTreeMap<String, String>);

/// Directories with a file or a directory for each account, by its name.
const NAMED: [&str; 2] = ["/etc/ssh/", "/etc/security/"];

/// Whose keys open the initrd of an encrypted system.
const INITRD: [&str; 2] = ["/etc/dropbear/", "/etc/dropbear-initramfs/"];

impl Homes {
    /// Reads an /etc/passwd, of which it keeps what there is `room` for, in bytes.
    pub(super) fn learn(&mut self, passwd: &[u8], room: &mut dyn FnMut(usize) -> bool) {
        for line in String::from_utf8_lossy(passwd).lines() {
            let mut fields = line.split(':');
            if let (Some(name), Some(home)) = (fields.next(), fields.nth(4))
                && (self.0.contains_key(name) || room(name.len() + home.len()))
            {
                self.0
                    .insert(name.to_owned(), home.trim_end_matches('/').to_owned());
            }
        }
    }

    /// The accounts to which the keys in such a file give access; two may share a home.
    pub(super) fn accounts_of<'a>(&'a self, path: &'a str) -> Vec<&'a str> {
        if NAMED.iter().any(|dir| path.starts_with(dir)) {
            let mut parts = path.rsplit('/');
            let file = parts.next().unwrap_or_default();
            return match file {
                "authorized_keys" => parts.next().into_iter().collect(),
                name => vec![name],
            };
        }
        if INITRD.iter().any(|dir| path.starts_with(dir)) {
            return vec!["root"];
        }
        let Some((home, _)) = path.rsplit_once("/.ssh/") else {
            return vec![];
        };
        let mut owners: Vec<&str> = self
            .0
            .iter()
            .filter(|(_, of)| *of == home)
            .map(|(name, _)| name.as_str())
            .collect();
        if owners.is_empty() {
            // Of accounts that the image does not know, or knows from elsewhere.
            owners.extend(match home {
                "/root" => Some("root"),
                _ => home
                    .strip_prefix("/home/")
                    .filter(|name| !name.contains('/') && !self.0.contains_key(*name)),
            });
        }
        owners
    }
}

/// The lines of a file of keys, as far as it matters whose the file is.
#[derive(Debug, Default)]
pub struct Keys(
    /// Those of each key that the recipe declares for anybody; `""` are all others.
    BTreeMap<String, Lines>,
);

#[derive(Debug)]
struct Lines {
    first: usize,
    count: usize,
}

impl Keys {
    /// Of numbered lines.
    pub(super) fn read<'t>(
        lines: impl Iterator<Item = (usize, &'t str)>,
        declared: &Declared,
    ) -> Self {
        let mut all = BTreeMap::<String, Lines>::new();
        for (number, line) in lines {
            let key = declared.anybodys(line).unwrap_or_default();
            if let Some(lines) = all.get_mut(key) {
                lines.count += 1;
            } else {
                let (first, count) = (number, 1);
                all.insert(key.to_owned(), Lines { first, count });
            }
        }
        Keys(all)
    }

    /// About what they take, in bytes.
    pub(super) fn size(&self) -> usize {
        let each = self.0.keys();
        each.map(|key| key.len() + size_of::<(String, Lines)>())
            .sum()
    }

    /// Which are declared for none of these accounts.
    pub(super) fn undeclared(&self, declared: &Declared, accounts: &[&str]) -> Option<String> {
        let all = self.0.iter();
        let all = all.filter(|(key, _)| !declared.key(accounts, key));
        let both = |(first, count): (usize, usize), lines: &Lines| {
            (first.min(lines.first), count + lines.count)
        };
        match all.map(|(_, lines)| lines).fold((usize::MAX, 0), both) {
            (_, 0) => None,
            (one, 1) => Some(format!("line {one} is not declared by the recipe")),
            (_, many) => Some(format!("{many} lines are not declared by the recipe")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_keys_is_of_whose_home_it_is_in() {
        let mut homes = Homes::default();
        assert_eq!(homes.accounts_of("/root/.ssh/authorized_keys"), ["root"]);
        homes.learn(
            b"root:x:0:0::/root:/bin/sh\ntoor:x:0:0::/root:/bin/sh\npostgres:x:9:9::/var/lib/postgresql/:/bin/sh\nops:x:1:1::/srv/ops:/bin/sh\n",
            &mut |_| true,
        );
        for (path, accounts) in [
            ("/root/.ssh/authorized_keys", &["root", "toor"][..]),
            ("/var/lib/postgresql/.ssh/authorized_keys2", &["postgres"]),
            ("/srv/ops/.ssh/authorized_keys", &["ops"]),
            ("/home/ann/.ssh/authorized_keys", &["ann"]),
            // Where ops lives no more.
            ("/home/ops/.ssh/authorized_keys", &[]),
            ("/srv/ops/backup/root/.ssh/authorized_keys", &[]),
            ("/etc/ssh/authorized_keys.d/ops", &["ops"]),
            ("/etc/ssh/ops/authorized_keys", &["ops"]),
            ("/etc/dropbear/initramfs/authorized_keys", &["root"]),
            ("/x", &[]),
        ] {
            assert_eq!(homes.accounts_of(path), accounts, "{path}");
        }
    }
}
