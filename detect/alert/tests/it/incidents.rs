//! Which alerts are of one campaign.

use serde_json::{Map, Value, json};
use tripline_alert::{Alert, Finding, Lifecycle};

use crate::lifecycle::reloaded;
use crate::support::{MINUTE, finding};

/// A finding about what an object says.
fn about(rule: &str, entity: &Value, start: i64) -> Finding {
    let entity: Map<String, Value> = entity.as_object().unwrap().clone();
    Finding { rule: rule.into(), entity: entity.into_iter().collect(), ..finding("", start, start + 5) }
}

fn fire(lifecycle: &mut Lifecycle, finding: Finding) -> Alert {
    let until = Some(finding.watermark);
    lifecycle.step(vec![finding], until).pop().unwrap().alert
}

#[test]
fn one_campaign_is_one_incident() {
    let mut lifecycle = Lifecycle::default();
    let first = fire(&mut lifecycle, about("a/x", &json!({"client": "1", "route": "/users/{id}"}), 0));
    assert_eq!(first.incident, first.id.replace("alr_", "inc_"));
    // The same route at the same time, the same client, the same cohort as one of those.
    let same_route = fire(&mut lifecycle, about("a/x", &json!({"client": "2", "route": "/users/{id}"}), 5));
    let mut cohort = about("b/y", &json!({"client": "2"}), 6);
    cohort.values.insert("cohort".into(), json!("ja4:x"));
    let same_client = fire(&mut lifecycle, cohort);
    let same_cohort = fire(&mut lifecycle, about("c/z", &json!({"cohort": "ja4:x"}), 7));
    for alert in [&same_route, &same_client, &same_cohort] {
        assert_eq!(alert.incident, first.incident, "{alert:?}");
    }
    // After a restart, too.
    lifecycle = reloaded(&lifecycle);
    let later = fire(&mut lifecycle, about("a/x", &json!({"client": "3", "route": "/users/{id}"}), 8));
    assert_eq!(later.incident, first.incident);
    // Others have their own; so have Tripline's, NULL says nothing, and once all is over the route is another campaign's.
    for entity in [json!({"client": "9", "route": "/"}), json!({"client": null}), json!({"client": null, "route": ""})]
    {
        let other = fire(&mut lifecycle, about("a/other", &entity, 9));
        assert_eq!(other.incident, other.id.replace("alr_", "inc_"));
    }
    let own = fire(&mut lifecycle, about("tripline/storm", &json!({"route": "/users/{id}"}), 10));
    assert_ne!(own.incident, first.incident);
    lifecycle.advance(500 * MINUTE);
    let next = fire(&mut lifecycle, about("a/x", &json!({"client": "1", "route": "/users/{id}"}), 600));
    assert_ne!(next.incident, first.incident);
}

/// Of two campaigns that turn out to be one, the alert that shows it joins the elder; the incident of an alert never changes.
#[test]
fn an_alert_stays_where_it_is() {
    let mut lifecycle = Lifecycle::default();
    let elder = fire(&mut lifecycle, about("a/x", &json!({"client": "1", "route": "/a"}), 0));
    let younger = fire(&mut lifecycle, about("a/x", &json!({"client": "2", "route": "/b"}), 5));
    assert_ne!(elder.incident, younger.incident);
    let both = fire(&mut lifecycle, about("b/y", &json!({"client": "2", "route": "/a"}), 6));
    assert_eq!(both.incident, elder.incident);
    let goes_on = fire(&mut lifecycle, about("a/x", &json!({"client": "2", "route": "/b"}), 9));
    assert_eq!((goes_on.sequence, &goes_on.incident), (2, &younger.incident));
    let resolved = lifecycle.advance(500 * MINUTE);
    assert!(resolved.iter().any(|a| a.id == younger.id && a.incident == younger.incident));
}
