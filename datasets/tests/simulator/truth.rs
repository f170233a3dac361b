//! The truth beside a log is what a recount of the log says.

use crate::{Line, benign, parse, parse_all, simulate};
use jiff::SignedDuration;
use proptest::prelude::*;
use std::collections::{BTreeSet, HashSet};
use tripline_datasets::{
    CAMPAIGN_ADDRESS, CRAWLER_ADDRESS, Enumeration, Length, Order, PARTNER_ADDRESS, PROBE_ADDRESS, Scenario, Truth,
    leaked_by,
};

/// Compares the truth with what the log says.
fn recount(log: &str, truth: &Truth) {
    assert!(log.is_empty() || log.ends_with('\n'));
    let lines = parse_all(log);
    assert!(lines.is_sorted_by_key(|line| line.second), "out of order");
    assert_eq!(lines.len() as u64, truth.lines);

    let by = |client: &str| lines.iter().filter(|line| line.client == client).count() as u64;
    let sign_ins = |status| {
        let is_one = |line: &&Line<'_>| (line.method, line.target, line.status) == ("POST", "/v1/login", status);
        lines.iter().filter(is_one).count() as u64
    };
    let benign = &truth.benign;
    assert_eq!(benign.crawler, by(CRAWLER_ADDRESS));
    assert_eq!(benign.probe, by(PROBE_ADDRESS));
    assert_eq!(benign.partner, by(PARTNER_ADDRESS));
    assert_eq!(benign.sign_ins, sign_ins(200));
    assert_eq!(benign.mistyped_passwords, sign_ins(401));
    let machines = benign.crawler + benign.probe + benign.partner;
    assert_eq!(benign.people + machines + by(CAMPAIGN_ADDRESS), truth.lines);
    recount_campaign(&lines, truth);
}

fn recount_campaign(lines: &[Line<'_>], truth: &Truth) {
    let requests: Vec<&Line<'_>> = lines.iter().filter(|line| line.client == CAMPAIGN_ADDRESS).collect();
    let Some(campaign) = &truth.campaign else {
        assert!(requests.is_empty(), "a campaign without truth");
        return;
    };
    assert_eq!(campaign.requests, requests.len() as u64);
    assert_eq!(campaign.first.as_second(), requests[0].second);
    assert_eq!(campaign.last.as_second(), requests[requests.len() - 1].second);

    let id = |line: &Line<'_>| -> u64 {
        line.target.strip_prefix("/v1/users/").and_then(|id| id.parse().ok()).expect("a user's id")
    };
    let asked: BTreeSet<u64> = requests.iter().map(|line| id(line)).collect();
    assert_eq!(asked.len(), requests.len(), "an id was asked for twice");
    assert_eq!(Some(&campaign.ids.0), asked.first());
    assert_eq!(Some(&campaign.ids.1), asked.last());

    let mut leaked = HashSet::new();
    let mut leaked_ids = Vec::new();
    assert_eq!(leaked_by(truth, campaign.first.as_microsecond() - 1), 0);
    for (place, line) in requests.iter().enumerate() {
        if line.status == 200 && leaked.insert(id(line)) {
            leaked_ids.push(id(line));
        }
        if requests.get(place + 1).is_none_or(|next| next.second > line.second) {
            assert_eq!(leaked_by(truth, line.second * 1_000_000), leaked.len() as u64);
        }
    }
    assert_eq!(campaign.records, leaked.len() as u64);
    assert_eq!(leaked_by(truth, i64::MAX), campaign.records);
    assert!(campaign.leaked_ids.as_ref() == Some(&leaked_ids), "other ids leaked");
    for milestone in &campaign.milestones {
        assert!(leaked_by(truth, milestone.at.as_microsecond()) >= milestone.records);
        assert!(leaked_by(truth, milestone.at.as_microsecond() - 1) < milestone.records);
    }
}

fn scenario() -> Scenario {
    benign("2026-03-02T00:00:00Z", Length::Lines(5_000), 20.0)
}

prop_compose! {
    fn any_campaign()(
        start in 0_i64..900,
        rate in prop_oneof![Just(0.03), Just(2.5), Just(40.0)],
        requests in prop::option::of(1_u64..2_000),
        records in prop::option::of(1_u64..500),
        first_id in 0_u64..1_000_000,
        order in prop_oneof![Just(Order::Sequential), Just(Order::Random)],
        hit_ratio in prop_oneof![Just(1.0), Just(0.5), Just(0.01)],
    ) -> Enumeration {
        Enumeration { start: SignedDuration::from_secs(start), rate, requests, records, first_id, order, hit_ratio }
    }
}

