//! What rules remember of the rows they have seen: states of groups by pane (one slide), until the last window that holds the
//! pane closes.
//!
//! A [`Store`] serves all rules that read the same rows of `requests` and group them by the same columns; each such rule has a
//! [`View`] of it. Rows are aggregated into the live groups of their pane; a pane that is complete is sealed into layers that
//! never change, and windows are put together from layers. Only what a window can need is put together: see [`Rolling`].

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::TimestampMicrosecondType;
use datafusion::common::Result;

pub mod aggregate;
mod column;
pub mod distinct;
pub mod durable;
mod fold;
mod forget;
mod groups;
mod keys;
mod later;
pub mod look;
pub mod pane;
pub mod rolling;
mod sift;
pub mod sketch;
pub mod source;
mod table;
mod view;
pub mod watch;
pub mod words;

use aggregate::{Aggregate, Inputs};
use column::KeyColumn;
use keys::Keys;
use later::{Later, Marks};
pub use look::Look;
use pane::Pane;
pub use rolling::Rolling;
pub use source::Source;
pub use view::{View, ViewColumn, WindowGroups};
pub use watch::{Threshold, Watch};

use super::prepared::Prepared;
use super::program::Expr;

/// State rows of one pane that count only for windows ending at or after `first_end`. For rows that came in time this is the
/// first window of the pane; a row that came late for some of its windows has a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PaneKey {
    /// Start of the pane, µs.
    pub pane: i64,
    /// End of the first window it counts for, µs.
    pub first_end: i64,
}

/// Which rows are grouped by what: what rules must have in common to share a store.
#[derive(Debug, Clone)]
pub struct Grouping {
    /// Where rows come from.
    pub source: Source,
    /// What they are grouped by, beside the window.
    pub keys: Vec<Expr>,
}

impl Grouping {
    /// Whether both group the same rows by the same columns, in whatever order.
    pub fn same(&self, other: &Self) -> bool {
        self.source.same(&other.source)
            && self.keys.len() == other.keys.len()
            && self.keys.iter().all(|key| other.keys.contains(key))
    }

    /// In words that a checkpoint can compare.
    pub fn describe(&self) -> String {
        let mut keys: Vec<_> = self.keys.iter().map(ToString::to_string).collect();
        keys.sort();
        format!("{} GROUP BY {}", self.source.describe(), keys.join(", "))
    }
}

/// The groups of one [`Grouping`], pane by pane.
#[derive(Debug)]
pub struct Store {
    /// What is grouped.
    pub grouping: Grouping,
    /// What is kept of each group.
    pub aggregates: Vec<Aggregate>,
    /// Length of a pane, µs.
    pub slide: i64,
    /// Panes are kept until all windows of this length that hold them are closed, µs.
    pub retain: i64,
    /// Open windows that are looked at.
    pub watches: Vec<Watch>,
    key_columns: Vec<usize>,
    inputs: Vec<Inputs>,
    keys: Keys,
    /// Counts how often the keys got new numbers.
    generation: u64,
    panes: BTreeMap<PaneKey, Pane>,
    next_number: u64,
    /// Numbers of the layers that the last checkpoint holds.
    saved: BTreeSet<u64>,
    numbers: Vec<u32>,
    /// How many keys were in use when it was looked at last.
    keys_checked: usize,
    /// Rows taken in.
    rows_seen: u64,
    /// Times in a row that it could not take in rows.
    failures: u32,
    /// How rows are kept until a window needs them aggregated, if they are.
    later: Option<Later>,
    /// Their keys have no numbers: there are rows that wait, and nothing else.
    sifts: bool,
}

/// More rows of a pane than these are aggregated after all.
const MAX_LOG_ROWS: usize = if cfg!(test) { 30 } else { 8 << 20 };

/// Where open windows are looked at, rows wait only if a look needs so many of a key.
const MIN_ROWS_TO_WAIT: i64 = if cfg!(test) { 2 } else { 16 };

