//! What rules see of a store: the groups of a window.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, TimestampMicrosecondArray};
use arrow::datatypes::SchemaRef;
use datafusion::common::{Result, exec_datafusion_err};

use super::keys::{Keys, SomeKeys};
use super::later::{Later, Marks};
use super::pane::{Finished, Layer, Live, Pane};
use super::{PaneKey, Store, Threshold};
use crate::engine::leaf::Content;

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

impl View {
    /// Whether it has this aggregate of the store.
    pub fn sees(&self, aggregate: usize) -> bool {
        self.columns.contains(&ViewColumn::Aggregate(aggregate))
    }
}

/// The groups of a window as a rule sees them. They become rows a few at a time: a million at once, with their texts, would take a
/// hundred megabytes for each rule.
#[derive(Debug, Clone, Default)]
pub struct WindowGroups(Option<Arc<Shown>>);

#[derive(Debug)]
struct Shown {
    view: View,
    window: (i64, i64),
    keys: SomeKeys,
    results: Vec<Option<ArrayRef>>,
    count: usize,
}

/// Rows of groups that are made at a time: what plans like to work on.
const BATCH: usize = if cfg!(test) { 3 } else { 8 * 1024 };

/// The state of one group costs as much as passing over so many rows.
const ROWS_PER_STATE: usize = if cfg!(test) { 1 } else { 512 };

impl Store {
    /// The groups of a window as a rule sees them; only those of the keys that `wanted` has, if given.
    pub fn window(&self, view: &View, window: (i64, i64), wanted: Option<&BTreeSet<u32>>) -> Result<WindowGroups> {
        let mut layers = Vec::new();
        for layer in self.layers(window) {
            layers.push(match wanted {
                None => Cow::Borrowed(layer),
                Some(wanted) => Cow::Owned(layer.select(&layer.groups_of(wanted))?),
            });
        }
        layers.retain(|layer| !layer.keys.is_empty());
        let finished = match (&layers[..], &self.later) {
            ([layer], None) => layer.finish(&self.aggregates, view)?,
            (layers, later) => {
                let few = wanted.is_some_and(|wanted| wanted.len() < self.keys.len() / 16);
                let mut live = if few { Live::of_few(&self.aggregates) } else { Live::new(&self.aggregates) }?;
                layers.iter().try_for_each(|layer| live.merge(layer, &self.aggregates))?;
                if let Some(later) = later {
                    self.add_waiting(later, window, wanted, &mut live)?;
                }
                if live.is_empty() {
                    return Ok(WindowGroups::default());
                }
                live.finish(view)?
            }
        };
        WindowGroups::new(&self.keys, view, window, finished)
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
    pub fn sifted(&self, view: &View, window: (i64, i64), threshold: Threshold) -> Result<Option<WindowGroups>> {
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
            return Ok(Some(WindowGroups::default()));
        }
        WindowGroups::new(&keys, view, window, live.finish(view)?).map(Some)
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
}

impl WindowGroups {
    /// Groups with these keys.
    pub fn new(keys: &Keys, view: &View, window: (i64, i64), groups: Finished) -> Result<Self> {
        let (count, keys) = (groups.keys.len(), keys.some(&groups.keys)?);
        Ok(Self(Some(Arc::new(Shown { view: view.clone(), window, keys, results: groups.results, count }))))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|shown| shown.count == 0)
    }
}

impl Content for WindowGroups {
    fn batches(self) -> impl Iterator<Item = Result<RecordBatch>> + Send + 'static {
        self.0.into_iter().flat_map(|shown| {
            (0..shown.count).step_by(BATCH).map(move |from| shown.rows(from..(from + BATCH).min(shown.count)))
        })
    }
}

impl Shown {
    fn rows(&self, groups: Range<usize>) -> Result<RecordBatch> {
        let (start, end) = self.window;
        let keys = self.keys.values(groups.clone())?;
        let bound = |at: i64, i: usize| -> ArrayRef {
            let bound = TimestampMicrosecondArray::from_value(at, groups.len());
            Arc::new(bound.with_data_type(self.view.schema.field(i).data_type().clone()))
        };
        let result = |aggregate: usize| {
            let result = self.results[aggregate].as_ref().map(|result| result.slice(groups.start, groups.len()));
            result.ok_or_else(|| exec_datafusion_err!("an aggregate was not asked for"))
        };
        let columns = self.view.columns.iter().enumerate().map(|(i, column)| match *column {
            ViewColumn::Start => Ok(bound(start, i)),
            ViewColumn::End => Ok(bound(end, i)),
            ViewColumn::Key(at) => Ok(Arc::clone(&keys[at])),
            ViewColumn::Aggregate(at) => result(at),
        });
        let options = RecordBatchOptions::new().with_row_count(Some(groups.len()));
        let columns = columns.collect::<Result<_>>()?;
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.view.schema), columns, &options)?)
    }
}
