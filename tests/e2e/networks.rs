//! What files say about addresses, in rules: the same in every command.

use std::fs;

use tempfile::TempDir;
use tripline_tests::logs::{at, combined};
use tripline_tests::tripline;

use crate::equality::compare;

const RULE: &str = "/*
title = \"Strangers\"
entity = [\"client\"]
*/
SELECT window_start, window_end, client, count(*) AS n, count(asn(client_ip)) AS known
FROM tumble(requests, ts, INTERVAL '10 minutes')
WHERE NOT in_network(client_ip, 'partners')
GROUP BY window_start, window_end, client
HAVING count(*) > 2
";

#[test]
fn rules_ask_for_networks() {
    let folder = TempDir::new().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(&path, text).expect("a file");
        path
    };
    let client = |i: i64| if i % 2 == 0 { format!("192.0.2.{}", i % 40) } else { format!("198.51.100.{}", i % 40) };
    let log: String = (0..2_000).map(|i| combined(at(i), &client(i), "GET /", 200)).collect();
    let log = write("access.log", &log);
    write("partners.txt", "# ours\n192.0.2.0/24\n");
    let rule = write("rules/strangers/rule.sql", RULE);
    let text = "[rules]\ndirs = [\"rules\"]\n[networks]\npartners = \"partners.txt\"\n";
    let config = write("tripline.toml", text);
    assert!(compare("strangers", &config, &log) > 0);
    let found = tripline!("scan", "-c", &config, "--only", "strangers", "--quiet", "--format", "json", &log)
        .with_code(0)
        .json();
    assert!(!found.is_empty());
    for alert in found {
        assert!(alert["entity"]["client"].as_str().is_some_and(|c| c.starts_with("198.")), "{alert}");
        assert!(alert["evidence"].as_array().is_some_and(|lines| !lines.is_empty()), "{alert}");
    }

    // A list that is not there is pointed at; one that cannot be read costs the rules that ask it.
    fs::write(&rule, RULE.replace("'partners'", "'parners'")).expect("a rule");
    tripline!("check", "-c", &config).with_code(2).says(&["strangers/rule.sql", "\"parners\"", "partners"]);
    fs::write(&rule, RULE).expect("a rule");
    write("partners.txt", "192.0.2.0/24\n192.0.2/24\n");
    tripline!("check", "-c", &config).with_code(2).says(&[
        "partners.txt:2:1",
        "neither a network",
        "strangers/rule.sql",
    ]);
    write("tripline.toml", &format!("{text}[mmdb]\nasn = \"partners.txt\"\n"));
    tripline!("check", "-c", &config).with_code(2).says(&["partners.txt", "MaxMind"]);
}
