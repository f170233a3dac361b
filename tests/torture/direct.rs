//! The same writer over [`Tailer`] itself, without a process around it: each look, read, commit and kill comes when the seed
//! says, so that a seed that fails does so every time, and thousands take a minute.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use arrow::array::AsArray;
use tempfile::TempDir;
use tripline_ingest::table::columns;
use tripline_ingest::{Changes, Position, Source, SourceOptions, Tailer};
use tripline_tests::random::Random;

use super::Run;
use super::ledger::Name;
use super::scene::name;
use super::writer::Writer;

/// Time between two steps, at most, ms. In sum it stays below what a file without a name is waited for.
const STEP: u64 = 15;

/// Who follows the files, and what a kill leaves of it.
struct Reader {
    pattern: String,
    salt: u64,
    random: Random,
    tailer: Tailer,
    now: Duration,
    /// As a state file has them.
    positions: BTreeMap<String, Position>,
    /// How often each line came, as far as that is committed.
    found: BTreeMap<Name, u64>,
    /// What came since the last commit.
    fresh: Vec<Name>,
    said: String,
}

impl Reader {
    fn new(folder: &Path, seed: u64, all_in_sight: bool) -> Self {
        let logs = folder.join("logs");
        let pattern = if all_in_sight { logs } else { logs.join("*.log") }.display().to_string();
        let mut reader = Self {
            tailer: follow(&pattern, Vec::new()),
            pattern,
            salt: seed,
            random: Random::new(seed ^ 0x5EED),
            now: Duration::ZERO,
            positions: BTreeMap::new(),
            found: BTreeMap::new(),
            fresh: Vec::new(),
            said: String::new(),
        };
        reader.start();
        reader
    }

    /// Something of what `run` does, or of what happens to it meanwhile.
    fn goes_on(&mut self) {
        match self.random.below(8) {
            0 => {}
            1..=2 => self.look(),
            3 => {
                self.look();
                self.take();
            }
            4 => _ = self.take(),
            5 => self.commit(),
            _ => {
                self.look();
                self.drain();
                self.commit();
            }
        }
    }

    fn look(&mut self) {
        self.now += Duration::from_millis(self.random.below(STEP));
        for notice in self.tailer.poll(self.now) {
            let _ = writeln!(self.said, "    {notice}");
        }
    }

    /// One batch. False: there is none.
    fn take(&mut self) -> bool {
        let Some(batch) = self.tailer.next_batch() else { return false };
        let paths = batch.batch.rows.column(columns::PATH).as_string_view();
        for path in paths.iter().flatten().filter(|path| path.starts_with("/t/")) {
            self.fresh.push(name(path, self.salt).unwrap_or_else(|| panic!("a line came mangled: {path}")));
        }
        let _ = writeln!(self.said, "    {} lines at {} of {}", batch.batch.lines, batch.batch.offset, batch.file);
        true
    }

    fn drain(&mut self) {
        while self.take() {}
    }

    fn commit(&mut self) {
        let Changes { puts, deletes } = self.tailer.changes();
        self.positions.retain(|key, _| !deletes.contains(key));
        self.positions.extend(puts.into_iter().map(|position| (position.key().to_owned(), position)));
        for name in self.fresh.drain(..) {
            *self.found.entry(name).or_default() += 1;
        }
        self.said += "    committed\n";
    }

    /// All that can be read is read, and committed.
    fn sync(&mut self) {
        for _ in 0..3 {
            self.now += Duration::from_secs(1);
            self.look();
            self.drain();
        }
        self.commit();
    }

    /// What was not committed did not happen.
    fn start(&mut self) {
        self.fresh.clear();
        self.now = Duration::ZERO;
        self.tailer = follow(&self.pattern, self.positions.values().cloned().collect());
        self.said += "    started\n";
    }
}

fn follow(pattern: &str, positions: Vec<Position>) -> Tailer {
    let source = Source { pattern: pattern.to_owned(), options: SourceOptions::default(), from_end: false };
    Tailer::new(vec![source], positions)
}

/// Tortures with one seed.
pub fn torture(seed: u64, kills: u64) -> Run {
    let mut random = Random::new(seed.wrapping_mul(0x9E37_79B9));
    let all_in_sight = random.one_in(2);
    let folder = TempDir::new().expect("a folder");
    std::fs::create_dir(folder.path().join("logs")).expect("a folder");
    let mut writer = Writer::new(folder.path(), seed, all_in_sight);
    let mut reader = Reader::new(folder.path(), seed, all_in_sight);
    let tell = |writer: &mut Writer, reader: &mut Reader| {
        reader.said += &(std::mem::take(&mut writer.story).join("; ") + "\n");
    };
    for _ in 0..kills {
        for _ in 0..3 + random.below(8) {
            writer.step(&mut |_| reader.goes_on());
            tell(&mut writer, &mut reader);
            reader.goes_on();
        }
        if random.one_in(2) {
            reader.sync();
            writer.ledger.synced(&writer.denied());
        }
        for _ in 0..random.below(5) {
            writer.step(&mut |_| {});
            tell(&mut writer, &mut reader);
        }
        reader.start();
    }
    writer.finish();
    reader.sync();
    writer.ledger.synced(&writer.denied());
    Run { verdict: writer.ledger.verdict(&reader.found), alerts: Ok(0), at_steps: 0, said: reader.said }
}
