//! The shipped rules: they are fine, and do what their fixtures say.

use tripline_tests::{repository, tripline};

#[test]
fn the_shipped_rules_pass_their_tests() {
    let output = tripline!("test", "rules").with_code(0);
    output.shows(&[", 0 failed"]);
}

#[test]
fn the_examples_in_the_docs_pass_theirs() {
    tripline!("test", "docs/examples").with_code(0).shows(&[", 0 failed"]);
}

#[test]
fn the_shipped_rules_are_fine() {
    tripline!("check").with_code(0).says(&["0 problems"]);
}

/// What looks like one kind of abuse must not be taken for another, either.
#[test]
fn look_alikes_are_quiet_under_all_rules() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let config = folder.path().join("tripline.toml");
    std::fs::write(&config, repository::tables()).expect("a config");
    for rule in repository::rules() {
        let (_, quiet) = repository::fixtures(&rule);
        for log in quiet {
            tripline!("scan", "-c", &config, "--quiet", log).with_code(0).shows(&["no findings"]);
        }
    }
}
