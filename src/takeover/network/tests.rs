//! Networks, as `ip` describes them.

use super::*;

/// As `ip -json address show` prints one; `info` are its addresses.
fn link(name: &str, more: &str, info: &str) -> String {
    format!(
        r#"{{"ifindex":2,"ifname":"{name}","flags":["UP"],"link_type":"ether","address":"52:54:00:12:34:56"{more},
            "addr_info":[{info}]}}"#
    )
}

const FIXED: &str = r#"{"family":"inet","local":"192.0.2.7","prefixlen":24,"scope":"global"}"#;
const DYNAMIC: &str =
    r#"{"family":"inet","local":"192.0.2.7","prefixlen":24,"scope":"global","dynamic":true}"#;
const SIX: &str = r#"{"family":"inet6","local":"2001:db8::7","prefixlen":64,"scope":"global"}"#;
const LOCAL: &str = r#"{"family":"inet6","local":"fe80::1","prefixlen":64,"scope":"link"}"#;
const WAY: &str =
    r#"{"dst":"default","gateway":"192.0.2.1","dev":"eth0","protocol":"static","metric":5}"#;
const OTHER: &str = r#"{"dst":"default","gateway":"192.0.2.2","dev":"eth0","metric":100}"#;
const WAY6: &str = r#"{"dst":"default","gateway":"fe80::99","dev":"eth0"}"#;

fn told(links: &[String], v4: &[&str], v6: &str) -> Result<String> {
    let sys = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(sys.path().join("class/net/eth0/device")).unwrap();
    let running = Running {
        addresses: &format!("[{}]", links.join(",")),
        routes: [&format!("[{}]", v4.join(",")), v6],
        servers: "nameserver 127.0.0.1\nnameserver 192.0.2.53\nnameserver fe80::1%eth0\n",
        sys: sys.path(),
    };
    cards(&running).map(|found| found.to_string())
}

#[test]
fn the_network_is_kept_as_it_is_now() {
    let eth0 = |info: &str| link("eth0", "", info);
    let mac = "network: 52:54:00:12:34:56";
    for (links, v4, v6, said) in [
        (
            vec![
                eth0(&format!("{FIXED},{SIX},{LOCAL}")),
                link("docker0", "", FIXED),
            ],
            vec![OTHER, WAY],
            format!("[{WAY6}]"),
            format!(
                "{mac} 192.0.2.7/24 2001:db8::7/64 via 192.0.2.1 fe80::99, name servers 192.0.2.53 (without docker0)"
            ),
        ),
        (
            vec![eth0(&format!("{DYNAMIC},{LOCAL}"))],
            vec![r#"{"dst":"default","gateway":"192.0.2.1","dev":"eth0","protocol":"dhcp"}"#],
            String::new(),
            format!("{mac} by DHCP"),
        ),
        (
            vec![link("eth0", r#","permaddr":"52:54:00:00:00:01""#, DYNAMIC)],
            vec![],
            String::new(),
            "network: 52:54:00:00:00:01 by DHCP".into(),
        ),
    ] {
        assert_eq!(told(&links, &v4, &v6).unwrap(), said);
    }
}

#[test]
fn a_network_that_a_machine_file_cannot_say_is_refused() {
    let eth0 = |info: &str| link("eth0", "", info);
    let over = |name: &str| WAY.replace("eth0", name);
    for (links, v4, why) in [
        (
            vec![eth0(&format!("{DYNAMIC},{SIX}"))],
            vec![],
            "by DHCP and others",
        ),
        (
            vec![link("eth0", r#","master":"bond0""#, "")],
            vec![],
            "eth0 is part of bond0",
        ),
        (
            vec![eth0(""), link("br0", "", FIXED)],
            vec![over("br0")],
            "everything is sent over br0",
        ),
        (
            vec![eth0(FIXED)],
            vec![r#"{"dst":"10.0.0.0/8","gateway":"192.0.2.9","dev":"eth0"}"#.into()],
            "a route to 10.0.0.0/8",
        ),
        (
            vec![eth0(&FIXED.replace(
                "\"prefixlen\"",
                "\"address\":\"192.0.2.9\",\"prefixlen\"",
            ))],
            vec![],
            "a line between two machines",
        ),
        (
            vec![eth0(FIXED)],
            vec![r#"{"dst":"default","nexthops":[{"gateway":"192.0.2.9"}]}"#.into()],
            "several next hops",
        ),
        (vec![eth0(LOCAL)], vec![], "no network card has an address"),
    ] {
        let v4: Vec<&str> = v4.iter().map(String::as_str).collect();
        let error = told(&links, &v4, "").unwrap_err();
        assert!(error.causes()[0].contains(why), "{why}: {}", error.render());
    }
}
