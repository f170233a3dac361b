//! The native payload: `{"type": "alert.firing", "timestamp": ..., "data": {the alert}}`.

use serde::Serialize;

use super::Request;
use crate::alert::Alert;
use crate::json;
use crate::time;

#[derive(Serialize)]
struct Payload<'a> {
    r#type: String,
    /// Event time: it must not depend on when, or how often, it is sent.
    #[serde(with = "time::rfc3339")]
    timestamp: i64,
    data: &'a Alert,
}

pub(super) fn request(alert: &Alert) -> serde_json::Result<Request> {
    let r#type = format!("alert.{}", alert.status.name());
    let body = json::to_string(&Payload { r#type, timestamp: alert.detected_at, data: alert })?;
    Ok(Request { content_type: "application/json", body })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::{Evidence, Finding, Phase, Severity, Window};
    use crate::lifecycle::Lifecycle;
    use serde_json::json;

    #[test]
    fn golden() {
        let hour = 3_600_000_000;
        let start = 1_700_000_000_000_000;
        let alert = Lifecycle::default()
            .observe(Finding {
                rule: "api1/object-enumeration".into(),
                title: "One client reads very many different objects".into(),
                severity: Severity::High,
                entity: [("client".to_owned(), json!("192.0.2.7")), ("user".to_owned(), json!(null))].into(),
                window: Window { start, end: start + hour },
                phase: Phase::Closed,
                values: [("objects".to_owned(), json!(812)), ("share".to_owned(), json!(0.25))].into_iter().collect(),
                detected_at: start + hour + 500_000,
                owasp: vec!["API1:2023".into()],
                attack: vec!["T1213".into()],
                quiet: hour,
                evidence: vec![Evidence {
                    source: "access.log".into(),
                    offset: 4096,
                    raw: "\u{1b}[2J</script>".into(),
                }],
            })
            .unwrap();
        let expected = concat!(
            r#"{"type":"alert.firing","timestamp":"2023-11-14T23:13:20.5Z","data":{"id":"alr_ID","#,
            r#""rule":"api1/object-enumeration","title":"One client reads very many different objects","severity":"high","#,
            r#""status":"firing","entity":{"client":"192.0.2.7","user":null},"#,
            r#""window":{"start":"2023-11-14T22:13:20Z","end":"2023-11-14T23:13:20Z"},"#,
            r#""provisional":false,"first_seen":"2023-11-14T22:13:20Z","#,
            r#""fired_at":"2023-11-14T23:13:20.5Z","detected_at":"2023-11-14T23:13:20.5Z","#,
            r#""values":{"objects":812,"share":0.25},"#,
            r#""evidence":[{"source":"access.log","offset":4096,"raw":"\u001b[2J\u003c/script\u003e"}],"#,
            r#""owasp":["API1:2023"],"attack":["T1213"],"fingerprint":"FINGERPRINT","#,
            r#""episode_start":"2023-11-14T22:13:20Z","sequence":1,"findings":1,"truncated":false}}"#,
        );
        let expected = expected.replace("alr_ID", &alert.id).replace("FINGERPRINT", &alert.fingerprint);
        assert_eq!(request(&alert).unwrap().body, expected);
        assert!(alert.id.starts_with("alr_") && alert.id.len() == 36, "{}", alert.id);
    }
}
