//! The shipped rules: they are fine, and do what their fixtures say.

use tripline_tests::tripline;

#[test]
fn the_shipped_rules_pass_their_tests() {
    let output = tripline!("test", "rules").with_code(0);
    output.shows(&[", 0 failed"]);
}

#[test]
fn the_shipped_rules_are_fine() {
    tripline!("check").with_code(0).says(&["0 problems"]);
}