prop_compose! {
    fn any_scenario()(
        seed: u64,
        start in 0_i64..90_000_000_000,
        length in prop_oneof![
            (1_u64..4_000).prop_map(Length::Lines),
            (901_i64..2_000).prop_map(|seconds| Length::Duration(SignedDuration::from_secs(seconds))),
        ],
        // Few decimals: serde_json reads back longer ones only to the last bit but one.
        rate in (100_u32..5_000).prop_map(|thousandths| f64::from(thousandths) / 1_000.0),
        partner_export: bool,
        campaign in prop::option::of(any_campaign()),
    ) -> Scenario {
        let start = jiff::Timestamp::from_second(start).expect("a time before the year 5000");
        Scenario { seed, start, length, rate, partner_export, campaign }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_truth_is_what_the_log_says(scenario in any_scenario()) {
        let (log, truth) = simulate(&scenario);
        recount(&log, &truth);
        match scenario.length {
            Length::Lines(lines) => prop_assert_eq!(truth.lines, lines),
            Length::Duration(duration) => {
                let end = (scenario.start + duration).as_microsecond();
                let last = log.lines().last().and_then(parse).map_or(0, |line| line.second * 1_000_000);
                prop_assert!(last < end);
            }
        }
        // The truth survives being a file, and the same scenario is the same log.
        let json = serde_json::to_string(&truth).expect("JSON");
        prop_assert!(serde_json::from_str::<Truth>(&json).expect("JSON") == truth);
        prop_assert!(simulate(&scenario) == (log, truth));
    }
}

#[test]
fn another_seed_is_another_log() {
    assert_ne!(simulate(&scenario()).0, simulate(&Scenario { seed: 2, ..scenario() }).0);
}

#[test]
fn a_campaign_leaves_the_benign_lines_as_they_were() {
    let quiet = Scenario { length: Length::Duration(SignedDuration::from_mins(10)), ..scenario() };
    let campaign = Enumeration { start: SignedDuration::from_mins(2), hit_ratio: 0.5, ..Enumeration::default() };
    let attacked = Scenario { campaign: Some(campaign), ..quiet.clone() };
    let (log, truth) = simulate(&attacked);
    assert!(truth.campaign.is_some_and(|campaign| campaign.requests > 4_000));
    let benign: String = log.split_inclusive('\n').filter(|line| !line.starts_with(CAMPAIGN_ADDRESS)).collect();
    assert_eq!(benign, simulate(&quiet).0);
}

#[test]
fn a_campaign_stops_at_its_records_and_hits_as_often_as_asked() {
    let campaign = Enumeration { rate: 100.0, records: Some(3_000), hit_ratio: 0.3, ..Enumeration::default() };
    let campaign = Scenario { length: Length::Lines(20_000), campaign: Some(campaign), ..scenario() };
    let campaign = simulate(&campaign).1.campaign.expect("a campaign");
    assert_eq!(campaign.records, 3_000);
    let hit_ratio = campaign.records as f64 / campaign.requests as f64;
    assert!((hit_ratio - 0.3).abs() < 0.02, "{hit_ratio}");
}

#[test]
fn a_shuffled_campaign_covers_its_range() {
    let campaign = Enumeration { rate: 100.0, requests: Some(1_000), order: Order::Random, ..Enumeration::default() };
    let campaign = simulate(&Scenario { campaign: Some(campaign), ..scenario() }).1.campaign.expect("a campaign");
    assert_eq!((campaign.requests, campaign.ids), (1_000, (1_000, 1_999)));
    let ids = campaign.leaked_ids.expect("few enough to be listed");
    assert!(!ids.is_sorted());
}

#[test]
fn the_partner_exports_at_two_in_the_night() {
    let minutes = Length::Duration(SignedDuration::from_mins(20));
    let night = Scenario { partner_export: true, ..benign("2026-03-02T01:59:00Z", minutes, 1.0) };
    let (log, truth) = simulate(&night);
    recount(&log, &truth);
    assert_eq!(truth.benign.partner, 3_000);
}
