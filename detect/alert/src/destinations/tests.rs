//! Every style: golden requests, and what no log text may do to any of them.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::template::Template;
use super::*;
use crate::finding::{Evidence, Finding, Handling, Phase, Severity, Window};
use crate::lifecycle::Lifecycle;

const HOUR: i64 = 3_600_000_000;
const START: i64 = 1_700_000_000_000_000;

const TEMPLATE: &str = r#"{"text": "{{summary}} by {{entity.client}}: {{values.objects}} objects{{values.none}}",
    "numbers": "{{values}}", "count": "{{findings}}", "missing": "{{entity.none}}", "lines": ["{{evidence}}", 7], "a\"b": null}"#;

fn finding() -> Finding {
    Finding {
        rule: "api1/object-enumeration".into(),
        title: "One client reads very many different objects".into(),
        severity: Severity::High,
        entity: [("client".to_owned(), json!("192.0.2.7")), ("user".to_owned(), json!(null))].into(),
        window: Window { start: START, end: START + HOUR },
        phase: Phase::Closed,
        values: [("objects".to_owned(), json!(812)), ("share".to_owned(), json!(0.25))].into_iter().collect(),
        detected_at: START + HOUR + 500_000,
        watermark: START + HOUR,
        owasp: vec!["API1:2023".into()],
        attack: vec!["T1213".into()],
        quiet: HOUR,
        evidence: vec![Evidence { source: "access.log".into(), offset: 4096, raw: "\u{1b}[2J</script>".into() }],
        handling: Handling {
            owner: Some("payments".into()),
            runbook: Some("https://wiki.example.com/enumeration".into()),
            ..Handling::default()
        },
    }
}

/// The first and the last state of an alert.
fn states(finding: Finding) -> [Alert; 2] {
    let mut lifecycle = Lifecycle::default();
    let firing = lifecycle.observe(finding).unwrap();
    let resolved = lifecycle.advance(START + 24 * HOUR).remove(0);
    [firing, resolved]
}

fn request(style: Style, alert: &Alert) -> Result<Request, RequestError> {
    let template = Template::parse(TEMPLATE).unwrap();
    style.request(&notification(alert, Some(&template)))
}

fn notification<'a>(alert: &'a Alert, template: Option<&'a Template>) -> Notification<'a> {
    Notification {
        alert,
        group: std::slice::from_ref(alert),
        id: "msg_0123456789abcdef0123456789abcdef",
        sent_ms: (START + 30 * HOUR) / 1_000,
        destination: "soc",
        key: Some("R0UT1NGK3Y"),
        template,
    }
}

fn body(style: Style, alert: &Alert) -> Value {
    serde_json::from_str(&request(style, alert).unwrap().body).unwrap()
}

/// `TRIPLINE_UPDATE=1` writes the files anew; read the difference before you commit it.
#[test]
fn golden() {
    for style in STYLES.iter().map(Style) {
        for alert in states(finding()) {
            is_golden(&format!("{}.{}.json", style.name(), alert.status.name()), &body(style, &alert));
        }
    }
}

fn is_golden(name: &str, value: &Value) {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/destinations/golden").join(name);
    let text = serde_json::to_string_pretty(value).unwrap() + "\n";
    if std::env::var_os("TRIPLINE_UPDATE").is_some() {
        std::fs::write(&file, &text).unwrap();
    }
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(text == expected, "{name} is now:\n{text}");
}

/// Several alerts in one message.
fn digest(style: Style, alerts: &[Alert]) -> Request {
    let notification = Notification { alert: &alerts[0], group: alerts, ..notification(&alerts[0], None) };
    style.request(&notification).unwrap()
}

#[test]
fn golden_digests() {
    let of =
        |n: i64| states(Finding { entity: [("client".to_owned(), json!(format!("192.0.2.{n}")))].into(), ..finding() });
    let alerts: Vec<Alert> = (0..20).flat_map(of).collect();
    for style in STYLES.iter().map(Style).filter(|style| style.takes_several()) {
        let value: Value = serde_json::from_str(&digest(style, &alerts).body).unwrap();
        is_golden(&format!("{}.digest.json", style.name()), &value);
    }
}

