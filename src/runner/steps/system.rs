//! `system`: time zone, locale, keyboard, host name, swap.

use std::fmt::Write as _;

use crate::host::exec::quote;
use crate::recipe::types::System;
use crate::runner::payload::Entry;

pub(super) fn translate(system: &System) -> Entry {
    let swap = system.swap.map(|size| size.as_bytes().to_string());
    let settings = [
        ("timezone", &system.timezone),
        ("locale", &system.locale),
        ("keyboard", &system.keyboard),
        ("hostname", &system.hostname),
        ("swap", &swap),
    ];
    let mut text = String::new();
    for (name, value) in settings {
        if let Some(value) = value {
            let _ = writeln!(text, "{name}={}", quote(value));
        }
    }
    Entry::bytes("system.sh", text)
}
