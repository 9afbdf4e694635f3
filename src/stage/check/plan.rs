//! Which two machines the clones are.

use std::collections::BTreeSet;

use crate::hypervisor::Nic;
use crate::machine::{Firmware, Network};

/// Network cards that the second clone may have, by the names of their drivers; the first that
/// the image's kernel has.
const MODELS: &[&str] = &["e1000e", "e1000", "vmxnet3", "igb"];

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CloneMachine {
    /// `a` or `b`.
    pub(super) name: String,
    pub(super) firmware: Firmware,
    /// Its network card.
    pub(super) nic: Nic,
    /// Another card, which leads nowhere: a machine comes up with one network.
    pub(super) idle: Option<Nic>,
}

/// The second clone is another machine wherever the image may be.
pub(super) fn plan(firmware: Firmware, models: &BTreeSet<String>) -> [CloneMachine; 2] {
    let [one, other] = firmware.of_two();
    let model = MODELS.iter().find(|model| models.contains(**model));
    // Random: gates that run at the same time may share a network.
    let random = uuid::Uuid::new_v4().into_bytes();
    let nic = |model: &str, last: u8, slot| Nic {
        model: model.into(),
        mac: Some(format!(
            "52:54:00:{:02x}:{:02x}:{last:02x}",
            random[0], random[1]
        )),
        slot,
        network: Some(Network::User),
    };
    [
        CloneMachine {
            name: "a".into(),
            firmware: one,
            nic: nic("virtio", random[2], None),
            idle: None,
        },
        CloneMachine {
            name: "b".into(),
            firmware: other,
            nic: nic(model.unwrap_or(&"virtio"), !random[2], Some(0x1c)),
            idle: Some(Nic {
                network: None,
                ..nic("virtio", random[2] ^ 0x55, None)
            }),
        },
    ]
}

impl CloneMachine {
    /// The driver of its card, as Linux calls it.
    pub(super) fn driver(&self) -> &str {
        match self.nic.model.as_str() {
            "virtio" => "virtio_net",
            model => model,
        }
    }
}
