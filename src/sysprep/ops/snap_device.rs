use crate::error::Result;
use crate::sysprep::{GuestRoot, Operation};

pub(super) static OPERATION: Operation = Operation::files(
    "snap-device",
    "Remove the identity of snapd",
    "Removes the serial number and the keys under which snapd is registered with a store; \
     installed snaps stay, and snapd registers every machine again.",
    run,
)
.ours()
.gone(&["var/lib/snapd/device/private-keys-v1/Xq"]);

const KEYS: &[&str] = &[
    "/var/lib/snapd/device/*",
    "/var/lib/snapd/assertions/asserts-v0/serial",
    "/var/lib/snapd/assertions/asserts-v0/device-session-request",
];

const STATE: &str = "/var/lib/snapd/state.json";

fn run(root: &mut GuestRoot<'_>) -> Result<()> {
    root.remove(KEYS)?;
    root.edit(&[STATE], |text| {
        unregistered(text).unwrap_or_else(|| text.to_owned())
    })
}

/// The state without what a registration has put there; brand and model are the image's.
fn unregistered(text: &str) -> Option<String> {
    let mut state: serde_json::Value = serde_json::from_str(text).ok()?;
    let device = state.pointer_mut("/data/auth/device")?.as_object_mut()?;
    let before = device.len();
    for key in ["serial", "key-id", "session-macaroon"] {
        device.remove(key);
    }
    (device.len() != before).then(|| state.to_string())
}

#[cfg(test)]
mod tests {
    use super::unregistered;

    #[test]
    fn a_registration_is_taken_from_the_state_and_nothing_else() {
        let state = r#"{"data":{"auth":{"device":{"brand":"generic","key-id":"a","serial":"b"}},"snaps":{"x":1}}}"#;
        let left = unregistered(state).unwrap();
        assert_eq!(
            left,
            r#"{"data":{"auth":{"device":{"brand":"generic"}},"snaps":{"x":1}}}"#
        );
        for same in [left.as_str(), "{}", "no JSON"] {
            assert_eq!(unregistered(same), None, "{same}");
        }
    }
}
