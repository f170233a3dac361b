//! Files that are followed through what seldom happens: names lost unseen, copies, very many files, odd entries.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use tripline_ingest::{Source, SourceOptions, Tailer};

use crate::hostile::{gzip, line, log};
use crate::tailing::Scene;

#[test]
fn a_file_that_lost_its_name_while_nobody_looked() {
    let mut scene = Scene::new();
    scene.append("access.log", &log(0..3));
    scene.poll().expect(0..3);
    scene.append("access.log", &log(3..5));
    fs::rename(scene.path("access.log"), scene.path("old.log")).expect("renames");
    scene.append("access.log", &log(5..6));
    scene.restart().poll().expect(3..6);
    scene.append("old.log", &log(6..7));
    scene.poll().expect([6]);
    // The inode alone makes no file the same.
    fs::write(scene.path("old.log"), log(40..60)).expect("truncates and writes");
    scene.restart().poll().expect([]);
    scene.expect_no_warning();
}

#[test]
fn short_copies_do_not_count_again() {
    let mut scene = Scene::new();
    scene.append("access.log", &log(0..3));
    scene.poll().expect(0..3);
    fs::copy(scene.path("access.log"), scene.path("access.log.1")).expect("copies");
    scene.poll().expect([]);
    // What the copy lacks is gone with the truncation; what was read before it is not in the copy.
    scene.append("access.log", &log(3..4));
    scene.poll().expect([3]);
    fs::write(scene.path("access.log"), log(10..12)).expect("truncates and writes");
    scene.restart().poll().expect(10..12);
    scene.poll().expect([]);
    // One that has more than was read.
    scene.append("access.log", &log(12..14));
    fs::copy(scene.path("access.log"), scene.path("access.log.2")).expect("copies");
    fs::write(scene.path("access.log"), log(20..21)).expect("truncates and writes");
    scene.restart().poll().expect((12..14).chain([20]));
}

#[test]
fn a_log_and_its_copy_met_at_once_are_read_once() {
    for (log_name, copy) in [("access.log", "access.log.bak"), ("access.log.bak", "access.log")] {
        let mut scene = Scene::new();
        scene.append(copy, &log(0..3));
        scene.append(log_name, &log(0..3));
        scene.poll().expect(0..3);
        scene.append(log_name, &log(3..5));
        scene.poll().expect(3..5);
        scene.restart().poll().expect([]);
        scene.append(log_name, &log(5..6));
        scene.poll().expect([5]);
        scene.restart().poll().poll().expect([]);
    }
}

#[test]
fn a_log_that_is_longer_than_its_copy_is_read_to_its_end() {
    for (log_name, copy) in [("access.log", "access.log.bak"), ("access.log.bak", "access.log")] {
        let mut scene = Scene::new();
        scene.append(copy, &log(0..30));
        scene.append(log_name, &log(0..50));
        scene.poll().poll().expect(0..50);
        scene.append(log_name, &log(50..60));
        scene.poll().expect(50..60);
        scene.restart().poll().expect([]);
    }
}

#[test]
fn an_archive_that_shows_little_yet_is_no_new_log() {
    let mut scene = Scene::new();
    scene.append("access.log.1", &log(0..8));
    scene.poll().expect(0..8);
    let archive = stored(log(0..8).as_bytes());
    fs::write(scene.path("access.log.1.gz"), &archive[..archive.len() / 2]).expect("writes");
    scene.poll().expect([]);
    scene.restart().poll().expect([]);
    fs::remove_file(scene.path("access.log.1")).expect("removes");
    scene.restart().poll().expect([]);
    fs::write(scene.path("access.log.1.gz"), &archive).expect("writes");
    scene.poll().poll().expect([]);
    scene.restart().poll().expect([]);
}

