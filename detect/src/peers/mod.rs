//! Peer groups: of a baseline that names `peers`, each window's rows are put into groups of what behaves alike, and every row
//! says how odd it is among its peers, in which respect, and what is typical there.
//!
//! It is a function of one closed window's rows and of nothing else: not of their order, of earlier windows or of chance. So the rows
//! are a baseline like any other: they hold from the window's end, `scan`, `run` and `query` agree, and a restart needs no model.
//!
//! 1. [`features`]: what is compared is `sign(x) ln(1 + |x|)`, as counts of clients are spread over orders of magnitude; rows are put
//!    in the order of their keys' hashes.
//! 2. [`groups`]: k-means over a sample, on robust scales, so that no single client moves a centre far.
//! 3. [`scores`]: distance from the group's medians in units of its median absolute deviations, and its conformal p-value.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringViewArray, UInt64Array};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::Result;
use serde::Deserialize;

use crate::diagnostic::Diagnostic;
use crate::engine::window::WINDOW_END;
use crate::rules::Rule;
use features::Features;
use scores::Scored;

mod features;
mod groups;
mod scores;
mod table;

#[cfg(test)]
mod tests;

pub use table::fitted;

/// What a baseline's header says about peers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Columns by which clients are compared: numbers.
    pub features: Vec<String>,
    /// At most so many groups. Default 8.
    #[serde(default = "default_groups")]
    pub groups: usize,
    /// A group has at least so many members; whoever is in a smaller one is compared with the nearest that is large enough. Default 20.
    #[serde(default = "default_min_members")]
    pub min_members: usize,
    /// Groups are looked for among so many clients at most, chosen by a hash. All clients are scored. Default 10,000.
    #[serde(default = "default_sample")]
    pub sample: usize,
}

fn default_groups() -> usize {
    8
}

fn default_min_members() -> usize {
    20
}

fn default_sample() -> usize {
    10_000
}

impl Spec {
    /// What is wrong with it: the word to point at, and why.
    pub fn problem(&self) -> Option<(&str, String)> {
        let checks = [
            ("features", self.features.len(), 1, 32),
            ("groups", self.groups, 1, 64),
            ("min_members", self.min_members, 2, 1_000_000),
            ("sample", self.sample, 100, 100_000),
        ];
        let (name, is, least, most) = checks.into_iter().find(|(_, is, least, most)| is < least || is > most)?;
        let is = if name == "features" { format!("{is} of them") } else { is.to_string() };
        Some((name, format!("peers.{name} must be between {least} and {most}, not {is}")))
    }
}

/// The columns that are added before those of the features.
const ADDED: [(&str, DataType); 7] = [
    ("peer_group", DataType::Int64),
    ("peers", DataType::UInt64),
    ("outlier_score", DataType::Float64),
    ("p_value", DataType::Float64),
    ("top_feature", DataType::Utf8View),
    ("top_value", DataType::Float64),
    ("top_typical", DataType::Float64),
];

/// Peer groups of one baseline.
#[derive(Debug, Clone)]
pub struct Peers {
    spec: Spec,
    /// Columns of the rule's rows: a row's key, and the features.
    keys: Vec<usize>,
    features: Vec<usize>,
    window_end: usize,
    schema: SchemaRef,
}

