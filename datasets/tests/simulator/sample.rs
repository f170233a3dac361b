//! The committed sample is what the command in README.md makes.

use crate::simulate;
use jiff::SignedDuration;
use tripline_datasets::{Enumeration, Length, Scenario};

const LOG: &str = include_str!("../../samples/shop-api.log");
const TRUTH: &str = include_str!("../../samples/shop-api.truth.json");

#[test]
fn the_sample_is_what_its_command_makes() {
    let campaign = Enumeration {
        start: SignedDuration::from_mins(47),
        rate: 3.0,
        requests: Some(1_500),
        hit_ratio: 0.97,
        ..Enumeration::default()
    };
    let scenario = Scenario {
        seed: 2,
        start: "2026-03-02T09:00:00Z".parse().expect("a time"),
        length: Length::Duration(SignedDuration::from_hours(2)),
        rate: 0.35,
        partner_export: false,
        campaign: Some(campaign),
    };
    let (log, truth) = simulate(&scenario);
    let advice = "the simulator writes other bytes than before: if that is meant, run the command in README.md again";
    assert!(log == LOG, "shop-api.log: {advice}");
    assert!(serde_json::to_string(&truth).expect("JSON") + "\n" == TRUTH, "shop-api.truth.json: {advice}");
    assert!(LOG.len() < 1_000_000, "the sample must stay small");
}
