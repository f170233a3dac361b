//! Lines that a container's log cut, in files that are followed: a row comes once, when its last piece is there.

use std::fs;

use tripline_ingest::{LogReader, Mode, RejectReason, SourceOptions, probe};

use crate::hostile::line;
use crate::tailing::Scene;

/// A line of Docker's log.
fn docker(stream: &str, text: &str) -> String {
    let line = serde_json::json!({ "log": text, "stream": stream, "time": "2024-03-05T10:00:00.000000001Z" });
    format!("{line}\n")
}

/// The pieces of log line `n`.
fn pieces(n: usize) -> [String; 3] {
    let line = line(n);
    let line = line.trim_end();
    [docker("stdout", &line[..30]), docker("stdout", &line[30..60]), docker("stdout", &format!("{}\n", &line[60..]))]
}

#[test]
fn pieces_wait_across_polls_restarts_and_rotation() {
    let mut scene = Scene::new();
    scene.append("access.log", &pieces(0).concat());
    scene.append("access.log", &pieces(1).concat());
    scene.poll().expect([0, 1]);
    let [first, second, last] = pieces(2);
    scene.append("access.log", &first);
    scene.poll().expect([]).restart().poll().expect([]);
    // (what the other stream writes meanwhile waits with it)
    let other = docker("stderr", &format!("{}\n", line(3).trim_end()));
    scene.append("access.log", &(second + &other));
    scene.poll().expect([]).restart().poll().expect([]);
    fs::rename(scene.path("access.log"), scene.path("access.log.1")).expect("renames");
    scene.append("access.log.1", &last);
    scene.append("access.log", &pieces(4).concat());
    scene.poll().poll().expect([2, 3, 4]).restart().poll().expect([]);
}

#[test]
fn a_file_that_begins_with_a_piece_is_waited_for() {
    let mut scene = Scene::new();
    let [first, second, last] = pieces(0);
    scene.append("access.log", &first);
    scene.poll().expect([]);
    scene.append("access.log", &second);
    scene.poll().expect([]);
    scene.append("access.log", &last);
    scene.poll().poll().expect([0]);
}

/// The container's log is rotated between two pieces. What is in one file is not put together with what is in another: which
/// one comes next, only who rotates knows. Both parts are told; the lines around them count.
#[test]
fn a_line_that_a_rotation_cuts_is_no_request_and_is_told() {
    let mut scene = Scene::new();
    let [first, second, last] = pieces(1);
    scene.append("access.log", &(pieces(0).concat() + &first));
    scene.poll().expect([0]);
    fs::rename(scene.path("access.log"), scene.path("access.log.1")).expect("renames");
    scene.append("access.log", &(second + &last + &pieces(2).concat()));
    scene.look();
    let mut rejects = 0;
    while let Some(batch) = scene.tailer.next_batch() {
        rejects += batch.batch.rejects.len();
        assert_eq!(batch.batch.rows.num_rows(), 1, "line 2");
    }
    assert_eq!(rejects, 1, "the second part");
    scene.expect_no_warning();
    scene.look();
    scene.look();
    scene.expect_warning(&format!("access.log.1: has ended in the middle of a line for 60 s; {} bytes", first.len()));
    scene.poll().expect([]).poll().expect([]);
    scene.expect_no_warning();

    // A scan sees the same.
    let scan = |name: &str| {
        let options = SourceOptions::default();
        let probe = probe(&scene.path(name), &options).expect("a log");
        let mut reader = LogReader::open(&probe, &options, Mode::Once).expect("opens");
        let (mut rows, mut rejects) = (0, Vec::new());
        while let Some(batch) = reader.next_batch().expect("reads") {
            rows += batch.rows.num_rows();
            rejects.extend(batch.rejects.into_iter().map(|reject| reject.reason));
        }
        (rows, rejects)
    };
    assert_eq!(scan("access.log.1"), (1, vec![RejectReason::Piece]));
    assert_eq!(scan("access.log"), (1, vec![RejectReason::OtherLayout]));
}
