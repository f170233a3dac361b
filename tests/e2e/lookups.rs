//! Lookups: tables of the user's own that rules join, with one meaning in every command.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tripline_datasets::Length;
use tripline_tests::logs::{at, benign, combined, simulate};
use tripline_tests::tripline;

use crate::equality::compare;

const HEADER: &str = "/*\ntitle = \"t\"\nentity = [\"client\"]\n*/\n";

/// Rules that join the lookups `partners` (`client`, `tier`, `since`) and `allow` (`client`), below the aggregate and above.
const RULES: [(&str, &str); 4] = [
    (
        "strangers",
        "SELECT window_start, window_end, client, count(*) AS n FROM hop(requests, ts, INTERVAL '1 minute', INTERVAL '10 minutes') \
         WHERE client NOT IN (SELECT client FROM allow) GROUP BY window_start, window_end, client HAVING count(*) > 2",
    ),
    (
        "tiers",
        "SELECT window_start, window_end, r.client, count(*) AS n, max(p.tier) AS tier \
         FROM tumble(requests, ts, INTERVAL '5 minutes') r LEFT JOIN partners p ON p.client = r.client AND r.ts >= p.since \
         GROUP BY window_start, window_end, r.client HAVING count(*) > coalesce(max(p.tier), 1)",
    ),
    (
        "quota",
        "WITH w AS (SELECT window_start, window_end, client, count(*) AS n FROM tumble(requests, ts, INTERVAL '10 minutes') \
         GROUP BY window_start, window_end, client) \
         SELECT w.*, p.tier FROM w LEFT JOIN partners p ON p.client = w.client WHERE w.n > coalesce(p.tier, 3)",
    ),
    (
        "over",
        "SELECT window_start, window_end, client, count(*) AS n FROM tumble(requests, ts, INTERVAL '10 minutes') \
         GROUP BY window_start, window_end, client HAVING count(*) > (SELECT min(tier) FROM partners)",
    ),
];

/// A folder with the rules, the lookups (of clients of the log), a config and a log.
struct Scene {
    folder: TempDir,
}

