#!/bin/bash
# The crate ssh-key reads no line of authorized_keys whose options have a blank inside of quotes
#
# Seen with: ssh-key 0.6.7 (the newest stable release), OpenSSH 9.2p1.
# Behaviour: sshd(8) and `ssh-keygen -l` read `command="a b" ssh-ed25519 AAAA…`; Entry::from_str splits at the
#   first blank, quoted or not, and answers with an error. Most forced commands have a blank.
# Output seen: `restrict: ok`, `command="a b": Err(…)`, while ssh-keygen prints the fingerprint of both.
set -euo pipefail
cd "$(mktemp -d)"
mkdir src
cat >Cargo.toml <<'END'
[package]
name = "probe"
version = "0.0.0"
edition = "2021"
[dependencies]
ssh-key = { version = "=0.6.7", default-features = false, features = ["std", "ecdsa"] }
END
cat >src/main.rs <<'END'
fn main() {
    for line in std::io::stdin().lines().map(Result::unwrap) {
        let read = line.parse::<ssh_key::authorized_keys::Entry>();
        println!("{}: {}", line.split(" ssh-").next().unwrap(), if read.is_ok() { "ok" } else { "error" });
    }
}
END
ssh-keygen -q -t ed25519 -N '' -C probe -f key
{ sed 's/^/restrict /' key.pub; sed 's/^/command="a b" /' key.pub; } >authorized_keys
[ "$(ssh-keygen -l -f authorized_keys | wc -l)" = 2 ] || { echo "ssh-keygen does not read both"; exit 1; }
cargo run -q --release <authorized_keys | tee said
if ! grep -qx 'restrict: ok' said || ! grep -qx 'command="a b": error' said; then
	echo "the crate reads it otherwise now"
	exit 1
fi
