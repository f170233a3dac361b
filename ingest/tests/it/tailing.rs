//! Files that are followed: they appear, grow, rotate and vanish, and every line comes exactly once.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;
use tripline_ingest::table::columns;
use tripline_ingest::{Changes, Level, Notice, Position, RejectReason, Source, SourceOptions, Tailer};

use crate::hostile::{gzip, line, log};
use crate::rows::text;

/// A directory of logs and who follows it.
pub struct Scene {
    pub directory: TempDir,
    pub tailer: Tailer,
    pub polls: u32,
    /// The paths of the rows that came, with the key of their file.
    pub came: Vec<(String, String)>,
    pub notices: Vec<Notice>,
    /// What a state file has of the positions.
    pub stored: BTreeMap<String, Position>,
}

impl Scene {
    pub fn new() -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let tailer = Self::follow(&directory, Vec::new());
        Self { directory, tailer, polls: 0, came: Vec::new(), notices: Vec::new(), stored: BTreeMap::new() }
    }

    pub fn follow(directory: &TempDir, positions: Vec<Position>) -> Tailer {
        let pattern = format!("{}/access.log*", directory.path().display());
        Tailer::new(vec![Source { pattern, options: SourceOptions::default(), from_end: false }], positions)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn append(&self, name: &str, text: &str) {
        let mut file = OpenOptions::new().create(true).append(true).open(self.path(name)).expect("opens");
        file.write_all(text.as_bytes()).expect("writes");
    }

    /// One poll, half a minute after the last one.
    pub fn look(&mut self) {
        self.polls += 1;
        self.notices.extend(self.tailer.poll(Duration::from_secs(31) * self.polls));
    }

    /// One poll, and all that it shows.
    pub fn poll(&mut self) -> &mut Self {
        self.look();
        self.drain();
        self.commit();
        self
    }

    /// All that the last poll showed.
    pub fn drain(&mut self) {
        while self.take() {}
    }

    /// One batch. False: there is none.
    pub fn take(&mut self) -> bool {
        let Some(batch) = self.tailer.next_batch() else { return false };
        for row in 0..batch.batch.rows.num_rows() {
            let path = text(&batch.batch.rows, columns::PATH, row).unwrap_or("NULL").to_owned();
            self.came.push((batch.file.clone(), path));
        }
        true
    }

    /// What has changed is stored; then all is there that there is to know.
    pub fn commit(&mut self) {
        let Changes { puts, deletes } = self.tailer.changes();
        self.stored.retain(|key, _| !deletes.contains(key));
        self.stored.extend(puts.into_iter().map(|position| (position.key().to_owned(), position)));
        let all = self.tailer.positions().into_iter().map(|position| (position.key().to_owned(), position));
        assert_eq!(self.stored, all.collect());
    }

    /// What a kill and a start leave: only the positions, as they are stored.
    pub fn restart(&mut self) -> &mut Self {
        self.commit();
        let stored = serde_json::to_string(&self.stored.values().collect::<Vec<_>>()).expect("serialises");
        let positions = serde_json::from_str(&stored).expect("deserialises");
        self.tailer = Self::follow(&self.directory, positions);
        self
    }

    /// The rows that came since the last time are those of lines `expected`.
    #[track_caller]
    pub fn expect(&mut self, expected: impl IntoIterator<Item = usize>) -> &mut Self {
        let mut came: Vec<_> = self.came.drain(..).map(|(_, path)| path).collect();
        let mut expected: Vec<_> = expected.into_iter().map(|n| format!("/{n}")).collect();
        came.sort();
        expected.sort();
        assert_eq!(came, expected, "{:#?}", self.notices);
        self
    }

    /// There was one warning since the last time, and it says this.
    #[track_caller]
    pub fn expect_warning(&mut self, part: &str) {
        let warnings: Vec<_> = self.notices.drain(..).filter(|notice| notice.level == Level::Warn).collect();
        assert!(warnings.len() == 1 && warnings[0].text.contains(part), "{warnings:#?}");
    }

    #[track_caller]
    pub fn expect_no_warning(&mut self) {
        let warnings: Vec<_> = self.notices.drain(..).filter(|notice| notice.level == Level::Warn).collect();
        assert!(warnings.is_empty(), "{warnings:#?}");
    }
}

