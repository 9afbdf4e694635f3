//! What a target's steps in the guest need of the image, asked before the guest starts.

use super::tree::Tree;
use crate::error::{Error, Result};
use crate::steps::Step;

/// The package managers that steps know.
const MANAGERS: [&str; 5] = ["apt-get", "dnf", "yum", "zypper", "apk"];

/// Where programs are.
const PLACES: [&str; 4] = ["usr/bin/", "usr/sbin/", "bin/", "sbin/"];

/// Asks whether the image can install what the steps of the target `name` install.
///
/// # Errors
/// When it has no package manager, or no list of packages is for its distribution.
pub(super) fn check(name: &str, tree: &Tree, steps: &[Step]) -> Result<()> {
    let there = |program: &str| {
        let mut paths = PLACES.iter().map(|place| format!("{place}{program}"));
        paths.any(|path| tree.get(&path).is_some())
    };
    let word = |key: &str| tree.os_release(key).unwrap_or_default();
    let all = format!("{} {}", word("ID"), word("ID_LIKE"));
    let ids: Vec<&str> = all.split_whitespace().collect();
    judge(name, MANAGERS.into_iter().any(there), &ids, steps)
}

/// `ids` are what the distribution calls itself, and what it says it is like.
fn judge(name: &str, manager: bool, ids: &[&str], steps: &[Step]) -> Result<()> {
    // A condition may keep the others from running.
    for step in steps.iter().filter(|step| step.when.is_none()) {
        let Some(packages) = step.action.kind().packages() else {
            continue;
        };
        let hint = format!(
            "`imgforge disk export -t {name}` makes the files of a disk that has everything already"
        );
        if !manager {
            return Err(Error::usage(format!(
                "the target `{name}` installs packages, and the image has no package manager"
            ))
            .cause(format!("none of {} is in it", MANAGERS.join(", ")))
            .hint(hint));
        }
        let Some(known) = packages.distributions() else {
            continue;
        };
        if !ids.iter().any(|id| known.contains(id)) {
            let this = ids.first().unwrap_or(&"a system without a name");
            return Err(Error::usage(format!(
                "the target `{name}` does not know what its packages are called on {this}"
            ))
            .cause(format!("it knows {}", known.join(", ")))
            .hint(hint));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::targets::find;

    #[test]
    fn steps_that_cannot_install_anything_are_foreseen() {
        for name in ["openstack", "vagrant"] {
            let target = find(name).unwrap();
            let steps = target.options.steps();
            let judged = |manager, ids: &[&str]| judge(name, manager, ids, &steps);
            judged(true, &["debian"]).unwrap();
            judged(true, &["rocky", "rhel", "centos", "fedora"]).unwrap();
            let error = judged(false, &["debian"]).unwrap_err();
            assert!(error.message().contains("no package manager"), "{error}");
            let error = judged(true, &["plan10"]).unwrap_err();
            assert!(error.message().ends_with("called on plan10"), "{error}");
            assert!(error.causes()[0].contains("debian, fedora"), "{error}");
        }
    }
}
