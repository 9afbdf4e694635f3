pub(super) static OPERATION: super::Operation = super::Operation::removes(
    "apt-lists",
    "Remove the package lists of apt",
    "Removes what `apt-get update` downloads, in `/var/lib/apt/lists`. Off by default: a \
     machine without network could then not even search for packages.",
    &["/var/lib/apt/lists/*"],
)
.off()
.ours()
.gone(&["var/lib/apt/lists/mirror_InRelease"]);
