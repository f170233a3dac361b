//! A store's layers as rows that can be written down and read back, also by a store that keeps other aggregates of the same groups.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema};
use datafusion::common::{Result, exec_datafusion_err};
use serde::{Deserialize, Serialize};

use super::pane::Layer;
use super::{Changes, PaneKey, Store};

/// What a store's written layers consist of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// Which rows are grouped by what, and DataFusion's version.
    pub grouping: String,
    /// Length of a pane, µs.
    pub slide: i64,
    /// The keys, in the order of their columns.
    pub keys: Vec<String>,
    /// After the keys and the number of rows: each aggregate and how many columns its state has.
    pub aggregates: Vec<(String, usize)>,
}

impl Store {
    /// What its layers consist of.
    pub fn layout(&self) -> Result<Layout> {
        let aggregates =
            self.aggregates.iter().map(|a| Ok((a.describe(), a.state_fields()?.len()))).collect::<Result<_>>()?;
        Ok(Layout {
            grouping: format!("{} {}", datafusion::DATAFUSION_VERSION, self.grouping.describe()),
            slide: self.slide,
            keys: self.grouping.keys.iter().map(ToString::to_string).collect(),
            aggregates,
        })
    }

    /// Writes everything with the next [`Store::take_changes`].
    pub fn forget_saved(&mut self) {
        self.saved.clear();
    }

    /// What changed since the last call.
    pub fn take_changes(&mut self) -> Result<Changes> {
        self.number_all()?;
        for pane in self.panes.values_mut() {
            if let Some(later) = &self.later {
                pane.aggregate_log(&self.aggregates, &later.inputs)?;
            }
            pane.seal(&mut self.next_number)?;
            pane.fold(&self.aggregates, &mut self.next_number)?;
        }
        let layers = || self.panes.iter().flat_map(|(key, pane)| pane.layers.iter().map(move |layer| (*key, layer)));
        let current: BTreeSet<u64> = layers().map(|(_, layer)| layer.number).collect();
        let removed = self.saved.difference(&current).copied().collect();
        let added = layers()
            .filter(|(_, layer)| !self.saved.contains(&layer.number))
            .map(|(key, layer)| Ok((key, layer.number, self.written(layer)?)))
            .collect::<Result<_>>()?;
        self.saved = current;
        Ok(Changes { added, removed })
    }

    fn written(&self, layer: &Layer) -> Result<RecordBatch> {
        let columns: Vec<ArrayRef> =
            self.keys.values(&layer.keys)?.into_iter().chain(layer.states.iter().cloned()).collect();
        let field = |(i, c): (usize, &ArrayRef)| Field::new(i.to_string(), c.data_type().clone(), true);
        let schema = Schema::new(columns.iter().enumerate().map(field).collect::<Vec<_>>());
        let options = RecordBatchOptions::new().with_row_count(Some(layer.keys.len()));
        Ok(RecordBatch::try_new_with_options(Arc::new(schema), columns, &options)?)
    }

    /// Puts back a layer that a store of this `layout` wrote. Aggregates that it did not keep count from here on.
    pub fn restore(&mut self, layout: &Layout, key: PaneKey, number: u64, rows: &RecordBatch) -> Result<()> {
        let broken = || exec_datafusion_err!("the checkpoint does not fit the rule");
        let keys = self.grouping.keys.iter().map(|k| {
            let at = layout.keys.iter().position(|other| *other == k.to_string()).ok_or_else(broken)?;
            rows.columns().get(at).cloned().ok_or_else(broken)
        });
        let keys = keys.collect::<Result<Vec<_>>>()?;
        self.number_all()?;
        let mut numbers = Vec::new();
        self.keys.intern(&keys, rows.num_rows(), &mut numbers)?;

        let first = layout.keys.len();
        let mut states = vec![rows.columns().get(first).cloned().ok_or_else(broken)?];
        let mut same = layout.aggregates.len() == self.aggregates.len();
        for (i, aggregate) in self.aggregates.iter().enumerate() {
            let (description, width) = (aggregate.describe(), aggregate.state_fields()?.len());
            let mut at = first + 1;
            let found = layout.aggregates.iter().position(|(other, _)| *other == description);
            if let Some(place) = found {
                same &= place == i;
                at += layout.aggregates[..place].iter().map(|(_, width)| width).sum::<usize>();
                let columns = rows.columns().get(at..at + width).ok_or_else(broken)?;
                states.extend(columns.iter().cloned());
            } else {
                // (the rule that needs it has another fingerprint than before, and starts fresh for that)
                same = false;
                let mut empty = aggregate.accumulator()?;
                empty.merge_nothing(rows.num_rows())?;
                empty.settle(rows.num_rows());
                states.extend(empty.take_states(0..rows.num_rows(), true)?);
            }
        }
        self.next_number = self.next_number.max(number + 1);
        // A layer that was put together anew is written anew.
        let number = if same {
            number
        } else {
            self.next_number += 1;
            self.next_number - 1
        };
        if same {
            self.saved.insert(number);
        }
        self.panes.entry(key).or_default().layers.push(Layer::new(number, numbers.into(), states));
        Ok(())
    }
}
