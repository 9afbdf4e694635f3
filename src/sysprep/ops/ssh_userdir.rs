use crate::error::Result;
use crate::sysprep::{GuestRoot, Operation};

pub(super) static OPERATION: Operation = Operation::files(
    "ssh-userdir",
    "Remove the SSH keys of users",
    "Removes `.ssh` of root and of every user in `/home`. Of an `authorized_keys` the lines \
     stay that the recipe or a target declares.",
    run,
)
.gone(&["root/.ssh/id_ed25519", "home/ann/.ssh/id_ed25519"]);

const PATHS: &[&str] = &["/root/.ssh", "/home/*/.ssh"];

fn run(root: &mut GuestRoot<'_>) -> Result<()> {
    root.remove(PATHS)?;
    root.keep_declared_keys(|at| at.starts_with("/root/") || at.starts_with("/home/"))
}
