pub(super) static OPERATION: super::Operation = super::Operation::removes_files(
    "firewall-rules",
    "Remove the rules of the firewall",
    "Removes `/etc/sysconfig/iptables` and the zones and services of firewalld that were \
     changed. Off by default, as it may open a machine to the network.",
    &[
        "/etc/sysconfig/iptables",
        "/etc/firewalld/services/*",
        "/etc/firewalld/zones/*",
    ],
)
.off()
.gone(&["etc/firewalld/zones/site.xml"]);
