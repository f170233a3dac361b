//! Worlds: every family, incident and confounder can be simulated, and the truth is what a recount of the log says.

use crate::{Line, parse_all};
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use tripline_datasets::Format;
use tripline_datasets::world::plan::{Plan, parse};
use tripline_datasets::world::{Who, World, WorldTruth, confounders, families, incidents, into_log};

fn world(hours: i64, rate: f64, campaigns: &[&str]) -> World {
    World {
        seed: 5,
        start: "2026-03-02T00:00:00Z".parse().expect("a time"),
        duration: SignedDuration::from_hours(hours),
        rate,
        sweep: false,
        confounders: Vec::new(),
        campaigns: campaigns.iter().map(|text| parse(text).unwrap_or_else(|e| panic!("{e}"))).collect(),
        format: Format::Combined,
    }
}

fn write(world: &World) -> (String, WorldTruth) {
    let mut log = Vec::new();
    let truth = world.write(&mut log).expect("memory can be written to");
    (String::from_utf8(log).expect("a log is ASCII"), truth)
}

/// A request for a record that tells its id: of those families whose target ends with one.
fn id_of(line: &Line<'_>, plan: &Plan) -> Option<u64> {
    line.target.strip_prefix(plan.target.strip_suffix("{id}")?)?.parse().ok()
}

#[test]
fn every_campaign_leaks_what_its_truth_says() {
    for plan in families::all().chain(incidents::all()) {
        let mut short = world(2, 0.0, &[plan.name]);
        short.duration = SignedDuration::from_secs(if plan.rate > 500.0 { 4 } else { 1_500 });
        let (log, truth) = write(&short);
        let lines = parse_all(&log);
        assert!(lines.is_sorted_by_key(|line| line.second), "{} is out of order", plan.name);
        let [campaign] = &truth.campaigns[..] else { panic!("{} made no request", plan.name) };
        let leaked = &campaign.campaign;
        assert_eq!(lines.len() as u64, truth.lines);
        // (the decoys after the last theft may be cut off)
        assert!((leaked.requests..=leaked.requests * (1 + plan.decoys)).contains(&truth.lines), "{}", plan.name);
        assert!(leaked.records <= leaked.requests * plan.batch, "{}", plan.name);
        let expected = leaked.requests as f64 * plan.batch as f64 * plan.hit_ratio;
        let sigmas = (leaked.records as f64 - expected).abs() / expected.sqrt().max(1.0);
        assert!(sigmas < 5.0, "{}: {} records instead of {expected}", plan.name, leaked.records);
        let clients: BTreeSet<&str> = lines.iter().map(|line| line.client).collect();
        assert_eq!(clients, campaign.clients.iter().map(String::as_str).collect(), "{}", plan.name);
        let in_runs: u64 = leaked.leaked_runs.iter().map(|&(_, seconds, each)| seconds.unsigned_abs() * each).sum();
        assert_eq!((in_runs, campaign.leaked_us.len() as u64), (leaked.records, leaked.records), "{}", plan.name);
        if plan.target.ends_with("{id}") && plan.decoys == 0 && !plan.soft_misses {
            let hits: HashSet<u64> =
                lines.iter().filter(|line| line.status == 200).filter_map(|line| id_of(line, plan)).collect();
            assert_eq!(hits.len() as u64, leaked.records, "{}", plan.name);
        }
    }
}

#[test]
fn every_confounder_is_there_within_a_week() {
    let mut all = world(7 * 24, 1.0, &[]);
    all.confounders = confounders::ALL.iter().collect();
    let mut by: BTreeMap<&str, u64> = BTreeMap::new();
    let mut blocks: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    let watch = |who: Who, line: &[u8]| {
        if let Who::Confounder(name) = who {
            *by.entry(name).or_default() += 1;
            let line = String::from_utf8_lossy(line);
            let block: Vec<&str> = line.split('.').take(2).collect();
            blocks.entry(block.join(".")).or_default().insert(name);
        }
    };
    let truth = all.write_watched(&mut std::io::sink(), watch).expect("a sink can be written to");
    for confounder in confounders::ALL {
        let lines = truth.benign[confounder.name];
        let silent = [confounders::HOLIDAY, confounders::SUMMER_TIME].contains(&confounder.name);
        assert_eq!(lines == 0, silent, "{}: {lines} lines", confounder.name);
        assert_eq!(by.get(confounder.name).copied().unwrap_or(0), lines);
    }
    assert!(blocks.values().all(|names| names.len() == 1), "confounders share addresses: {blocks:?}");
}

