//! Logs for load tests have the shape that `tripline_datasets::load` tells of, and Tripline reads every line of them.

use crate::{Line, parse_all};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use tripline_datasets::CAMPAIGN_ADDRESS;
use tripline_datasets::load::{Load, LoadError, LoadTruth, MAX_CLIENTS, write};
use tripline_ingest::{LogReader, Mode, SourceOptions, probe};

fn load(lines: u64, clients: u64) -> Load {
    let start = "2026-03-02T23:59:00Z".parse().expect("a time");
    Load { seed: 3, start, lines, clients, rate: Load::usual_rate(clients) }
}

fn written(load: &Load) -> (String, LoadTruth) {
    load.check().expect("it can be written");
    let mut log = Vec::new();
    let truth = write(load, &mut log).expect("memory takes all");
    (String::from_utf8(log).expect("a log is ASCII"), truth)
}

/// The addresses that come exactly once in each of the full minutes given: nearly all of them steady clients.
fn once_a_minute(lines: &[Line<'_>], minutes: usize) -> usize {
    let first = lines[0].second;
    let end = first + 60 * i64::try_from(minutes).expect("minutes");
    let mut seen: HashMap<&str, BTreeMap<i64, u64>> = HashMap::new();
    for line in lines.iter().filter(|line| line.second < end) {
        *seen.entry(line.client).or_default().entry((line.second - first) / 60).or_default() += 1;
    }
    seen.values().filter(|counts| counts.len() == minutes && counts.values().all(|&count| count == 1)).count()
}

#[test]
fn the_same_load_has_the_same_bytes() {
    let load = load(3_000, 500);
    assert_eq!(written(&load), written(&load));
    assert_ne!(written(&load).0, written(&Load { seed: 4, ..load }).0);
}

#[test]
fn the_truth_is_what_a_recount_says() {
    for lines in [1, 19, 20, 4_321, 150_000] {
        let load = load(lines, 5_000);
        let (log, truth) = written(&load);
        let lines = parse_all(&log);
        assert!(lines.is_sorted_by_key(|line| line.second), "out of order");
        assert_eq!((truth.lines, truth.lines), (load.lines, lines.len() as u64));
        let clients: HashSet<&str> = lines.iter().map(|line| line.client).collect();
        assert_eq!(truth.clients, clients.len() as u64);
        assert_eq!(truth.first.as_second(), lines[0].second);
        assert_eq!(truth.last.as_second(), lines[lines.len() - 1].second);
        let campaign = lines.iter().filter(|line| line.client == CAMPAIGN_ADDRESS);
        let accounts: BTreeSet<&str> = campaign.clone().map(|line| line.target).collect();
        assert_eq!(truth.campaign_requests, campaign.count() as u64);
        assert_eq!(truth.campaign_requests, accounts.len() as u64);
        assert_eq!(truth.campaign_requests, (load.lines / 20).min(5_000));
    }
}

#[test]
fn half_of_the_clients_come_once_a_minute() {
    // The campaign, which would hold them up a little, is from line 50,000 on.
    let start = "2026-03-02T00:00:00Z".parse().expect("a time");
    let load = Load { start, ..load(200_000, 5_000) };
    assert!((load.steady_seconds() - 60.0).abs() < 1e-6);
    let (log, _) = written(&load);
    let steady = once_a_minute(&parse_all(&log), 6);
    assert!((2_490..=2_510).contains(&steady), "{steady} instead of 2,500 and a busy one now and then");
}

#[test]
fn steady_clients_come_less_often_where_lines_are_few() {
    let load = Load { rate: 50.0, ..load(1, 6_000) };
    assert!((load.steady_seconds() - 120.0).abs() < 1e-6, "half of the lines are 25 a second");
}

#[test]
fn busy_clients_are_as_uneven_as_zipf_says() {
    let (log, _) = written(&load(200_000, 2_000));
    let mut counts: HashMap<&str, u64> = HashMap::new();
    for line in parse_all(&log).iter().filter(|line| line.client != CAMPAIGN_ADDRESS) {
        *counts.entry(line.client).or_default() += 1;
    }
    let mut counts: Vec<u64> = counts.into_values().collect();
    counts.sort_unstable_by(|a, b| b.cmp(a));
    // Of 200,000 lines 58 % are of busy clients (but for the campaign's): ln((k + 1) / k) / ln 1001 of them for rank k.
    for (rank, share) in [(1, 0.1003), (2, 0.0587), (10, 0.0138), (50, 0.00287)] {
        let expected = (200_000.0 - 5_000.0) * 0.5833 * share;
        let ratio = counts[rank - 1] as f64 / expected;
        assert!((0.85..1.15).contains(&ratio), "rank {rank}: {} instead of {expected:.0}", counts[rank - 1]);
    }
}

#[test]
fn only_the_campaign_reads_many_objects() {
    let (log, _) = written(&load(300_000, 1_000));
    let mut objects: HashMap<(&str, &str), HashSet<&str>> = HashMap::new();
    for line in parse_all(&log) {
        let (route, id) = line.target.split('?').next().and_then(|path| path.rsplit_once('/')).expect("a path");
        objects.entry((line.client, route)).or_default().insert(id);
    }
    let most = |of_campaign: bool| {
        let of = objects.iter().filter(|((client, _), _)| (*client == CAMPAIGN_ADDRESS) == of_campaign);
        of.map(|(_, ids)| ids.len()).max().expect("clients")
    };
    assert_eq!(most(true), 5_000);
    assert!((250..=500).contains(&most(false)), "{}", most(false));
}

#[test]
fn tripline_reads_every_line() {
    let load = load(20_000, 200_000);
    let (log, truth) = written(&load);
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), &log).expect("room for a log");
    let options = SourceOptions::default();
    let probe = probe(file.path(), &options).expect("a log");
    let mut reader = LogReader::open(&probe, &options, Mode::Once).expect("opens");
    let mut rows = 0;
    while let Some(batch) = reader.next_batch().expect("reads") {
        assert!(batch.rejects.is_empty(), "{:?}", batch.rejects);
        rows += batch.rows.num_rows() as u64;
    }
    assert_eq!(rows, truth.lines);
}

#[test]
fn what_cannot_be_written_is_told() {
    let good = load(10, 10);
    assert_eq!(Load { clients: 1, ..good.clone() }.check(), Err(LoadError::Clients(1)));
    assert_eq!(Load { clients: MAX_CLIENTS + 1, ..good.clone() }.check(), Err(LoadError::Clients(MAX_CLIENTS + 1)));
    for rate in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-9] {
        assert_eq!(Load { rate, ..good.clone() }.check(), Err(LoadError::Length), "{rate}");
    }
    assert_eq!(Load { lines: 0, ..good }.check(), Err(LoadError::Length));
}
