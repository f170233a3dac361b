//! The page as Prometheus reads it: names and units are what dashboards are made of.

use std::time::Duration;

use tripline_alert::Status;

use super::*;
use crate::engine::Work;
use crate::metrics::Counts;

const SECOND: i64 = 1_000_000;

fn scrape() -> Scrape {
    let mut counts = Counts::new(&["/var/log/\"a\\b\"\n".into()]);
    counts.sources.values_mut().for_each(|source| {
        *source = SourceCounts {
            rows: 10,
            rejects: 2,
            other_layer: 4,
            late: 1,
            truncations: 6,
            files: 3,
            unread: 1,
            newest: Some(97 * SECOND),
        };
    });
    counts.rejects.insert(("combined".to_owned(), "bad_status"), 2);
    counts.alerts.insert(("a/b".into(), Status::Firing), 1);
    counts.troubles.insert("a/b".into(), 1);
    counts.commits = 7;
    let work = Work {
        rows: 9,
        aggregating: Duration::from_millis(1),
        windows: 2,
        closing: Duration::from_millis(250),
        found: 1,
    };
    let figures = |id: &str, closed_to| RuleFigures { id: id.into(), work, groups: 5, state_bytes: 4096, closed_to };
    let report = Report {
        rules: vec![figures("a/b", 60 * SECOND), figures("a/new", i64::MIN)],
        counts,
        exceptions: vec![ExceptionFigures { name: "1: partner".into(), hits: 4, ends: 1_900_000_000 * SECOND }],
        early_time: Duration::from_millis(500),
        state_bytes: 8192,
        memory_limit: 1 << 30,
    };
    let alerts = Alerts {
        open: vec![("a/b".into(), 1)],
        outbox: vec![OutboxFigures { destination: "soc".into(), pending: 3, oldest_ms: 70_000 }],
        failing: vec!["soc".into()],
        tries: BTreeMap::from([
            ("idle".into(), Outcome::default()),
            ("soc".into(), Outcome { delivered: 8, retrying: 4, dead: 1, refused: 0, store_errors: 0 }),
        ]),
    };
    Scrape { report, writable: true, alerts: Some(alerts), now: 100 * SECOND }
}

/// Dashboards rely on it: a change of `page.golden.txt` belongs into the CHANGELOG.
#[test]
fn the_page_is_as_documented() {
    let text = render(scrape()).replace(env!("CARGO_PKG_VERSION"), "VERSION");
    let golden = include_str!("page.golden.txt");
    assert_eq!(text, golden, "\n{text}");
}

#[test]
fn names_follow_the_conventions() {
    let text = render(scrape());
    for line in text.lines().filter(|line| line.starts_with("# TYPE ")) {
        let words: Vec<&str> = line.split(' ').collect();
        let (name, kind) = (words[2], words[3]);
        assert!(name.starts_with("tripline_") && name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{line}");
        assert!(["gauge", "counter"].contains(&kind), "{line}");
        let of = |line: &&str| line.starts_with(name) && line[name.len()..].starts_with(['{', ' ', '_']);
        let samples = text.lines().filter(of).count();
        assert!(samples > 0, "{name} has no sample here");
    }
}

#[test]
fn before_the_state_is_restored_there_is_less() {
    let text = render(Scrape { report: Report::default(), writable: true, alerts: None, now: 0 });
    assert!(text.contains("tripline_build_info") && text.ends_with("# EOF\n"), "{text}");
    assert!(!text.contains("outbox"), "{text}");
}