#[test]
fn new_lines_come_once_and_unfinished_ones_wait() {
    let mut scene = Scene::new();
    scene.append("access.log", &log(0..3));
    scene.poll().expect(0..3);
    scene.poll().expect([]);
    let (begin, end) = (line(3)[..20].to_owned(), line(3)[20..].to_owned());
    scene.append("access.log", &begin);
    scene.poll().expect([]);
    scene.append("access.log", &(end.trim_end().to_owned() + "\r"));
    scene.poll().expect([]);
    scene.append("access.log", "\n");
    scene.poll().expect([3]);
    scene.append("access.log.other", &log(4..6));
    scene.append("access.log", &log(6..8));
    scene.poll().expect(4..8);
    scene.expect_no_warning();
}

#[test]
fn a_restart_goes_on_at_the_offset() {
    let mut scene = Scene::new();
    scene.append("access.log", &(log(0..5) + &line(5)[..30]));
    scene.poll().expect(0..5);
    let key = scene.tailer.positions()[0].key().to_owned();
    scene.append("access.log", &(line(5)[30..].to_owned() + &log(6..8)));
    scene.restart().poll();
    assert!(scene.came.iter().all(|(came_of, _)| *came_of == key));
    scene.expect(5..8);
    scene.restart().poll().expect([]);
    scene.expect_no_warning();
}

#[test]
fn rotation_by_renaming() {
    let mut scene = Scene::new();
    scene.append("access.log", &log(0..3));
    scene.poll().expect(0..3);
    // The server writes to the renamed file until it is told to reopen.
    fs::rename(scene.path("access.log"), scene.path("access.log.1")).expect("renames");
    scene.append("access.log.1", &log(3..5));
    scene.poll().expect(3..5);
    scene.append("access.log", &log(5..7));
    scene.append("access.log.1", &log(7..8));
    scene.poll().expect(5..8);
    assert_eq!(scene.tailer.sources().count(), 2);
    // Renamed while nobody looked, and what was written then.
    scene.append("access.log", &log(8..9));
    fs::rename(scene.path("access.log.1"), scene.path("access.log.2")).expect("renames");
    fs::rename(scene.path("access.log"), scene.path("access.log.1")).expect("renames");
    scene.append("access.log", &log(9..11));
    scene.restart().poll().expect(8..11);
    scene.expect_no_warning();
}

#[test]
fn rotation_out_of_sight() {
    let mut scene = Scene::new();
    scene.append("access.log", &log(0..3));
    scene.poll().expect(0..3);
    fs::rename(scene.path("access.log"), scene.path("old.log")).expect("renames");
    scene.append("old.log", &log(3..5));
    // Its successor is not there: somebody still writes.
    for _ in 0..10 {
        scene.poll();
    }
    scene.append("old.log", &log(5..6));
    scene.poll().expect(3..6);
    scene.expect_warning("matches no file");
    scene.append("access.log", &log(6..8));
    scene.append("old.log", &log(8..9));
    scene.poll().expect(6..9);
    for _ in 0..3 {
        scene.poll();
    }
    assert_eq!(scene.tailer.sources().count(), 1, "the old file is dropped");
    scene.expect([]).expect_no_warning();
}

#[test]
fn deleted_and_made_anew() {
    let mut scene = Scene::new();
    scene.append("access.log", &log(0..3));
    scene.poll().expect(0..3);
    let mut old = OpenOptions::new().append(true).open(scene.path("access.log")).expect("opens");
    fs::remove_file(scene.path("access.log")).expect("removes");
    old.write_all(log(3..4).as_bytes()).expect("writes");
    scene.poll().expect([3]);
    scene.expect_warning("matches no file");
    scene.append("access.log", &log(4..6));
    scene.poll().expect(4..6);
    for _ in 0..3 {
        scene.poll();
    }
    assert_eq!(scene.tailer.sources().count(), 1);
    scene.expect_no_warning();
    // While nobody looks: perhaps the same inode, surely another file.
    let keys = |scene: &Scene| scene.tailer.positions().iter().map(|p| p.key().to_owned()).collect::<Vec<_>>();
    let before = keys(&scene);
    drop(old);
    fs::remove_file(scene.path("access.log")).expect("removes");
    scene.restart();
    scene.append("access.log", &log(6..9));
    scene.poll().expect(6..9);
    assert!(!before.contains(keys(&scene).first().expect("is followed")));
}

