//! A first line as the `log_format` of a config, the rest as its log.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tripline_ingest::{SourceOptions, probe};

#[path = "../../tests/it/invariants.rs"]
mod invariants;

fuzz_target!(|bytes: &[u8]| {
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { return };
    let Ok(layout) = std::str::from_utf8(&bytes[..end]) else { return };
    let log = &bytes[end + 1..];
    let described = SourceOptions { log_format: Some(layout.to_owned()), ..SourceOptions::default() };
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), log).expect("writes");
    if let Ok(found) = probe(file.path(), &described) {
        let options = SourceOptions { format: Some(found.format), ..described };
        invariants::check(&options, log, invariants::cut_of(log));
    }
});
