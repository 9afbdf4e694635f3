//! Gives a parser of imgforge, named by `FUZZ_TARGET`, whatever libFuzzer makes up.

#![no_main]

use std::sync::OnceLock;

use imgforge::fuzzing::TARGETS;

static TARGET: OnceLock<fn(&[u8])> = OnceLock::new();

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let target = TARGET.get_or_init(|| {
        let wanted = std::env::var("FUZZ_TARGET").unwrap_or_default();
        let found = TARGETS.iter().find(|(name, _)| *name == wanted);
        found.expect("FUZZ_TARGET names a parser").1
    });
    target(data);
});
