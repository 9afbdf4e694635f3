//! Builds with a shared store, as people type them.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;

use crate::support::registry::{Kind, Service};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::json;

use crate::server::{Answer, Server};
use crate::support::{Run as _, World, names, tool, under};

const SMALL: [&str; 4] = ["build", "small", "--until", "install"];

/// A recipe repository whose builds ask a registry, and put there what they make.
struct Shared {
    world: World,
    service: Service,
}

impl Shared {
    fn new(kind: Kind) -> Self {
        let world = World::importing();
        let service = Service::start(&world.path("registry"), kind);
        let shared = Shared { world, service };
        let key = shared.world.signer().public_key().unwrap();
        shared.world.write("signers.gpg", key);
        shared.configure("push: true");
        shared
    }

    fn configure(&self, more: &str) {
        let remote = self.service.oci("imgforge");
        self.world.configure(&format!(
            "store: {{remote: '{remote}', allowed-signers: signers.gpg, {more}}}\n"
        ));
    }

    /// Another builder signs with the same key.
    fn gives_key(&self, state: &str) {
        let (from, to) = (self.world.path("state/gnupg"), self.world.path(state));
        DirBuilder::new().mode(0o700).create(&to).unwrap();
        let [from, to] = [from, to].map(|path| path.to_str().unwrap().to_owned());
        tool("cp", &["-a", &from, &to]);
    }

    /// Another builder, with nothing in its store.
    fn elsewhere(&self, name: &str, args: &[&str]) -> Vec<String> {
        let state = self.world.path(name).to_str().unwrap().to_owned();
        [&["--state", &state], args]
            .concat()
            .iter()
            .map(|word| (*word).to_owned())
            .collect()
    }
}

fn words(all: &[String]) -> Vec<&str> {
    all.iter().map(String::as_str).collect()
}

#[test]
fn a_second_builder_fetches_what_the_first_has_made() {
    let mut shared = Shared::new(Kind::default());
    let made = shared.world.ok(&SMALL);
    made.says(&["put the install stage of small into oci://127.0.0.1:"]);
    // A build without work asks nobody, wherever.
    shared.service.restart(Kind::default());
    shared.world.ok(&SMALL);
    assert_eq!(shared.service.requests(), [""; 0]);

    let status = shared.elsewhere("second", &["status", "--remote"]);
    shared
        .world
        .run(&words(&status))
        .prints(&["3 to run, 1 to fetch"]);
    let plan = shared.elsewhere(
        "second",
        &["plan", "small", "--remote", "--until", "install"],
    );
    shared.world.ok(&words(&plan)).prints(&["fetch"]);
    let plan = shared.elsewhere("second", &["plan", "small", "--until", "install"]);
    shared.world.ok(&words(&plan)).prints(&[" run"]);
    assert!(
        !shared.world.path("second").exists(),
        "to look writes nothing"
    );

    shared.service.restart(Kind::default());
    let build = shared.elsewhere("second", &SMALL);
    let said = shared.world.ok(&words(&build));
    said.says(&["fetched the install stage of small from oci://127.0.0.1:"]);
    assert!(
        shared.service.requests().len() <= 2,
        "{:?}",
        shared.service.requests()
    );
    shared.world.ok(&words(&build));
    assert!(shared.service.requests().len() <= 2);
    // Who wants nothing of it makes its own.
    let alone = shared.elsewhere("third", &[&SMALL[..], &["--no-remote"]].concat());
    let said = shared.world.ok(&words(&alone));
    assert!(!said.all().contains("oci://"), "{}", said.all());
    // Without the first one's key, there is nothing.
    let other = shared.elsewhere("fourth", &SMALL);
    shared.world.write(
        "signers.gpg",
        std::fs::read("/usr/share/keyrings/debian-archive-keyring.gpg").unwrap(),
    );
    let said = shared.world.ok(&words(&other));
    said.says(&["is not used: the key that signed is not among the trusted ones"]);
}

