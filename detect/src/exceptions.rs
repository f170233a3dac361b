//! Exceptions: rows that named rules do not see, with an owner, a reason and an end.
//!
//! An exception is a condition over `requests`, applied to the rows before they are aggregated: the same in `scan`, `run` and
//! `query`. It ends by event time, so that an old log gives the same findings next year.

use arrow::array::{AsArray, RecordBatch};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::{Expr, col, lit, not};
use datafusion::physical_plan::PhysicalExpr;
use datafusion::prelude::SessionContext;
use globset::Glob;
use std::sync::Arc;
use tripline_alert::CheckpointRow;

use crate::config;
use crate::diagnostic::Diagnostic;
use crate::engine::Keep;
use crate::rules::Rule;

/// One exception, ready to count the rows it hides.
#[derive(Debug)]
pub struct Exception {
    /// What the user wrote.
    pub config: config::Exception,
    /// Rows it covered so far.
    pub hits: u64,
    condition: Arc<dyn PhysicalExpr>,
}

/// All exceptions: what each rule may see, and their counts.
#[derive(Debug, Default)]
pub struct Exceptions {
    /// For the engine.
    pub keep: Keep,
    /// For the user.
    pub list: Vec<Exception>,
}

impl Exceptions {
    /// Reads the conditions. `origin` and `text`: the config, for errors.
    pub fn new(
        exceptions: &[config::Exception],
        rules: &[Rule],
        origin: &str,
        text: &str,
    ) -> std::result::Result<Self, Diagnostic> {
        let context = SessionContext::new();
        let mut all = Self::default();
        for exception in exceptions {
            let wrong = |e| {
                let mut d =
                    Diagnostic::at_word(origin, text, "where", Diagnostic::from_datafusion(origin, "", &e).message);
                d.place =
                    Diagnostic::new(origin, text, place_of_condition(text, &exception.condition), "").place.or(d.place);
                d.with_help("where is an SQL condition over the columns of requests, such as client_ip = '192.0.2.7'")
            };
            let (covered, condition) = parse(&context, exception).map_err(wrong)?;
            let mut used = false;
            for rule in rules.iter().filter(|r| matches(&exception.rules, &r.id)) {
                used = true;
                let visible = not(covered.clone());
                let kept = all.keep.remove(&rule.id).map_or(visible.clone(), |k: Expr| k.and(visible));
                all.keep.insert(rule.id.clone(), kept);
            }
            if !used {
                let word = exception.rules.first().map_or("rules", String::as_str);
                return Err(Diagnostic::at_word(
                    origin,
                    text,
                    word,
                    format!("no rule is called {}", exception.rules.join(", ")),
                )
                .with_help("`tripline check` lists the rules"));
            }
            all.list.push(Exception { config: exception.clone(), hits: 0, condition });
        }
        Ok(all)
    }

    /// Goes on counting where `old` stops.
    pub fn count_on(&mut self, old: &Self) {
        for exception in &mut self.list {
            let same = old.list.iter().find(|o| o.config == exception.config);
            exception.hits += same.map_or(0, |same| same.hits);
        }
    }

    /// Goes on counting from what is kept.
    pub fn restore(&mut self, kept: &[CheckpointRow]) {
        for exception in &mut self.list {
            exception.hits += hits_of(kept, &exception.config);
        }
    }

    /// What to keep: the counts that are not as `kept`.
    pub fn changed(&self, kept: &mut Vec<CheckpointRow>) -> Vec<CheckpointRow> {
        let all: Vec<_> = self.list.iter().map(|e| (key(&e.config), e.hits.to_string().into_bytes())).collect();
        let changed = all.iter().filter(|row| !kept.contains(row)).cloned().collect();
        *kept = all;
        changed
    }

    /// Counts the rows that each exception covers.
    pub fn count(&mut self, rows: &RecordBatch) -> Result<()> {
        for exception in &mut self.list {
            let covered = exception.condition.evaluate(rows)?.into_array(rows.num_rows())?;
            exception.hits += u64::try_from(covered.as_boolean().true_count()).unwrap_or(u64::MAX);
        }
        Ok(())
    }
}

/// Where `run` keeps in its checkpoint how many rows each has covered.
pub const SPACE: &str = "exceptions";

/// What an exception is known by there: all that the user wrote. Changed, it is another one.
fn key(exception: &config::Exception) -> Vec<u8> {
    let config::Exception { rules, condition, owner, reason, expires } = exception;
    serde_json::json!([rules, condition, owner, reason, expires.to_string()]).to_string().into_bytes()
}

