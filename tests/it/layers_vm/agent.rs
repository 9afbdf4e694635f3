//! Puppet's agent against a real server, Debian's `puppetserver`, on this host.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Child;

use super::world::{guest, puppet_and_store, tail, world};
use crate::patience::wait_for;
use crate::support::{Run as _, external};

/// What a guest on QEMU's own network calls its host.
const HOST: &str = "10.0.2.2";

/// A server with an authority of its own, which signs every request. Ends with its value.
struct Server {
    dir: tempfile::TempDir,
    child: Child,
    port: u16,
}

/// A port that nobody uses.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

impl Server {
    #[track_caller]
    fn new(site: &str) -> Self {
        let dir = tempfile::Builder::new()
            .prefix("imgforge-puppet-")
            .tempdir_in("/var/tmp")
            .unwrap();
        let at = dir.path();
        // It writes as the user of its package where it runs as root.
        fs::set_permissions(at, fs::Permissions::from_mode(0o755)).unwrap();
        let packaged = Path::new("/etc/puppet/puppetserver");
        for folder in ["conf.d", "services.d", "conf", "code", "var", "run", "log"] {
            fs::create_dir(at.join(folder)).unwrap();
        }
        for folder in ["conf.d", "services.d"] {
            for file in fs::read_dir(packaged.join(folder)).unwrap() {
                let file = file.unwrap();
                fs::copy(file.path(), at.join(folder).join(file.file_name())).unwrap();
            }
        }
        let settings = format!(
            "[main]\ncertname = puppet.test\nssldir = {0}/ssl\n\
             [server]\nautosign = true\ncadir = {0}/ca\n",
            at.display()
        );
        let puppet = fs::read_to_string(packaged.join("conf.d/puppetserver.conf")).unwrap();
        let own = [
            ("server-conf-dir: /etc/puppet\n", "conf"),
            ("server-code-dir: /etc/puppet/code\n", "code"),
            ("server-var-dir: /var/lib/puppetserver\n", "var"),
            ("server-run-dir: /run/puppetserver\n", "run"),
            ("server-log-dir: /var/log/puppetserver\n", "log"),
        ];
        let puppet = own.iter().fold(puppet, |text, (setting, folder)| {
            assert!(text.contains(setting), "{setting}");
            let name = setting.split(' ').next().unwrap();
            text.replace(setting, &format!("{name} {}\n", at.join(folder).display()))
        });
        let log = "<configuration><appender name=\"O\" class=\"ch.qos.logback.core.ConsoleAppender\">\
                   <encoder><pattern>%-5p %m%n</pattern></encoder></appender>\
                   <root level=\"info\"><appender-ref ref=\"O\"/></root></configuration>\n";
        let port = free_port();
        let web =
            format!("webserver: {{client-auth: want, ssl-host: 127.0.0.1, ssl-port: {port}}}\n");
        for (path, text) in [
            ("conf/puppet.conf", settings),
            ("conf.d/puppetserver.conf", puppet),
            ("conf.d/webserver.conf", web),
            (
                "conf.d/global.conf",
                format!("global: {{logging-config: {}/log.xml}}\n", at.display()),
            ),
            ("log.xml", log.to_owned()),
            ("restart", "0".to_owned()),
            (
                "code/environments/production/manifests/site.pp",
                site.to_owned(),
            ),
        ] {
            let path = at.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let out = fs::File::create(at.join("out")).unwrap();
        let child = external("java")
            .args(["-Xms256m", "-Xmx1g", "-Djruby.lib=/usr/share/jruby/lib"])
            .arg("-Djruby.logger.class=com.puppetlabs.jruby_utils.jruby.Slf4jLogger")
            .args(["-jar", "/usr/share/puppetserver/puppetserver.jar"])
            .arg("--config")
            .arg(at.join("conf.d"))
            .arg("--bootstrap-config")
            .arg(at.join("services.d"))
            .arg("--restart-file")
            .arg(at.join("restart"))
            .current_dir("/usr/share/puppetserver")
            .stderr(out.try_clone().unwrap())
            .stdout(out)
            .spawn()
            .expect("apt-get install puppetserver");
        let mut server = Server { dir, child, port };
        server.wait();
        server
    }

    /// Its restart file counts its starts.
    #[track_caller]
    fn wait(&mut self) {
        wait_for("the server's start", || {
            let ended = self.child.try_wait().unwrap();
            assert!(ended.is_none(), "{}", tail(&self.read("out")));
            self.read("restart").trim() == "1"
        });
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.dir.path().join(path)).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
#[ignore = "e2e: src/steps src/runner"]
fn e2e_two_builds_are_the_same_agent_of_a_real_server() {
    let server = Server::new(
        "node 'golden-web' {\n  file { '/etc/by-server': content => \"for ${facts['role']}\\n\" }\n}\n",
    );
    let world = world();
    // An agent may be older than its server, but not newer.
    world.image(
        "older",
        "install: {bootstrap: {suite: bookworm}}\nmachine: {disk: 3GiB, memory: 1GiB}\n",
    );
    world.write("puppet/ca.pem", server.read("ca/ca_crt.pem"));
    let port = server.port;
    world.opens(port);
    let of_role = |role: &str| {
        world.image(
            "agent",
            &format!(
                "from: older\nconfigure:\n- packages: [puppet-agent]\n\
                 - shell: {{run: 'echo {HOST} puppet.test >>/etc/hosts'}}\n- checkpoint\n\
                 - puppet:\n    agent: {{server: 'puppet.test:{port}', certname: golden-web, ca: puppet/ca.pem, \
                 facts: {{role: {role}}}}}\n"
            ),
        );
        let said = world.built("agent");
        assert!(said.contains("Puppet made its changes"), "{}", tail(&said));
        let disk = world.sealed_disk("agent");
        let disk = disk.to_str().unwrap();
        let wanted = format!("for {role}\n");
        assert_eq!(guest("virt-cat", &["-a", disk, "/etc/by-server"]), wanted);
        for place in ["/etc", "/var"] {
            let left = guest("virt-ls", &["-a", disk, "-R", place]);
            assert!(!left.contains("golden-web"), "{left}");
        }
    };
    of_role("web");
    let signed = server.read("ca/signed/golden-web.pem");
    assert!(signed.contains("BEGIN CERTIFICATE"));
    of_role("database");
    assert_eq!(server.read("ca/signed/golden-web.pem"), signed);

    let (keys, store) = puppet_and_store();
    let key = keys.join("golden-web.pem");
    assert_eq!(
        fs::metadata(&key).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let key = fs::read_to_string(&key).unwrap();
    let line = key.lines().nth(20).unwrap();
    let mut found = external("grep");
    let found = found.args(["-rlaF", "-e", line]).arg(&store).said();
    found.exits(1);
}
