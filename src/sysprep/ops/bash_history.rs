pub(super) static OPERATION: super::Operation = super::Operation::removes(
    "bash-history",
    "Remove the shell history of users",
    "Removes `.bash_history` of root and of every user in `/home`.",
    &["/root/.bash_history", "/home/*/.bash_history"],
)
.gone(&["root/.bash_history", "home/ann/.bash_history"])
.stay(&["home/ann/.bashrc"]);
