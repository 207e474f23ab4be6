//! Any bytes as a pickle: parsed, looked through and printed without a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use stylegan_checkpoint::pickle::{Limits, parse};

fuzz_target!(|bytes: &[u8]| {
    let Ok((tree, end)) = parse(bytes, 0, &Limits::default()) else {
        return;
    };
    assert!(end <= bytes.len());
    // Every node takes an instruction.
    assert!(tree.len() <= bytes.len());
    let _ = tree.root().to_json();
    for node in tree.nodes() {
        let _ = node.describe();
        let _ = node.to_bytes();
        let _ = node.items();
        let _ = node.elements();
    }
});
