//! The alert budget: one number of false alerts a day for the site, shared among the rules that say how surprising a row is.
//!
//! A rule with `budget = { p_value = "p" }` (or `e_value`) returns *every* entity that it tested in a window, and no threshold of its own.
//! What becomes a finding is decided here, when the window closes: the evidence against an entity is added up over windows ([`evidence`]),
//! and a row passes once it is so strong that chance alone would bring it no more often than the budget allows.
//!
//! **Promise.** With a budget of B a day, the expected number of findings a day about entities that do nothing wrong is at most B,
//! however the entities depend on each other.
//! **Assumptions.** (1) Of an entity that does nothing wrong, each window's e-value is at most 1 on average, whatever came before (a p-value:
//! P(p ≤ α) ≤ α). The rule's claim is checked against the last days: the smaller of its own e-value and of that by rank counts
//! ([`history`]), so that one of both need be right. (2) Whether an entity is tested does not depend on what is tested. (3) A day has
//! at most as many tested entities as the largest of the last seven days, or as it had so far.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, RecordBatch, StringViewArray};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Field, Float64Type, Schema, SchemaRef};
use arrow::row::{RowConverter, SortField};
use datafusion::common::Result;
use serde::{Deserialize, Deserializer};
use sha2::{Digest, Sha256};

use crate::diagnostic::Diagnostic;
use crate::engine::window::WindowSpec;
use crate::rules::Rule;
use evidence::{Alarm, Evidence};

mod bytes;
mod evidence;
mod history;
#[cfg(test)]
mod tests;

const DAY: i64 = 86_400_000_000;

/// What a rule's header says.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The column with a p-value.
    p_value: Option<String>,
    /// The column with an e-value.
    e_value: Option<String>,
    /// What part of the budget the rule gets, beside the others'. Default 1.
    #[serde(default = "one")]
    share: f64,
}

fn one() -> f64 {
    1.0
}

/// `[budget]` of the config.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// False alerts a day. Written as `2/day` or `3/week`. Default 1 a day.
    #[serde(default = "one", deserialize_with = "rate")]
    pub alerts: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { alerts: 1.0 }
    }
}

fn rate<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<f64, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_rate(&text).map_err(serde::de::Error::custom)
}

/// How many a day.
fn parse_rate(text: &str) -> std::result::Result<f64, String> {
    let days = |unit: &str| [("day", 1.0), ("week", 7.0), ("month", 30.0)].into_iter().find(|(name, _)| *name == unit);
    let parsed = text.split_once('/').and_then(|(number, unit)| {
        let (_, days) = days(unit.trim())?;
        Some(number.trim().parse::<f64>().ok()? / days)
    });
    parsed.filter(|rate| *rate > 0.0 && *rate <= 1e6).ok_or_else(|| {
        format!("{text:?} is no budget: write how many false alerts there may be, as in \"2/day\", \"1/week\" or \"1/month\"")
    })
}

/// A rule's part of the budget, and what it has seen.
#[derive(Debug)]
pub struct Budget {
    spec: Spec,
    column: usize,
    /// Columns that name an entity.
    keys: Vec<usize>,
    schema: SchemaRef,
    evidence: Evidence,
    changed: bool,
}

impl Budget {
    /// Of a rule that has one and returns rows of this schema.
    pub fn new(rule: &Rule, rows: &SchemaRef, window: WindowSpec) -> std::result::Result<Option<Self>, Diagnostic> {
        let Some(spec) = rule.header.budget.clone() else { return Ok(None) };
        let ((Some(name), None) | (None, Some(name))) = (&spec.p_value, &spec.e_value) else {
            return Err(rule
                .problem_at("budget", "a budget names one column")
                .with_help("write budget = { p_value = \"COLUMN\" } or { e_value = \"COLUMN\" }"));
        };
        if !(spec.share > 0.0 && spec.share <= 1e6) {
            return Err(rule.problem_at("share", "a rule's share of the budget is a number above 0"));
        }
        if window.slide != window.size {
            return Err(rule
                .problem_at("hop", "a rule with a budget needs windows that do not overlap")
                .with_help("use tumble: evidence adds up over windows, and no request may count twice"));
        }
        let column = rows.index_of(name).ok().filter(|&column| rows.field(column).data_type().is_numeric());
        let Some(column) = column else {
            return Err(
                rule.problem_at(name, format!("the budget names {name}, which is no column of numbers of the rule's"))
            );
        };
        let added = [
            ("evidence_since", DataType::Utf8View),
            ("evidence", DataType::Float64),
            ("evidence_needed", DataType::Float64),
        ];
        let added = added.map(|(name, kind)| Arc::new(Field::new(name, kind, true)));
        if let Some(taken) = added.iter().find(|field| rows.index_of(field.name()).is_ok()) {
            return Err(rule
                .problem_at(taken.name(), format!("the column {} is added by the budget", taken.name()))
                .with_help("give yours another name with AS"));
        }
        let schema = Arc::new(Schema::new(rows.fields().iter().cloned().chain(added).collect::<Vec<_>>()));
        let keys = rule.header.entity.iter().filter_map(|key| rows.index_of(key).ok()).collect();
        // A budget of its own, until it is told what others there are.
        let evidence = Evidence::new(one(), window.size);
        Ok(Some(Self { spec, column, keys, schema, evidence, changed: false }))
    }

