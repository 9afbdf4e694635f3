//! What a box needs and an image may not have, installed in the guest.

use super::{Vagrant, VagrantProvider};
use crate::steps::{Action, Packages, Shell, Step};

/// Where the distribution packages VirtualBox' guest additions, and the kernel has their half, they
/// are installed. Everywhere else rsync copies the folder.
const ADDITIONS: &str = r#"
if command -v mount.vboxsf >/dev/null || ! modinfo vboxsf >/dev/null 2>&1; then
  exit 0
fi
if command -v apt-get >/dev/null; then
  name=virtualbox-guest-utils
  if apt-cache policy "$name" | grep -q 'Candidate: [0-9]'; then
    apt-get -y -q -o DPkg::Lock::Timeout=900 install --no-install-recommends "$name" </dev/null
  fi
elif command -v dnf >/dev/null; then
  name=virtualbox-guest-additions
  if dnf -q repoquery --available "$name" | grep -q .; then
    dnf -y install "$name" </dev/null
  fi
fi
command -v mount.vboxsf || echo 'no guest additions are packaged: rsync copies the folder'
"#;

/// The steps: what every box needs, then the recipe's own.
pub(super) fn steps(options: &Vagrant) -> Vec<Step> {
    let lists = [
        ("debian", ["sudo", "openssh-server", "rsync"]),
        ("ubuntu", ["sudo", "openssh-server", "rsync"]),
        ("fedora", ["sudo", "openssh-server", "rsync"]),
        ("rhel", ["sudo", "openssh-server", "rsync"]),
        ("suse", ["sudo", "openssh", "rsync"]),
    ];
    let mut own = vec![Step::named(
        "install what Vagrant logs in by",
        Action::Packages(Packages::by_distro(lists)),
    )];
    let providers = &options.providers;
    if providers.is_empty() || providers.contains(&VagrantProvider::Virtualbox) {
        own.push(Step::named(
            "install guest additions",
            Action::Shell(Shell::Run(ADDITIONS.into())),
        ));
    }
    own.extend(options.configure.iter().cloned());
    own
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guest_additions_are_for_virtualbox() {
        let count = |providers: &[VagrantProvider]| {
            let options = Vagrant {
                providers: providers.to_vec(),
                ..Vagrant::default()
            };
            steps(&options).len()
        };
        assert_eq!(count(&[VagrantProvider::Libvirt]), 1);
        assert_eq!(count(&[VagrantProvider::Virtualbox]), 2);
        assert_eq!(count(&[]), 2);
    }
}