#[test]
fn the_native_body_to_the_byte() {
    let [firing, _] = states(finding());
    let expected = concat!(
        r#"{"type":"alert.firing","timestamp":"2023-11-14T23:13:20.5Z","data":{"id":"alr_ID","incident":"inc_ID","#,
        r#""rule":"api1/object-enumeration","title":"One client reads very many different objects","severity":"high","#,
        r#""status":"firing","entity":{"client":"192.0.2.7","user":null},"#,
        r#""window":{"start":"2023-11-14T22:13:20Z","end":"2023-11-14T23:13:20Z"},"#,
        r#""provisional":false,"first_seen":"2023-11-14T22:13:20Z","#,
        r#""fired_at":"2023-11-14T23:13:20.5Z","detected_at":"2023-11-14T23:13:20.5Z","#,
        r#""values":{"objects":812,"share":0.25},"#,
        r#""evidence":[{"source":"access.log","offset":4096,"raw":"\u001b[2J\u003c/script\u003e"}],"#,
        r#""owasp":["API1:2023"],"attack":["T1213"],"#,
        r#""owner":"payments","runbook":"https://wiki.example.com/enumeration","fingerprint":"FINGERPRINT","#,
        r#""episode_start":"2023-11-14T22:13:20Z","sequence":1,"findings":1,"truncated":false}}"#,
    );
    let expected = expected
        .replace("alr_ID", &firing.id)
        .replace("inc_ID", &firing.incident)
        .replace("FINGERPRINT", &firing.fingerprint);
    assert_eq!(request("native".parse().unwrap(), &firing).unwrap().body, expected);
}

const HOSTILE: &[&str] = &[
    "<!channel> <!here> <@U123> <https://evil.example|click>",
    "@everyone @here <@123> <@&456> [click](https://evil.example) **b** ||s|| `c`",
    "\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}31m\r\nforged: line\n\n# heading",
    "</script><script>alert(1)</script><img src=x onerror=alert(1)>&amp;",
    "\u{202e}gpj.exe\u{200b}\u{feff}\u{2066}\u{e0041}\u{2028}",
    "=HYPERLINK(\"https://evil.example\",\"x\")",
    "{{DATE(2017-02-14T06:08:39Z, SHORT)}} {{title}} ${env:HOME} {{ .Labels }} %{[x]} %s%n",
    "\"},{\"routing_key\":\"x\",\"labels\":{\"severity\":\"info\"}} \\\" \\u0000",
    "\0\u{fffd}\u{10ffff}",
    "../../etc/passwd; rm -rf / $(id) `id` ' OR 1=1 --",
    "",
    "www.evil.example WWW.evil.example",
];

/// An alert that is `text` wherever a log or a query decides what stands there.
fn hostile(text: &str) -> [Alert; 2] {
    states(Finding {
        entity: [("client".to_owned(), json!(text)), ("user".to_owned(), json!([text]))].into(),
        values: [("v".to_owned(), json!(text)), (text.to_owned(), json!({text: text}))].into_iter().collect(),
        evidence: vec![Evidence { source: text.into(), offset: 1, raw: text.into() }],
        ..finding()
    })
}

fn texts<'a>(value: &'a Value, all: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => all.push(text),
        Value::Array(items) => items.iter().for_each(|item| texts(item, all)),
        Value::Object(map) => map.iter().for_each(|(key, value)| {
            all.push(key);
            texts(value, all);
        }),
        _ => {}
    }
}

/// What must not stand in any text of a style's request, beside what no body at all may show.
fn forbidden(style: Style) -> &'static [&'static str] {
    match style.name() {
        "slack" => &["<", ">", "://evil", "\u{202e}", "\n"],
        "discord" => &["@everyone", "<@", "](", "://evil", "\u{202e}", "|| ", "**"],
        "teams" => &["{{", "://evil", "\u{202e}", "\n", "\u{1b}"],
        "alertmanager" | "alertmanager-webhook" => &["<", ">", "\u{1b}", "\u{202e}", "\n"],
        "pagerduty" => &["\u{1b}", "\u{202e}", "\n"],
        _ => &[],
    }
}

