//! Any bytes as a file of a network: read or refused, without a panic and within the fuzzer's memory.
//!
//! The samples are a good corpus:
//! `cargo +nightly fuzz run import crates/stylegan-goldens/fixtures/checkpoints crates/stylegan-goldens/fixtures/stylegan1/pkl`

#![no_main]

use libfuzzer_sys::fuzz_target;
use stylegan_import::import_bytes;

fuzz_target!(|bytes: &[u8]| {
    match import_bytes(bytes) {
        Ok(networks) => assert!(networks.generator().is_some() || networks.d.is_some()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
