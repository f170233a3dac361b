//! The promise, over thousands of simulated days; and what must not break it.

use arrow::array::TimestampMicrosecondArray;
use proptest::prelude::*;

use super::*;
use crate::engine::window::timestamp_type;

const HOUR: i64 = 3_600_000_000;

/// Uniform numbers in (0, 1): `SplitMix64`.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        #[expect(clippy::cast_precision_loss, reason = "53 bits")]
        let unit = ((x ^ (x >> 31)) >> 11) as f64;
        (unit + 0.5) * 0.5f64.powi(53)
    }
}

/// Days of hourly windows with 100 entities; `p` draws the p-value of an entity in an hour. Returns alarms a day.
fn alarms(days: i64, per_day: f64, mut p: impl FnMut(i64, u128, &mut Chance) -> f64) -> f64 {
    let mut evidence = Evidence::new(per_day, HOUR);
    let (mut chance, mut alarms) = (Chance(7), 0u32);
    for hour in 1..=days * 24 {
        evidence.begin(hour * HOUR);
        (0..100).for_each(|entity| evidence.meet(entity));
        for entity in 0..100 {
            alarms += u32::from(evidence.add(entity, e_of_p(p(hour, entity, &mut chance))).is_some());
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "few days")]
    let days = days as f64;
    f64::from(alarms) / days
}

#[test]
fn there_are_no_more_false_alarms_than_the_budget() {
    for (per_day, days) in [(2.0, 3_000), (0.2, 3_000), (20.0, 300)] {
        let found = alarms(days, per_day, |_, _, chance| chance.next());
        println!("{found} a day over {days} days with a budget of {per_day}");
        assert!(found <= per_day, "{found} a day with a budget of {per_day}");
    }
    // All entities do the same: none of them is independent of the others.
    let mut shared = (0, 0.0);
    let found = alarms(3_000, 2.0, |hour, _, chance| {
        if shared.0 != hour {
            shared = (hour, chance.next());
        }
        shared.1
    });
    println!("{found} a day where all do the same, with a budget of 2");
    assert!(found <= 2.0, "{found}");
    // P-values that claim four times too much, as models do; the days before know better. (The first day has no history.)
    let found = alarms(3_000, 2.0, |_, _, chance| chance.next() / 4.0);
    println!("{found} a day of p-values that claim four times too much, with a budget of 2");
    assert!(found <= 2.0, "{found} a day of p-values that are too small");
}

/// Hours until an entity is found that after thirty ordinary days does nothing but steal, at `hours` of a day: its p-values are uⁿ of uniform u, with
/// n the `power`.
fn hours_until(power: f64, hours: std::ops::Range<i64>) -> Option<(i64, &'static str)> {
    const BEGINS: i64 = 24 * 30;
    let mut evidence = Evidence::new(2.0, HOUR);
    let mut chance = Chance(11);
    for hour in 1..=24 * 120 {
        let steals = hour > BEGINS && hours.contains(&(hour % 24));
        let tested = |entity: &u128| *entity != 42 || hour <= BEGINS || steals;
        evidence.begin(hour * HOUR);
        (0..100).filter(tested).for_each(|entity| evidence.meet(entity));
        for entity in (0..100).filter(tested) {
            let p = if steals && entity == 42 { chance.next().powf(power) } else { chance.next() };
            let alarm = evidence.add(entity, e_of_p(p)).filter(|_| steals && entity == 42);
            if let Some(alarm) = alarm {
                return Some((hour - BEGINS, alarm.since));
            }
        }
    }
    None
}

#[test]
fn slow_theft_is_not_forgiven_at_midnight() {
    let loud = hours_until(12.0, 0..24).expect("an alarm");
    assert!(loud.0 <= 6, "{loud:?}");
    // Four hours a day, on no day of which there is enough against the thief.
    let slow = hours_until(1.8, 2..6).expect("an alarm");
    assert!(slow.0 > 24 && slow.0 <= 24 * 30 && slow.1 != "day", "{slow:?}");
}

#[test]
fn years_of_good_behaviour_are_no_credit() {
    let until = |before: i64| {
        let mut evidence = Evidence::new(1.0, HOUR);
        let mut hour = 0;
        let mut step = |e: f64| {
            hour += 1;
            evidence.begin(hour * HOUR);
            evidence.meet(1);
            evidence.add(1, e)
        };
        (0..before * 24).for_each(|_| assert_eq!(step(0.6), None));
        (1..10_000).find(|_| step(1.6).is_some()).expect("an alarm")
    };
    let (fresh, old) = (until(1), until(1_000));
    assert!(old <= fresh + 2, "{fresh} {old}");
}

