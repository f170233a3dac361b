//! Lines that attackers and accidents write: whatever bytes a format is given, each line is a row, a reject, blank or a
//! heading, and no row holds more than its line did.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use tripline_ingest::formats::{formats, wrappers};
use tripline_ingest::{SourceOptions, probe};

use crate::invariants;

/// Bytes of samples around which lines are made.
fn samples(format: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/formats");
    fs::read(folder.join(format).join("samples.log")).expect("each format has samples")
}

/// A change to a sample: where, in thousandths of its length, and what.
#[derive(Debug, Clone)]
enum Change {
    Byte(usize, u8),
    Cut(usize, usize),
    Insert(usize, Vec<u8>),
    Repeat(usize, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let telling = proptest::sample::select(b"\"\\ []{}:,-\t#%+\n\r\0|/?\xff\xc3".to_vec());
    let byte = prop_oneof![telling, any::<u8>()];
    prop_oneof![
        (0..1000_usize, byte.clone()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        (0..1000_usize, 1..80_usize).prop_map(|(at, length)| Change::Cut(at, length)),
        (0..1000_usize, proptest::collection::vec(byte, 1..20)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        (0..1000_usize, 1..200_usize).prop_map(|(at, length)| Change::Repeat(at, length)),
    ]
}

fn changed(mut text: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        let place = |at: usize, text: &[u8]| at * text.len() / 1000;
        match change {
            Change::Byte(at, byte) if !text.is_empty() => {
                let at = place(*at, &text);
                text[at] = *byte;
            }
            Change::Byte(..) => {}
            Change::Cut(at, length) => {
                let at = place(*at, &text);
                text.drain(at..(at + length).min(text.len()));
            }
            Change::Insert(at, bytes) => {
                let at = place(*at, &text);
                text.splice(at..at, bytes.iter().copied());
            }
            Change::Repeat(at, length) => {
                let at = place(*at, &text);
                let again = text[at..(at + length).min(text.len())].to_vec();
                text.splice(at..at, again);
            }
        }
    }
    text
}

/// Reads `log` as `format`, whatever it is.
fn check(format: &str, log: &[u8], cut: usize) {
    let options = SourceOptions { format: Some(format.to_owned()), ..SourceOptions::default() };
    invariants::check(&options, log, cut * log.len() / 1000);
}

/// What fuzzers met that was new to them (`fuzz/corpus`, a folder a format or wrapper).
#[test]
fn kept_inputs() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let names = formats().iter().map(|format| format.name().to_owned());
    let mut kept = 0;
    for name in names.chain(wrappers().map(|(wrapper, _)| format!("{wrapper}+common"))) {
        for input in fs::read_dir(folder.join(&name)).into_iter().flatten() {
            let log = fs::read(input.expect("is there").path()).expect("reads");
            check(&name, &log, log.iter().map(|byte| usize::from(*byte)).sum::<usize>() % 1000);
            kept += 1;
        }
    }
    assert!(kept > 0, "the corpus is in the repository");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(
        std::env::var("TRIPLINE_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(48)
    ))]

    #[test]
    fn changed_samples(changes in proptest::collection::vec(change(), 1..12), cut in 0..1000_usize) {
        for format in formats() {
            let sample = samples(format.name());
            check(format.name(), &changed(sample.clone(), &changes), cut);
            check(format.name(), &[sample.as_slice(), &changed(sample.clone(), &changes)].concat(), cut);
        }
    }

    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..400), cut in 0..1000_usize) {
        for format in formats() {
            check(format.name(), &[samples(format.name()).as_slice(), &bytes].concat(), cut);
        }
    }

    /// What a file is taken for parses it, in whole or in part; where nothing fits, it is refused.
    #[test]
    fn any_file_is_taken_for_something_or_refused(
        changes in proptest::collection::vec(change(), 0..12),
        first in any::<prop::sample::Index>(), second in any::<prop::sample::Index>(),
        more in proptest::collection::vec(any::<u8>(), 0..100), cut in 0..1000_usize,
    ) {
        let of = |format: &prop::sample::Index| samples(format.get(formats()).name());
        let log = [changed(of(&first), &changes), more, of(&second)].concat();
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        fs::write(file.path(), &log).expect("writes");
        if let Ok(found) = probe(file.path(), &SourceOptions::default()) {
            prop_assert!(found.scores[0].parsed > 0 && found.scores[0].format == found.format);
            check(&found.format, &log, cut);
        }
    }

    #[test]
    fn wrapped_lines(changes in proptest::collection::vec(change(), 0..6), cut in 0..1000_usize) {
        let log = b"{\"log\":\"a\\n\",\"stream\":\"stdout\",\"time\":\"2024-03-05T10:00:00Z\"}\n\
            {\"log\":\"192.0.2.1 - - [05/Mar\",\"stream\":\"stdout\",\"time\":\"2024-03-05T10:00:00Z\"}\n\
            {\"log\":\"/2024:10:00:00 +0000] \\\"GET / HTTP/1.1\\\" 200 5\\n\",\"stream\":\"stdout\"}\n\
            2024-03-05T10:00:00Z stdout P 192.0.2.1 - - [05/Mar/2024\n2024-03-05T10:00:00Z stderr F else\n\
            2024-03-05T10:00:00Z stdout F :10:00:00 +0000] \"GET / HTTP/1.1\" 200 5\n\
            2024-03-05T10:00:00Z stdout F 192.0.2.1 - - [05/Mar/2024:10:00:00 +0000] \"GET / HTTP/1.1\" 200 5\n\
            <134>1 - h a p i [x@1 k=\"v\"] 192.0.2.1 - - [05/Mar/2024:10:00:00 +0000] \"GET / HTTP/1.1\" 200 5\n";
        for (wrapper, _) in wrappers() {
            check(&format!("{wrapper}+common"), &changed(log.to_vec(), &changes), cut);
        }
    }
}
