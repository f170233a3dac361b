//! Any bytes as lines that a collector wrapped.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tripline_ingest::SourceOptions;
use tripline_ingest::formats::wrappers;

#[path = "../../tests/it/invariants.rs"]
mod invariants;

fuzz_target!(|log: &[u8]| {
    for (wrapper, _) in wrappers() {
        let options = SourceOptions { format: Some(format!("{wrapper}+common")), ..SourceOptions::default() };
        invariants::check(&options, log, invariants::cut_of(log));
    }
});
