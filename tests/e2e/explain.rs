//! `tripline explain`: how a rule runs, and with logs, what it costs on them.

use tripline_tests::repository::sample;
use tripline_tests::tripline;

#[test]
fn every_shipped_rule_is_explained() {
    let rules = tripline!("check").with_code(0).stdout;
    for id in rules.lines().filter_map(|line| line.split(' ').next()) {
        // (a baseline is explained if a rule joins it)
        let output = tripline!("explain", id).with_code(0);
        output.shows(&[id, "windows of", "keeps of each group", "when a window closes"]);
    }
    tripline!("explain", "api1/nothing").with_code(2).says(&["api1/nothing", "tripline check"]);
}

#[test]
fn logs_show_what_it_costs() {
    let output = tripline!("explain", "api1/object-enumeration", sample()).with_code(0);
    output.shows(&[
        "beside key and count: ",
        "approx_distinct(object) ",
        " bytes",
        "measured on ",
        "looking into open windows: ",
    ]);
    let (_, measured) = output.stdout.split_once("measured on ").expect("measured");
    for part in
        ["api1/object-enumeration\n", "met its WHERE", "aggregating", "closing", "groups by pane in", "returned"]
    {
        assert!(measured.contains(part), "{measured}");
    }
    // With the baseline that it joins.
    let output = tripline!("explain", "api1/above-baseline", sample()).with_code(0);
    output.shows(&["\napi1/above-baseline\n", "\nbaselines/client-hours\n"]);
    tripline!("explain", "api1/object-enumeration", "/nonexistent.log").with_code(2).says(&["/nonexistent.log"]);
}