/// And only if a window has no more panes than these: the first look at a key goes through all rows that wait. (With sixty of them a
/// hop took 8.6 s where it takes 6.)
const MAX_PANES_TO_SEARCH: i64 = 4;

/// More keys than these are not aggregated beside the rows that wait: then it begins anew with those that are looked at next.
const MAX_HOT: usize = if cfg!(test) { 2 } else { 1 << 16 };

/// A store that fails so often in a row is left alone.
pub const MAX_FAILURES: u32 = 3;

/// Rows of one pane, with the pane's start and the rows' keys.
type InPane<'a, K> = (i64, RecordBatch, Cow<'a, [K]>);

/// What a checkpoint must write and delete to hold what the store holds now.
#[derive(Debug, Default)]
pub struct Changes {
    /// New layers, with their keys.
    pub added: Vec<(PaneKey, u64, RecordBatch)>,
    /// Layers of the last checkpoint that are gone.
    pub removed: Vec<u64>,
}

impl Store {
    /// An empty store over batches that were made ready.
    pub fn new(
        prepared: &Prepared,
        mut grouping: Grouping,
        aggregates: Vec<Aggregate>,
        slide: i64,
        retain: i64,
    ) -> Result<Self> {
        let table = &prepared.schema;
        let types = grouping.source.types_of(table, &grouping.keys)?;
        let numbered = grouping.source.is_requests() && Keys::are_packed(&types);
        let keys: Vec<_> = grouping.keys.iter().map(|key| prepared.numbers_of(key).filter(|_| numbered)).collect();
        let as_hashes = |a: &Aggregate| {
            let counted = a.wanted().next().filter(|_| a.is_sketch() && grouping.source.is_requests());
            counted.and_then(|counted| prepared.hashes_of(counted))
        };
        let is_requests = grouping.source.is_requests();
        let values = |e: &Expr| if is_requests { prepared.values_of(e) } else { Arc::clone(e) };
        let mut wanted: Vec<Expr> =
            keys.iter().zip(&grouping.keys).map(|(n, key)| n.as_ref().map_or(key, |(n, _)| n)).cloned().collect();
        for aggregate in &aggregates {
            match as_hashes(aggregate) {
                Some(column) => wanted.extend([column].into_iter().chain(aggregate.wanted().skip(1).map(values))),
                None => wanted.extend(aggregate.wanted().map(values)),
            }
        }
        let inputs_hashed: Vec<bool> = aggregates.iter().map(|a| as_hashes(a).is_some()).collect();
        let filters: Vec<Expr> = grouping.source.filters.iter().map(values).collect();
        let outputs = grouping.source.prepare(table, &filters, &wanted)?;
        let (key_columns, mut rest) = (outputs[..keys.len()].to_vec(), outputs[keys.len()..].iter());
        let inputs = aggregates
            .iter()
            .zip(inputs_hashed)
            .map(|(a, hashed)| {
                let mut columns: Vec<usize> = a.wanted().filter_map(|_| rest.next().copied()).collect();
                let filter = if a.has_filter() { columns.pop() } else { None };
                Inputs { arguments: columns, filter, hashed }
            })
            .collect();
        let columns = keys.into_iter().zip(types);
        let columns =
            columns.map(|(numbers, data_type)| KeyColumn { data_type, words: numbers.map(|(_, words)| words) });
        Ok(Self {
            keys: Keys::new(columns.collect())?,
            grouping,
            aggregates,
            slide,
            retain,
            watches: Vec::new(),
            key_columns,
            inputs,
            generation: 0,
            panes: BTreeMap::new(),
            next_number: 0,
            saved: BTreeSet::new(),
            numbers: Vec::new(),
            keys_checked: 0,
            rows_seen: 0,
            failures: 0,
            later: None,
            sifts: false,
        })
    }

