//! Peer groups against what anybody would work out by hand, and with values that attackers would choose.

use arrow::array::{Array, AsArray, TimestampMicrosecondArray};
use arrow::compute::take_record_batch;
use arrow::datatypes::{Float64Type, Int64Type};
use proptest::prelude::*;

use super::features::scaled;
use super::*;
use crate::engine::window::timestamp_type;

fn rows(clients: &[[Option<f64>; 2]]) -> RecordBatch {
    let schema = Schema::new(vec![
        Field::new("client", DataType::Utf8View, true),
        Field::new("window_end", timestamp_type(), false),
        Field::new("objects", DataType::Float64, true),
        Field::new("share", DataType::Float64, true),
    ]);
    let column = |n: usize| -> ArrayRef { Arc::new(clients.iter().map(|c| c[n]).collect::<Float64Array>()) };
    let columns: Vec<ArrayRef> = vec![
        Arc::new((0..clients.len()).map(|n| Some(format!("client {n}"))).collect::<StringViewArray>()),
        Arc::new(TimestampMicrosecondArray::from(vec![0; clients.len()]).with_timezone("UTC")),
        column(0),
        column(1),
    ];
    RecordBatch::try_new(Arc::new(schema), columns).unwrap()
}

fn peers(more: &str) -> Peers {
    let text = format!(
        "/*\ntitle = \"t\"\nkind = \"baseline\"\nentity = [\"client\"]\npeers = {{ features = [\"objects\", \"share\"]{more} }}\n*/\nSELECT 1"
    );
    let rule = Rule::parse("baselines/t", "t.sql", &text).unwrap();
    Peers::new(&rule, &rows(&[]).schema()).unwrap().unwrap()
}

fn fit(clients: &[[Option<f64>; 2]], more: &str) -> RecordBatch {
    peers(more).fit(&rows(clients)).unwrap()
}

fn floats(rows: &RecordBatch, column: &str) -> Vec<Option<f64>> {
    rows.column_by_name(column).unwrap().as_primitive::<Float64Type>().iter().collect()
}

fn groups_of(rows: &RecordBatch) -> Vec<Option<i64>> {
    rows.column_by_name("peer_group").unwrap().as_primitive::<Int64Type>().iter().collect()
}

fn top(rows: &RecordBatch, row: usize) -> Option<String> {
    let names = rows.column_by_name("top_feature").unwrap().as_string_view();
    names.is_valid(row).then(|| names.value(row).to_owned())
}

/// So many that read a little, and a third as many that read much.
fn two_kinds(n: usize) -> Vec<[Option<f64>; 2]> {
    let wobble = |i: usize| f64::from(u32::try_from(i * 7 % 11).unwrap());
    let few = (0..n).map(|i| [Some(10.0 + wobble(i)), Some(0.3)]);
    let many = (0..n / 3).map(|i| [Some(5_000.0 + 300.0 * wobble(i)), Some(0.9)]);
    few.chain(many).collect()
}

#[test]
fn clients_are_compared_with_those_that_behave_alike() {
    let mut clients = two_kinds(120);
    clients.push([Some(600.0), Some(0.3)]);
    let fitted = fit(&clients, ", groups = 2");
    let groups = groups_of(&fitted);
    assert!(groups[..120].iter().all(|g| *g == Some(0)), "{groups:?}");
    assert!(groups[120..160].iter().all(|g| *g == Some(1)), "{groups:?}");
    // 600 is nothing among 5,000; but its peers are those who read as few routes.
    let (scores, ps) = (floats(&fitted, "outlier_score"), floats(&fitted, "p_value"));
    let members = groups.iter().filter(|g| **g == groups[160]).count();
    assert_eq!(ps[160], Some(1.0 / f64::from(u32::try_from(members).unwrap())));
    assert!(scores[160] > Some(4.0) && scores[..160].iter().all(|s| *s < Some(4.0)), "{scores:?}");
    assert_eq!(top(&fitted, 160), Some("objects".into()));
    assert_eq!(floats(&fitted, "top_value")[160], Some(600.0));
    let typical = floats(&fitted, "objects_typical");
    assert_eq!((typical[0], floats(&fitted, "top_typical")[160]), (Some(15.0), typical[160]));
    assert!(typical[120] > Some(5_000.0));
}

