//! The torture test: a writer does to its log files whatever servers, rotation and operators do, and `tripline run` over
//! them is killed again and again, at named steps and at random. In the end each line that the writer did not destroy
//! itself ([`ledger`]) is in the history and in what the rules saw, exactly once, and every alert has the id that one scan
//! gives it.
//!
//! `TRIPLINE_SEEDS=1000 TRIPLINE_KILLS=20` for longer; `TRIPLINE_SEED=17` runs that seed alone (the writer does the same
//! then; when the program looks is up to the machine, but not so in [`direct`]). With `TRIPLINE_READ_BETWEEN=1` logs are also
//! read between their copy and their truncation.

mod direct;
mod ledger;
mod scene;
mod stream;
mod writer;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ledger::{Cause, Verdict};
use scene::Scene;
use tripline_tests::random::{Random, number};
use writer::Writer;

/// How much is tortured by default: seeds, and kills each.
const PROCESSES: (u64, u64) = (50, 5);
const DIRECT: (u64, u64) = (300, 20);
/// Seeds at a time: half of a seed's time is waiting.
const THREADS: usize = 3;

/// Where the program is killed, and how often it gets there before at most.
const STEPS: [(&str, u64); 5] =
    [("before-segment", 2), ("segment-synced", 2), ("before-commit", 3), ("after-commit", 3), ("before-send", 2)];
/// How long a process that is to die at a step is waited for, ms.
const PATIENCE: u64 = 800;

/// What all seeds together showed.
#[derive(Default)]
struct Summary {
    test: &'static str,
    seeds: u64,
    kills: u64,
    at_steps: u64,
    written: u64,
    alerts: usize,
    excused: BTreeMap<Cause, (u64, u64)>,
    failures: Vec<String>,
}

#[test]
fn every_line_once() {
    run_all("every_line_once", PROCESSES, torture);
}

#[test]
fn every_line_once_without_processes() {
    run_all("every_line_once_without_processes", DIRECT, direct::torture);
}

fn run_all(test: &'static str, (seeds, kills): (u64, u64), torture: fn(u64, u64) -> Run) {
    let kills = number("TRIPLINE_KILLS", kills);
    let first = number("TRIPLINE_SEED", 0);
    let seeds = if first > 0 { 1 } else { number("TRIPLINE_SEEDS", seeds) };
    let first = first.max(number("TRIPLINE_FIRST_SEED", 1));
    let next = AtomicU64::new(first);
    let summary = Mutex::new(Summary { test, ..Summary::default() });
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds {
                        return;
                    }
                    let outcome = std::panic::catch_unwind(|| torture(seed, kills));
                    let mut summary = summary.lock().expect("nobody panics here");
                    summary.seeds += 1;
                    match outcome {
                        Ok(run) => summary.add(seed, kills, &run),
                        Err(_) => summary.fail(seed, kills, "it panicked, see above"),
                    }
                }
            });
        }
    });
    let summary = summary.into_inner().expect("nobody panics there");
    eprintln!(
        "{} seeds, {} kills ({} at named steps), {} lines written, {} alerts; lines excused, as (missing, possible): {:?}",
        summary.seeds, summary.kills, summary.at_steps, summary.written, summary.alerts, summary.excused
    );
    assert!(summary.failures.is_empty(), "{}", summary.failures.join("\n"));
}

/// What one seed showed.
struct Run {
    verdict: Verdict,
    alerts: Result<usize, String>,
    at_steps: u64,
    said: String,
}

impl Summary {
    fn add(&mut self, seed: u64, kills: u64, run: &Run) {
        self.kills += kills;
        self.at_steps += run.at_steps;
        self.written += run.verdict.written;
        for (cause, (missing, possible)) in &run.verdict.excused {
            let sums = self.excused.entry(*cause).or_default();
            *sums = (sums.0 + missing, sums.1 + possible);
        }
        match &run.alerts {
            Ok(alerts) => self.alerts += alerts,
            Err(what) => self.fail(seed, kills, what),
        }
        if !run.verdict.is_good() {
            let Verdict { lost, doubled, invented, .. } = &run.verdict;
            eprintln!("{}", run.said);
            self.fail(seed, kills, &format!("lost {lost:?}, doubled {doubled:?}, invented {invented:?}"));
        }
    }

    fn fail(&mut self, seed: u64, kills: u64, what: &str) {
        self.failures.push(format!(
            "seed {seed}: {what}\n  again: TRIPLINE_SEED={seed} TRIPLINE_KILLS={kills} cargo test -p tripline-tests --test torture -- --nocapture --exact {}",
            self.test
        ));
        eprintln!("{}", self.failures.last().expect("it was just told"));
    }
}

fn torture(seed: u64, kills: u64) -> Run {
    let mut random = Random::new(seed.wrapping_mul(0x9E37_79B9));
    let all_in_sight = random.one_in(2);
    let mut scene = Scene::new(seed, all_in_sight);
    let mut writer = Writer::new(scene.site.path(), seed, all_in_sight);
    let (mut at_steps, mut said) = (0, String::new());
    for _ in 0..kills {
        let failpoint = match random.below(24) {
            0 => Some("before-commit:full:1".to_owned()),
            1..=18 => {
                let (step, times) = *random.pick(&STEPS);
                Some(format!("{step}:kill:{}", 1 + random.below(times)))
            }
            _ => None,
        };
        let process = scene.start(failpoint.as_deref());
        let patience = if failpoint.is_some_and(|failpoint| failpoint.contains("kill")) { PATIENCE } else { 300 };
        let stops = random.one_in(8);
        if stops {
            process.signal_if_there("STOP");
        }
        for _ in 0..3 + random.below(8) {
            writer.step(&mut |limit| {
                process.ends_within(Duration::from_millis(random.below(limit)));
            });
        }
        if stops {
            process.signal_if_there("CONT");
        }
        if random.one_in(2) && scene.sync(&process) {
            writer.ledger.synced(&writer.denied());
            writer.story.push("synced".to_owned());
        }
        let ended = process.ends_within(Duration::from_millis(random.below(patience)));
        at_steps += u64::from(ended);
        said.push_str(&std::mem::take(&mut writer.story).join("; "));
        said.push('\n');
        said.push_str(&process.said());
        process.end_or_kill(Duration::ZERO);
        for _ in 0..random.below(5) {
            writer.step(&mut |_| {});
        }
    }
    writer.finish();
    said.push_str(&std::mem::take(&mut writer.story).join("; "));
    said.push('\n');
    let process = scene.start(None);
    assert!(scene.sync(&process), "it ended:\n{}", process.said());
    said.push_str(&process.said());
    writer.ledger.synced(&writer.denied());
    scene.end(process);
    let found = scene.found();
    let verdict = writer.ledger.verdict(&found);
    Run { alerts: scene.check_alerts(&found), verdict, at_steps, said }
}