#[test]
fn truncated_in_place() {
    let mut scene = Scene::new();
    scene.append("access.log", &log(0..5));
    scene.poll().expect(0..5);
    let first = scene.tailer.positions()[0].key().to_owned();
    fs::write(scene.path("access.log"), log(5..7)).expect("truncates and writes");
    scene.poll().expect(5..7);
    let window = "Lines written within the 31.0 s since it was last looked at";
    assert!(scene.notices.iter().any(|notice| notice.text.contains(window)), "{:#?}", scene.notices);
    scene.expect_warning("was truncated (it is shorter");
    let second = scene.tailer.positions()[0].key().to_owned();
    assert_ne!(first, second);
    // Grown beyond the old offset before anybody looked.
    fs::write(scene.path("access.log"), log(7..20)).expect("truncates and writes");
    scene.poll().expect(7..20);
    scene.expect_warning("was truncated (what was read last has changed");
    // To nothing, then slowly; and while nobody looks.
    File::create(scene.path("access.log")).expect("truncates");
    scene.poll().expect([]);
    scene.append("access.log", &log(20..22));
    scene.poll().expect(20..22);
    scene.notices.clear();
    fs::write(scene.path("access.log"), log(30..40)).expect("truncates and writes");
    assert_eq!(scene.tailer.truncations(), [3]);
    scene.restart().poll().expect(30..40);
    scene.expect_warning("begins differently; it is read from its start");
}

#[test]
fn what_was_read_before_a_truncation_still_comes() {
    let mut scene = Scene::new();
    // More lines than a batch holds: the reader has the rest in memory.
    let short = "-\n".repeat(20_000);
    scene.append("access.log", &(log(0..100) + &short + &log(100..102)));
    scene.look();
    let mut lines = scene.tailer.next_batch().expect("has lines").batch.lines;
    assert!(lines < 20_000);
    fs::write(scene.path("access.log"), log(4..6)).expect("truncates and writes");
    scene.look();
    while let Some(batch) = scene.tailer.next_batch() {
        lines += batch.batch.lines;
    }
    assert_eq!(lines, 20_102);
    scene.poll().expect(4..6);
    scene.expect_warning("was truncated");
}

#[test]
fn a_hole_after_truncation_is_no_line() {
    let mut scene = Scene::new();
    scene.append("access.log", &log(0..5));
    scene.poll().expect(0..5);
    // A writer without O_APPEND goes on at its old offset.
    let hole = log(0..5).len();
    fs::write(scene.path("access.log"), [vec![0; hole], log(5..7).into_bytes()].concat()).expect("writes");
    scene.poll().expect(5..7);
    scene.expect_warning("was truncated");
    let counters = scene.tailer.sources().next().expect("is followed").counters;
    assert_eq!(counters.nul_bytes, hole as u64);
}

#[test]
fn archives_are_read_once() {
    let mut scene = Scene::new();
    fs::write(scene.path("access.log.2.gz"), gzip(log(0..50).trim_end().as_bytes())).expect("writes");
    scene.append("access.log", &log(100..103));
    scene.poll().expect((0..50).chain(100..103));
    scene.poll().expect([]);
    scene.restart().poll().expect([]);
    // One that is still being written.
    let whole = gzip(log(50..100).as_bytes());
    fs::write(scene.path("access.log.3.gz"), &whole[..whole.len() / 2]).expect("writes");
    scene.poll().poll();
    scene.notices.clear();
    scene.restart();
    fs::write(scene.path("access.log.3.gz"), &whole).expect("writes");
    scene.poll().expect(50..100);
    scene.restart().poll().expect([]);
}

#[test]
fn the_archive_of_a_file_goes_on_where_that_was_read() {
    let mut scene = Scene::new();
    scene.append("access.log", &log(0..50));
    scene.poll().expect(0..50);
    // As logrotate does it: rename, new file, compress, remove.
    fs::rename(scene.path("access.log"), scene.path("access.log.1")).expect("renames");
    scene.append("access.log", &log(100..101));
    scene.append("access.log.1", &log(50..60));
    fs::write(scene.path("access.log.1.gz"), gzip(log(0..60).as_bytes())).expect("writes");
    scene.poll().expect((50..60).chain([100]));
    fs::remove_file(scene.path("access.log.1")).expect("removes");
    for _ in 0..6 {
        scene.poll();
    }
    scene.expect([]);
    assert_eq!(scene.tailer.sources().count(), 1);
    scene.restart().poll().expect([]);
    // The same while nobody looks, with lines that nobody saw.
    scene.append("access.log", &log(101..120));
    fs::write(scene.path("access.log.2.gz"), gzip(log(100..120).as_bytes())).expect("writes");
    fs::remove_file(scene.path("access.log")).expect("removes");
    scene.append("access.log", &log(200..201));
    scene.restart().poll().expect((101..120).chain([200]));
    scene.restart().poll().expect([]);
    scene.expect_no_warning();
}

