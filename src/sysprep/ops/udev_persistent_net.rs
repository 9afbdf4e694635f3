//! Removes the rules that tie `eth0` to the build's network card.

use crate::sysprep::{Operation, Run};

/// The table's entry.
pub(super) static OPERATION: Operation = Operation {
    name: "udev-persistent-net",
    heading: "Remove the fixed names of network cards",
    default: true,
    doc: "Removes the rules that tie `eth0` to the build's network card.",
    run: Run::Remove(PATHS),
};

const PATHS: &[&str] = &["/etc/udev/rules.d/*-persistent-net.rules"];
