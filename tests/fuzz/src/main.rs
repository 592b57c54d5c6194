//! libFuzzer's entry: one of the targets, named by `REDRILL_FUZZ_TARGET`.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

#[path = "../targets.rs"]
mod targets;

static TARGET: LazyLock<fn(&[u8]) -> bool> = LazyLock::new(|| {
    let name = std::env::var("REDRILL_FUZZ_TARGET").expect("REDRILL_FUZZ_TARGET names a target");
    targets::TARGETS.iter().find(|(n, _)| *n == name).expect("there is such a target").1
});

fuzz_target!(|bytes: &[u8]| {
    let _accepted = TARGET(bytes);
});