#[test]
fn files_whose_format_is_not_clear_wait() {
    let mut scene = Scene::new();
    File::create(scene.path("access.log")).expect("creates");
    scene.poll().poll().expect_no_warning();
    scene.append("access.log", &line(0)[..40]);
    scene.poll().expect_no_warning();
    scene.append("access.log", &(line(0)[40..].to_owned() + &line(1)));
    scene.poll().expect(0..2);
    scene.append("access.log.app", "starting\n");
    scene.poll().expect([]);
    scene.expect_warning("format is unknown");
    scene.poll().expect_no_warning();
    scene.append("access.log.app", &log(2..4));
    scene.poll().expect(2..4);
    scene.expect_no_warning();
}

#[test]
fn what_is_missing_is_told_once_and_found_when_it_comes() {
    let mut scene = Scene::new();
    scene.poll().expect_warning("matches no file");
    scene.poll().expect_no_warning();
    scene.append("access.log", &log(0..2));
    scene.poll().expect(0..2);
    fs::remove_file(scene.path("access.log")).expect("removes");
    scene.poll().expect_warning("matches no file");
}

#[test]
fn the_furthest_behind_is_read_first() {
    let mut scene = Scene::new();
    let many = 30_000;
    scene.append("access.log.new", &log(600..600 + many));
    scene.append("access.log.old", &log(0..300));
    scene.look();
    let first = scene.tailer.next_batch().expect("has lines");
    assert!(first.path.ends_with("access.log.old"));
    assert_eq!(first.lateness_us, 60_000_000);
    let at_end = |scene: &Scene| scene.tailer.sources().map(|source| source.at_end).collect::<Vec<_>>();
    assert_eq!(at_end(&scene), [false, false]);
    scene.poll();
    assert_eq!(at_end(&scene), [true, true]);
    assert!(scene.tailer.sources().all(|source| source.format == "combined" && source.newest_ts.is_some()));
}

#[test]
fn waking_is_quicker_than_polling() {
    let scene = Scene::new();
    let (sender, woken) = std::sync::mpsc::channel();
    let pattern = format!("{}/access.log*", scene.directory.path().display());
    let (_wake, problems) = tripline_ingest::Wake::new(&[pattern], move || {
        let _ = sender.send(());
    });
    assert_eq!(problems, []);
    scene.append("access.log", &line(0));
    // A minute is for a machine that is busy; it takes milliseconds.
    woken.recv_timeout(Duration::from_mins(1)).expect("is told of the new file");
    let (_wake, problems) = tripline_ingest::Wake::new(&["/nowhere/at/all/*.log".to_owned()], || {});
    assert!(problems[0].to_string().contains("seen at the next poll"), "{problems:?}");
}

#[test]
fn a_line_from_the_far_future_is_rejected_and_counts_for_nothing() {
    let mut scene = Scene::new();
    let ahead = line(1).replace("/2024:", "/2099:");
    assert_ne!(ahead, line(1), "the lines of these tests are of 2024");
    scene.append("access.log", &(line(0) + &ahead + &line(2)));
    let latest = 4_000_000_000_000_000; // in the year 2096
    scene.tailer.reject_after(latest);
    scene.look();
    let batch = scene.tailer.next_batch().expect("a batch").batch;
    assert_eq!((batch.rows.num_rows(), batch.lines), (2, 3));
    let reject = batch.rejects.first().expect("a reject");
    assert_eq!((reject.reason, reject.offset), (RejectReason::FarAhead, line(0).len() as u64));
    assert!(reject.line.contains("2099"), "{}", reject.line);
    while scene.tailer.next_batch().is_some() {}
    let status = scene.tailer.sources().next().expect("a file");
    assert!(status.newest_ts.is_some_and(|newest| newest < latest) && status.source == 0, "{status:?}");
}

#[test]
fn a_heading_holds_after_a_restart_until_the_next_one() {
    let mut scene = Scene::new();
    let heading = "#Software: Some Server\n#Fields: date time c-ip cs-method cs-uri-stem sc-status\n";
    let row = |n: usize| format!("2024-03-05 10:00:0{n} 192.0.2.7 GET /{n} 200\n");
    scene.append("access.log", &(heading.to_owned() + &row(0)));
    scene.poll().expect(0..1);
    scene.append("access.log", &row(1));
    scene.restart().poll().expect(1..2);
    scene.append("access.log", "#Fields: cs-uri-stem time date c-ip sc-status\n/2 10:00:02 2024-03-05 192.0.2.7 200\n");
    scene.append("access.log", &row(3));
    scene.poll().expect(2..3);
    scene.append("access.log", "/4 10:00:04 2024-03-05 192.0.2.7 200\n");
    scene.restart().poll().expect(4..5);
    scene.expect_no_warning();
}
