//! Certificates that count and that do not, and the ways through a proxy.

use std::io::{Read as _, Write as _};

use imgforge::error::Error;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::world::*;
use crate::server::Nobody;
use crate::tunnels::Tunnels;

/// An authority of a site, and what it signs.
struct Authority {
    dir: tempfile::TempDir,
}

impl Authority {
    fn new() -> Authority {
        let authority = Authority {
            dir: tempfile::tempdir().unwrap(),
        };
        authority.self_signed("authority", "CA:TRUE");
        authority
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn openssl(&self, line: &str) {
        let openssl = Program::new("openssl").args(line.split(' '));
        openssl.dir(self.dir.path()).run().unwrap();
    }

    /// The authority's own certificate, in a file.
    fn file(&self) -> PathBuf {
        self.path("authority.pem")
    }

    fn self_signed(&self, name: &str, constraints: &str) {
        self.openssl(&format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
             -keyout {name}.key -out {name}.pem -subj /CN=127.0.0.1 \
             -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,{constraints}"
        ));
    }

    /// A certificate for a server with a name, for so many days from now on.
    fn sign(&self, name: &str, subject: &str, days: i32) {
        let extensions = format!("subjectAltName={subject}\n");
        std::fs::write(self.path("extensions"), extensions).unwrap();
        self.openssl(&format!(
            "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key \
             -out {name}.csr -subj /CN=server"
        ));
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA authority.pem -CAkey authority.key -CAcreateserial \
             -days {days} -extfile extensions -out {name}.pem"
        ));
    }

    /// A server of the world's repository with a certificate.
    fn server(&self, world: &World, name: &str) -> Server {
        let chain = CertificateDer::pem_file_iter(self.path(&format!("{name}.pem"))).unwrap();
        let key = PrivateKeyDer::from_pem_file(self.path(&format!("{name}.key"))).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain.map(|one| one.unwrap()).collect(), key)
            .unwrap();
        let root = world.path("repo");
        Server::secure(Arc::new(config), move |request, _| {
            Answer::directory(request, &root)
        })
    }
}

/// A pull by the program, as a user of `https:` runs it; the environment has no proxies.
fn pull(machine: &Machine, world: &World, url: &str) -> Program {
    let program = machine.program();
    let program = [
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "no_proxy",
        "SSL_CERT_FILE",
    ]
    .into_iter()
    .fold(program, |program, name| program.env(name, ""));
    program
        .args(["pull", &format!("{url}#web"), "-o", "disk.raw", "--key"])
        .arg(world.path("repo/imgforge.gpg"))
}

fn refused(machine: &Machine, program: Program) -> Error {
    let error = program.run().unwrap_err();
    let names = std::fs::read_dir(machine.path("")).unwrap();
    let names: Vec<_> = names.map(|name| name.unwrap().file_name()).collect();
    assert_eq!(names, ["state"], "{}", error.render());
    error
}

#[test]
fn a_sites_own_authority_is_named_by_the_environment_or_the_host() {
    let (world, disk) = one_image();
    let authority = Authority::new();
    authority.sign("server", "IP:127.0.0.1", 30);
    let server = authority.server(&world, "server");
    let machine = Machine::new(&world);
    pull(&machine, &world, &server.text(""))
        .env("SSL_CERT_FILE", authority.file())
        .run()
        .unwrap();
    machine.has(&disk);
    assert!(
        blob_requests(&server).iter().any(Option::is_some),
        "parts are asked for through TLS, too"
    );

    // The host's bundle, for this process only.
    let machine = Machine::new(&world);
    let line = format!(
        "mount --bind '{}' /etc/ssl/certs/ca-certificates.crt && exec \"$@\"",
        authority.file().display()
    );
    Program::new("sh")
        .in_namespaces(&["-rm"])
        .args(["-c", &line, "sh"])
        .arg(crate::support::IMGFORGE)
        .arg("-C")
        .arg(machine.path(""))
        .arg("--state")
        .arg(machine.path("state"))
        .args([
            "pull",
            &format!("{}#web", server.text("")),
            "-o",
            "disk.raw",
            "--key",
        ])
        .arg(world.path("repo/imgforge.gpg"))
        .env("SSL_CERT_FILE", "")
        .run()
        .unwrap();
    machine.has(&disk);

    // A server's own certificate is as good, if it is no authority's.
    authority.self_signed("alone", "CA:FALSE");
    let server = authority.server(&world, "alone");
    let machine = Machine::new(&world);
    pull(&machine, &world, &server.text(""))
        .env("SSL_CERT_FILE", authority.path("alone.pem"))
        .run()
        .unwrap();
    machine.has(&disk);
}

