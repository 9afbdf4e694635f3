use crate::error::Result;
use crate::sysprep::{GuestRoot, Operation};

pub(super) static OPERATION: Operation = Operation::files(
    "tmp-files",
    "Remove temporary files",
    "Removes everything in `/tmp` and `/var/tmp`.",
    run,
)
.gone(&["tmp/.hidden/file", "var/tmp/[odd] name"]);

fn run(root: &mut GuestRoot<'_>) -> Result<()> {
    root.empty(&["/tmp", "/var/tmp"])
}
