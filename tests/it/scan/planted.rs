//! What the tests plant: a file for each rule.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

/// Rule, path, content: one row for each kind of leftover.
pub(super) fn planted() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let b64 = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7Yc3zq9vXwB2k";
    let pem = |kind: &str| {
        format!("-----BEGIN {kind}-----\n{b64}\n{b64}\n-----END {kind}-----\n").into_bytes()
    };
    let encoded = base64(&pem("RSA PRIVATE KEY"));
    let upper = "Q7ZXT4MWKB2LNR5H";
    let mixed = "aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zA1bC3dE5f";
    let hex = "3f9a1c7e5b2d80f64e1a9c3b7d5f2e08";
    let crypt = format!("$6$saltsalt${}", "aB3./".repeat(18)[..86].to_owned());
    let text = |text: String| text.into_bytes();
    let der = [&[0x30, 0x33, 2, 1, 1, 4, 0x20][..], &[7; 46]].concat();
    let jks = [
        &[0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1][..],
        &[9; 64],
    ]
    .concat();
    vec![
        // Keys.
        ("private-key", "root/.ssh/id_rsa", pem("RSA PRIVATE KEY")),
        ("private-key", "home/ann/.ssh/id_ed25519", pem("OPENSSH PRIVATE KEY")),
        ("private-key", "etc/ssl/private/site.key", pem("PRIVATE KEY")),
        ("private-key", "etc/ssl/private/enc.key", pem("ENCRYPTED PRIVATE KEY")),
        ("private-key", "etc/ssl/private/ec.pem", pem("EC PRIVATE KEY")),
        ("private-key", "root/key.asc", pem("PGP PRIVATE KEY BLOCK")),
        ("private-key", "opt/app/config.json", text(format!("{{\"k\": \"-----BEGIN PRIVATE KEY-----\\n{b64}\\n\"}}"))),
        ("encoded-private-key", "opt/app/kube.yaml", text(format!("client-key-data: {encoded}\n"))),
        ("putty-key", "root/key.ppk", text("PuTTY-User-Key-File-3: ssh-rsa\nEncryption: none\nPrivate-Lines: 2\nAAAA\n".into())),
        ("ssh1-key", "root/.ssh/identity", b"SSH PRIVATE KEY FILE FORMAT 1.1\n\0\0\0\0".to_vec()),
        ("age-key", "root/.config/age/key.txt", text(format!("AGE-SECRET-KEY-1{}\n", "QPZRY9X8GF".repeat(6)[..58].to_owned()))),
        ("wireguard-key", "etc/wireguard/wg0.conf", text(format!("[Interface]\nPrivateKey = {}E=\n", &mixed.repeat(2)[..42]))),
        ("wireguard-key-file", "etc/wireguard/private.key", text(format!("{}E=\n", &mixed.repeat(2)[..42]))),
        ("dnssec-key", "var/lib/bind/Kexample.private", text("Private-key-format: v1.3\nAlgorithm: 13\n".into())),
        ("tsig-key", "etc/bind/rndc.key", text("key \"rndc-key\" {\n algorithm hmac-sha256;\n secret \"c2VjcmV0IGtleSBvZiBybmRj\";\n};\n".into())),
        ("tor-key", "var/lib/tor/hs_ed25519_secret_key", b"== ed25519v1-secret: type0 ==\0\0\0key".to_vec()),
        ("openvpn-key", "etc/openvpn/ta.key", text(format!("-----BEGIN OpenVPN Static key V1-----\n{hex}\n-----END"))),
        ("jwk", "etc/letsencrypt/private_key.json", text(format!("{{\"n\": \"x\", \"kty\": \"RSA\", \"d\": \"{mixed}\"}}"))),
        ("signify-key", "root/release.sec", text(format!("untrusted comment: minisign encrypted secret key\n{}\n", mixed.repeat(3)))),
        ("gpg-secret-keys", "root/.gnupg/private-keys-v1.d/ABCD.key", text("(private-key)".into())),
        ("java-keystore", "opt/app/server.jks", jks),
        ("pkcs12", "opt/app/server.p12", vec![0x30; 80]),
        ("der-key", "opt/app/server.der", der),
        ("keytab", "etc/krb5.keytab", vec![5, 2, 0, 0, 0, 1]),
        ("disk-key", "etc/cryptsetup-keys.d/data.key", vec![1; 64]),
        ("vpn-secret", "etc/ipsec.secrets", text(": PSK \"between us\"\n".into())),
        ("authorized-keys", "root/.ssh/authorized_keys", text(format!("ssh-rsa AAAAB3NzaC1yc2E{b64} me\n"))),
        // Tokens.
        ("aws-access-key", "root/.aws/credentials", text(format!("[default]\naws_access_key_id = AKIA{upper}\naws_secret_access_key = {mixed}\n"))),
        ("aws-secret-key", "opt/app/.env", text(format!("AWS_SECRET_ACCESS_KEY={mixed}\n"))),
        ("gcp-service-account", "opt/app/gcp.json", text("{\"type\": \"service_account\"}".into())),
        ("gcp-api-key", "opt/app/maps.js", text(format!("key=AIza{}", &mixed[..35]))),
        ("gcp-token", "opt/app/gcp-oauth", text(format!("ya29.{mixed}\n"))),
        ("gcloud-login", "root/.config/gcloud/application_default_credentials.json", text("{}x".into())),
        ("azure-storage-key", "opt/app/azure.conf", text(format!("AccountName=a;AccountKey={}==;x", &mixed.repeat(3)[..86]))),
        ("azure-client-secret", "opt/app/azure-app", text(format!("{}8Q~{}\n", &mixed[..3], &mixed[..33]))),
        ("azure-login", "root/.azure/msal_token_cache.json", text("{ }".into())),
        ("github-token", "root/.config/ci", text(format!("ghp_{}\n", &mixed[..36]))),
        ("gitlab-token", "root/.config/glab", text(format!("glpat-{}\n", &mixed[..20]))),
        ("docker-auth", "root/.docker/config.json", text("{\"auths\": {\"r.example\": {\"auth\": \"YW5uOmh1bnRlcjI=\"}}}".into())),
        ("npm-token", "root/.npmrc", text("//r.example/:_authToken=0f1e2d3c4b5a69788796\n".into())),
        ("pypi-token", "root/.config/pypi", text(format!("pypi-AgEIcHlwaS5vcmc{}\n", mixed.repeat(2)))),
        ("pypi-login", "root/.pypirc", text("[pypi]\nusername = ann\npassword = hunter22\n".into())),
        ("rubygems-token", "opt/app/gems", text(format!("rubygems_{hex}{}\n", &hex[..16]))),
        ("package-registry-login", "root/.cargo/credentials.toml", text("[registry]\n".into())),
        ("cluster-token", "var/lib/rancher/k3s/server/token", text("K10::server:x\n".into())),
        ("kubeconfig", "root/.kube/config", text("users:\n- user:\n    token: abcdef0123456789\n".into())),
        ("vault-token", "opt/app/vault", text(format!("hvs.{mixed}\n"))),
        ("vault-login", "root/.vault-token", text("s.abcdef\n".into())),
        ("jwt", "opt/app/jwt", text("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U\n".into())),
        ("slack-token", "opt/app/slack", text("xoxb-123456789012-123456789012-AbCdEfGhIjKl\n".into())),
        ("stripe-key", "opt/app/stripe", text(format!("sk_live_{}\n", &mixed[..24]))),
        ("twilio-key", "opt/app/twilio", text(format!("SK{hex}\n"))),
        ("mail-service-key", "opt/app/sendgrid", text(format!("SG.{}.{}\n", &mixed[..22], &mixed.repeat(2)[..43]))),
        ("chat-bot-token", "opt/app/telegram", text(format!("110201543:{}\n", &mixed[..35]))),
        ("square-token", "opt/app/square", text(format!("sq0csp-{}\n", &mixed.repeat(2)[..43]))),
        ("ai-service-key", "opt/app/ai", text(format!("sk-{}T3BlbkFJ{}\n", &mixed[..20], &mixed[20..]))),
        ("hosting-token", "opt/app/hosting", text(format!("dop_v1_{hex}{hex}\n"))),
        ("artifactory-token", "opt/app/artifactory", text(format!("AKCp{}\n", &mixed.repeat(2)[..70]))),
        ("terraform-login", "root/.terraform.d/credentials.tfrc.json", text("{ }".into())),
        ("url-credentials", "home/ann/.git/config", text("url = https://ann:hunter22x@git.example/x.git\n".into())),
        ("git-credentials", "home/ann/.git-credentials", text("https://ann:x@git.example\n".into())),
        ("netrc", "root/.netrc", text("machine a login b password c\n".into())),
        ("database-login", "root/.pgpass", text("db:5432:app:ann:hunter22\n".into())),
        ("storage-login", "root/.config/rclone/rclone.conf", text("[s3]\nsecret = x\n".into())),
        ("wifi-password", "etc/wpa_supplicant/wpa_supplicant.conf", text("network={\n psk=\"between us\"\n}\n".into())),
        ("mail-login", "etc/postfix/sasl_passwd", text("mx.example ann:hunter22\n".into())),
        ("subversion-login", "root/.subversion/auth/svn.simple/ab", text("K 8\n".into())),
        ("registration-token", "etc/gitlab-runner/config.toml", text("[[runners]]\n".into())),
        ("secret-assignment", "etc/app.conf", text("db_password = hunter22x\n".into())),
        ("random-string", "etc/app2.conf", text(format!("x = \"{hex}\"\n"))),
        // Accounts.
        ("password-hash", "etc/shadow", text(format!("root:{crypt}:1:0:99999:7:::\nann::1:0:99999:7:::\n"))),
        ("empty-password", "etc/shadow", vec![]),
        ("second-root", "etc/passwd", text(format!("root:x:0:0::/root:/bin/sh\ntoor:{crypt}:0:0::/root:/bin/sh\n"))),
        ("password-in-passwd", "etc/passwd", vec![]),
        ("group-password", "etc/gshadow", text("adm:$6$abcdefgh:ann:\n".into())),
        ("password-backup", "etc/shadow-", text(format!("root:{crypt}:1::::::\n"))),
        ("web-password", "srv/site/.htpasswd", text("ann:$apr1$abcdefgh$0123456789012345678901\n".into())),
        ("password-hash-elsewhere", "srv/site/users.sql", text(format!("INSERT '{crypt}'\n"))),
        // Identity.
        ("machine-id", "etc/machine-id", text(format!("{hex}\n"))),
        ("ssh-host-key", "etc/ssh/ssh_host_ed25519_key.pub", text("ssh-ed25519 AAAA\n".into())),
        ("random-seed", "var/lib/systemd/random-seed", vec![3; 32]),
        ("credential-secret", "var/lib/systemd/credential.secret", vec![4; 32]),
        ("host-id", "etc/hostid", vec![1, 2, 3, 4]),
        ("storage-name", "etc/iscsi/initiatorname.iscsi", text("InitiatorName=iqn.1993-08.org.debian:01:ab\n".into())),
        ("disk-list", "etc/lvm/devices/system.devices", text("x".into())),
        ("cloud-init-state", "var/lib/cloud/data/instance-id", text("i-1\n".into())),
        ("dhcp-lease", "var/lib/dhcp/dhclient.eth0.leases", text("lease {}\n".into())),
        ("dhcp-server-state", "var/lib/dhcpd/dhcpd.leases", text("lease {}\n".into())),
        ("dhcp-id", "var/lib/NetworkManager/secret_key", text("nm-v2:".into())),
        ("network-card", "etc/udev/rules.d/70-persistent-net.rules", text("SUBSYSTEM\n".into())),
        ("network-address", "etc/sysconfig/network-scripts/ifcfg-eth0", text("HWADDR=52:54:00:00:00:01\n".into())),
        ("subscription", "etc/pki/consumer/cert.pem", text("x".into())),
        ("network-address", "etc/netplan/00-installer.yaml", text("      match: {macaddress: \"52:54:00:12:34:56\"}\n".into())),
        ("network-address", "etc/systemd/network/10-eth.network", text("[Match]\nMACAddress=52:54:00:12:34:56\n".into())),
        ("network-address", "etc/systemd/network/20-lan.network.d/card.conf", text("[Match]\nMACAddress=52:54:00:12:34:56\n".into())),
        ("network-address", "etc/cloud/cloud.cfg.d/90-installer-network.cfg", text("    mac_address: 52:54:00:12:34:56\n".into())),
        ("network-address", "etc/NetworkManager/system-connections/eth.nmconnection", text("[connection]\ninterface-name=enp1s0\n[ethernet]\n".into())),
        ("multipath-list", "etc/multipath/wwids", text("# by multipath\n/0QEMU/\n".into())),
        ("snap-device", "var/lib/snapd/state.json", text("{\"data\":{\"auth\":{\"device\":{\"serial\":\"5a9f\"}}}}".into())),
        ("snap-device", "var/lib/snapd/device/private-keys-v1/Xq", text("key".into())),
        ("ubuntu-pro", "var/lib/ubuntu-advantage/private/machine-token.json", text("{ }".into())),
        ("agent-id", "var/ossec/etc/client.keys", text("001 box any 0123\n".into())),
        ("agent-id", "var/lib/landscape/client/broker.bpickle", text("id".into())),
        ("survey-id", "etc/popularity-contest.conf", text(format!("MY_HOSTID=\"{hex}\"\n"))),
        ("agent-id", "etc/salt/minion_id", text("build\n".into())),
        // The build.
        ("build-proxy", "etc/apt/apt.conf.d/90proxy", text("Acquire::http::Proxy \"http://10.0.2.2:3142\";\n".into())),
        ("build-mirror", "etc/apt/sources.list.d/build.list", text("deb http://192.168.1.2/debian trixie main\n".into())),
        ("build-resolver", "etc/resolv.conf", text("nameserver 10.0.2.3\n".into())),
        ("installer-log", "var/log/installer/syslog", text("x\n".into())),
        ("installer-answers", "root/anaconda-ks.cfg", text("rootpw x\n".into())),
        ("installer-answers", "autoinstall.yaml", text("identity: x\n".into())),
        ("debconf-password", "var/cache/debconf/passwords.dat", text("Name: a/b\nValue: hunter22\n".into())),
        ("runner", "usr/lib/imgforge/start", text("x".into())),
        ("other-builder", "usr/lib/virt-sysprep/firstboot.sh", text("x".into())),
        // Traces.
        ("shell-history", "root/.bash_history", text("ls\n".into())),
        ("tool-history", "home/ann/.psql_history", text("select\n".into())),
        ("known-hosts", "root/.ssh/known_hosts", text("a ssh-rsa AAAA\n".into())),
        ("journal", "var/log/journal/ab/system.journal", text("x".into())),
        ("audit-log", "var/log/audit/audit.log", text("x\n".into())),
        ("login-record", "var/log/wtmp", vec![1; 384]),
        ("mail-spool", "var/mail/root", text("From x\n".into())),
        ("crash-dump", "var/crash/a.crash", text("x".into())),
        ("temporary-file", "tmp/notes", text("x".into())),
        ("editor-backup", "etc/ssh/sshd_config.bak", text("x".into())),
        ("scheduled-job", "var/spool/cron/crontabs/ann", text("* * * * * x\n".into())),
    ]
}

pub(super) fn base64(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}
