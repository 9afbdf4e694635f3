//! Starts the appliance, again where QEMU's translator has failed it.

use super::{Guestfs, Launch};
use crate::error::{Error, Result};

/// How often the appliance is started when QEMU aborts or its kernel gets no further.
const STARTS: u32 = 3;

/// What is said when its kernel reports that it gets no further.
pub(super) const STUCK: &str =
    "the appliance's kernel reports that a processor or its timer stands still";

impl Guestfs {
    /// As [`Guestfs::launch`], with `memory` MiB for the appliance: opening a LUKS volume takes
    /// as much as was chosen when it was made, often 1024 MiB.
    ///
    /// # Errors
    /// As [`Guestfs::launch`].
    pub fn launch_with(launch: &Launch<'_>, memory: i32) -> Result<Guestfs> {
        for _ in 1..STARTS {
            let why = match Self::start(launch, memory) {
                Err(error) if aborted(&error) => {
                    "QEMU aborted while the appliance started: it starts again"
                }
                Err(error) if error.message() == STUCK => {
                    "the appliance's kernel got no further: it starts again"
                }
                result => return result,
            };
            if let Some(ui) = launch.ui {
                ui.line(why);
            }
        }
        Self::start(launch, memory)
    }
}

/// QEMU's translator with several processors aborts now and then while a kernel sets up its devices
/// (seen with 10.0: an assertion in `msix_table_mmio_write`). A processor keeps the number of a
/// device's memory, and looks it up in the map that another one has just made anew by moving a
/// device: the access goes elsewhere. QEMU 11.0 keeps a pointer (854cd16e318e); 10.0.4, 10.1 and
/// Debian's 10.0.2 read the newest map (2865bf1c5795), those before one that may be gone. No disk was
/// touched by then.
fn aborted(error: &Error) -> bool {
    let mut lines = error.evidence_lines().iter();
    lines.any(|line| line.contains("Assertion"))
}