/// What was read of a log may be its heading alone: that its archive has the same requests shows only when both are read.
#[test]
fn an_archive_of_a_log_of_which_only_the_heading_was_read() {
    let heading = "#Fields: date time c-ip cs-method cs-uri-stem sc-status\n";
    let row = |n: usize| format!("2024-03-05 10:00:0{n} 192.0.2.7 GET /{n} 200\n");
    let mut scene = Scene::new();
    scene.append("access.log", &(heading.to_owned() + &row(1)));
    scene.look();
    // Truncated between the look and the read.
    fs::write(scene.path("access.log"), heading).expect("truncates and writes");
    scene.drain();
    scene.expect([]);
    scene.append("access.log", &(row(2) + &row(3)));
    let whole = fs::read(scene.path("access.log")).expect("reads");
    fs::write(scene.path("access.log.1.gz"), gzip(&whole)).expect("writes");
    fs::remove_file(scene.path("access.log")).expect("removes");
    scene.poll().expect(2..4);
    scene.poll().poll().expect([]);
    scene.restart().poll().expect([]);
}

/// What a server writes between copy and truncation is read, but it is not in the archive of the copy.
#[test]
fn an_archive_that_is_shorter_than_what_was_read() {
    // (longer than what is hashed of a file's beginning, and shorter)
    for (read, packed) in [(30, 25), (30, 4), (6, 4)] {
        let mut scene = Scene::new();
        scene.append("access.log", &log(0..read));
        scene.poll().expect(0..read);
        let archive = gzip(log(0..packed).as_bytes());
        fs::write(scene.path("access.log.1.gz"), &archive).expect("writes");
        fs::write(scene.path("access.log"), log(40..42)).expect("truncates and writes");
        scene.poll().expect(40..42);
        scene.poll().poll().expect([]);
        scene.restart().poll().expect([]);
    }
}

/// How long an archive is, is not told by what it has where another log's first request stands.
#[test]
fn an_archive_with_more_than_was_read_beside_a_log_that_begins_far_behind() {
    let mut scene = Scene::new();
    scene.append("access.log.far", &("y".repeat(3 << 20) + "\n" + &log(90..91)));
    scene.append("access.log", &log(0..30));
    scene.poll().expect((0..30).chain([90]));
    fs::write(scene.path("access.log.1.gz"), gzip(log(0..50).as_bytes())).expect("writes");
    fs::write(scene.path("access.log"), log(60..62)).expect("truncates and writes");
    scene.poll().expect((30..50).chain(60..62));
    scene.restart().poll().expect([]);
}

#[test]
fn a_log_that_is_truncated_before_its_copy_is_looked_at() {
    for new in ["", "another line"] {
        let mut scene = Scene::new();
        scene.append("access.log", &log(0..30));
        scene.append("access.log.1", &log(0..30));
        scene.look();
        scene.take();
        fs::write(scene.path("access.log"), new).expect("truncates and writes");
        scene.drain();
        scene.expect(0..30);
        scene.poll().expect([]);
        scene.restart().poll().expect([]);
    }
}

/// Most file systems give the inode of a removed file to the next one.
#[test]
fn an_archive_with_the_inode_of_one_that_was_read() {
    let mut scene = Scene::new();
    fs::write(scene.path("access.log.1.gz"), gzip(log(0..3).as_bytes())).expect("writes");
    scene.poll().expect(0..3);
    for restarts in [false, true] {
        // In place: the inode stays in any case.
        let start = if restarts { 20 } else { 10 };
        fs::write(scene.path("access.log.1.gz"), gzip(log(start..start + 5).as_bytes())).expect("writes");
        if restarts {
            scene.restart();
        }
        scene.poll().expect(start..start + 5);
        scene.poll().expect([]);
        scene.restart().poll().expect([]);
    }
    scene.expect_no_warning();
}

/// What a writer leaves that goes on at its old place after a truncation.
#[test]
fn archives_that_begin_with_the_same_hole() {
    let behind_a_hole = |lines| [vec![0; 2_000], log(lines).into_bytes()].concat();
    let mut scene = Scene::new();
    fs::write(scene.path("access.log"), behind_a_hole(0..3)).expect("writes");
    scene.poll().expect(0..3);
    fs::write(scene.path("access.log.1.gz"), gzip(&behind_a_hole(10..13))).expect("writes");
    scene.poll().expect(10..13);
    fs::write(scene.path("access.log.2.gz"), gzip(&behind_a_hole(0..3))).expect("writes");
    scene.poll().expect([]);
    scene.restart().poll().expect([]);
}