impl Peers {
    /// Of a baseline whose rows have the schema `rows`, if it asks for them.
    pub fn new(rule: &Rule, rows: &SchemaRef) -> std::result::Result<Option<Self>, Diagnostic> {
        let Some(spec) = rule.header.peers.clone() else { return Ok(None) };
        let mut features = Vec::new();
        for name in &spec.features {
            let returned = || rows.fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>().join(", ");
            let missing = || {
                let message = format!("peers.features names {name}, but the rule does not return it");
                Diagnostic::at_word(&rule.origin, &rule.text, name, message)
                    .with_help(format!("the rule returns: {}", returned()))
            };
            let column = rows.index_of(name).map_err(|_| missing())?;
            let kind = rows.field(column).data_type();
            if !kind.is_numeric() || features.contains(&column) {
                let why = if kind.is_numeric() { "is named twice" } else { "is no number" };
                return Err(rule.problem_at(name, format!("the feature {name} {why}")));
            }
            features.push(column);
        }
        let names = spec.features.iter().flat_map(|name| [typical(name), spread(name)]);
        let measures = names.map(|name| (name, DataType::Float64));
        let added: Vec<_> = ADDED.into_iter().map(|(name, kind)| (name.to_owned(), kind)).chain(measures).collect();
        if let Some((taken, _)) = added.iter().find(|(name, _)| rows.index_of(name).is_ok()) {
            return Err(rule
                .problem_at(taken, format!("the column {taken} is added by peers"))
                .with_help("give yours another name with AS"));
        }
        let added = added.into_iter().map(|(name, kind)| Arc::new(Field::new(name, kind, true)));
        let schema = Arc::new(Schema::new(rows.fields().iter().cloned().chain(added).collect::<Vec<_>>()));
        // (that a rule returns its entity and its window is checked before)
        let keys = rule.header.entity.iter().filter_map(|key| rows.index_of(key).ok()).collect();
        let window_end = rows.index_of(WINDOW_END).unwrap_or_default();
        Ok(Some(Self { spec, keys, features, window_end, schema }))
    }

    /// The rule's columns, then those that are added.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// What it does, for people.
    pub fn describe(&self) -> String {
        format!(
            "puts each window's rows into at most {} groups of at least {} by {} (k-means over at most {} rows), and says how odd each is among its peers",
            self.spec.groups,
            self.spec.min_members,
            self.spec.features.join(", "),
            self.spec.sample
        )
    }

    /// The rows of one window with what their peers say about them.
    pub fn fit(&self, rows: &RecordBatch) -> Result<RecordBatch> {
        let features = Features::new(rows, &self.keys, &self.features)?;
        let scored = scores::score(&features, groups::groups(&features, &self.spec)?);
        let mut columns: Vec<ArrayRef> = rows.columns().to_vec();
        columns.extend(self.columns(&features, &scored));
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }

    /// As [`Self::fit`], of many windows.
    pub fn fit_windows(&self, rows: &[RecordBatch], schema: &SchemaRef) -> Result<Vec<RecordBatch>> {
        let rows = concat_batches(schema, rows)?;
        let order = arrow::compute::sort_to_indices(rows.column(self.window_end), None, None)?;
        let rows = arrow::compute::take_record_batch(&rows, &order)?;
        let windows = arrow::compute::partition(&[Arc::clone(rows.column(self.window_end))])?.ranges();
        windows.into_iter().map(|window| self.fit(&rows.slice(window.start, window.len()))).collect()
    }

    fn columns(&self, features: &Features, scored: &[Option<Scored>]) -> Vec<ArrayRef> {
        // A row's place among the scores.
        let mut of_row = vec![None; scored.len()];
        for (place, &row) in features.rows.iter().enumerate() {
            of_row[row] = scored[place].as_ref();
        }
        let floats = |value: &dyn Fn(&Scored) -> Option<f64>| -> ArrayRef {
            Arc::new(of_row.iter().map(|scored| scored.and_then(value)).collect::<Float64Array>())
        };
        let top = |scored: &Scored| scored.top.map(|(feature, _)| self.spec.features[feature].as_str());
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(of_row.iter().map(|s| s.map(|s| s.group.number)).collect::<Int64Array>()),
            Arc::new(of_row.iter().map(|s| s.map(|s| s.group.members.saturating_sub(1))).collect::<UInt64Array>()),
            floats(&|s| Some(s.score)),
            floats(&|s| Some(s.p_value)),
            Arc::new(of_row.iter().map(|s| s.and_then(top)).collect::<StringViewArray>()),
            floats(&|s| s.top.map(|(_, value)| value)),
            floats(&|s| s.top.and_then(|(feature, _)| Some(s.group.usual[feature]?.typical))),
        ];
        for feature in 0..self.spec.features.len() {
            columns.push(floats(&|s| Some(s.group.usual[feature]?.typical)));
            columns.push(floats(&|s| s.group.usual[feature]?.spread));
        }
        columns
    }
}

fn typical(feature: &str) -> String {
    format!("{feature}_typical")
}

fn spread(feature: &str) -> String {
    format!("{feature}_spread")
}
