pub(super) static OPERATION: super::Operation = super::Operation::removes(
    "net-nmconn",
    "Remove NetworkManager's connections",
    "Removes the connections of NetworkManager on machines with RPM packages, where the \
     installer writes them for the build's network card.",
    &["/etc/NetworkManager/system-connections/*.nmconnection"],
)
.only("rpm")
.gone(&["etc/NetworkManager/system-connections/wired.nmconnection"]);
