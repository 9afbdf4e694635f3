pub(super) static OPERATION: super::Operation = super::Operation::removes(
    "udev-persistent-net",
    "Remove the fixed names of network cards",
    "Removes the rules that tie `eth0` to the build's network card.",
    &["/etc/udev/rules.d/*-persistent-net.rules"],
)
.gone(&["etc/udev/rules.d/70-persistent-net.rules"]);