#[test]
fn a_world_is_the_same_for_the_same_seed_and_campaigns_leave_the_others_alone() {
    let mut attacked = world(3, 2.0, &["sequential-10:start=1h,records=500", "addresses-30:start=2h,duration=10m"]);
    attacked.confounders = confounders::ALL.iter().collect();
    let (log, truth) = write(&attacked);
    assert!(write(&attacked).0 == log, "the same world gave other bytes");
    assert_eq!((truth.campaigns.len(), truth.campaigns[0].campaign.records), (2, 500));
    let quiet = World { campaigns: Vec::new(), ..attacked.clone() };
    let members: HashSet<&str> = truth.campaigns.iter().flat_map(|c| c.clients.iter().map(String::as_str)).collect();
    let is_member = |line: &&str| members.contains(line.split(' ').next().unwrap_or_default());
    let others: String = log.split_inclusive('\n').filter(|line| !is_member(line)).collect();
    assert!(others == write(&quiet).0, "the campaigns changed other lines");
    assert!(write(&World { seed: 6, ..quiet.clone() }).0 != others);
    assert!(write(&World { sweep: true, ..quiet }).0 != others);
}

#[test]
fn a_campaign_goes_into_a_log_of_somebody_else() {
    let log = "198.51.100.1 - - [01/Jul/1995:00:00:01 -0400] \"GET /a HTTP/1.0\" 200 6245\n\
               198.51.100.2 - - [01/Jul/1995:00:00:06 -0400] \"GET /b HTTP/1.0\" 200 3985\n\
               no time at all\n\
               198.51.100.3 - - [01/Jul/1995:00:01:00 -0400] \"GET /c HTTP/1.0\" 200 4085";
    let plans = [parse("sequential-10:rate=1,start=2s").expect("a plan")];
    let mut out = Vec::new();
    let (lines, truth) = into_log(&mut log.as_bytes(), &plans, 1, Format::Common, &mut out).expect("memory");
    let out = String::from_utf8(out).expect("a log is ASCII");
    assert_eq!(out.lines().count() as u64, lines);
    let kept: Vec<&str> = out.lines().filter(|line| !line.starts_with("192.0.2.200 ")).collect();
    assert_eq!(kept, log.lines().collect::<Vec<_>>());
    let places = |start: &str| out.lines().position(|line| line.starts_with(start)).expect("it is there");
    assert!(places("198.51.100.1") < places("192.0.2.200") && places("192.0.2.200") < places("198.51.100.2"));
    assert_eq!(truth[0].campaign.first, "1995-07-01T04:00:03Z".parse::<Timestamp>().expect("a time"));
    assert!((50..60).contains(&truth[0].campaign.records), "{}", truth[0].campaign.records);
}

#[test]
fn json_says_what_combined_says_and_milliseconds() {
    let combined = world(1, 1.0, &["random-5:duration=10m"]);
    let json = write(&World { format: Format::Json, ..combined.clone() }).0;
    let lines = write(&combined).0;
    assert_eq!(json.lines().count(), lines.lines().count());
    for (json, line) in json.lines().zip(parse_all(&lines)) {
        let json: serde_json::Value = serde_json::from_str(json).unwrap_or_else(|e| panic!("{json}: {e}"));
        assert_eq!(
            (json["remote_addr"].as_str(), json["request_uri"].as_str()),
            (Some(line.client), Some(line.target))
        );
        let seconds: f64 = json["msec"].as_str().and_then(|text| text.parse().ok()).expect("a time");
        assert_eq!(seconds.floor() as i64, line.second);
    }
}

#[test]
fn what_cannot_be_understood_is_told() {
    for wrong in
        ["nobody", "sequential-10:rate", "sequential-10:rate=0", "sequential-10:order=odd", "sequential-10:colour=red"]
    {
        let error = parse(wrong).expect_err(wrong).to_string();
        assert!(error.contains("NAME:key=value"), "{error}");
    }
}