#[test]
fn hostile_text_times_every_style() {
    for style in STYLES.iter().map(Style) {
        for text in HOSTILE {
            let states = hostile(text);
            let several = style.takes_several().then(|| digest(style, &states));
            for request in states.iter().map(|alert| request(style, alert).unwrap()).chain(several) {
                let context = format!("{} {text:?}: {}", style.name(), request.body);
                assert!(request.body.len() <= style.0.max_body, "{context}");
                assert!(!request.body.contains(|c: char| c.is_control() || "<>&\u{202e}".contains(c)), "{context}");
                let value: Value = serde_json::from_str(&request.body).unwrap();
                let mut all = Vec::new();
                texts(&value, &mut all);
                for bad in forbidden(style) {
                    // Discord and Slack escape with a character of their own.
                    let found = all.iter().find(|t| t.contains(bad) && !t.contains(&format!("\\{bad}")));
                    assert!(found.is_none(), "{bad:?} in {found:?} of {context}");
                }
            }
        }
    }
}

/// The parts that steer a receiver do not depend on log text.
#[test]
fn hostile_text_changes_nothing_but_texts() {
    let plain = states(finding());
    for text in HOSTILE {
        for (alert, plain) in hostile(text).iter().zip(&plain) {
            let pagerduty = body("pagerduty".parse().unwrap(), alert);
            assert_eq!(pagerduty["routing_key"], "R0UT1NGK3Y");
            assert_eq!(pagerduty["event_action"], body("pagerduty".parse().unwrap(), plain)["event_action"]);
            let labels = &body("alertmanager".parse().unwrap(), alert)[0]["labels"];
            assert_eq!(
                (&labels["severity"], &labels["alertname"]),
                (&json!("high"), &json!("api1/object-enumeration"))
            );
            let discord = body("discord".parse().unwrap(), alert);
            assert_eq!(discord["allowed_mentions"], json!({"parse": []}));
            let template = body("template".parse().unwrap(), alert);
            assert_eq!(template.as_object().unwrap().len(), 6);
        }
    }
}

/// What other systems make of it is in no text: labels say the same whoever sends.
#[test]
fn limits_of_receivers_hold_for_the_largest_alert() {
    for (size, columns) in [(1_000, 200), (60_000, 20), (1 << 20, 2)] {
        let text = "<é>".repeat(size / 4);
        let many = (0..columns).map(|n| (format!("column_{n}"), json!(text))).collect();
        let entity = (0..columns).map(|n| (format!("name.{n}"), json!(text))).collect();
        let evidence = vec![Evidence { source: "a".into(), offset: 0, raw: text.clone() }; 30];
        for alert in states(Finding { values: many, entity, evidence, title: text.clone(), ..finding() }) {
            for style in STYLES.iter().map(Style) {
                let request = request(style, &alert).unwrap();
                assert!(request.body.len() <= style.0.max_body, "{}: {}", style.name(), request.body.len());
            }
            let slack = body("slack".parse().unwrap(), &alert);
            assert!(slack["blocks"].as_array().unwrap().len() <= 50);
            assert!(slack["blocks"][0]["text"]["text"].as_str().unwrap().chars().count() <= 150 * 4);
            let discord = body("discord".parse().unwrap(), &alert);
            let embed = &discord["embeds"][0];
            let mut all = Vec::new();
            texts(embed, &mut all);
            assert!(all.iter().map(|t| t.chars().count()).sum::<usize>() <= 6_000 + 300, "{discord}");
            assert!(embed["fields"].as_array().unwrap().len() <= 25);
            let pagerduty = body("pagerduty".parse().unwrap(), &alert);
            assert!(pagerduty["payload"]["summary"].as_str().is_none_or(|s| s.chars().count() <= 1_024));
        }
    }
}

#[test]
fn labels_of_alertmanager_are_well_formed() {
    let entity = ["client", "9a", "a.b", "severity", "ä", ""].map(|name| (name.to_owned(), json!("x"))).into();
    let [alert, _] = states(Finding { entity, ..finding() });
    let names: Vec<_> = alertmanager::labels(&alert).into_keys().collect();
    let expected =
        ["_", "_a", "a_b", "alertname", "client", "entity_", "entity_severity", "fingerprint", "incident", "owner"];
    assert_eq!(names, [&expected[..], &["service", "severity"]].concat());
}

#[test]
fn a_style_that_is_none_is_told_the_others() {
    let error = "natve".parse::<Style>().unwrap_err().to_string();
    assert!(error.contains("natve") && error.contains("native, cloudevents") && error.contains("template"), "{error}");
}
