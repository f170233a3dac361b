//! Lines that a collector cut are the rows that they would have been, however the file is read.

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use proptest::prelude::*;

use super::tests::{All, all, file, open_as, read};
use super::*;
use crate::formats::named;
use crate::table::{columns, schema};

const DOCKER: &str = "docker+combined";
const CRI: &str = "cri+combined";

/// A collector's line.
fn wrap(format: &str, stream: &str, piece: &[u8], is_last: bool) -> Vec<u8> {
    if format == DOCKER {
        let end = if is_last { "\n" } else { "" };
        let log = format!("{}{end}", String::from_utf8_lossy(piece));
        let line = serde_json::json!({ "log": log, "stream": stream, "time": "2024-03-05T10:00:00.000000001Z" });
        return format!("{line}\n").into_bytes();
    }
    let tag = if is_last { "F" } else { "P" };
    [format!("2024-03-05T10:00:00.000000001Z {stream} {tag} ").as_bytes(), piece, b"\n"].concat()
}

#[derive(Debug, Clone)]
struct Logged {
    stdout: bool,
    text: String,
    cuts: Vec<prop::sample::Index>,
}

fn logged() -> impl Strategy<Value = Logged> {
    let request = (0..250_u8, "[a-zп\\\\\"]{0,20}", any::<bool>()).prop_map(|(client, agent, ends_oddly)| {
        let agent = agent.replace(['\\', '"'], "\\\"");
        let end = if ends_oddly { " \\n" } else { "" };
        format!(
            "192.0.2.{client} - - [05/Mar/2024:10:15:00 +0000] \"GET /{client} HTTP/1.1\" 200 5 \"-\" \"{agent}\"{end}"
        )
    });
    let text = prop_oneof![4 => request, 1 => "[ -~]{1,20}"];
    let cuts = prop_oneof![Just(Vec::new()), proptest::collection::vec(any::<prop::sample::Index>(), 0..4)];
    (any::<bool>(), text, cuts).prop_map(|(stdout, text, cuts)| Logged { stdout, text, cuts })
}

/// The collector's lines, and the lines they were, in the order in which they end. The streams' pieces are mixed as `turns` says.
fn collected(format: &str, lines: &[Logged], turns: &[bool]) -> (Vec<u8>, String) {
    let mut streams = [std::collections::VecDeque::new(), std::collections::VecDeque::new()];
    for line in lines {
        let bytes = line.text.as_bytes();
        // (Docker's text is text; where it cuts a character, its halves are lost before the log is written)
        let place = |cut: &prop::sample::Index| match format {
            DOCKER => line.text.floor_char_boundary(cut.index(bytes.len() + 1)),
            _ => cut.index(bytes.len() + 1),
        };
        let mut cuts: Vec<usize> = line.cuts.iter().map(place).collect();
        cuts.sort_unstable();
        let mut from = 0;
        for cut in cuts {
            streams[usize::from(line.stdout)].push_back((bytes[from..cut].to_vec(), None));
            from = cut;
        }
        streams[usize::from(line.stdout)].push_back((bytes[from..].to_vec(), Some(&line.text)));
    }
    let (mut log, mut plain) = (Vec::new(), String::new());
    let mut turns = turns.iter().cycle();
    while streams.iter().any(|stream| !stream.is_empty()) {
        let stdout = turns.next().copied().unwrap_or(true);
        let stdout = if streams[usize::from(stdout)].is_empty() { !stdout } else { stdout };
        let Some((piece, whole)) = streams[usize::from(stdout)].pop_front() else { continue };
        log.extend(wrap(format, if stdout { "stdout" } else { "stderr" }, &piece, whole.is_some()));
        if let Some(text) = whole {
            plain += text;
            plain.push('\n');
        }
    }
    (log, plain)
}

/// Rows without what says where they stand.
fn what(all: &All) -> RecordBatch {
    let kept: Vec<usize> = (0..schema().fields().len())
        .filter(|c| ![columns::SOURCE, columns::OFFSET, columns::RAW].contains(c))
        .collect();
    all.rows.project(&kept).expect("are columns")
}

