//! What stands at the other end: published schemas, and the receiver of the documentation.

use std::fs;
use std::process::Command;

use serde_json::json;
use tripline_tests::logs::{at, combined};
use tripline_tests::program::Process;
use tripline_tests::python::{WEBHOOKS, interpreter, python};
use tripline_tests::receiver::{Receiver, SECRET};
use tripline_tests::repository::root;
use tripline_tests::site::{Site, terminate};

/// Golden payloads against the schemas that are published for them, and the native one's against ours.
#[test]
fn payloads_are_what_their_schemas_say() {
    let alert = root().join("detect/alert");
    let (golden, native) = (alert.join("src/destinations/golden"), alert.join("schema/alert.json"));
    let Some(checked) = python(WEBHOOKS, include_str!("python/payloads.py"), &[&golden, &native]) else { return };
    assert_eq!(checked, json!({"native": 2, "cloudevents": 2, "ocsf": 2, "teams": 3, "pagerduty": 2}));
}

/// The receiver in docs/alerts.md, as it stands there.
#[test]
fn the_documented_receiver_checks_signatures() {
    let Some(python) = interpreter(WEBHOOKS) else { return };
    let page = fs::read_to_string(root().join("docs/alerts.md")).expect("the page");
    let (_, rest) = page.split_once("```python\n").expect("a program");
    let (program, _) = rest.split_once("```").expect("its end");
    assert!(program.lines().filter(|line| !line.trim().is_empty()).count() <= 21, "twenty lines");
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
    assert!(program.contains("8080"));

    let site = Site::counting(&Receiver::answering(200));
    site.write("receiver.py", &program.replace("8080", &port.to_string()));
    // What it prints is waited for on stderr.
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("exec '{}' receiver.py 1>&2", python.display()));
    let receiver = Process::start(&mut command, site.path());
    site.add_destination("own", &format!("http://127.0.0.1:{port}/tripline"));
    let sent = |site: &Site| site.start(&["outbox", "send-test", "own"]).end();
    // It may not listen yet.
    while sent(&site).code != Some(0) {
        assert!(!receiver.said().contains("Traceback"), "{}", receiver.said());
    }
    receiver.wait_to_say("firing info A test: nothing has happened {'client': '192.0.2.1'}");

    let process = site.run();
    site.append("access.log", combined(at(9 * 3600), "192.0.2.7", "GET /a", 200));
    site.append("access.log", combined(at(20 * 3600), "192.0.2.250", "GET /", 200));
    receiver.wait_to_say("firing low Every line counts {'client': '192.0.2.7'}");
    receiver.wait_to_say("resolved low Every line counts {'client': '192.0.2.7'}");
    terminate(process);

    // With both secrets while they are rotated, and not with another.
    let other = SECRET.replace("a2tr", "a2ts");
    site.write("soc.secret", &format!("{other}\n{SECRET}\n"));
    sent(&site).with_code(0);
    site.write("soc.secret", &other);
    sent(&site).with_code(2).says(&["answered 401"]);
    receiver.signal("TERM");
    receiver.end();
}
