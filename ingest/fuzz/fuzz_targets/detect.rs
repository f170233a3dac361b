//! Any bytes as a file whose format is not known. What it is taken for, it is read as.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tripline_ingest::{Compression, SourceOptions, probe};

#[path = "../../tests/it/invariants.rs"]
mod invariants;

fuzz_target!(|log: &[u8]| {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), log).expect("writes");
    let Ok(found) = probe(file.path(), &SourceOptions::default()) else { return };
    let parsed = |score: &tripline_ingest::Score| score.parsed > 0 && score.exact <= score.parsed;
    assert!(found.scores.first().is_some_and(|best| best.format == found.format && parsed(best)));
    if found.compression == Compression::None {
        let options = SourceOptions { format: Some(found.format), ..SourceOptions::default() };
        invariants::check(&options, log, invariants::cut_of(log));
    }
});
