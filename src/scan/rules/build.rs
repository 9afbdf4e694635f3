//! What tells of the build's own surroundings.

use std::sync::LazyLock;

use regex::Regex;

use super::text::{line_with, lines};
use crate::scan::rule::{Case, Fix, Group, Matcher, Rule};

const fn rule(name: &'static str, why: &'static str, fix: Fix, matcher: Matcher) -> Rule {
    Rule {
        name,
        group: Group::Build,
        why,
        fix,
        matcher,
    }
}

pub(super) const RULES: &[Rule] = &[
    rule(
        "build-proxy",
        "a machine elsewhere cannot reach the proxy, or should not",
        Fix::Operations(&[(
            "proxy",
            &[
                "/etc/apt/apt.conf",
                "/etc/apt/apt.conf.d/*",
                "/etc/dnf/dnf.conf",
                "/etc/yum.conf",
                "/etc/environment",
            ],
        )]),
        Matcher::Judged(
            &[
                "/etc/apt/apt.conf",
                "/etc/apt/apt.conf.d/*",
                "/etc/dnf/dnf.conf",
                "/etc/dnf5/dnf5.conf",
                "/etc/yum.conf",
                "/etc/yum.repos.d/*.repo",
                "/etc/zypp/zypp.conf",
                "/etc/environment",
                "/etc/profile.d/*",
                "/etc/default/*",
                "/etc/sysconfig/*",
                "/etc/systemd/system.conf",
                "/etc/systemd/system.conf.d/*",
                "/etc/systemd/system/*.service.d/*",
                "/etc/wgetrc",
                "/etc/pip.conf",
                "/etc/npmrc",
                "/{root,home/*}/{.curlrc,.wgetrc,.npmrc,.profile,.bashrc,.gitconfig}",
                "/{root,home/*}/.docker/config.json",
                "/{root,home/*}/.config/pip/pip.conf",
                "/{root,home/*}/.pip/pip.conf",
                "/etc/gitconfig",
            ],
            |case| {
                static PROXY: LazyLock<Regex> = LazyLock::new(|| {
                    let parts = [
                        r#"^\s*Acquire::[A-Za-z]+::(?:.*::)?Proxy(?:-Auto-Detect)?\s+"?[^";\s]"#,
                        r#"(?:^|[\s"'])(?:https?|ftp|all)_?proxy["']?\s*[=:]\s*["']?[A-Za-z0-9\[]"#,
                        r"^\s*proxy\s*=\s*[A-Za-z0-9\[]",
                        r#"^\s*"https?Proxy"\s*:"#,
                    ];
                    Regex::new(&format!("(?i){}", parts.join("|"))).expect("fixed")
                });
                let text = case.text();
                let direct = |line: &str| {
                    let line = line.to_ascii_lowercase();
                    ["direct", "_none_", "=none", "= none", "\"false\""]
                        .iter()
                        .any(|word| line.contains(word))
                };
                lines(&text)
                    .find(|(_, line)| PROXY.is_match(line) && !direct(line))
                    .map(|(number, _)| format!("line {number}"))
            },
        ),
    ),
    rule(
        "build-mirror",
        "a machine elsewhere cannot reach the mirror, or should not",
        Fix::Setting(
            "set `mirrors: {image: …}` in the recipe, or declare the source with a `repository` step",
        ),
        Matcher::Judged(
            &[
                "/etc/apt/sources.list",
                "/etc/apt/sources.list.d/*",
                "/etc/apt/mirrors/*",
                "/etc/yum.repos.d/*",
                "/etc/zypp/repos.d/*",
                "/etc/apk/repositories",
                "/etc/pip.conf",
                "/{root,home/*}/{.npmrc,.config/pip/pip.conf,.pip/pip.conf,.cargo/config.toml,.gitconfig}",
                "/etc/npmrc",
                "/etc/gitconfig",
            ],
            mirror,
        ),
    ),
    rule(
        "build-resolver",
        "a machine elsewhere would ask the build's name server",
        Fix::Setting("let the network configuration of a machine write the file"),
        Matcher::Judged(&["/etc/resolv.conf"], |case| {
            static SERVER: LazyLock<Regex> = LazyLock::new(|| {
                Regex::new(r"^\s*(nameserver|search|domain)\s+\S").expect("fixed")
            });
            line_with(&case.text(), &SERVER)
        }),
    ),
    rule(
        "installer-log",
        "it tells what the installation did, and with which answers",
        Fix::Operations(&[
            ("logfiles", &["/var/log/**", "/root/*"]),
            ("tmp-files", &["/tmp/*"]),
        ]),
        Matcher::Installed(
            |leaves| leaves.logs,
            &[
                "/var/log/bootstrap.log",
                "/var/log/cloud-init.log",
                "/var/log/cloud-init-output.log",
                "/tmp/builder.log",
            ],
        ),
    ),
    rule(
        "installer-answers",
        "the answers of an installation hold hashes of passwords, and often more",
        // An operation cannot tell an installer's seed from one that is there on purpose.
        Fix::Operations(&[(
            "logfiles",
            &[
                "/*",
                "/{root,tmp,var/tmp}/*",
                "/etc/cloud/cloud.cfg.d/*",
                "/var/log/**",
                "/var/lib/preseed{,/**}",
            ],
        )]),
        Matcher::Installed(|leaves| leaves.answers, &["/var/lib/cloud/seed/**"]),
    ),
    rule(
        "debconf-password",
        "packages keep the passwords that they have asked for there",
        Fix::Operation("debconf-passwords"),
        Matcher::Judged(&["/var/cache/debconf/passwords.dat"], |case| {
            static VALUE: LazyLock<Regex> =
                LazyLock::new(|| Regex::new(r"^Value:\s*\S").expect("fixed"));
            line_with(&case.text(), &VALUE)
        }),
    ),
    rule(
        "runner",
        "imgforge's runner would start again on every machine made from the image",
        Fix::Operations(&[(
            "runner",
            &["/usr/lib/**", "/var/lib/imgforge-runner/**", "/etc/**"],
        )]),
        Matcher::Present(&[
            "/usr/lib/imgforge/**",
            "/var/lib/imgforge-runner/**",
            "/var/lib/imgforge/installed",
            "/etc/systemd/system/imgforge-{runner,start}.service",
            "/etc/init.d/imgforge",
            "/etc/init.d/imgforge-runner",
        ]),
    ),
    rule(
        "other-builder",
        "another program that builds images has left its tools",
        Fix::Setting("remove it in the step that brought it"),
        Matcher::Present(&[
            "/usr/lib/virt-sysprep/**",
            "/tmp/packer-*",
            "/tmp/packer-*/**",
            "/root/.ansible/tmp/**",
            "/home/*/.ansible/tmp/**",
            "/etc/sudoers.d/packer*",
            "/tmp/vagrant-shell*",
        ]),
    ),
];

