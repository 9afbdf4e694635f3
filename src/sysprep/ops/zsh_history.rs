pub(super) static OPERATION: super::Operation = super::Operation::removes(
    "zsh-history",
    "Remove the history of zsh",
    "Removes `.zsh_history` and `.zhistory` of root and of every user in `/home`.",
    &[
        "/root/.zsh_history",
        "/root/.zhistory",
        "/home/*/.zsh_history",
        "/home/*/.zhistory",
    ],
)
.newer("1.55.5")
.gone(&["home/ann/.zsh_history"]);
