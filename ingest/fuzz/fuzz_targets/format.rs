//! Any bytes as a log of each format, or of the one that `TRIPLINE_FORMAT` names.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tripline_ingest::SourceOptions;
use tripline_ingest::formats::formats;

#[path = "../../tests/it/invariants.rs"]
mod invariants;

fuzz_target!(|log: &[u8]| {
    let wanted = std::env::var("TRIPLINE_FORMAT").ok();
    for format in formats().iter().filter(|format| wanted.as_deref().is_none_or(|wanted| wanted == format.name())) {
        let options = SourceOptions { format: Some(format.name().to_owned()), ..SourceOptions::default() };
        invariants::check(&options, log, invariants::cut_of(log));
    }
});
