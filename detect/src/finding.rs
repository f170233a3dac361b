//! From a rule's rows to findings.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use arrow::json::WriterBuilder;
use arrow::json::writer::LineDelimited;
use datafusion::common::{DataFusionError, Result};
use serde_json::{Map, Value};
use tripline_alert::routing::DESTINATION_RULE;
use tripline_alert::{Finding, Handling, Phase, Severity, Window};

use crate::engine::window::{WINDOW_END, WINDOW_START};
use crate::engine::{Found, Trouble};

/// The findings in a window, in the order of their entities. `delay`: how long after a window's end its rows are known, in event
/// time: the allowed lateness, µs. (Rows of an open window are known with the request that settled them.)
pub fn findings(found: &Found, delay: i64) -> Result<Vec<Finding>> {
    Ok(sorted(in_row_order(found, delay)?))
}

/// Findings in the order of their entities.
pub fn sorted(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.sort_by_cached_key(|f| {
        (serde_json::to_string(&f.entity).unwrap_or_default(), Value::Object(f.values.clone()).to_string())
    });
    findings
}

/// The findings in a window, one a row.
pub fn in_row_order(found: &Found, delay: i64) -> Result<Vec<Finding>> {
    let header = &found.rule.header;
    let findings = json_rows(&found.rows)?
        .into_iter()
        .map(|mut row| {
            row.remove(WINDOW_START);
            row.remove(WINDOW_END);
            let take = |name: &String| (name.clone(), row.remove(name).unwrap_or(Value::Null));
            let entity: BTreeMap<String, Value> = header.entity.iter().map(take).collect();
            Finding {
                rule: found.rule.id.clone(),
                title: header.title.clone(),
                severity: header.severity,
                entity,
                window: Window { start: found.start, end: found.end },
                phase: if found.early.is_some() { Phase::Early } else { Phase::Closed },
                values: row,
                detected_at: found.early.unwrap_or_else(|| found.end.saturating_add(delay)),
                watermark: found.early.map_or(found.end, |at| at.saturating_sub(delay)),
                owasp: header.owasp.clone(),
                attack: header.attack.clone(),
                quiet: header.quiet,
                evidence: Vec::new(),
                handling: header.handling(),
            }
        })
        .collect();
    Ok(findings)
}

/// That rules lost windows, as findings about the rules: a rule that does not look must not look like one that finds nothing.
pub fn of_trouble(trouble: &Trouble) -> Vec<Finding> {
    let values = Map::from_iter([("message".to_owned(), Value::from(trouble.message.as_str()))]);
    let finding = |rule: &String| {
        let entity = ("rule".to_owned(), Value::from(rule.as_str()));
        own("tripline/rule-trouble", "A rule lost windows", entity, values.clone(), trouble.at)
    };
    trouble.rules.iter().filter_map(finding).collect()
}

/// That destinations do not take alerts, for the other destinations. `at`: event time, µs.
pub fn of_destinations(failing: &[String], at: i64) -> Vec<Finding> {
    let finding = |name: &String| {
        let entity = ("destination".to_owned(), Value::from(name.as_str()));
        own(DESTINATION_RULE, "A destination does not take alerts", entity, Map::new(), at)
    };
    failing.iter().filter_map(finding).collect()
}

/// A finding of Tripline's about itself, in the minute of `at`. Before any line was read there is no event time to tell it at.
fn own(rule: &str, title: &str, entity: (String, Value), values: Map<String, Value>, at: i64) -> Option<Finding> {
    const MINUTE: i64 = 60_000_000;
    let start = at.div_euclid(MINUTE).saturating_mul(MINUTE);
    let tellable = at > i64::MIN && at < i64::MAX - 2 * MINUTE;
    tellable.then(|| Finding {
        rule: rule.into(),
        title: title.into(),
        severity: Severity::High,
        entity: BTreeMap::from([entity]),
        window: Window { start, end: start.saturating_add(MINUTE) },
        values,
        detected_at: at,
        watermark: at,
        owasp: Vec::new(),
        attack: Vec::new(),
        quiet: 60 * MINUTE,
        evidence: Vec::new(),
        handling: Handling::default(),
        phase: Phase::Closed,
    })
}

/// Each row as a JSON object with every column as a key, in the columns' order.
pub fn json_rows(rows: &RecordBatch) -> Result<Vec<Map<String, Value>>> {
    let mut bytes = Vec::new();
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(&mut bytes);
    writer.write(rows)?;
    writer.finish()?;
    drop(writer);
    let parse = |line: &[u8]| serde_json::from_slice(line).map_err(|e| DataFusionError::External(Box::new(e)));
    bytes.split(|&b| b == b'\n').filter(|line| !line.is_empty()).map(parse).collect()
}