/// The rows that an exception has covered, by what is kept.
pub fn hits_of(kept: &[CheckpointRow], exception: &config::Exception) -> u64 {
    let key = key(exception);
    let value = kept.iter().find(|(k, _)| *k == key).map(|(_, value)| String::from_utf8_lossy(value));
    value.and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// Whether an id is one of `patterns` (ids or globs).
pub fn matches(patterns: &[String], id: &str) -> bool {
    patterns.iter().any(|p| p == id || Glob::new(p).is_ok_and(|g| g.compile_matcher().is_match(id)))
}

fn parse(context: &SessionContext, exception: &config::Exception) -> Result<(Expr, Arc<dyn PhysicalExpr>)> {
    let schema = DFSchema::try_from(tripline_ingest::schema())?;
    let condition = context.parse_sql_expr(&exception.condition, &schema)?;
    let ends = lit(ScalarValue::TimestampMicrosecond(Some(end_us(exception)), Some("UTC".into())));
    // Unknown is not covered: an exception hides only what it surely means.
    let covered = condition.and(col("ts").lt(ends)).is_true();
    let physical = context.create_physical_expr(covered.clone(), &schema)?;
    Ok((covered, physical))
}

/// Midnight (UTC) at which the exception ends, µs.
pub fn end_us(exception: &config::Exception) -> i64 {
    let day = exception.expires.date.and_then(|d| {
        let number = |n: u8| i8::try_from(n).ok();
        jiff::civil::Date::new(i16::try_from(d.year).ok()?, number(d.month)?, number(d.day)?).ok()
    });
    let midnight = day.and_then(|d| jiff::tz::TimeZone::UTC.to_timestamp(d.at(0, 0, 0, 0)).ok());
    midnight.map_or(i64::MIN, jiff::Timestamp::as_microsecond)
}

fn place_of_condition(text: &str, condition: &str) -> Option<crate::diagnostic::Place> {
    let start = text.find(condition)?;
    Some(crate::diagnostic::place_of_bytes(text, start, start + condition.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, StringViewArray, TimestampMicrosecondArray, UInt16Array, new_null_array};

    const DAY: i64 = 86_400_000_000;

    /// One request a day from 2026-03-01 on, alternately from two clients.
    fn rows() -> RecordBatch {
        let start = end_us(&exception("true", "2026-03-01"));
        let clients = ["192.0.2.7", "192.0.2.8", "192.0.2.7", "192.0.2.8"];
        let column = |field: &arrow::datatypes::FieldRef| -> ArrayRef {
            match field.name().as_str() {
                "ts" => Arc::new(
                    TimestampMicrosecondArray::from_iter_values((0..4).map(|i| start + i * DAY)).with_timezone("UTC"),
                ),
                "client" | "client_ip" => Arc::new(StringViewArray::from_iter_values(clients)),
                "status" => Arc::new(UInt16Array::from(vec![Some(200), None, Some(404), Some(200)])),
                _ => new_null_array(field.data_type(), 4),
            }
        };
        let schema = tripline_ingest::schema();
        let columns = schema.fields().iter().map(column).collect();
        RecordBatch::try_new(schema, columns).unwrap()
    }

    fn exception(condition: &str, expires: &str) -> config::Exception {
        let text =
            format!("rules = [\"a/*\"]\nwhere = \"{condition}\"\nowner = \"o\"\nreason = \"r\"\nexpires = {expires}");
        toml::from_str(&text).unwrap()
    }

    fn hits(condition: &str, expires: &str) -> u64 {
        let rule = Rule::parse("a/b", "b.sql", "/*\ntitle = \"t\"\nentity = [\"client\"]\n*/\nSELECT 1").unwrap();
        let mut all = Exceptions::new(&[exception(condition, expires)], &[rule], "c", "").unwrap();
        assert!(all.keep.contains_key("a/b"));
        all.count(&rows()).unwrap();
        all.list[0].hits
    }

    #[test]
    fn a_reload_goes_on_counting_what_stays() {
        let rule = Rule::parse("a/b", "b.sql", "/*\ntitle = \"t\"\nentity = [\"client\"]\n*/\nSELECT 1").unwrap();
        let load = |conditions: &[&str]| {
            let list: Vec<_> = conditions.iter().map(|c| exception(c, "2026-03-10")).collect();
            Exceptions::new(&list, std::slice::from_ref(&rule), "c", "").unwrap()
        };
        let mut before = load(&["status = 404", "client_ip = '192.0.2.7'"]);
        before.count(&rows()).unwrap();
        let mut after = load(&["client_ip = '192.0.2.7'", "status = 200"]);
        after.count_on(&before);
        after.count(&rows()).unwrap();
        assert_eq!(after.list.iter().map(|e| e.hits).collect::<Vec<_>>(), [4, 2]);
    }

    #[test]
    fn a_restart_goes_on_counting() {
        let rule = Rule::parse("a/b", "b.sql", "/*\ntitle = \"t\"\nentity = [\"client\"]\n*/\nSELECT 1").unwrap();
        let load = || {
            let list = [exception("status = 404", "2026-03-10"), exception("status = 200", "2026-03-10")];
            Exceptions::new(&list, std::slice::from_ref(&rule), "c", "").unwrap()
        };
        let mut before = load();
        before.count(&rows()).unwrap();
        let mut kept = Vec::new();
        let stored = before.changed(&mut kept);
        assert_eq!(stored.len(), 2);
        assert_eq!(before.changed(&mut kept), []);
        let mut after = load();
        after.restore(&stored);
        after.count(&rows()).unwrap();
        assert_eq!(after.list.iter().map(|e| e.hits).collect::<Vec<_>>(), [2, 4]);
        assert_eq!(hits_of(&stored, &exception("status = 200", "2026-03-11")), 0, "another one");
    }

    #[test]
    fn covers_what_it_says_until_it_expires() {
        assert_eq!(hits("client_ip = '192.0.2.7'", "2026-03-10"), 2);
        assert_eq!(hits("client_ip = '192.0.2.7'", "2026-03-03"), 1);
        assert_eq!(hits("client_ip = '192.0.2.7'", "2026-02-01"), 0);
    }

    #[test]
    fn what_is_unknown_is_not_covered() {
        assert_eq!(hits("status <> 404", "2026-03-10"), 2);
        assert_eq!(hits("user = 'x' OR status = 404", "2026-03-10"), 1);
    }
}