fn rows(e: &[(&str, Option<f64>)]) -> RecordBatch {
    let fields = vec![
        Field::new("window_end", timestamp_type(), false),
        Field::new("client", DataType::Utf8View, true),
        Field::new("e", DataType::Float64, true),
    ];
    let columns: Vec<ArrayRef> = vec![
        Arc::new(TimestampMicrosecondArray::from(vec![0; e.len()]).with_timezone("UTC")),
        Arc::new(e.iter().map(|(client, _)| Some(*client)).collect::<StringViewArray>()),
        Arc::new(e.iter().map(|(_, e)| *e).collect::<Float64Array>()),
    ];
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

fn budget(spec: &str, window: WindowSpec) -> std::result::Result<Budget, String> {
    let text = format!("/*\ntitle = \"t\"\nentity = [\"client\"]\nbudget = {spec}\n*/\nSELECT hop");
    let rule = Rule::parse("test/t", "t.sql", &text).unwrap();
    Budget::new(&rule, &rows(&[]).schema(), window).map(|budget| budget.expect("a budget")).map_err(|e| e.message)
}

const HOURLY: WindowSpec = WindowSpec { slide: HOUR, size: HOUR };

#[test]
fn what_is_no_number_says_nothing() {
    let mut budget = budget("{ e_value = \"e\" }", HOURLY).unwrap();
    let odd =
        [("a", None), ("b", Some(f64::NAN)), ("c", Some(-5.0)), ("d", Some(f64::NEG_INFINITY)), ("f", Some(40.0))];
    assert_eq!(budget.admit(HOUR, &rows(&odd)).unwrap().num_rows(), 0);
    // What is needed is 1 + 100 / (1 / 3) by day, and 1 + 100 / (7 / 3) by week.
    let found =
        budget.admit(2 * HOUR, &rows(&[("f", Some(1.2)), ("g", Some(f64::INFINITY)), ("a", Some(300.0))])).unwrap();
    let found = crate::finding::json_rows(&found).unwrap();
    let found: Vec<_> =
        found.iter().map(|row| (row["client"].as_str().unwrap(), row["evidence_since"].as_str().unwrap())).collect();
    assert_eq!(found, [("f", "week"), ("g", "day"), ("a", "week")]);
}

#[test]
fn budgets_that_make_no_sense_are_refused() {
    let hop = WindowSpec { slide: HOUR / 2, size: HOUR };
    for (spec, window, part) in [
        ("{ p_value = \"e\" }", hop, "needs windows that do not overlap"),
        ("{}", HOURLY, "names one column"),
        ("{ p_value = \"e\", e_value = \"e\" }", HOURLY, "names one column"),
        ("{ p_value = \"p\" }", HOURLY, "the budget names p, which is no column of numbers"),
        ("{ p_value = \"client\" }", HOURLY, "no column of numbers"),
        ("{ p_value = \"e\", share = 0.0 }", HOURLY, "a number above 0"),
    ] {
        let problem = budget(spec, window).unwrap_err();
        assert!(problem.contains(part), "{spec}: {problem}");
    }
    assert_eq!(parse_rate("2/day"), Ok(2.0));
    assert_eq!(parse_rate(" 3 / week "), Ok(3.0 / 7.0));
    for bad in ["2", "0/day", "-1/day", "x/day", "2/year", "inf/day", "NaN/day", ""] {
        assert!(parse_rate(bad).unwrap_err().contains("2/day"), "{bad}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Stopped and gone on from what was kept, it finds the same, in whatever order the rows come.
    #[test]
    fn a_restart_changes_nothing(hours in proptest::collection::vec(proptest::collection::vec((0usize..6, 0.0f64..40.0), 0..6), 1..40), stop in 0usize..40, gap in 1i64..40) {
        let names = ["a", "b", "c", "d", "f", "g"];
        let mut through = budget("{ e_value = \"e\" }", HOURLY).unwrap();
        let mut stopped = budget("{ e_value = \"e\" }", HOURLY).unwrap();
        for (number, tested) in hours.iter().enumerate() {
            if number == stop {
                let saved = stopped.take_changes();
                stopped = budget("{ e_value = \"e\" }", HOURLY).unwrap();
                prop_assert!(saved.is_none_or(|saved| stopped.restore(&saved)));
            }
            let mut tested: Vec<_> = tested.iter().map(|(n, e)| (names[*n], Some(*e))).collect();
            tested.sort_by_key(|(name, _)| *name);
            tested.dedup_by_key(|(name, _)| *name);
            let end = i64::try_from(number).unwrap() * gap * HOUR;
            let found = through.admit(end, &rows(&tested)).unwrap();
            tested.reverse();
            let again = stopped.admit(end, &rows(&tested)).unwrap();
            let sorted = |rows: &RecordBatch| {
                let mut rows: Vec<_> = crate::finding::json_rows(rows).unwrap().into_iter().map(|r| Value::Object(r).to_string()).collect();
                rows.sort();
                rows
            };
            prop_assert_eq!(sorted(&found), sorted(&again));
        }
        let saved = through.take_changes().unwrap_or_default();
        for cut in 0..saved.len().min(80) {
            // (cut between two entities it can be read)
            let _ = stopped.restore(&saved[..cut]);
        }
        prop_assert!(!stopped.restore(b"") && !stopped.restore(&[9; 40]));
    }
}

use serde_json::Value;