/// A source that the recipe does not declare and only the build could reach.
fn mirror(case: &Case<'_>) -> Option<String> {
    static HOST: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"[a-z+]{2,10}://(?:[^/@\s]*@)?(\[[0-9a-f:]+\]|[A-Za-z0-9.-]+)").expect("fixed")
    });
    let text = case.text();
    let found = lines(&text).find(|(_, line)| {
        HOST.captures_iter(line).any(|found| {
            let host = found[1].to_ascii_lowercase();
            !case.declared.any_host
                && !case.declared.hosts.contains(&host)
                && (case.declared.build_hosts.contains(&host) || is_private(&host))
        })
    });
    found.map(|(number, _)| format!("line {number}"))
}

/// Whether the name or address means something only where the build ran.
fn is_private(host: &str) -> bool {
    use std::net::{IpAddr, Ipv6Addr};
    let bare = host.trim_matches(['[', ']']);
    match bare.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => ip.is_private() || ip.is_loopback() || ip.is_link_local(),
        Ok(IpAddr::V6(ip)) => ip == Ipv6Addr::LOCALHOST || ip.segments()[0] & 0xfe00 == 0xfc00,
        Err(_) => {
            bare == "localhost"
                || [".local", ".internal", ".lan", ".localdomain", ".home.arpa"]
                    .iter()
                    .any(|end| bare.ends_with(end))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::{Declared, FileEntry};

    #[test]
    fn a_mirror_of_the_build_is_told_from_the_images_own() {
        let mut declared = Declared::default();
        declared.build_hosts.insert("mirror.build.example".into());
        declared.hosts.insert("10.9.9.9".into());
        for (text, found) in [
            ("deb http://10.0.2.2:3142/debian trixie main", true),
            ("URIs: http://mirror.build.example/debian", true),
            ("baseurl=http://cache.lan/fedora", true),
            ("deb http://public.example.org/debian trixie main", false),
            ("deb http://10.9.9.9/site trixie main", false),
            ("# deb http://10.0.2.2/debian trixie main", false),
        ] {
            let entry = FileEntry::new("/etc/apt/sources.list".into(), 0o100_644, (0, 0), 1);
            let case = Case {
                entry: &entry,
                content: text.as_bytes(),
                declared: &declared,
            };
            assert_eq!(mirror(&case).is_some(), found, "{text}");
        }
    }
}
