//! What rules see of a store: the groups of a window.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, TimestampMicrosecondArray};
use arrow::datatypes::SchemaRef;
use datafusion::common::Result;

use super::keys::Keys;
use super::later::{Later, Marks};
use super::pane::{Finished, Layer, Live, Pane};
use super::{PaneKey, Store, Threshold};

/// A rule's view of a store: how the rows of its aggregate are made of the store's.
#[derive(Debug, Clone)]
pub struct View {
    /// Schema of the rows.
    pub schema: SchemaRef,
    /// What stands in each of its columns.
    pub columns: Vec<ViewColumn>,
}

/// A column of a rule's aggregate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ViewColumn {
    /// The window's first instant.
    Start,
    /// The window's end.
    End,
    /// A key of the store.
    Key(usize),
    /// An aggregate of the store.
    Aggregate(usize),
}

/// The state of one group costs as much as passing over so many rows.
const ROWS_PER_STATE: usize = if cfg!(test) { 1 } else { 512 };

impl Store {
    /// The groups of a window as a rule sees them; only those of the keys that `wanted` has, if given.
    pub fn window(&self, view: &View, window: (i64, i64), wanted: Option<&BTreeSet<u32>>) -> Result<RecordBatch> {
        let mut layers = Vec::new();
        for layer in self.layers(window) {
            layers.push(match wanted {
                None => Cow::Borrowed(layer),
                Some(wanted) => Cow::Owned(layer.select(&layer.groups_of(wanted))?),
            });
        }
        layers.retain(|layer| !layer.keys.is_empty());
        let finished = match (&layers[..], &self.later) {
            ([layer], None) => layer.finish(&self.aggregates)?,
            (layers, later) => {
                let few = wanted.is_some_and(|wanted| wanted.len() < self.keys.len() / 16);
                let mut live = if few { Live::of_few(&self.aggregates) } else { Live::new(&self.aggregates) }?;
                layers.iter().try_for_each(|layer| live.merge(layer, &self.aggregates))?;
                if let Some(later) = later {
                    self.add_waiting(later, window, wanted, &mut live)?;
                }
                if live.is_empty() {
                    return Ok(RecordBatch::new_empty(Arc::clone(&view.schema)));
                }
                live.finish()?
            }
        };
        seen_by(&self.keys, view, window, &finished)
    }

    /// Adds the rows of a window that wait.
    fn add_waiting(
        &self,
        later: &Later,
        window: (i64, i64),
        wanted: Option<&BTreeSet<u32>>,
        live: &mut Live,
    ) -> Result<()> {
        let marks = wanted.map(Marks::of);
        let all_hot = wanted.filter(|wanted| wanted.iter().all(|key| later.hot.has(*key)));
        for log in self.panes_of(window).map(|pane| &pane.log) {
            // Few that are aggregated already cost less than going through all rows.
            match all_hot.filter(|wanted| wanted.len() < log.rows() / ROWS_PER_STATE) {
                Some(wanted) => {
                    let states = log.hot().into_iter().flat_map(|hot| wanted.iter().map(|key| hot.state_of(*key)));
                    for state in states {
                        state?.map_or(Ok(()), |state| live.merge(&state, &self.aggregates))?;
                    }
                }
                None => log.replay(marks.as_ref(), live, &later.inputs)?,
            }
        }
        Ok(())
    }

    /// The groups of a window, for a rule with this threshold, if its rows wait without numbers.
    pub fn sifted(&self, view: &View, window: (i64, i64), threshold: Threshold) -> Result<Option<RecordBatch>> {
        let Some(later) = self.later.as_ref().filter(|_| self.sifts) else { return Ok(None) };
        let mut keys = self.keys.sibling()?;
        let mut live = Live::new(&self.aggregates)?;
        let least = u32::try_from(threshold.rows).unwrap_or(u32::MAX);
        for pane in self.panes_of(window) {
            for (packed, rows) in pane.sift.frequent(least)? {
                live.update(&keys.intern_packed(&packed)?, &rows, &later.inputs)?;
            }
        }
        if live.is_empty() {
            return Ok(Some(RecordBatch::new_empty(Arc::clone(&view.schema))));
        }
        seen_by(&keys, view, window, &live.finish()?).map(Some)
    }

    /// The panes that count for a window.
    fn panes_of(&self, (start, end): (i64, i64)) -> impl Iterator<Item = &Pane> {
        let range = PaneKey { pane: start, first_end: i64::MIN }..PaneKey { pane: end, first_end: i64::MIN };
        self.panes.range(range).filter(move |(key, _)| key.first_end <= end).map(|(_, pane)| pane)
    }

    /// The layers that count for a window.
    pub(super) fn layers(&self, window: (i64, i64)) -> impl Iterator<Item = &Layer> {
        self.panes_of(window).flat_map(|pane| &pane.layers)
    }

    /// Groups as a rule sees them.
    pub fn seen_by(&self, view: &View, window: (i64, i64), groups: &Finished) -> Result<RecordBatch> {
        seen_by(&self.keys, view, window, groups)
    }
}

/// Groups as a rule sees them.
fn seen_by(keys: &Keys, view: &View, (start, end): (i64, i64), groups: &Finished) -> Result<RecordBatch> {
    let keys = keys.values(&groups.keys)?;
    let bound = |at: i64, i: usize| -> ArrayRef {
        let bound = TimestampMicrosecondArray::from_value(at, groups.keys.len());
        Arc::new(bound.with_data_type(view.schema.field(i).data_type().clone()))
    };
    let columns = view.columns.iter().enumerate().map(|(i, column)| match *column {
        ViewColumn::Start => bound(start, i),
        ViewColumn::End => bound(end, i),
        ViewColumn::Key(at) => Arc::clone(&keys[at]),
        ViewColumn::Aggregate(at) => Arc::clone(&groups.results[at]),
    });
    let options = RecordBatchOptions::new().with_row_count(Some(groups.keys.len()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(&view.schema), columns.collect(), &options)?)
}
