//! What was read and what was not, at the end of a command: nothing is left out in silence.

use std::fmt::Write as _;
use std::time::Duration;

use super::output::{bytes, plain, thousands};
use crate::exceptions::Exceptions;
use crate::late::advice;
use crate::scan::ScanSummary;

/// Files with late rows that are named.
const LATE_SOURCES: usize = 3;

/// The lines of the summary.
pub fn render(scanned: &ScanSummary, exceptions: &Exceptions, time: Duration) -> String {
    let ScanSummary { read, late_rows, late, .. } = scanned;
    let mut text = String::new();
    let files: u64 = read.formats.values().sum();
    let formats: Vec<_> = read.formats.iter().map(|(format, n)| format!("{n} {format}")).collect();
    let _ = writeln!(
        text,
        "read      {} file{} ({}), {}",
        thousands(files),
        plural(files),
        formats.join(", "),
        bytes(read.bytes)
    );
    let rejected: u64 = read.rejects.values().sum();
    let _ = writeln!(
        text,
        "lines     {}: {} requests, {} rejected",
        thousands(read.lines),
        thousands(read.rows),
        thousands(rejected)
    );
    for (reason, n) in &read.rejects {
        let _ = writeln!(text, "rejected  {}: {reason}", thousands(*n));
    }
    for (path, reject) in read.samples.iter().take(3) {
        let _ = writeln!(text, "          {} at byte {}: {}", path.display(), reject.offset, plain(&reject.line, 100));
    }
    let c = &read.counters;
    let counted = [
        (c.long_lines, "lines were longer than 1 MiB and cut"),
        (c.cut_bytes, "bytes of long lines were passed over"),
        (c.invalid_utf8_lines, "lines were not UTF-8; the invalid bytes are shown as U+FFFD"),
        (c.nul_bytes, "NUL bytes were passed over"),
        (c.blank_lines, "lines were blank"),
        (c.other_layer, "requests are logged by the layer that counts for their host, too: here they do not count"),
        (c.heading_lines, "lines were headings or comments"),
        (c.pieces, "lines were pieces of longer ones, which were put together"),
    ];
    for (n, what) in counted.into_iter().filter(|(n, _)| *n > 0) {
        let _ = writeln!(text, "note      {} {what}", thousands(n));
    }
    let _ = writeln!(
        text,
        "late rows {}{}",
        thousands(*late_rows),
        if *late_rows > 0 { " (came after a window of theirs had closed; --late FILE keeps them)" } else { "" }
    );
    let worst = late.worst();
    for (source, count) in worst.iter().take(LATE_SOURCES) {
        let _ = writeln!(text, "          {} in {}: {}", thousands(count.rows), plain(source, 200), advice(*count));
    }
    if worst.len() > LATE_SOURCES {
        let _ = writeln!(text, "          and in {} more files", worst.len() - LATE_SOURCES);
    }
    for exception in &exceptions.list {
        let c = &exception.config;
        let _ = writeln!(
            text,
            "exception {} rows not seen by {}: {} ({}, until {})",
            thousands(exception.hits),
            c.rules.join(", "),
            plain(&c.reason, 80),
            plain(&c.owner, 40),
            c.expires
        );
    }
    for warning in &read.warnings {
        let _ = writeln!(text, "warning   {}", plain(warning, 500));
    }
    for problem in &read.problems {
        let _ = writeln!(text, "problem   {}", plain(problem, 300));
    }
    let seconds = time.as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = if seconds > 0.0 { read.lines as f64 / seconds } else { 0.0 };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate is finite and positive")]
    let _ = writeln!(text, "time      {seconds:.1} s, {} lines/s", thousands(rate as u64));
    text
}

fn plural(n: u64) -> &'static str {
    if n == 1 { "" } else { "s" }
}
