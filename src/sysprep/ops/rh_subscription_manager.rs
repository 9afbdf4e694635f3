pub(super) static OPERATION: super::Operation = super::Operation::removes(
    "rh-subscription-manager",
    "Remove the registration with Red Hat",
    "Removes the certificates of subscription-manager.",
    &[
        "/etc/pki/consumer/*",
        "/etc/pki/entitlement/*",
        "/var/lib/rhsm/*",
    ],
)
.gone(&["etc/pki/consumer/key.pem"]);