/// What comes before the first request tells nothing: a hole, a long heading, a line that is none.
#[test]
fn copies_of_logs_whose_first_request_stands_far_behind() {
    let heading = format!("#Remark: {}\n", "x".repeat(2_000)).into_bytes();
    for begin in [vec![0; 2_000], heading, [vec![b'y'; 3 << 20], b"\n".to_vec()].concat()] {
        for (log_name, copy) in [("access.log", "access.log.1"), ("access.log.1", "access.log")] {
            let content = |lines| [begin.clone(), log(lines).into_bytes()].concat();
            let mut scene = Scene::new();
            // (inodes in this order)
            fs::write(scene.path("access.log"), "").expect("writes");
            fs::write(scene.path("access.log.1"), "").expect("writes");
            fs::write(scene.path(log_name), content(0..3)).expect("writes");
            scene.poll().expect(0..3);
            // As long as what was read, and met before the log is known to have been truncated.
            fs::write(scene.path(copy), content(0..3)).expect("writes");
            fs::write(scene.path(log_name), content(10..12)).expect("truncates and writes");
            scene.restart().poll().poll().expect(10..12);
            // Shorter than what was read; longer.
            fs::write(scene.path("access.log.2"), content(10..12)).expect("writes");
            scene.append(log_name, &log(12..13));
            scene.poll().expect([12]);
            fs::write(scene.path(log_name), content(20..22)).expect("truncates and writes");
            scene.restart().poll().poll().expect(20..22);
            fs::write(scene.path("access.log.3"), content(20..25)).expect("writes");
            fs::write(scene.path(log_name), content(30..31)).expect("truncates and writes");
            scene.restart().poll().poll().expect((22..25).chain([30]));
            fs::write(scene.path("access.log.4.gz"), gzip(&content(30..33))).expect("writes");
            fs::write(scene.path(log_name), log(40..41)).expect("truncates and writes");
            scene.restart().poll().poll().expect((31..33).chain([40]));
            scene.restart().poll().expect([]);
        }
    }
}

/// A file was opened, and nothing of it read yet; another one with its inode has another format.
#[test]
fn a_file_with_the_inode_of_one_that_was_only_opened() {
    let mut scene = Scene::new();
    scene.append("access.log", &log(0..3));
    scene.look();
    let mut stored = serde_json::to_value(scene.tailer.positions()).expect("serialises");
    fs::remove_file(scene.path("access.log")).expect("removes");
    let text = "#Fields: date time c-ip cs-method cs-uri-stem sc-status\n2024-03-05 10:00:00 192.0.2.7 GET /7 200\n";
    scene.append("access.log.b", text);
    stored[0]["ino"] = fs::metadata(scene.path("access.log.b")).expect("a file").ino().into();
    scene.tailer = Scene::follow(&scene.directory, serde_json::from_value(stored).expect("deserialises"));
    scene.poll().expect([7]);
}

/// The same where only the heading had been read, which the next file has, too.
#[test]
fn a_file_with_the_inode_of_one_that_had_only_a_heading() {
    let heading = "#Fields: date time c-ip cs-method cs-uri-stem sc-status\n";
    let row = |n: usize| format!("2024-03-05 10:00:0{n} 192.0.2.7 GET /{n} 200\n");
    let mut scene = Scene::new();
    scene.append("access.log", &(heading.to_owned() + &row(1)));
    scene.poll().expect([1]);
    scene.append("access.log.b", &(heading.to_owned() + &row(7)));
    scene.look();
    // Truncated between the look and the read.
    fs::write(scene.path("access.log.b"), heading).expect("writes");
    scene.drain();
    scene.expect([]);
    let mut stored = serde_json::to_value(scene.tailer.positions()).expect("serialises");
    let positions = stored.as_array_mut().expect("a list");
    let position = positions.iter_mut().find(|position| position["offset"] == heading.len()).expect("the second's");
    position["key"] = "b#another-birth".into();
    fs::write(scene.path("access.log.b"), heading.to_owned() + &row(1)).expect("writes");
    scene.tailer = Scene::follow(&scene.directory, serde_json::from_value(stored).expect("deserialises"));
    scene.look();
    scene.drain();
    scene.expect([]);
}

