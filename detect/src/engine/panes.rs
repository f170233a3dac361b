//! What a rule remembers of the rows it has seen: state rows by pane, until the last window that holds the pane closes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, TimestampMicrosecondArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::TimestampMicrosecondType;
use datafusion::common::Result;

use super::compile::Split;
use super::window::WindowSpec;

/// State rows of one pane that count only for windows ending at or after `first_end`. For rows that came in time this is the
/// first window of the pane; a row that came late for some of its windows has a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PaneKey {
    /// Start of the pane, µs.
    pub pane: i64,
    /// End of the first window it counts for, µs.
    pub first_end: i64,
}

/// One piece of a pane's state and its number, by which a checkpoint names it.
#[derive(Debug, Clone)]
pub struct Piece {
    /// Unique within the store, ascending.
    pub number: u64,
    /// State rows.
    pub rows: RecordBatch,
}

/// What changed since the last checkpoint.
#[derive(Debug, Default)]
pub struct Changes {
    /// New pieces.
    pub added: Vec<(PaneKey, Piece)>,
    /// Pieces of the last checkpoint that are gone.
    pub removed: Vec<u64>,
}

/// The panes of one split of one rule.
#[derive(Debug, Default)]
pub struct PaneStore {
    panes: BTreeMap<PaneKey, Vec<Piece>>,
    next_number: u64,
    /// Numbers of the pieces that the last checkpoint holds.
    saved: BTreeSet<u64>,
}

impl PaneStore {
    /// Adds state rows as the Partial half gave them; the pane is read from the rows' bounds. `late_until`: the rows came late for
    /// windows that end before it.
    pub fn add(
        &mut self,
        split: &Split,
        window: WindowSpec,
        states: Vec<RecordBatch>,
        late_until: Option<i64>,
    ) -> Result<()> {
        for batch in states {
            for (pane, rows) in by_pane(split, window, &batch)? {
                let first_end = late_until.unwrap_or(pane + window.slide).max(pane + window.slide);
                self.insert(PaneKey { pane, first_end }, rows);
            }
        }
        Ok(())
    }

    fn insert(&mut self, key: PaneKey, rows: RecordBatch) {
        let piece = Piece { number: self.next_number, rows };
        self.next_number += 1;
        self.panes.entry(key).or_default().push(piece);
    }

    /// The panes there are.
    pub fn keys(&self) -> impl Iterator<Item = PaneKey> {
        self.panes.keys().copied()
    }

    /// The state rows of the window that ends at `end`, with its bounds written into them.
    pub fn window(&self, split: &Split, window: WindowSpec, end: i64) -> Result<Vec<RecordBatch>> {
        let start = end - window.size;
        let (from, to) = (PaneKey { pane: start, first_end: i64::MIN }, PaneKey { pane: end, first_end: i64::MIN });
        self.panes
            .range(from..to)
            .filter(|(key, _)| key.first_end <= end)
            .flat_map(|(_, pieces)| pieces)
            .map(|piece| with_bounds(split, &piece.rows, start, end))
            .collect()
    }

    /// Panes made of so many pieces that merging them pays: each has more rows in later pieces than in its first.
    pub fn fragmented(&self) -> Vec<PaneKey> {
        let is_fragmented = |pieces: &[Piece]| {
            let first = pieces[0].rows.num_rows();
            let later: usize = pieces[1..].iter().map(|p| p.rows.num_rows()).sum();
            pieces.len() > 1 && later > first.max(MIN_MERGE_ROWS)
        };
        self.panes.iter().filter(|(_, pieces)| is_fragmented(pieces)).map(|(key, _)| *key).collect()
    }

    /// The pieces of a pane, to be merged outside and given back by [`PaneStore::replace`].
    pub fn pieces(&self, key: PaneKey) -> Vec<RecordBatch> {
        self.panes.get(&key).into_iter().flatten().map(|p| p.rows.clone()).collect()
    }

    /// Puts merged rows in the place of all the pane's pieces.
    pub fn replace(&mut self, key: PaneKey, merged: Vec<RecordBatch>) {
        self.panes.remove(&key);
        for rows in merged {
            self.insert(key, rows);
        }
    }

    /// Forgets the panes whose last window ends at or before `closed_to`.
    pub fn forget(&mut self, window: WindowSpec, closed_to: i64) {
        self.panes.retain(|key, _| key.pane + window.size > closed_to);
    }

    /// What a checkpoint must write and delete to hold what the store holds now.
    pub fn take_changes(&mut self) -> Changes {
        let current: BTreeSet<u64> = self.panes.values().flatten().map(|p| p.number).collect();
        let removed = self.saved.difference(&current).copied().collect();
        let added = self
            .panes
            .iter()
            .flat_map(|(key, pieces)| pieces.iter().map(move |piece| (*key, piece)))
            .filter(|(_, piece)| !self.saved.contains(&piece.number))
            .map(|(key, piece)| (key, piece.clone()))
            .collect();
        self.saved = current;
        Changes { added, removed }
    }

    /// Puts back what a checkpoint held.
    pub fn restore(&mut self, key: PaneKey, piece: Piece) {
        self.next_number = self.next_number.max(piece.number + 1);
        self.saved.insert(piece.number);
        self.panes.entry(key).or_default().push(piece);
    }
}

/// Below this, pieces are cheaper to keep than to merge.
const MIN_MERGE_ROWS: usize = 4096;

/// Splits state rows by the pane they belong to.
fn by_pane(split: &Split, window: WindowSpec, batch: &RecordBatch) -> Result<Vec<(i64, RecordBatch)>> {
    let (column, shift) = match split.bounds {
        [Some(start), _] => (start, 0),
        [None, Some(end)] => (end, window.slide),
        [None, None] => return Ok(Vec::new()), // refused when the split was made
    };
    let bounds = batch.column(column).as_primitive::<TimestampMicrosecondType>().clone();
    let panes: BTreeSet<i64> = bounds.values().iter().copied().collect();
    if panes.len() <= 1 {
        return Ok(panes.into_iter().map(|p| (p - shift, batch.clone())).collect());
    }
    panes
        .into_iter()
        .map(|pane| {
            let mask: BooleanArray = bounds.values().iter().map(|&b| Some(b == pane)).collect();
            Ok((pane - shift, compact(&filter_record_batch(batch, &mask)?)?))
        })
        .collect()
}

/// Gives a batch its own string buffers, where it would keep those of a larger one alive.
pub(super) fn compact(batch: &RecordBatch) -> Result<RecordBatch> {
    let columns: Vec<ArrayRef> = batch
        .columns()
        .iter()
        .map(|column| match column.as_string_view_opt() {
            Some(views) => Arc::new(views.gc()) as ArrayRef,
            None => Arc::clone(column),
        })
        .collect();
    Ok(RecordBatch::try_new(batch.schema(), columns)?)
}

fn with_bounds(split: &Split, rows: &RecordBatch, start: i64, end: i64) -> Result<RecordBatch> {
    let mut columns = rows.columns().to_vec();
    for (position, value) in split.bounds.into_iter().zip([start, end]) {
        let Some(position) = position else { continue };
        let constant = TimestampMicrosecondArray::from_value(value, rows.num_rows())
            .with_data_type(columns[position].data_type().clone());
        columns[position] = Arc::new(constant);
    }
    Ok(RecordBatch::try_new(rows.schema(), columns)?)
}
