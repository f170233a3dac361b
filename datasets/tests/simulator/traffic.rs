//! The benign traffic is what the crate's tour says of it. Seeds are fixed: a failure means that something changed.

use crate::{benign, parse_all, simulate};
use jiff::SignedDuration;
use std::collections::{HashMap, HashSet};
use tripline_datasets::Length;

fn hours(hours: i64) -> Length {
    Length::Duration(SignedDuration::from_hours(hours))
}

#[test]
fn a_week_has_the_rate_that_was_asked_for() {
    let (_, truth) = simulate(&benign("2026-03-02T00:00:00Z", hours(7 * 24), 3.0));
    let rate = truth.lines as f64 / (7.0 * 86_400.0);
    assert!((rate / 3.0 - 1.0).abs() < 0.03, "{rate} requests/s instead of 3");
}

#[test]
fn clients_are_as_uneven_as_real_ones() {
    let (log, _) = simulate(&benign("2026-03-02T11:00:00Z", Length::Lines(300_000), 50.0));
    let mut requests: HashMap<&str, u64> = HashMap::new();
    for line in parse_all(&log) {
        *requests.entry(line.key()).or_default() += 1;
    }
    let mut requests: Vec<u64> = requests.into_values().collect();
    requests.sort_unstable();
    let quantiles = [0.5, 0.9, 0.99].map(|share| requests[(requests.len() as f64 * share) as usize]);
    // Two real logs: 2, 8, 43 and 8, 29, 78.
    assert!((2..=8).contains(&quantiles[0]), "{quantiles:?}");
    assert!((8..=29).contains(&quantiles[1]), "{quantiles:?}");
    assert!((43..=90).contains(&quantiles[2]), "{quantiles:?}");
}

#[test]
fn the_busiest_office_reads_as_many_objects_as_a_slow_scraper() {
    let (log, _) = simulate(&benign("2026-03-02T13:00:00Z", hours(4), 50.0));
    let mut objects: HashMap<(&str, i64), HashSet<&str>> = HashMap::new();
    for line in parse_all(&log) {
        if let Some(id) = line.target.strip_prefix("/v1/products/1") {
            objects.entry((line.key(), line.second / 600)).or_default().insert(id);
        }
    }
    let ((client, _), most) =
        objects.iter().map(|(key, ids)| (key, ids.len())).max_by_key(|&(_, ids)| ids).expect("reads");
    assert!(client.starts_with("192.0.2.1"), "{client} is no office");
    assert!((200..=450).contains(&most), "{most} objects in ten minutes");
}

#[test]
fn a_list_view_fetches_consecutive_items_within_two_seconds() {
    let (log, _) = simulate(&benign("2026-03-02T11:00:00Z", Length::Lines(100_000), 20.0));
    // A client's run of consecutive product ids: the last id, when it began, its length.
    let mut runs: HashMap<&str, (u64, i64, usize)> = HashMap::new();
    let mut lists = 0;
    for line in parse_all(&log) {
        let Some(Ok(id)) = line.target.strip_prefix("/v1/products/").map(str::parse::<u64>) else {
            continue;
        };
        let run = runs.entry(line.client).or_insert((id, line.second, 1));
        *run = if id == run.0 + 1 { (id, run.1, run.2 + 1) } else { (id, line.second, 1) };
        assert!(run.2 <= 51, "{} items in one list", run.2);
        if run.2 == 20 {
            lists += 1;
            assert!(line.second - run.1 <= 2, "a list took {} s", line.second - run.1);
        }
    }
    assert!(lists > 50, "{lists} list views");
}

#[test]
fn the_probe_comes_every_thirty_seconds_and_the_crawler_four_times_a_minute() {
    let (_, truth) = simulate(&benign("2026-03-02T11:00:00Z", hours(4), 20.0));
    assert_eq!(truth.benign.probe, 480);
    assert!((3_400..3_800).contains(&truth.benign.crawler), "{}", truth.benign.crawler);
}