#[test]
fn a_file_without_its_name_is_looked_for_again() {
    let mut scene = Scene::new();
    let elsewhere = tempfile::TempDir::new().expect("a folder");
    scene.append("access.log", &log(0..3));
    scene.poll().expect(0..3);
    scene.append("access.log", &log(3..5));
    // On its way from one name to the next: a listing may show neither.
    fs::rename(scene.path("access.log"), elsewhere.path().join("old.log")).expect("renames");
    scene.restart().poll().expect([]);
    fs::rename(elsewhere.path().join("old.log"), scene.path("old.log")).expect("renames");
    scene.poll().expect(3..5);
}

/// A gzip file that is not compressed: half of it shows half of the content.
fn stored(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    encoder.write_all(content).and_then(|()| encoder.finish()).expect("memory")
}

#[test]
fn logs_that_begin_alike_are_no_copies() {
    let mut scene = Scene::new();
    scene.append("access.log", &log(0..3));
    scene.poll().expect(0..3);
    scene.append("access.log.b", &log(0..1));
    scene.poll().expect([]);
    scene.append("access.log.b", &log(7..9));
    scene.poll().expect([0, 7, 8]);
    scene.expect_no_warning();
}

#[test]
fn overwritten_with_as_many_bytes() {
    let mut scene = Scene::new();
    scene.append("access.log", &log(10..15));
    scene.poll().expect(10..15);
    fs::write(scene.path("access.log"), log(15..20)).expect("truncates and writes");
    let later = std::time::SystemTime::UNIX_EPOCH + Duration::from_hours(1);
    File::options().append(true).open(scene.path("access.log")).and_then(|f| f.set_modified(later)).expect("a time");
    scene.poll().expect(15..20);
    scene.expect_warning("what was read last has changed");
}

#[test]
fn what_comes_before_the_first_request_is_waited_out() {
    let mut scene = Scene::new();
    let heading = "#Version: 1.0\n#Fields: date time c-ip cs-method cs-uri-stem sc-status\n";
    scene.append("access.log", heading);
    scene.poll().expect([]);
    scene.expect_no_warning();
    let agent = "x".repeat(1_000_000);
    scene.append("access.log", &format!("2024-03-05 10:00:00 192.0.2.7 GET /1?{agent} 200\n"));
    scene.append("access.log.b", &("y".repeat(3 << 20) + "\n" + &log(2..3)));
    scene.poll().expect(1..3);
    scene.expect_no_warning();
}

/// What tells the format may stand far behind the first line that ends.
#[test]
fn the_first_lines_that_tell_are_looked_for() {
    let mut scene = Scene::new();
    let long = [vec![b'y'; (3 << 20) - 50], b"\nwhat is this\n".to_vec()].concat();
    let agent = "x".repeat(1_000_000);
    let content =
        [long, line(1).replace("\"-\"\n", &format!("\"{agent}\"\n")).into_bytes(), log(2..4).into_bytes()].concat();
    fs::write(scene.path("access.log"), content).expect("writes");
    scene.poll().expect(1..4);
    scene.expect_no_warning();
}

#[test]
fn a_line_behind_a_large_hole_is_read() {
    let mut scene = Scene::new();
    for (n, hole) in [5_000, 2 << 20, 9 << 20].into_iter().enumerate() {
        let content = [vec![0; hole], line(n).into_bytes()].concat();
        fs::write(scene.path(&format!("access.log.{n}")), content).expect("writes");
    }
    scene.poll().expect(0..3);
    scene.expect_no_warning();
}

#[test]
fn more_files_than_may_be_open() {
    let mut scene = Scene::new();
    for n in 0..700 {
        scene.append(&format!("access.log.{n}"), &log(n..n + 1));
    }
    scene.poll().expect(0..700);
    scene.poll().expect([]);
    for n in [0, 350, 699] {
        scene.append(&format!("access.log.{n}"), &log(n + 1000..n + 1001));
    }
    scene.poll().expect([1000, 1350, 1699]);
    scene.restart().poll().expect([]);
    assert_eq!(scene.tailer.positions().len(), 700);
    scene.expect_no_warning();
}

