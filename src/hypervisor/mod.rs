//! Guests under libvirt: where they run, how they start, what they say, how they end.
//!
//! * [`connect`]: which libvirt daemon; for root without one, [`private`] is one of our own
//! * [`xml`]: the one machine profile, as domain XML
//! * [`domain`]: a running guest, its console and its ports as one bounded stream of events
//! * [`expected`]: a guest that virt-install creates, owned before it exists
//! * [`sweep`]: what a killed imgforge left behind
//! * `apart`: a network for each guest without this host's own services
//! * `libvirt`: its handles and calls, loaded at first use; `raw`: what it reports
//!
//! Console and ports are unix sockets that imgforge connects to itself, before the guest's first
//! instruction: a guest that floods them is slowed down by its own full buffers, all the way.

mod apart;
pub mod connect;
pub mod domain;
mod door;
pub mod expected;
mod host;
mod libvirt;
mod machine;
pub mod patience;
pub mod port;
pub mod private;
mod raw;
mod reader;
pub mod runtime;
pub mod spec;
mod state;
pub mod sweep;
pub mod xml;

pub use connect::{Connection, Options};
pub use domain::Domain;
pub use door::{COMMAND as LISTEN_COMMAND, listen_child};
pub use expected::Expected;
pub use host::{Host, Settings};
pub use port::Port;
pub use spec::{Boot, Counters, Disk, DomainEvent, Nic, OnReboot, Outcome, Spec};
