//! Tests of `drive`.

use super::*;

#[test]
fn a_guest_boots_again_when_asked_or_when_it_had_not_begun() {
    let rebooted = End::Ended(Outcome::Rebooted);
    let none = Restarts::default;
    let had = |own| Restarts {
        own,
        ..Restarts::default()
    };
    let again = |end, report: &Journal| boots_again(end, report, true, false, &mut none());
    let fresh = Journal::default();
    let emergency = End::DeadEnd("systemd gave up");
    assert!(again(rebooted, &fresh) && again(End::Panicked, &fresh) && again(emergency, &fresh));
    let stuck = End::Stuck(std::time::Duration::from_secs(540));
    for stuck in [stuck, End::Stalled(std::time::Duration::from_secs(1080))] {
        assert!(again(stuck, &fresh));
        assert!(!boots_again(stuck, &fresh, false, true, &mut none()));
        assert!(!boots_again(stuck, &fresh, true, true, &mut had(1)));
    }
    assert!(!boots_again(emergency, &fresh, false, true, &mut none()));
    assert!(!boots_again(emergency, &fresh, true, true, &mut had(1)));
    assert!(!boots_again(
        End::Panicked,
        &fresh,
        false,
        true,
        &mut none()
    ));
    assert!(!boots_again(rebooted, &fresh, false, true, &mut had(3)));
    assert!(boots_again(rebooted, &fresh, false, true, &mut had(2)));
    // One that panics three times out of four has a fault of its own.
    assert!(!boots_again(End::Panicked, &fresh, true, true, &mut had(1)));
    let in_gate = |own| Restarts {
        gate: true,
        ..had(own)
    };
    assert!(boots_again(rebooted, &fresh, false, true, &mut in_gate(0)));
    assert!(!boots_again(rebooted, &fresh, false, true, &mut in_gate(1)));
    let lost = End::Ended(Outcome::Failed);
    assert!(boots_again(lost, &fresh, false, true, &mut in_gate(1)));
    assert!(boots_again(lost, &fresh, false, true, &mut none()));
    assert!(!boots_again(lost, &fresh, false, false, &mut none()) && !again(lost, &fresh));
    let begun = Journal {
        boots: 1,
        open: Some(1),
        ..Journal::default()
    };
    assert!(!again(rebooted, &begun) && !again(End::Panicked, &begun) && !again(stuck, &begun));
    assert!(!boots_again(lost, &begun, false, true, &mut none()));
    let asked = Journal {
        restarting: true,
        ..begun
    };
    assert!(boots_again(rebooted, &asked, false, true, &mut had(9)));
    let done = Journal {
        done: Some(0),
        ..fresh
    };
    assert!(!again(rebooted, &done));
}