#[test]
fn what_is_no_file_is_passed_over() {
    let mut scene = Scene::new();
    let fifo = std::process::Command::new("mkfifo").arg(scene.path("access.log.fifo")).status();
    assert!(fifo.is_ok_and(|status| status.success()));
    std::os::unix::fs::symlink("/dev/zero", scene.path("access.log.zero")).expect("links");
    std::os::unix::fs::symlink("access.log.loop", scene.path("access.log.loop")).expect("links");
    scene.append("access.log", &log(0..2));
    let odd = std::ffi::OsStr::from_bytes(b"access.log.\xff");
    fs::write(scene.directory.path().join(odd), log(2..4)).expect("writes");
    scene.poll().expect(0..4);
    scene.restart().poll().expect([]);
    scene.notices.clear();
}

#[test]
fn lines_of_1970_and_2106_are_lines() {
    let mut scene = Scene::new();
    scene.append("access.log", &line(0).replace("/2024:", "/1970:"));
    scene.append("access.log.1", &line(1).replace("/2024:", "/2106:"));
    scene.poll().expect(0..2);
    scene.expect_no_warning();
}

/// As Kubernetes rotates: the name stays, what it leads to is another file.
#[test]
fn a_link_that_is_swapped() {
    let mut scene = Scene::new();
    fs::create_dir(scene.path("data")).expect("creates");
    let lead_to = |scene: &Scene, target: &str| {
        std::os::unix::fs::symlink(target, scene.path("next")).expect("links");
        fs::rename(scene.path("next"), scene.path("access.log")).expect("swaps");
    };
    lead_to(&scene, "data/0");
    scene.append("data/0", &log(0..3));
    scene.poll().expect(0..3);
    scene.append("data/0", &log(3..5));
    scene.append("data/1", &log(10..12));
    lead_to(&scene, "data/1");
    scene.append("data/0", &log(5..6));
    scene.poll().expect((3..6).chain(10..12));
    // The same while nobody looks.
    scene.append("data/1", &log(12..14));
    scene.append("data/2", &log(20..21));
    lead_to(&scene, "data/2");
    scene.append("data/1", &log(14..15));
    scene.restart().poll().expect((12..15).chain([20]));
    scene.append("data/1", &log(15..16));
    scene.append("data/2", &log(21..22));
    scene.poll().expect([15, 21]);
    scene.restart().poll().expect([]);
    scene.expect_no_warning();
}

#[test]
fn from_the_end_of_what_is_there_first() {
    let mut scene = Scene::new();
    scene.append("access.log", &log(0..30));
    scene.append("access.log.2", &(log(200..202) + &line(202)[..20]));
    fs::write(scene.path("access.log.1.gz"), gzip(log(40..60).as_bytes())).expect("writes");
    let pattern = format!("{}/access.log*", scene.directory.path().display());
    let follow = |positions| {
        let source = Source { pattern: pattern.clone(), options: SourceOptions::default(), from_end: true };
        Tailer::new(vec![source], positions)
    };
    scene.tailer = follow(Vec::new());
    scene.look();
    // Between the look and the read; the line that was begun before is passed over.
    scene.append("access.log", &log(30..31));
    scene.append("access.log.2", &line(202)[20..]);
    scene.drain();
    scene.expect([30]);
    scene.append("access.log.2", &log(203..204));
    scene.append("access.log", &log(31..33));
    scene.append("access.log.new", &log(70..72));
    scene.poll().expect([203, 31, 32, 70, 71]);
    // Nothing is new to a source that was followed before.
    scene.append("access.log", &log(33..34));
    scene.append("access.log.newer", &log(80..82));
    scene.tailer = follow(scene.tailer.positions());
    scene.poll().expect([33, 80, 81]);
    scene.expect_no_warning();
}

/// Linux gives EIO to whoever reads memory where there is none.
#[test]
fn a_file_that_gives_errors_delays_no_other_and_is_tried_again() {
    let mut scene = Scene::new();
    std::os::unix::fs::symlink("/proc/self/mem", scene.path("access.log.bad")).expect("a link");
    scene.append("access.log", &log(0..2));
    scene.poll().expect(0..2);
    scene.expect_warning("os error 5");
    scene.append("access.log", &line(2));
    scene.poll().expect(2..3);
    scene.expect_no_warning();
    fs::remove_file(scene.path("access.log.bad")).expect("removes");
    scene.append("access.log.bad", &log(10..12));
    scene.poll().expect(10..12);
}
