//! Git as the source of truth: which commit the recipes are at, and who signed it.
//!
//! With `require-signed-commits: true` nothing is published from a changed working copy or from an
//! unsigned commit, and what the build reads are the bytes of that commit, see [`content`]. A host
//! can demand it, too, and say who may sign, by a file that no commit of the recipe repository can
//! change: `/etc/imgforge/allowed-signers`, a user's `$XDG_CONFIG_HOME/imgforge/allowed-signers`,
//! or the one that `IMGFORGE_ALLOWED_SIGNERS` names. Its lines are those of ssh-keygen(1)'s allowed
//! signers, and `openpgp FINGERPRINT`.

mod call;
mod content;
mod signers;

use std::path::Path;

use crate::address;
use crate::error::{Error, Result};
use crate::host::exec::find;
use crate::store::inputs::Walked;
use call::Git;
pub use signers::Signers;

/// Asks for a commit's signature, whatever came before the commit.
const SHOW: [&str; 6] = [
    "log",
    "--no-walk",
    "--no-patch",
    "--no-ext-diff",
    "--no-textconv",
    "--format=%G?%x00%GF%x00%GP%x00%GS",
];

/// The commit of the recipe repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipeCommit {
    /// Its hash.
    pub commit: String,
    /// Where the repository is fetched from, without credentials.
    pub remote: Option<String>,
    /// Whether files differed from the commit.
    pub dirty: bool,
}

/// The commit of the recipe repository at `root`; none where it is no git repository.
///
/// # Errors
/// When git fails.
pub fn source(root: &Path) -> Result<Option<RecipeCommit>> {
    if !root.ancestors().any(|dir| dir.join(".git").exists()) || find("git").is_none() {
        return Ok(None);
    }
    let git = Git::at(root);
    let head = git.call(&["rev-parse", "--verify", "--quiet", "HEAD"]);
    let Ok(commit) = head.text() else {
        // Nothing was committed yet, or git does not trust the directory's owner.
        return Ok(None);
    };
    let dirty = !changes(&git)?.is_empty();
    Ok(Some(at(&git, commit, dirty)))
}

fn at(git: &Git, commit: String, dirty: bool) -> RecipeCommit {
    let remote = git.call(&["remote", "get-url", "origin"]).text().ok();
    RecipeCommit {
        commit,
        remote: remote.map(|address| without_credentials(&address)),
        dirty,
    }
}

/// What a publication needs to know about the recipes: their commit, which must be signed where
/// imgforge.yaml or this host demands it, and have what a build has `read`.
///
/// # Errors
/// [`Kind::Gate`](crate::error::Kind::Gate) when it is demanded and is not so.
pub fn publishable(root: &Path, required: bool, read: &[Walked]) -> Result<Option<RecipeCommit>> {
    publishable_by(root, required, read, Signers::find(root)?.as_ref())
}

/// As [`publishable`], with this host's signers.
///
/// # Errors
/// As there.
pub fn publishable_by(
    root: &Path,
    required: bool,
    read: &[Walked],
    signers: Option<&Signers>,
) -> Result<Option<RecipeCommit>> {
    if !required && signers.is_none() {
        return source(root);
    }
    let by = match signers {
        Some(signers) if !required => format!("{} demands", signers.path.display()),
        _ => "`require-signed-commits` in imgforge.yaml demands".to_owned(),
    };
    let refuse = |why: String| {
        Error::gate(format!("the recipes cannot be published from: {why}"))
            .cause(format!("{by} a clean checkout of a signed commit"))
    };
    if find("git").is_none() {
        return Err(refuse("there is no git to verify their commit".into()).hint("apt install git"));
    }
    let git = Git::at(root);
    let head = git.call(&["rev-parse", "--verify", "HEAD"]).text();
    let commit =
        head.map_err(|error| refuse(format!("{} has no commit", root.display())).cause(error))?;
    let changes = changes(&git)?;
    if !changes.is_empty() {
        return Err(refuse(format!(
            "{} files differ from the commit {}",
            changes.len(),
            short(&commit)
        ))
        .evidence(changes.into_iter().take(12))
        .hint("commit or remove them, or ignore what no build reads"));
    }
    let genuine = git.genuine(&commit)?;
    let others = content::differences(&genuine, &commit, read)?;
    if !others.is_empty() {
        return Err(refuse(format!(
            "{} files that the build reads are not those of the commit {}",
            others.len(),
            short(&commit)
        ))
        .evidence(others.into_iter().take(12))
        .hint(
            "commit them, or remove them; what is too large for git can lie outside of the \
             checkout, or have its `sha256` in the recipe",
        ));
    }
    if signers.is_none()
        && let Some((setting, path)) = signers::in_commit(&git, root)
    {
        let why = format!(
            "git's {setting} is {}, which lies in the checkout",
            path.display()
        );
        return Err(refuse(why)
            .cause("a commit could change who may sign it")
            .hint("move it out of the checkout, such as to /etc/imgforge/allowed-signers"));
    }
    signed(&genuine, &commit, signers).map_err(|(why, hint)| refuse(why).hint(hint))?;
    Ok(Some(at(&git, commit, false)))
}