#[test]
fn a_registry_that_fails_makes_a_build_slower_and_no_more() {
    let mut shared = Shared::new(Kind {
        readonly: true,
        ..Kind::default()
    });
    let said = shared.world.ok(&SMALL).all();
    assert_eq!(said.matches("warning").count(), 1, "{said}");
    assert!(
        said.contains("continues without putting anything into"),
        "{said}"
    );
    shared.service.kill();
    let down = shared.elsewhere("second", &SMALL);
    let said = shared.world.ok(&words(&down)).all();
    assert!(said.contains("continues without asking"), "{said}");
}

#[test]
fn a_registry_with_users_takes_the_login_of_podman_and_of_docker() {
    let shared = Shared::new(Kind {
        locked: true,
        ..Kind::default()
    });
    let host = shared.service.address().to_string();
    let said = shared.world.ok(&SMALL).all();
    assert!(said.contains(&format!("podman login {host}")), "{said}");
    // What `podman login` writes, and what `docker login` does with a helper.
    let auth = "YnVpbGRlcjpodW50ZXIy";
    shared.world.write(
        "auth.json",
        format!(r#"{{"auths":{{"{host}":{{"auth":"{auth}"}}}}}}"#),
    );
    shared.world.write(
        "docker/config.json",
        format!(r#"{{"credHelpers":{{"{host}":"site"}}}}"#),
    );
    let answer = r#"read host; echo "$host" > "${0%/*}/asked"; echo '{"ServerURL":"x","Username":"builder","Secret":"hunter2"}'"#;
    let path = shared.world.script("docker-credential-site", answer);
    let (file, docker) = (shared.world.path("auth.json"), shared.world.path("docker"));
    for (state, name, value, done) in [
        (
            "by-podman",
            "REGISTRY_AUTH_FILE",
            &file,
            "put the install stage of small into",
        ),
        (
            "by-docker",
            "DOCKER_CONFIG",
            &docker,
            "fetched the install stage of small from",
        ),
    ] {
        shared.gives_key(state);
        let build = shared.elsewhere(state, &SMALL);
        let mut build = shared.world.command(&words(&build));
        let said = build.env(name, value).env("PATH", &path).said().ok();
        let said = said.says(&[done]).all();
        assert!(!said.contains("hunter2") && !said.contains(auth), "{said}");
        assert!(!said.contains("warning"), "{said}");
    }
    assert_eq!(shared.world.read("bin/asked").trim(), host);
}

#[test]
fn whose_entries_count_has_to_be_said() {
    let world = World::importing();
    world.configure("store: {remote: 'oci://registry.example.org/imgforge'}\n");
    world
        .run(&SMALL)
        .exits(2)
        .says(&["`remote` needs `allowed-signers`"]);
    world.configure("store: {remote: 'registry.example.org', allowed-signers: x}\n");
    world.run(&SMALL).exits(2).says(&["oci://HOST/NAME"]);
    world.configure("store: {allowed-signers: nowhere}\n");
    let with = [&SMALL[..], &["--remote", "oci://127.0.0.1:9/x"]].concat();
    world
        .run(&with)
        .exits(2)
        .says(&["nowhere, which has the trusted keys of the shared store"]);
    world.configure("");
    world
        .run(&with)
        .exits(2)
        .says(&["`store: {allowed-signers: FILE}`"]);
}

/// A service of tokens, as registries have one: who has the password gets a token that the registry takes.
fn token_service(world: &World) -> (Server, String) {
    let at = |name: &str| world.path(name).to_str().unwrap().to_owned();
    let (key, certificate, text) = (at("key.pem"), at("cert.pem"), at("signed"));
    let new = [
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=tokens",
    ];
    tool(
        "openssl",
        &[&new[..], &["-keyout", &key, "-out", &certificate]].concat(),
    );
    let pem = world.read("cert.pem");
    let der: String = pem
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .collect();
    let head = json!({"typ": "JWT", "alg": "RS256", "x5c": [der]});
    let may = json!([{"type": "repository", "name": "imgforge", "actions": ["pull", "push"]}]);
    let claims = json!({
        "iss": "tokens", "sub": "builder", "aud": "registry", "jti": "1",
        "exp": 4_102_444_800_u64, "nbf": 1, "iat": 1, "access": may,
    });
    let [head, claims] = [head, claims].map(|part| BASE64_URL_SAFE_NO_PAD.encode(part.to_string()));
    world.write("text", format!("{head}.{claims}"));
    tool(
        "openssl",
        &["dgst", "-sha256", "-sign", &key, "-out", &text, &at("text")],
    );
    let signature = BASE64_URL_SAFE_NO_PAD.encode(std::fs::read(&text).unwrap());
    let token = format!("{head}.{claims}.{signature}");
    let answer = json!({"token": token, "expires_in": 300}).to_string();
    let server = Server::start(move |request, _| match request.header("authorization") {
        Some("Basic YnVpbGRlcjpodW50ZXIy") => Answer::of(answer.as_bytes()),
        _ => Answer::status(401),
    });
    let realm = server.text("token");
    let config = format!(
        "auth: {{token: {{realm: '{realm}', service: registry, issuer: tokens, rootcertbundle: '{certificate}'}}}}\n"
    );
    (server, config)
}

#[test]
fn a_registry_that_wants_tokens_gets_one_for_the_password() {
    let mut shared = Shared::new(Kind::default());
    let (server, config) = token_service(&shared.world);
    shared.service.want_tokens(config);
    let host = shared.service.address().to_string();
    let said = shared.world.ok(&SMALL).all();
    assert!(said.contains(&format!("podman login {host}")), "{said}");
    shared.world.write(
        "auth.json",
        format!(r#"{{"auths":{{"{host}":{{"auth":"YnVpbGRlcjpodW50ZXIy"}}}}}}"#),
    );
    let file = shared.world.path("auth.json");
    for (state, done) in [
        ("first", "put the install"),
        ("second", "fetched the install"),
    ] {
        shared.gives_key(state);
        server.forget();
        let build = shared.elsewhere(state, &SMALL);
        let mut build = shared.world.command(&words(&build));
        let said = build
            .env("REGISTRY_AUTH_FILE", &file)
            .said()
            .ok()
            .says(&[done])
            .all();
        assert!(!said.contains("warning") && !said.contains("eyJ"), "{said}");
        let asked: Vec<String> = server
            .requests()
            .into_iter()
            .map(|asked| asked.path)
            .collect();
        assert!((1..=2).contains(&asked.len()), "{asked:?}");
        let scope = "scope=repository%3Aimgforge%3Apull";
        assert!(asked.iter().all(|path| path.contains(scope)), "{asked:?}");
    }
}

/// Neither a registry without room, nor a builder without, has half an entry.
#[test]
fn a_full_disk_on_either_side_leaves_no_half_entry() {
    let mut shared = Shared::new(Kind {
        full: true,
        ..Kind::default()
    });
    // What zstd makes no smaller.
    let mut disk = vec![0; 4 << 20];
    blake3::Hasher::new().finalize_xof().fill(&mut disk);
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    shared.world.write("files/disk.raw", disk);
    let said = shared.world.ok(&SMALL).all();
    assert_eq!(
        said.matches("continues without putting").count(),
        1,
        "{said}"
    );
    shared.service.restart(Kind::default());
    let key = shared.world.stored().remove(0);
    assert!(
        !shared
            .service
            .client("imgforge")
            .has_manifest(&key)
            .unwrap()
    );

    shared.gives_key("second");
    let second = shared.elsewhere("second", &SMALL);
    shared.world.ok(&words(&second)).says(&["put the install"]);
    let third = shared.elsewhere("third", &SMALL);
    let limited = shared.world.command(&words(&third));
    let said = under(&["prlimit", "--fsize=200000", "--"], &limited).said();
    assert_ne!(said.code, Some(0));
    let said = said.says(&["continues without asking"]).all();
    let left = names(&shared.world.path("third/store"));
    assert!(!left.contains(&key), "{left:?} {said}");
    shared
        .world
        .ok(&words(&third))
        .says(&["fetched the install"]);
    assert_eq!(names(&shared.world.path("third/store")), [key]);
}
