//! Any bytes as a log in which what is secret is replaced.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use tripline_ingest::{Privacy, SourceOptions};

#[path = "../../tests/it/invariants.rs"]
mod invariants;

static MASKED: LazyLock<Privacy> = LazyLock::new(|| Privacy::new(true, &[], None).expect("no names"));
static KEYED: LazyLock<Privacy> =
    LazyLock::new(|| Privacy::new(true, &["member".to_owned()], Some(b"0123456789abcdef")).expect("a name"));

fuzz_target!(|log: &[u8]| {
    for (privacy, format) in [(&MASKED, "combined"), (&KEYED, "combined"), (&KEYED, "nginx_json")] {
        for line in String::from_utf8_lossy(log).lines() {
            let scrubbed = privacy.scrubbed(line).unwrap_or_default();
            assert!(scrubbed.len() <= 22 * (line.len() + 1), "{line}");
        }
        let options = SourceOptions {
            format: Some(format.to_owned()),
            privacy: Some(Arc::new(Privacy::clone(privacy))),
            ..SourceOptions::default()
        };
        invariants::check(&options, log, invariants::cut_of(log));
    }
});