impl Scene {
    fn new() -> Self {
        let scene = Self { folder: TempDir::new().expect("a folder") };
        let (log, _) = simulate(&benign(11, Length::Lines(6_000), 4.0));
        let mut clients: Vec<&str> = log.lines().filter_map(|line| line.split(' ').next()).collect();
        clients.sort_unstable();
        clients.dedup();
        let third: Vec<&str> = clients.iter().step_by(3).copied().collect();
        let partner = |(i, client): (usize, &&str)| {
            format!("{client},{},{}", i % 9, at(9 * 3600 + 300 * i64::try_from(i % 9).expect("small")))
        };
        let partners: Vec<String> = third.iter().enumerate().map(partner).collect();
        let allow: Vec<String> = third.iter().map(|client| format!("{{\"client\": \"{client}\"}}")).collect();
        scene.write("access.log", &log);
        scene.write("partners.csv", &("client,tier,since\n".to_owned() + &partners.join("\n")));
        scene.write("allow.jsonl", &allow.join("\n"));
        for (name, sql) in RULES {
            scene.write(&format!("rules/{name}/rule.sql"), &(HEADER.to_owned() + sql));
        }
        scene.write(
            "tripline.toml",
            "[rules]\ndirs = [\"rules\"]\n[[lookup]]\nname = \"partners\"\npath = \"partners.csv\"\n\
             [[lookup]]\nname = \"allow\"\npath = \"allow.jsonl\"\n",
        );
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
}

#[test]
fn scan_finds_the_rows_of_query() {
    let scene = Scene::new();
    let (config, log) = (scene.path("tripline.toml"), scene.path("access.log"));
    for (rule, _) in RULES {
        assert!(compare(rule, &config, &log) > 0, "{rule} found nothing: nothing was compared");
    }
    // As Parquet, written by Tripline itself, they are the same.
    let parquet = scene.path("partners.parquet");
    let all = "SELECT * FROM partners";
    tripline!("query", "-c", &config, all, "--logs", &log, "--format", "parquet", "--output", &parquet).with_code(0);
    let before = tripline!("query", "-c", &config, all, "--logs", &log, "--format", "json").with_code(0).stdout;
    let text = fs::read_to_string(&config).expect("the config").replace("partners.csv", "partners.parquet");
    scene.write("tripline.toml", &text);
    let after = tripline!("query", "-c", &config, all, "--logs", &log, "--format", "json").with_code(0).stdout;
    assert_eq!(before, after);
    assert!(compare("tiers", &config, &log) > 0);
}

/// Alerts of rules that join lookups bring their lines, too: below the aggregate and above.
#[test]
fn alerts_have_evidence() {
    let scene = Scene::new();
    for (rule, _) in RULES {
        let log = scene.path("access.log");
        let config = scene.path("tripline.toml");
        let found =
            tripline!("scan", "-c", config, "--only", rule, "--quiet", "--format", "json", log).with_code(0).json();
        assert!(!found.is_empty());
        let mut shown = 0;
        for alert in found.iter().filter(|alert| alert["status"] == "firing") {
            let lines = alert["evidence"].as_array().expect("a list");
            // (a client of IPv6 is a network, which the line does not write so)
            let client = alert["entity"]["client"].as_str().expect("a client");
            let client = client.split_once(':').map_or(client, |(first, _)| first);
            shown += usize::from(!lines.is_empty());
            for line in lines {
                assert!(line["raw"].as_str().is_some_and(|raw| raw.starts_with(client)), "{rule}: {alert:#}");
            }
        }
        // (of several hundred that come at once, a hundred have lines)
        assert!(shown >= 50, "{rule}: {shown} of {} have evidence", found.len());
    }
}

#[test]
fn check_shows_them_and_what_is_wrong_with_them() {
    let scene = Scene::new();
    let config = scene.path("tripline.toml");
    let output = tripline!("check", "-c", &config).with_code(0);
    output.shows(&["partners", "partners.csv", "(client text, tier number, since time)", "allow.jsonl"]);

    // A file that is wrong costs the rules that join it, and no other.
    scene.write("allow.jsonl", "{\"client\": \"192.0.2.1\"}\nclient\n");
    let output = tripline!("scan", "-c", &config, scene.path("access.log")).with_code(2);
    output.says(&["allow.jsonl:2:1", "not one JSON object", "strangers/rule.sql", "allow", "[[lookup]]"]);
    output.shows(&["rule quota"]);

    let text = fs::read_to_string(&config).expect("the config");
    for (name, part) in [("requests", "built in"), ("client_hours", "name of a baseline")] {
        scene.write("tripline.toml", &text.replace("\"allow\"", &format!("\"{name}\"")));
        tripline!("check", "-c", &config).with_code(2).says(&[part, "^^^", "another name"]);
    }
}

#[test]
fn fixtures_bring_their_own_or_take_the_configs() {
    let scene = Scene::new();
    let log: String = (0..5).map(|i| combined(at(i), "192.0.2.9", "GET /", 200)).collect();
    scene.write("rules/strangers/tests/known.log", &log);
    scene.write("rules/strangers/tests/lookups/allow.csv", "client\n192.0.2.9\n");
    let rule = scene.path("rules/strangers");
    tripline!("test", &rule).with_code(0).shows(&["1 passed, 0 failed"]);
    fs::remove_dir_all(scene.path("rules/strangers/tests/lookups")).expect("a folder");
    tripline!("test", &rule).with_code(1).shows(&["allow", "[[lookup]]"]);
    // The config's do not know this client.
    tripline!("test", "-c", scene.path("tripline.toml"), &rule).with_code(1).shows(&["192.0.2.9"]);
    tripline!("test", "-c", Path::new("/nonexistent.toml"), &rule).with_code(2);
}

/// A rule that needs a table waits until there is one, and leaves another of that name alone.
#[test]
fn rules_wait_for_their_tables() {
    let folder = TempDir::new().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("a file");
        path
    };
    let log = write("access.log", &combined(at(9 * 3600), "192.0.2.7", "GET /v1/users/4300", 404));
    let none = write("none.toml", "");
    let config = write("tripline.toml", "[[lookup]]\nname = \"canaries\"\npath = \"canaries.csv\"\n");
    let only = ["--only", "api1/canaries", "--quiet"];

    tripline!("check", "-c", &none).with_code(0).shows(&["waits     for a [[lookup]] named canaries"]);
    tripline!("doctor", "-c", &none, &log).with_code(0).shows(&["waits     api1/canaries: for a [[lookup]]"]);
    let asked = tripline!("query", "-c", &none, "--rule", "api1/canaries", "--logs", &log);
    asked.with_code(2).says(&["api1/canaries waits for a [[lookup]] named canaries with the columns route, object"]);
    tripline!("scan", "-c", &none, only[0], only[1], only[2], &log)
        .with_code(2)
        .says(&["api1/canaries waits for", "no rule is left"]);

    write("canaries.csv", "route,object\n/v1/users/{id},4300\n");
    tripline!("scan", "-c", &config, only[0], only[1], only[2], &log).with_code(0).shows(&["192.0.2.7"]);

    write("canaries.csv", "route,id\n/v1/users/{id},4300\n");
    // (the user's own table of that name is no mistake)
    tripline!("check", "-c", &config).with_code(0).shows(&["waits     for a column object in the lookup canaries"]);
}
