//! Every user of a host reaches its loopback.

use super::*;
use crate::host::exec::Program;
use crate::host::ours;

#[test]
fn only_the_guest_is_served() {
    let mirror = Mirror::start(|_| answer("200 OK", "", b"for the guest"));
    let world = World::new();
    let proxy = world.proxy(&[&mirror]);
    let port = proxy.port();
    let script = format!(
        "exec 3<>/dev/tcp/127.0.0.1/{port}; printf 'GET {DEB} HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3"
    );
    let ask = |bash: Program| bash.args(["-c", &script]).output().unwrap_or_default();
    assert!(ask(Program::new("bash")).ends_with(b"for the guest"));
    if ours::me() == 0 {
        // What connects a guest of root.
        let served = ask(Program::new("bash").as_user(0x7000_0001));
        assert!(served.ends_with(b"for the guest"));
        let (requests, logged) = (mirror.requests(), world.logged());
        for _ in 0..2 {
            assert_eq!(ask(Program::new("bash").as_user(65533)), b"");
        }
        assert_eq!(mirror.requests(), requests);
        let more = world.logged().replace(&logged, "");
        assert_eq!(more.matches("another user").count(), 1, "{more}");
    }
}