    /// How much of the whole it wants.
    pub fn share(&self) -> f64 {
        self.spec.share
    }

    /// From now on it has so many false alerts a day.
    pub fn allot(&mut self, per_day: f64) {
        self.evidence.per_day = per_day;
    }

    /// What it does, for people.
    pub fn describe(&self) -> String {
        let column = self.spec.p_value.iter().chain(&self.spec.e_value).next().map_or("", String::as_str);
        format!(
            "adds up what {column} says against each entity over windows, and tells a finding where chance would do so {:.3} times a day or less",
            self.evidence.per_day
        )
    }

    /// Takes in all that was tested in the window that ended at `end`, in the order of the windows' ends; returns what becomes a finding.
    pub fn admit(&mut self, end: i64, rows: &RecordBatch) -> Result<RecordBatch> {
        self.changed = true;
        let values = cast(rows.column(self.column), &DataType::Float64)?;
        let values: &Float64Array = values.as_primitive::<Float64Type>();
        let keys: Vec<ArrayRef> = self.keys.iter().map(|&key| Arc::clone(rows.column(key))).collect();
        let fields = keys.iter().map(|key| SortField::new(key.data_type().clone())).collect();
        let names = RowConverter::new(fields)?.convert_columns(&keys)?;
        // In an order of their own: what is admitted does not depend on that of the rows.
        let mut tested: Vec<(u128, usize)> =
            (0..rows.num_rows()).map(|row| (name(names.row(row).as_ref()), row)).collect();
        tested.sort_unstable();
        self.evidence.begin(end);
        let mut alarms: Vec<Option<Alarm>> = vec![None; rows.num_rows()];
        for (entity, _) in &tested {
            self.evidence.meet(*entity);
        }
        for (entity, row) in tested {
            // What is no number says nothing.
            let value = Some(values.value(row)).filter(|x| values.is_valid(row) && !x.is_nan());
            let e = value.map_or(1.0, |value| if self.spec.p_value.is_some() { e_of_p(value) } else { value.max(0.0) });
            alarms[row] = self.evidence.add(entity, e);
        }
        let admitted = filter_record_batch(rows, &alarms.iter().map(|a| Some(a.is_some())).collect::<BooleanArray>())?;
        let alarms: Vec<Alarm> = alarms.into_iter().flatten().collect();
        let mut columns = admitted.columns().to_vec();
        columns.push(Arc::new(alarms.iter().map(|a| Some(a.since)).collect::<StringViewArray>()));
        columns.push(Arc::new(alarms.iter().map(|a| Some(a.evidence)).collect::<Float64Array>()));
        columns.push(Arc::new(alarms.iter().map(|a| Some(a.needed)).collect::<Float64Array>()));
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }

    /// What it must not forget, if that is not what the last call gave.
    pub fn take_changes(&mut self) -> Option<Vec<u8>> {
        std::mem::take(&mut self.changed).then(|| bytes::write(&self.evidence))
    }

    /// Memory, bytes.
    pub fn size(&self) -> usize {
        self.evidence.entities.len() * 2 * size_of::<(u128, evidence::Against)>()
    }

    /// The next [`Self::take_changes`] gives everything.
    pub fn forget_saved(&mut self) {
        self.changed = true;
    }

    /// Goes on from what [`Self::take_changes`] gave. Whether that could be read; otherwise it begins anew.
    pub fn restore(&mut self, saved: &[u8]) -> bool {
        bytes::read(saved, &mut self.evidence).is_some()
    }
}

/// What names an entity in little room.
fn name(row: &[u8]) -> u128 {
    let hash = Sha256::digest(row);
    hash.first_chunk().map_or(0, |bytes| u128::from_be_bytes(*bytes))
}

/// An e-value from a p-value: 1 / (2 √p), whose mean is 1 if p is uniform (Shafer, Shen, Vereshchagin and Vovk 2011; Vovk and Wang 2021, with κ = 1/2).
fn e_of_p(p: f64) -> f64 {
    0.5 / p.clamp(1e-300, 1.0).sqrt()
}
