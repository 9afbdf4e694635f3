pub(super) static OPERATION: super::Operation = super::Operation::removes(
    "rhn-systemid",
    "Remove the registration with RHN",
    "Removes the identity of the older Red Hat Network client.",
    &[
        "/etc/sysconfig/rhn/systemid",
        "/etc/sysconfig/rhn/osad-auth.conf",
    ],
)
.gone(&["etc/sysconfig/rhn/systemid"]);