    /// Takes in rows. `late_until`: they came late for windows that end before it. Returns what is worth a look now.
    pub async fn absorb(&mut self, rows: &RecordBatch, late_until: Option<i64>) -> Result<Vec<Look>> {
        let mut looks = Vec::new();
        if self.failures >= MAX_FAILURES {
            return Ok(looks);
        }
        for rows in self.grouping.source.rows(rows).await? {
            if rows.num_rows() == 0 {
                continue;
            }
            self.rows_seen += rows.num_rows() as u64;
            let columns: Vec<ArrayRef> = self.key_columns.iter().map(|&at| Arc::clone(rows.column(at))).collect();
            if self.sifts {
                self.wait(&rows, &columns, late_until)?;
                continue;
            }
            let mut numbers = std::mem::take(&mut self.numbers);
            self.keys.intern(&columns, rows.num_rows(), &mut numbers)?;
            for (pane, rows, numbers) in self.by_pane(&rows, &numbers)? {
                let first_end = late_until.unwrap_or(pane + self.slide).max(pane + self.slide);
                let key = PaneKey { pane, first_end };
                if late_until.is_none() {
                    looks.extend(self.watch(pane, &rows, &numbers)?);
                }
                let pane = self.panes.entry(key).or_default();
                match &self.later {
                    Some(later) => {
                        pane.log.add(numbers.into_owned(), later.arguments(&rows)?, later, &self.aggregates)?;
                        if pane.log.rows() > MAX_LOG_ROWS {
                            pane.aggregate_log(&self.aggregates, &later.inputs)?;
                        }
                    }
                    None => pane.live(&self.aggregates)?.update(&numbers, &rows, &self.inputs)?,
                }
            }
            self.numbers = numbers;
        }
        for pane in self.panes.values_mut() {
            pane.fold(&self.aggregates, &mut self.next_number)?;
        }
        self.failures = 0;
        Ok(looks)
    }

    /// Lets rows wait without numbers for their keys, unless they came late: each has one window.
    fn wait(&mut self, rows: &RecordBatch, columns: &[ArrayRef], late_until: Option<i64>) -> Result<()> {
        let Some(later) = &self.later else { return Ok(()) };
        let mut most = 0;
        let keys = self.keys.packed(columns, rows.num_rows())?;
        for (pane, rows, keys) in self.by_pane(rows, &keys)? {
            if late_until.is_some_and(|first_end| first_end > pane + self.slide) {
                continue;
            }
            let pane = self.panes.entry(PaneKey { pane, first_end: pane + self.slide }).or_default();
            pane.sift.add(keys.into_owned(), later.arguments(&rows)?);
            most = most.max(pane.sift.rows());
        }
        if most > MAX_LOG_ROWS { self.number_all() } else { Ok(()) }
    }

    /// From here on keys have numbers: there are too many rows, or others want to see the groups.
    pub fn number_all(&mut self) -> Result<()> {
        if !std::mem::take(&mut self.sifts) {
            return Ok(());
        }
        let Some(later) = &self.later else { return Ok(()) };
        for pane in self.panes.values_mut() {
            for (keys, rows) in pane.sift.take() {
                pane.log.add(self.keys.intern_packed(&keys)?, rows, later, &self.aggregates)?;
            }
        }
        Ok(())
    }

    /// Taking in rows failed: how often in a row. After [`MAX_FAILURES`] it takes in no more.
    pub fn fail(&mut self) -> u32 {
        self.failures += 1;
        self.failures
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.panes.clear();
        self.cool();
        self.generation += 1;
        for watch in &mut self.watches {
            watch.recount(&self.panes, self.slide, self.keys.len());
        }
        if let Ok(keys) = self.keys.emptied() {
            self.keys = keys;
        }
    }

    /// Keeps rows as they are and aggregates only what a window asks for: for rules that ask for few groups. Not possible with
    /// arguments of text, or where open windows are looked at often, or groups cannot be looked at by themselves.
    pub fn aggregate_later(&mut self) {
        let watched = !self.watches.is_empty();
        let fits = self.aggregates.iter().all(|a| a.can_wait() && (!watched || a.can_be_seen()))
            && self.watches.iter().all(|w| w.threshold.rows >= MIN_ROWS_TO_WAIT)
            && (!watched || self.retain / self.slide <= MAX_PANES_TO_SEARCH);
        self.later = fits.then(|| Later::new(&self.aggregates, &self.inputs));
        // A window must be one pane: its rows are gone through once.
        self.sifts = fits && !watched && self.retain == self.slide && self.keys.fit();
    }