#[test]
fn what_is_no_number_says_nothing() {
    let mut clients = two_kinds(90);
    for odd in [None, Some(f64::NAN), Some(f64::INFINITY), Some(f64::NEG_INFINITY)] {
        clients.push([odd, Some(0.3)]);
    }
    let plain = fit(&two_kinds(90), ", groups = 2");
    let fitted = fit(&clients, ", groups = 2");
    for column in ["objects_typical", "objects_spread"] {
        assert_eq!(floats(&plain, column)[..120], floats(&fitted, column)[..120], "{column}");
    }
    assert_eq!(floats(&fitted, "outlier_score")[120..], [Some(0.0); 4]);
    assert_eq!(floats(&fitted, "p_value")[120..], [Some(1.0); 4]);
    assert_eq!(top(&fitted, 121), None);
    // Nobody has one at all; and the largest numbers that there are.
    let none = fit(&vec![[None, Some(f64::MAX)]; 50], "");
    assert_eq!(floats(&none, "objects_typical"), [None; 50]);
    assert_eq!(floats(&none, "outlier_score"), [Some(0.0); 50]);
    let huge: Vec<_> = (0..50).map(|i| [Some(if i == 7 { f64::MAX } else { -f64::MAX }), Some(0.0)]).collect();
    let huge = fit(&huge, "");
    assert!(floats(&huge, "outlier_score").iter().all(|s| s.is_some_and(f64::is_finite)));
    assert_eq!(floats(&huge, "p_value")[7], Some(1.0 / 50.0));
}

#[test]
fn where_all_are_equal_nobody_is_odd() {
    let fitted = fit(&[[Some(3.0), Some(0.5)]; 200], "");
    assert_eq!(groups_of(&fitted), [Some(0); 200]);
    assert_eq!(floats(&fitted, "p_value"), [Some(1.0); 200]);
    assert_eq!(floats(&fitted, "objects_spread"), [None; 200]);
    // One that differs is, and by how much depends on nobody's rounding.
    let mut clients = vec![[Some(3.0), Some(0.5)]; 200];
    clients[11][1] = Some(0.9);
    let fitted = fit(&clients, "");
    assert_eq!((floats(&fitted, "p_value")[11], top(&fitted, 11)), (Some(1.0 / 200.0), Some("share".into())));
}

#[test]
fn who_has_too_few_like_him_has_the_nearest_for_peers() {
    // Nineteen clients are no group.
    let few = fit(&two_kinds(15)[..19], "");
    assert_eq!((groups_of(&few), floats(&few, "p_value")), (vec![None; 19], vec![None; 19]));
    assert_eq!(fit(&[], "").num_rows(), 0);
    // Nor is one beside two hundred, whatever half of all the traffic is his; and the others hardly notice him.
    let usual = two_kinds(150);
    let mut clients = usual.clone();
    clients.push([Some(1e9), Some(1.0)]);
    let (alone, beside) = (fit(&usual, ""), fit(&clients, ""));
    assert!(floats(&beside, "outlier_score")[200] > Some(10.0));
    assert!(beside.column_by_name("peers").unwrap().as_primitive::<arrow::datatypes::UInt64Type>().value(200) >= 20);
    let (before, after) = (floats(&alone, "objects_typical"), floats(&beside, "objects_typical"));
    for (before, after) in before.iter().zip(&after) {
        assert!((scaled(before.unwrap()) - scaled(after.unwrap())).abs() < 1.0, "{before:?} {after:?}");
    }
}

#[test]
fn more_clients_than_the_sample_are_scored_all_the_same() {
    let fitted = fit(&two_kinds(3_000), ", groups = 2, sample = 100");
    let groups = groups_of(&fitted);
    assert!(groups[..3_000].iter().all(|g| *g == Some(0)) && groups[3_000..].iter().all(|g| *g == Some(1)));
}

#[test]
fn headers_that_ask_for_nonsense_are_refused() {
    let problem = |line: &str, kind: &str| {
        let text = format!("/*\ntitle = \"t\"\n{kind}entity = [\"client\"]\n{line}\n*/\nSELECT 1");
        let rule = Rule::parse("baselines/t", "t.sql", &text);
        rule.and_then(|rule| Peers::new(&rule, &rows(&[]).schema())).unwrap_err().message
    };
    let baseline = "kind = \"baseline\"\n";
    for (line, kind, part) in [
        ("peers = { features = [\"objects\"] }", "", "only a baseline has peers"),
        ("peers = { features = [] }", baseline, "peers.features must be between 1 and 32, not 0 of them"),
        ("peers = { features = [\"share\"], min_members = 1 }", baseline, "peers.min_members must be between 2 and"),
        ("peers = { features = [\"nothing\"] }", baseline, "names nothing, but the rule does not return it"),
        ("peers = { features = [\"client\"] }", baseline, "the feature client is no number"),
        ("peers = { features = [\"share\", \"share\"] }", baseline, "the feature share is named twice"),
        ("peers = { features = [\"share\"], k = 3 }", baseline, "unknown field `k`"),
    ] {
        let problem = problem(line, kind);
        assert!(problem.contains(part), "{problem}");
    }
}