#[test]
fn a_certificate_that_does_not_count_is_refused_at_once_with_what_to_do() {
    let (world, _) = one_image();
    let authority = Authority::new();
    authority.sign("server", "IP:127.0.0.1", 30);
    authority.sign("other", "DNS:other.example.org", 30);
    authority.sign("expired", "IP:127.0.0.1", -1);
    let stranger = Authority::new();
    let machine = Machine::new(&world);
    for (certificate, trusted, sentence, hint) in [
        (
            "server",
            stranger.file(),
            "not signed by an authority that this host trusts",
            "SSL_CERT_FILE=FILE",
        ),
        (
            "other",
            authority.file(),
            "is for other names",
            "with a name of the certificate",
        ),
        ("expired", authority.file(), "has expired", "clock"),
        (
            "authority",
            authority.file(),
            "is one of an authority",
            "CA:FALSE",
        ),
    ] {
        let server = authority.server(&world, certificate);
        let program = pull(&machine, &world, &server.text("")).env("SSL_CERT_FILE", trusted);
        let text = refused(&machine, program).render();
        assert!(
            text.contains(sentence) && text.contains(hint),
            "{certificate}: {text}"
        );
        assert!(!text.contains("trying again"), "{text}");
        assert!(server.requests().is_empty(), "nothing was asked for");
    }

    // What web servers answer at a port without TLS.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let plain = std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        let read = connection.read(&mut [0; 4096]).unwrap();
        connection
            .write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            .unwrap();
        read
    });
    let text = refused(&machine, pull(&machine, &world, &url)).render();
    assert!(text.contains("the server does not speak TLS"), "{text}");
    assert!(plain.join().unwrap() > 0);

    let empty = machine.path("state/empty.pem");
    std::fs::write(&empty, "nothing").unwrap();
    let program = pull(&machine, &world, &url).env("SSL_CERT_FILE", &empty);
    let text = refused(&machine, program).render();
    assert!(text.contains("which has no certificates"), "{text}");
}

#[test]
fn https_goes_through_the_tunnel_of_a_proxy() {
    let (world, disk) = one_image();
    let authority = Authority::new();
    authority.sign("server", "DNS:images.invalid", 30);
    let server = authority.server(&world, "server");
    let machine = Machine::new(&world);
    let url = "https://images.invalid:8443/";
    let with = |proxy: &str| {
        pull(&machine, &world, url)
            .env("SSL_CERT_FILE", authority.file())
            .env("https_proxy", proxy)
    };

    let tunnels = Tunnels::to(server.address(), Some("Basic bWU6c2VjcmV0"));
    let text = refused(&machine, with(&tunnels.text())).render();
    assert!(text.contains("the proxy answered 407"), "{text}");
    assert!(text.contains("https_proxy=http://USER:PASSWORD@"), "{text}");
    assert_eq!(tunnels.hosts().len(), 1, "it is not asked again");

    with(&tunnels.text().replace("http://", "http://me:secret@"))
        .run()
        .unwrap();
    machine.has(&disk);
    let hosts = tunnels.hosts();
    assert!(
        hosts.iter().all(|host| host == "images.invalid:8443"),
        "{hosts:?}"
    );
}

#[test]
fn no_proxy_names_what_is_reached_directly() {
    let (world, disk) = one_image();
    let server = Server::of(&world.path("repo"));
    let nobody = Nobody::new();
    let dead = format!("http://{}", nobody.address);
    for (no_proxy, proxy) in [
        ("localhost,127.0.0.0/8", dead.as_str()),
        ("127.0.0.1", "socks5://127.0.0.1:1"),
    ] {
        let machine = Machine::new(&world);
        pull(&machine, &world, &server.text(""))
            .env("http_proxy", proxy)
            .env("no_proxy", no_proxy)
            .run()
            .unwrap();
        machine.has(&disk);
    }
    let machine = Machine::new(&world);
    let program = pull(&machine, &world, &server.text(""));
    let program = program.env("all_proxy", "socks5://127.0.0.1:1");
    let text = refused(&machine, program).render();
    assert!(text.contains("all_proxy does not name a proxy"), "{text}");
}
