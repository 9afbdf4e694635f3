//! `machine: {grow: true}`: a root that takes the whole of a larger disk, at each boot.

use super::{Action, PackageNames, Packages, Shell, Step, When};

/// Installs the service; what the root's volume group has free now was left free on purpose.
const SERVICE: &str = concat!(
    "cat >/usr/local/sbin/grow-root <<'SCRIPT'\n",
    include_str!("grow/grow-root.sh"),
    "SCRIPT\nchmod 0755 /usr/local/sbin/grow-root\n",
    "root=$(findmnt -vno SOURCE /)\n",
    "kept=$(lvs --noheadings -o vg_free_count \"$root\" 2>/dev/null | tr -d ' ') || true\n",
    "sed \"s/KEPT/${kept:-0}/\" >/etc/systemd/system/grow-root.service <<'UNIT'\n",
    include_str!("grow/grow-root.service"),
    "UNIT\nsystemctl enable grow-root.service\n",
);

/// The steps that make a root grow.
pub fn steps() -> Vec<Step> {
    // The others have it in util-linux.
    let sfdisk = Action::Packages(Packages {
        names: PackageNames::All(vec!["fdisk".into()]),
    });
    let debian = When {
        distro: Some("debian".into()),
        release: None,
    };
    vec![
        Step {
            when: Some(debian),
            ..Step::named("install what the root grows with", sfdisk)
        },
        service(""),
    ]
}

/// The step that installs the service, if the root is one that `only` lets through: a line of
/// shell that leaves otherwise.
pub fn service(only: &str) -> Step {
    let shell = Shell::Run(format!("{only}{SERVICE}"));
    Step::named("let the root grow with its disk", Action::Shell(shell))
}

/// A command that succeeds in a guest whose root has more than `bytes`: partition and files have
/// grown beyond what was once the whole disk.
pub fn proof(bytes: u64) -> String {
    format!(
        "device=$(findmnt -vno SOURCE /); all=$(blockdev --getsize64 \"$device\"); \
         files=$(df -B1 --output=size / | tail -n 1); \
         echo \"$device has $all bytes, its file system $files\"; \
         [ \"$all\" -gt {bytes} ] && [ $((files / 85)) -gt $((all / 100)) ]"
    )
}