/// An address without user and password.
pub(crate) fn without_credentials(address: &str) -> String {
    let address = &*address::hide(address);
    match address.split_once("://") {
        Some((scheme, rest)) => {
            let (host, path) = rest
                .split_once('/')
                .map_or((rest, None), |(host, path)| (host, Some(path)));
            let host = host.rsplit('@').next().unwrap_or(host);
            path.map_or(format!("{scheme}://{host}"), |path| {
                format!("{scheme}://{host}/{path}")
            })
        }
        // git@host:path, which is a user's name and no secret, as a URL.
        None => match address.split_once(':') {
            Some((host, path)) if !host.contains('/') => format!("ssh://{host}/{path}"),
            _ => format!("file://{address}"),
        },
    }
}

fn short(commit: &str) -> &str {
    commit.get(..12).unwrap_or(commit)
}

/// What differs from the commit, or is not in it, below `root`.
fn changes(git: &Git) -> Result<Vec<String>> {
    let text = git
        .call(&[
            "status",
            "--porcelain",
            "--untracked-files=all",
            // It would be asked with its own configuration; what is read of it is compared.
            "--ignore-submodules=dirty",
            "--",
            ".",
        ])
        .text()?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// Why the commit's signature does not count, and what to do about it.
fn signed(git: &Git, commit: &str, signers: Option<&Signers>) -> Result<(), (String, String)> {
    let other = |error: Error| {
        (
            error.to_string(),
            "`git log --show-signature -1` says more".to_owned(),
        )
    };
    let ssh = signers.map(Signers::ssh_file).transpose().map_err(other)?;
    let file = ssh.as_ref().map(|file| file.path().display());
    let file = file.map(|file| format!("gpg.ssh.allowedSignersFile={file}"));
    let ours = file.iter().flat_map(|file| ["-c", file.as_str()]);
    let args: Vec<&str> = ours.chain(SHOW).chain([commit]).collect();
    let answer = git.call(&args).text().map_err(other)?;
    let fields: Vec<&str> = answer.split('\0').collect();
    let field = |at: usize| fields.get(at).copied().unwrap_or_default();
    let (verdict, key, primary) = (field(0), field(1), field(2));
    let short = short(commit);
    let broken = |what: String| {
        let hint = "`git log --show-signature -1` says more";
        Err((what, hint.to_owned()))
    };
    match verdict {
        // Without a list of allowed signers git does not even look at an SSH signature.
        "N" if has_signature(git, commit) => Err(unnamed(short)),
        "N" => Err((
            format!("the commit {short} is not signed"),
            "`git commit --amend -S` signs it".into(),
        )),
        "B" => broken(format!("the signature of the commit {short} is wrong")),
        "X" | "Y" => broken(format!(
            "the signature of the commit {short}, or its key, has expired"
        )),
        "R" => broken(format!("the key that signed the commit {short} is revoked")),
        "G" | "U" if key.starts_with("SHA256:") => match (verdict, signers) {
            ("G", _) => Ok(()),
            (_, Some(signers)) => Err(nobody(short, key, &signers.path)),
            _ => Err(unnamed(short)),
        },
        "G" | "U" => match signers {
            Some(signers) if !signers.openpgp(&[key, primary]) => {
                Err(nobody(short, primary, &signers.path))
            }
            _ => Ok(()),
        },
        _ => broken(format!(
            "the signature of the commit {short} cannot be checked: its key is not here"
        )),
    }
}

/// Whether the commit carries a signature, of whatever kind.
fn has_signature(git: &Git, commit: &str) -> bool {
    let object = git.call(&["cat-file", "commit", commit]).text();
    let headers = object.unwrap_or_default();
    headers
        .lines()
        .take_while(|line| !line.is_empty())
        .any(|line| line.starts_with("gpgsig"))
}

fn unnamed(commit: &str) -> (String, String) {
    (
        format!("nobody says who may sign with the SSH key of the commit {commit}"),
        "git's gpg.ssh.allowedSignersFile, or /etc/imgforge/allowed-signers, names the keys".into(),
    )
}

fn nobody(commit: &str, key: &str, path: &Path) -> (String, String) {
    (
        format!(
            "the commit {commit} is signed with {key}, which {} does not name",
            path.display()
        ),
        "add the key there if its owner may publish".into(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lose_their_credentials() {
        for (from, to) in [
            ("https://u:p@h/x.git", "https://h/x.git"),
            ("https://u:p/q@h/x.git?token=t", "https://h/x.git?token=…"),
            ("git@h:team/x.git", "ssh://git@h/team/x.git"),
            ("/srv/git/x", "file:///srv/git/x"),
            ("ssh://git@h", "ssh://h"),
        ] {
            assert_eq!(without_credentials(from), to);
        }
    }
}
