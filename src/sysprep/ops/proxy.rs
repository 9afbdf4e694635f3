use crate::error::Result;
use crate::sysprep::{GuestRoot, Operation};

pub(super) static OPERATION: Operation = Operation::files(
    "proxy",
    "Remove the build's proxy",
    "Removes lines that set a proxy from the configuration of apt, dnf and yum and from \
     `/etc/environment`. A file that the recipe keeps is left alone.",
    run,
)
.ours()
.edited(&[(
    "etc/apt/apt.conf.d/90proxy",
    "Acquire::http::Proxy \"http://10.0.2.2:1\";\n",
    "",
)])
.stay(&["etc/apt/apt.conf.d/10recommends"]);

const FILES: &[&str] = &[
    "/etc/apt/apt.conf",
    "/etc/apt/apt.conf.d/*",
    "/etc/dnf/dnf.conf",
    "/etc/yum.conf",
    "/etc/environment",
];

fn run(root: &mut GuestRoot<'_>) -> Result<()> {
    root.edit(FILES, |text| super::without_lines(text, sets_proxy))
}

fn sets_proxy(line: &str) -> bool {
    let line = line.trim().to_ascii_lowercase();
    let name = line.strip_prefix("export ").unwrap_or(&line);
    let name = name.split(['=', ' ', '\t']).next().unwrap_or_default();
    let apt = name.starts_with("acquire::")
        && ["::proxy", "::proxy-auto-detect"]
            .iter()
            .any(|end| name.ends_with(end));
    apt || [
        "proxy",
        "http_proxy",
        "https_proxy",
        "ftp_proxy",
        "all_proxy",
        "no_proxy",
    ]
    .contains(&name)
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_lines_that_set_a_proxy_go() {
        for (line, sets) in [
            ("Acquire::http::Proxy \"http://10.0.2.2:3142\";", true),
            ("Acquire::HTTPS::proxy \"DIRECT\";", true),
            ("http_proxy=http://10.0.2.2:3128", true),
            ("export HTTPS_PROXY=http://10.0.2.2", true),
            ("proxy = http://10.0.2.2", true),
            ("proxy=http://10.0.2.2", true),
            ("# http_proxy is not set", false),
            ("APT::Install-Recommends \"false\";", false),
            ("PATH=/usr/bin", false),
            ("", false),
        ] {
            assert_eq!(super::sets_proxy(line), sets, "{line}");
        }
    }
}