    /// Keys are looked at: they become hot.
    fn heat(&mut self, keys: &[u32]) -> Result<()> {
        if self.later.as_ref().is_some_and(|later| later.hot.len() > MAX_HOT) {
            self.cool();
        }
        let Some(later) = &mut self.later else { return Ok(()) };
        let cold = Marks::of(keys.iter().filter(|key| !later.hot.has(**key)));
        if cold.len() > 0 {
            for pane in self.panes.values_mut() {
                pane.log.heat(&cold, &self.aggregates, &later.inputs)?;
            }
            later.hot.add(keys);
        }
        Ok(())
    }

    /// No key is hot any more.
    fn cool(&mut self) {
        if let Some(later) = &mut self.later {
            later.hot = Marks::default();
        }
        self.panes.values_mut().for_each(|pane| pane.log.cool());
    }

    /// Whether rows wait to be aggregated.
    pub fn aggregates_later(&self) -> bool {
        self.later.is_some()
    }

    /// Splits rows by their pane.
    fn by_pane<'a, K: Copy>(&self, rows: &RecordBatch, numbers: &'a [K]) -> Result<Vec<InPane<'a, K>>> {
        let ts = rows.column(self.grouping.source.ts()).as_primitive::<TimestampMicrosecondType>();
        let pane = |ts: i64| ts.div_euclid(self.slide) * self.slide;
        let (oldest, newest) = ts.values().iter().fold((i64::MAX, i64::MIN), |(a, b), &t| (a.min(t), b.max(t)));
        if pane(oldest) == pane(newest) {
            return Ok(vec![(pane(oldest), rows.clone(), Cow::Borrowed(numbers))]);
        }
        let mut by_pane: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
        for (row, &ts) in (0u32..).zip(ts.values()) {
            by_pane.entry(pane(ts)).or_default().push(row);
        }
        let select = |(pane, at): (i64, Vec<u32>)| {
            let numbers = at.iter().map(|&row| numbers[row as usize]).collect();
            Ok((pane, take_record_batch(rows, &UInt32Array::from(at))?, Cow::Owned(numbers)))
        };
        by_pane.into_iter().map(select).collect()
    }

    /// Where the states of an aggregate are in a layer.
    pub fn state_columns(&self, aggregate: usize) -> Result<std::ops::Range<usize>> {
        let mut start = 1;
        for before in &self.aggregates[..aggregate] {
            start += before.state_fields()?.len();
        }
        let width = self.aggregates[aggregate].state_fields()?.len();
        Ok(if self.aggregates[aggregate].counts_rows() { 0..1 } else { start..start + width })
    }

    /// Turns panes that end at or before `watermark` into layers.
    pub fn seal(&mut self, watermark: i64) -> Result<()> {
        let range = ..PaneKey { pane: watermark.saturating_sub(self.slide).saturating_add(1), first_end: i64::MIN };
        for pane in self.panes.range_mut(range).map(|(_, pane)| pane) {
            pane.seal(&mut self.next_number)?;
        }
        Ok(())
    }

    /// The panes there are.
    pub fn pane_keys(&self) -> impl Iterator<Item = PaneKey> {
        self.panes.keys().copied()
    }

    /// Memory, bytes.
    pub fn size(&self) -> usize {
        self.keys.size()
            + self.panes.values().map(Pane::size).sum::<usize>()
            + self.watches.iter().map(Watch::size).sum::<usize>()
    }

    /// Rows that it has taken in, since it was made.
    pub fn rows_seen(&self) -> u64 {
        self.rows_seen
    }

    /// Groups by pane, in all.
    pub fn groups(&self) -> usize {
        self.panes.values().map(|p| p.counts().count() + p.sift.rows()).sum()
    }
}
