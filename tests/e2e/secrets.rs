//! A canary in every secret that the config names, searched for in everything that the program shows or keeps.

use std::fs;
use std::path::Path;
use std::process::Command;

use tripline_tests::logs::{at, combined};
use tripline_tests::pages;
use tripline_tests::program::Process;
use tripline_tests::receiver::Receiver;
use tripline_tests::repository;
use tripline_tests::site::{Site, terminate};

/// As text, and in base64 (24 bytes: no padding) as a signing secret is written.
const CANARY: [&str; 2] = ["canary-canary-canary-24b", "Y2FuYXJ5LWNhbmFyeS1jYW5hcnktMjRi"];

#[test]
fn no_secret_is_shown_or_kept() {
    let [text, encoded] = CANARY;
    let receiver = Receiver::unsigned(503);
    let site = Site::counting(&receiver);
    site.edit_config("[state]", "[metrics]\nlisten = \"127.0.0.1:0\"\n\n[state]");
    site.write("soc.secret", &format!("whsec_{encoded}"));
    site.write("secret.url", &format!("{}/{text}?key={text}", receiver.url()));
    site.write("secret.key", text);
    let more = |name: &str, style: &str, url: &str| {
        format!(
            "[[destination]]\nname = \"{name}\"\nstyle = \"{style}\"\n{url}\nkey_file = \"secret.key\"\nallow_http = true\n"
        )
    };
    let config = fs::read_to_string(site.config()).expect("the config");
    let chat = more("chat", "slack", "url_file = \"secret.url\"");
    let pager = more("pager", "pagerduty", &format!("url = \"{}\"", receiver.url()));
    let nobody = more("nobody", "native", "url = \"http://127.0.0.1:1/x\"");
    site.write("tripline.toml", &(config + &chat + &pager + &nobody));

    let mut command = Command::new(repository::program());
    command.args(["run", "-c", "tripline.toml"]).env("RUST_LOG", "trace");
    let process = Process::start(&mut command, site.path());
    process.wait_to_say("metrics at http://");
    for client in 1..=6 {
        site.append("access.log", combined(at(9 * 3600), &format!("192.0.2.{client}"), "GET /a", 200));
    }
    site.append("access.log", combined(at(20 * 3600), "192.0.2.250", "GET /", 200));
    process.wait_to_say("five failures in a row");
    let said = process.said();
    let base = said.split_once("metrics at ").and_then(|(_, rest)| rest.split("/metrics").next()).expect("an address");
    let mut shown = vec![pages::get(base, "/metrics").1, pages::get(base, "/healthz").1];
    let with_a_key = receiver.wait_for("a message of PagerDuty's", |messages| {
        messages.iter().find(|m| m.body["routing_key"] == text).cloned()
    });
    assert_eq!(with_a_key.body["event_action"], "trigger");
    let commands = [
        "outbox list",
        "outbox list --format json",
        "alerts list --format json",
        "check -c tripline.toml",
        "outbox send-test chat",
        "outbox send-test nobody",
        "outbox send-test pager",
    ];
    for words in commands {
        let output = site.start(&words.split(' ').collect::<Vec<_>>()).end();
        shown.extend([output.stdout, output.stderr]);
    }
    let output = terminate(process);
    shown.extend([output.stdout, output.stderr]);
    keep(&site.path().join("state"), &mut shown);
    assert!(shown.iter().any(|text| text.contains("not delivered")), "what is searched is there");
    for (n, text) in shown.iter().enumerate() {
        for canary in CANARY {
            assert!(!text.contains(canary), "in {n}: {text}");
        }
    }
}

/// The files of a folder, as text.
fn keep(folder: &Path, shown: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            keep(&path, shown);
        } else {
            shown.push(String::from_utf8_lossy(&fs::read(path).expect("a file")).into_owned());
        }
    }
}