/// What a person would do with a pencil: the groups are given.
fn by_hand(clients: &[[Option<f64>; 2]], groups: &[Option<i64>]) -> Vec<(f64, f64)> {
    let middle = |mut values: Vec<f64>| -> Option<f64> {
        values.sort_by(f64::total_cmp);
        let n = values.len();
        (n > 0).then(|| values[(n - 1) / 2].midpoint(values[n / 2]))
    };
    let spread = |members: &[usize], feature: usize| -> Option<(f64, Option<f64>)> {
        let values: Vec<f64> = members.iter().filter_map(|&m| clients[m][feature]).collect();
        let typical = scaled(middle(values.clone())?);
        let away: Vec<f64> = values.iter().map(|x| (scaled(*x) - typical).abs()).collect();
        let mean = away.iter().sum::<f64>() / f64::from(u32::try_from(away.len()).unwrap());
        let spread = [1.482_602_2 * middle(away)?, 1.253_314_14 * mean].into_iter().find(|s| *s > 0.0);
        Some((typical, spread.map(|s| s.max(0.05))))
    };
    let everybody: Vec<usize> = (0..clients.len()).collect();
    let score = |client: usize| {
        let mates: Vec<usize> = everybody.iter().copied().filter(|&m| groups[m] == groups[client]).collect();
        let squares = (0..2).map(|feature| {
            let Some((typical, own)) = spread(&mates, feature) else { return 0.0 };
            let scale = own.or(spread(&everybody, feature).and_then(|all| all.1));
            match (clients[client][feature], scale) {
                (Some(x), Some(scale)) => ((scaled(x) - typical) / scale).powi(2),
                _ => 0.0,
            }
        });
        squares.sum::<f64>().sqrt()
    };
    let scores: Vec<f64> = everybody.iter().map(|&client| score(client)).collect();
    let p = |client: usize| {
        let mates = everybody.iter().filter(|&&m| groups[m] == groups[client]);
        let (as_odd, all) = mates.fold((0.0, 0.0), |(odd, all), &m| {
            (odd + f64::from(u8::from(scores[m] >= scores[client] - 1e-6)), all + 1.0)
        });
        as_odd / all
    };
    everybody.iter().map(|&client| (scores[client], p(client))).collect()
}

fn value() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![6 => (0u32..30).prop_map(|x| Some(f64::from(x))), 2 => (0.0..1e5).prop_map(Some), 1 => Just(None), 1 => any::<f64>().prop_map(|x| Some(x).filter(|x: &f64| x.is_finite()))]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn scores_are_what_one_would_work_out_by_hand(clients in proptest::collection::vec([value(), value()], 3..60)) {
        let fitted = fit(&clients, ", min_members = 3, groups = 4");
        let expected = by_hand(&clients, &groups_of(&fitted));
        let found: Vec<_> = floats(&fitted, "outlier_score").into_iter().zip(floats(&fitted, "p_value")).collect();
        for ((score, p), (expected_score, expected_p)) in found.iter().zip(&expected) {
            prop_assert!((score.unwrap() - expected_score).abs() <= 1e-4 * (1.0 + expected_score), "{:?} {:?}", found, expected);
            // (scores that are equal but for rounding are told apart here and not there)
            prop_assert!(p.unwrap() <= expected_p + 1e-9, "{:?} {:?}", found, expected);
        }
        // At most a share α of a group has p ≤ α.
        for alpha in [0.05, 0.2, 0.5] {
            for group in groups_of(&fitted) {
                let of_group: Vec<f64> = groups_of(&fitted).iter().zip(&found).filter(|(g, _)| **g == group).map(|(_, f)| f.1.unwrap()).collect();
                let low = of_group.iter().filter(|p| **p <= alpha).count();
                prop_assert!(f64::from(u32::try_from(low).unwrap()) <= alpha * f64::from(u32::try_from(of_group.len()).unwrap()) + 1e-9);
            }
        }
    }

    #[test]
    fn the_order_of_rows_changes_nothing(clients in proptest::collection::vec([value(), value()], 0..60), key in any::<u64>()) {
        let (rows, peers) = (rows(&clients), peers(", min_members = 3, groups = 4, sample = 100"));
        let mut order: Vec<u32> = (0..u32::try_from(clients.len()).unwrap()).collect();
        order.sort_by_key(|&n| (u64::from(n) + 1).wrapping_mul(key | 1));
        let order = arrow::array::UInt32Array::from(order);
        let shuffled = peers.fit(&take_record_batch(&rows, &order).unwrap()).unwrap();
        prop_assert_eq!(take_record_batch(&peers.fit(&rows).unwrap(), &order).unwrap(), shuffled);
    }
}