proptest! {
    #[test]
    fn pieces_are_the_lines_they_were(
        lines in proptest::collection::vec(logged(), 0..20),
        turns in proptest::collection::vec(any::<bool>(), 1..20),
        docker: bool, block in 1_usize..600, stop in 0_usize..8, keep in any::<u8>(),
    ) {
        let format = if docker { DOCKER } else { CRI };
        let (log, plain) = collected(format, &lines, &turns);
        let (log, plain) = (file(&log), file(plain.as_bytes()));
        let expected = read(&mut open_as(&plain, "combined", Mode::Once, BLOCK));
        let whole = read(&mut open_as(&log, format, Mode::Once, BLOCK));
        prop_assert_eq!(what(&whole), what(&expected));
        prop_assert_eq!(whole.rejects.len(), expected.rejects.len());
        prop_assert_eq!(whole.lines - whole.counters.pieces, expected.lines);

        // In other blocks; followed, with a restart in between; and again, for evidence.
        prop_assert_eq!(&read(&mut open_as(&log, format, Mode::Once, block)), &whole);
        let mut reader = open_as(&log, format, Mode::Follow, block);
        let mut batches = Vec::new();
        let reread = reader.reread();
        while batches.len() < stop && let Some(batch) = reader.next_batch().expect("reads") {
            batches.push(batch);
        }
        let stored = serde_json::to_string(&reader.position()).expect("serialises");
        let position: Position = serde_json::from_str(&stored).expect("deserialises");
        let mut resumed = LogReader::resume(&position, &SourceOptions::default()).expect("is the same file");
        while let Some(batch) = resumed.next_batch().expect("reads") {
            batches.push(batch);
        }
        prop_assert_eq!(&all(&batches), &whole);
        let kept: Vec<&Batch> = batches.iter().enumerate().filter(|(n, _)| keep >> (n % 8) & 1 == 1).map(|(_, b)| b).collect();
        let stretches: Vec<_> = kept.iter().map(|batch| batch.offset..batch.offset + batch.bytes).collect();
        let again = reread.rows(&stretches, u64::MAX).expect("the file is there");
        for (again, batch) in again.iter().zip(kept) {
            prop_assert_eq!(&concat_batches(&schema(), again).expect("one schema"), &batch.rows);
        }
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// A line of too many pieces is one reject. Nothing that stands in it can pose as a line, wherever blocks and restarts fall.
    #[test]
    fn too_many_pieces(pieces in 60_usize..75, other in 0_usize..75, docker: bool, block in 5_000_usize..3_000_000, stop in 0_usize..6) {
        let format = if docker { DOCKER } else { CRI };
        let request = "192.0.2.1 - - [05/Mar/2024:10:15:00 +0000] \"GET / HTTP/1.1\" 200 5 \"-\" \"-\" ";
        let piece = request.repeat(16 * 1024 / request.len() + 1);
        let mut log = wrap(format, "stdout", request.as_bytes(), true);
        for n in 0..pieces {
            if n == other {
                log.extend(wrap(format, "stderr", b"started", true));
            }
            log.extend(wrap(format, "stdout", piece.as_bytes(), n + 1 == pieces));
        }
        log.extend(wrap(format, "stdout", request.as_bytes(), true));
        let log = file(&log);
        let whole = read(&mut open_as(&log, format, Mode::Once, BLOCK));
        prop_assert!([2, 3].contains(&whole.rows.num_rows()), "{} rows", whole.rows.num_rows());
        let mut reader = open_as(&log, format, Mode::Follow, block);
        let mut batches = Vec::new();
        while batches.len() < stop && let Some(batch) = reader.next_batch().expect("reads") {
            batches.push(batch);
        }
        let mut resumed = LogReader::resume(&reader.position(), &SourceOptions::default()).expect("is the same file");
        while let Some(batch) = resumed.next_batch().expect("reads") {
            batches.push(batch);
        }
        prop_assert_eq!(&all(&batches), &whole);
    }
}

#[test]
fn a_secret_across_the_cut_is_found() {
    let line =
        "192.0.2.1 - - [05/Mar/2024:10:15:00 +0000] \"GET /a?token=canary-4711-secret HTTP/1.1\" 200 5 \"-\" \"-\"";
    let privacy = crate::privacy::Privacy::new(true, &[], None).expect("no names");
    let options = SourceOptions { privacy: Some(Arc::new(privacy)), ..SourceOptions::default() };
    let cut = line.find("4711").expect("is there");
    for (is_last, format) in [(true, DOCKER), (true, CRI), (false, DOCKER), (false, CRI)] {
        let pieces = [
            wrap(format, "stdout", &line.as_bytes()[..cut], false),
            wrap(format, "stdout", &line.as_bytes()[cut..], is_last),
        ];
        let log = file(&pieces.concat());
        let parser = named(format, &options).expect("exists");
        let mut reader = LogReader::open_with(log.path(), parser, &options, Mode::Once, 0, BLOCK).expect("opens");
        let all = read(&mut reader);
        assert_eq!(all.rows.num_rows(), usize::from(is_last));
        let shown = format!("{:?}", (&all.rows, &all.rejects));
        assert!(shown.contains("token=***") && !shown.contains("4711") && !shown.contains("canary"), "{shown}");
    }
}

#[test]
fn pieces_at_the_end_of_a_file() {
    let pieces = [
        wrap(CRI, "stdout", b"192.0.2.1 - - [05/Mar/2024:10:15:00 +0000] ", false),
        wrap(CRI, "stdout", b"\"GET / HTTP/1.1\" 200 5 \"-\" \"-\"", true),
    ];
    // Read once, they are a reject, or, where only the line end is missing, a row.
    for (log, rows) in [(pieces[0].clone(), 0), ([&pieces[0][..], pieces[1].trim_ascii_end()].concat(), 1)] {
        let log = file(&log);
        let all = read(&mut open_as(&log, CRI, Mode::Once, 16));
        assert_eq!((all.rows.num_rows(), all.rejects.len(), all.lines), (rows, 1 - rows, 1 + rows as u64));
    }
    // Followed, they wait.
    let log = file(&pieces[0]);
    let mut reader = open_as(&log, CRI, Mode::Follow, BLOCK);
    assert!(reader.next_batch().expect("reads").is_none());
    assert_eq!((reader.position().offset(), reader.unfinished()), (0, pieces[0].len()));
    std::fs::write(log.path(), pieces.concat()).expect("writes");
    assert_eq!(reader.next_batch().expect("reads").expect("is whole").rows.num_rows(), 1);
}
