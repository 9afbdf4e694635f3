use super::*;
use crate::machine::Arch;

fn at(address: &str) -> Address {
    address.parse().unwrap()
}

fn debian() -> Mirrors {
    Mirrors {
        distro: distro::by_id("debian"),
        main: vec![
            "http://a.example/debian".into(),
            "https://b.example/debian".into(),
        ],
        security: vec!["http://a.example/debian-security".into()],
        sources: "Types: deb\n".into(),
    }
}

fn text(vars: &BTreeMap<String, String>) -> String {
    let lines = vars
        .iter()
        .map(|(name, value)| format!("{name}={}\n", value.trim()));
    lines.collect()
}

#[test]
fn a_guest_on_the_user_network_sees_only_the_proxy() {
    let mirrors = debian();
    let routes = mirrors.routes(None);
    let vars = variables(
        &mirrors,
        None,
        &routes,
        Some(4000),
        Some("http://127.0.0.1:3128"),
    );
    insta::assert_snapshot!(text(&vars), @r"
    imgforge_mirror=http://10.0.2.2:4000/debian
    imgforge_mirror_host=10.0.2.2:4000
    imgforge_mirror_path=/debian
    imgforge_packages=openssh-server libpam-systemd dbus ca-certificates
    imgforge_proxy=
    imgforge_security=http://10.0.2.2:4000/debian-security
    imgforge_security_host=10.0.2.2:4000
    imgforge_security_path=/debian-security
    imgforge_sources=Types: deb
    imgforge_tree=
    ");
}

#[test]
fn another_guest_goes_to_the_mirror_with_the_hosts_proxy() {
    let mirrors = debian();
    let routes = mirrors.routes(None);
    let vars = variables(
        &mirrors,
        None,
        &routes,
        None,
        Some("http://proxy.example:3128"),
    );
    assert_eq!(vars["imgforge_mirror"], "http://a.example/debian");
    assert_eq!(vars["imgforge_proxy"], "http://proxy.example:3128");
}

#[test]
fn a_tree_is_below_its_mirror_where_one_is_known() {
    let rocky = distro::by_id("rocky").unwrap();
    let ends = rocky.tree_ends(Arch::default());
    let tree = "https://m.example/rocky/10/BaseOS/x86_64/os/";
    let main = named(&Mirror::Host, &[], &ends, Some(tree));
    assert_eq!(main, ["https://m.example/rocky/10"]);
    let mirrors = Mirrors {
        distro: Some(rocky),
        main,
        ..Mirrors::default()
    };
    let routes = mirrors.routes(Some(tree));
    assert_eq!(routes.len(), 1);
    let vars = variables(&mirrors, Some(tree), &routes, Some(4000), None);
    assert_eq!(
        vars["imgforge_tree"],
        "http://10.0.2.2:4000/rocky/BaseOS/x86_64/os"
    );
    let elsewhere = "http://other.example/tree";
    assert!(named(&Mirror::Host, &[], &ends, Some(elsewhere)).is_empty());
    let routes = Mirrors::default().routes(Some(elsewhere));
    assert_eq!(routes, [Route::new("tree", [elsewhere])]);
}

#[test]
fn the_recipe_goes_before_the_site() {
    let rocky = distro::by_id("rocky").unwrap();
    let ends = rocky.tree_ends(Arch::default());
    let site = ["https://a.example/r/", "https://b.example/r"].map(at);
    assert_eq!(
        named(&Mirror::Host, &site, &ends, None),
        ["https://a.example/r", "https://b.example/r"]
    );
    assert_eq!(
        named(&Mirror::At(at("https://c.example/")), &site, &ends, None),
        ["https://c.example"]
    );
    let (debian, trixie) = distro::suite("trixie").unwrap();
    let archive = Archive {
        main: "https://b.example/debian".into(),
        security: Some("https://b.example/debian-security".into()),
    };
    let site = ["https://a.example/debian/", "https://b.example/debian"].map(at);
    let table = distro::by_id("debian").unwrap();
    let mirrors = of_archive(table, debian, trixie, archive.clone(), &Mirror::Host, &site);
    assert_eq!(
        mirrors.main,
        ["https://b.example/debian", "https://a.example/debian"]
    );
    assert_eq!(mirrors.security.len(), 2);
    let alone = of_archive(
        table,
        debian,
        trixie,
        archive,
        &Mirror::At(at("https://b.example/debian")),
        &site,
    );
    assert_eq!(alone.main, ["https://b.example/debian"]);
}

#[test]
fn loopback_has_another_address_in_the_guest() {
    assert_eq!(
        for_guest("http://127.0.0.1:8099/debian"),
        "http://10.0.2.2:8099/debian"
    );
    assert_eq!(
        for_guest("http://localhost/debian"),
        "http://10.0.2.2/debian"
    );
    assert_eq!(
        for_guest("http://localhost.example/x"),
        "http://localhost.example/x"
    );
    assert_eq!(
        for_guest("https://a.example/127.0.0.1"),
        "https://a.example/127.0.0.1"
    );
}

#[test]
fn a_place_below_an_unknown_mirror_says_what_to_add() {
    let error = no_mirror(distro::by_id("fedora"));
    insta::assert_snapshot!(error.render(), @r"
    error: no mirror of Fedora is known
    hint: add `mirrors: {fedora: [https://…]}` to imgforge.yaml, or `mirrors: {build: https://…}` to the recipe
    ");
}

#[test]
fn other_networks_do_not_reach_the_hosts_loopback() {
    let routes = |mirror: &str| vec![Route::new("debian", [mirror.to_owned()])];
    let away = routes("http://mirror.example/debian");
    assert!(
        reachable(
            &Network::Named("default".into()),
            &away,
            Some("http://proxy.example:3128")
        )
        .is_ok()
    );
    assert!(reachable(&Network::Named("default".into()), &[], None).is_ok());
    let errors = [
        reachable(
            &Network::Named("default".into()),
            &routes("http://127.0.0.1:8099/debian"),
            None,
        ),
        reachable(
            &Network::Bridge("br0".into()),
            &away,
            Some("http://me:secret@localhost:3128"),
        ),
    ];
    let texts = errors.map(|error| error.unwrap_err().render());
    insta::assert_snapshot!(texts.join("\n"), @r"
        error: a guest on the network `default` does not reach the mirror, http://127.0.0.1:8099/debian: it is on this host's loopback
        hint: give it an address that the guest's network reaches, or write `machine: {network: user}`

        error: a guest on the network `bridge:br0` does not reach http_proxy, http://localhost:3128/: it is on this host's loopback
        hint: give it an address that the guest's network reaches, or write `machine: {network: user}`
        ");
}

#[test]
fn what_an_installer_fetches_past_the_proxy_is_told() {
    let routes = [Route::new("debian", ["http://me:s3cret@a.example/debian"])];
    let record = unseen(&routes);
    let told: Vec<&String> = record.not_locked.iter().collect();
    assert_eq!(told, ["http://a.example/debian"]);
    let network = "bridge:br0".parse().unwrap();
    let error = unbound("web.lock", &network).render();
    assert!(
        error.contains("web.lock binds only guests") && error.contains("br0"),
        "{error}"
    );
}
