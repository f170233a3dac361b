//! Evidence: some of the log lines that made a finding, copied when it is found, because logs rotate.
//!
//! The aggregation forgets rows. What is kept of them is a note of where they came from ([`index`]); for a finding, the stretches of
//! files that its window covers are read again, and the rule itself says which of their rows it counted ([`plan`]). All of this is
//! bounded, and nothing of it happens while nothing is found. After a restart of `run` the notes are gone: the evidence of a
//! window that began before may be short of lines, or lack.
//!
//! Rows that came late for a window in their own file are left out as they were then; one that was late only because
//! another file had closed the window may be shown.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{TimestampMicrosecondType, UInt64Type};
use arrow::row::{RowConverter, SortField};
use datafusion::common::{DataFusionError, Result};
use tripline_alert::{Evidence, Finding};
use tripline_ingest::table::columns::{OFFSET, RAW, SOURCE, TS};

use crate::engine::{Engine, FileRows, Found, Keep};
use crate::finding;
use crate::lookups::Lookups;
use index::Index;
use plan::{Baselines, EvidencePlan};

pub mod index;
pub mod plan;

pub use index::{Block, Origin};

/// Lines of one finding.
const LINES: usize = 20;
/// Bytes of a line that are copied; what an alert shows is shorter.
const LINE_BYTES: usize = 4096;
/// Findings of one rule and window that get evidence.
const FINDINGS: usize = 100;
/// Stretches of files, and bytes of them, that are read again for one rule and window.
const BLOCKS: usize = 64;
const BLOCK_BYTES: u64 = 16 << 20;
/// Bytes that may be read again at once. What is read for the first time allows half as many more.
const ALLOWANCE: u64 = 256 << 20;
/// An open alert shows newer lines no sooner than this after the window of those it shows: one hour of event time, as
/// updates are sent, µs.
const AGAIN_AFTER: i64 = 3_600_000_000;
/// Entities that are remembered to have evidence.
const REMEMBERED: usize = 100_000;

/// Gives findings their evidence.
pub struct Collector {
    index: Index,
    /// By rule; `None` if there can be none.
    plans: BTreeMap<String, Option<EvidencePlan>>,
    baselines: Baselines,
    lookups: Lookups,
    keep: Keep,
    /// By fingerprint.
    shown: HashMap<String, Shown>,
    /// The longest window, µs.
    longest: i64,
    allowance: u64,
}

/// The evidence that an alert has.
struct Shown {
    /// End of the newest window with a finding, µs.
    last_end: i64,
    /// End of the window that the lines are of, µs.
    lines_end: i64,
    quiet: i64,
}

impl Collector {
    /// For the rules of an engine; `keep`: the rows that each may see; `lookups`: what they may join.
    pub fn new(engine: &Engine, keep: &Keep, lookups: &Lookups) -> Self {
        let mut collector = Self {
            index: Index::default(),
            plans: BTreeMap::new(),
            baselines: Baselines::new(),
            lookups: Lookups::default(),
            keep: Keep::new(),
            shown: HashMap::new(),
            longest: 0,
            allowance: ALLOWANCE,
        };
        collector.set_rules(engine, keep, lookups);
        collector
    }

    /// Goes on with other rules. Where rows came from, and which alerts have evidence, stays known.
    pub fn set_rules(&mut self, engine: &Engine, keep: &Keep, lookups: &Lookups) {
        self.plans.clear();
        self.baselines = engine.baselines().collect();
        self.lookups = lookups.clone();
        self.keep.clone_from(keep);
        self.longest = engine.compiled().map(|c| c.window.size).max().unwrap_or(0);
    }

    /// Notes where rows came from.
    pub fn add(&mut self, block: Option<Block>) {
        let Some(block) = block else { return };
        self.allowance = (self.allowance + block.cost() / 2).min(ALLOWANCE);
        self.index.add(block);
    }

    /// Windows that end at or before `closed_to` are closed, µs: what only they cover is forgotten.
    pub fn forget(&mut self, closed_to: i64) {
        let oldest_open = closed_to.saturating_sub(self.longest);
        self.index.forget_before(oldest_open);
        if self.shown.len() > REMEMBERED {
            self.shown.retain(|_, shown| shown.last_end.saturating_add(shown.quiet) >= oldest_open);
        }
        if self.shown.len() > REMEMBERED {
            self.shown.clear();
        }
    }

    /// The findings in a window, with evidence for those that begin an alert, or are due to refresh one's. `counts`: the event
    /// time whose rows count at all, µs; of a window that is still open, up to where it was looked at. `delay` as in
    /// [`finding::findings`].
    pub async fn findings(&mut self, closed: &Found, delay: i64, counts: &Range<i64>) -> Result<Vec<Finding>> {
        let mut findings = finding::in_row_order(closed, delay)?;
        let mut wanted: Vec<usize> = (0..findings.len()).filter(|&i| self.is_due(&findings[i])).collect();
        if wanted.len() > FINDINGS {
            let (rule, without) = (&closed.rule.id, wanted.len() - FINDINGS);
            tracing::info!(rule, "{without} findings of one window get no evidence: {FINDINGS} at a time do");
            wanted.truncate(FINDINGS);
        }
        // That lines cannot be found again is no reason to keep the finding back.
        match self.gather(closed, &wanted, counts).await {
            Ok(evidence) => {
                for (i, lines) in wanted.into_iter().zip(evidence) {
                    if let Some(shown) = self.shown.get_mut(&findings[i].fingerprint()).filter(|_| !lines.is_empty()) {
                        shown.lines_end = closed.end;
                    }
                    findings[i].evidence = lines;
                }
            }
            Err(e) => tracing::warn!(rule = closed.rule.id, "alerts without evidence: {e}"),
        }
        Ok(finding::sorted(findings))
    }

    /// Whether a finding's lines will be seen. Remembers the finding.
    fn is_due(&mut self, finding: &Finding) -> bool {
        let (window, quiet) = (finding.window, finding.quiet);
        let new = Shown { last_end: i64::MIN, lines_end: i64::MIN, quiet };
        let shown = self.shown.entry(finding.fingerprint()).or_insert(new);
        let is_new = window.start > shown.last_end.saturating_add(quiet);
        let is_old = window.end.saturating_sub(shown.lines_end) >= AGAIN_AFTER;
        shown.last_end = shown.last_end.max(window.end);
        is_new || is_old
    }

    /// Lines for each of some rows of a closed window.
    async fn gather(&mut self, closed: &Found, wanted: &[usize], counts: &Range<i64>) -> Result<Vec<Vec<Evidence>>> {
        let none = || vec![Vec::new(); wanted.len()];
        let time = closed.start.max(counts.start)..closed.end.min(counts.end);
        if wanted.is_empty() || !self.has_plan(closed).await {
            return Ok(none());
        }
        let blocks = self.affordable(closed, self.index.within(&time));
        let read = tokio::task::spawn_blocking(move || index::read(blocks));
        let read = read.await.map_err(|e| DataFusionError::External(Box::new(e)))??;
        let rows = read.iter().map(|file| in_time(file, &time, closed.end)).collect::<Result<Vec<_>>>()?;
        let Some(Some(plan)) = self.plans.get(&closed.rule.id) else { return Ok(none()) };
        let mut matches = Matches::new(closed, wanted)?;
        for counted in plan.counted(&rows, &(closed.start..closed.end)).await? {
            matches.add(&counted)?;
        }
        Ok(matches.by_finding(wanted).into_iter().map(|numbers| lines(&rows, numbers)).collect())
    }

    /// Plans the rule when it first finds something.
    async fn has_plan(&mut self, closed: &Found) -> bool {
        let rule = &closed.rule;
        if !self.plans.contains_key(&rule.id) {
            let plan = EvidencePlan::new(rule, &self.baselines, &self.lookups, &self.keep).await;
            let plan = plan.unwrap_or_else(|e| {
                tracing::debug!(rule = rule.id, "{e}");
                None
            });
            if plan.is_none() {
                tracing::info!(
                    rule = rule.id,
                    "this rule's alerts come without evidence: its entity is not made of keys of one of its lowest aggregates over requests and lookups"
                );
            }
            self.plans.insert(rule.id.clone(), plan);
        }
        self.plans.get(&rule.id).is_some_and(Option::is_some)
    }

    /// As many blocks as may be read, from both ends of the window.
    fn affordable(&mut self, closed: &Found, blocks: Vec<Block>) -> Vec<Block> {
        let limit = BLOCK_BYTES.min(self.allowance);
        let total = blocks.len();
        let (mut chosen, mut cost) = (Vec::new(), 0);
        let mut rest = blocks.into_iter();
        while let Some(block) = if chosen.len() % 2 == 0 { rest.next() } else { rest.next_back() } {
            cost += block.cost();
            if chosen.len() == BLOCKS || cost > limit {
                cost -= block.cost();
                break;
            }
            chosen.push(block);
        }
        self.allowance -= cost;
        if chosen.len() < total {
            let read = chosen.len();
            tracing::info!(rule = closed.rule.id, read, of = total, "evidence is taken from the window's ends only");
        }
        chosen
    }
}

/// The rows that are in a window, and were in time for it.
fn in_time(file: &FileRows, time: &Range<i64>, window_end: i64) -> Result<RecordBatch> {
    let ts = file.rows.column(TS).as_primitive::<TimestampMicrosecondType>().values();
    let counts = |(&ts, watermark): (&i64, i64)| Some(time.contains(&ts) && watermark < window_end);
    let mask: BooleanArray = ts.iter().zip(file.watermarks()).map(counts).collect();
    Ok(filter_record_batch(&file.rows, &mask)?)
}

/// The rows that were counted, by the entities of findings.
struct Matches {
    converter: RowConverter,
    types: Vec<arrow::datatypes::DataType>,
    /// Each finding's entity. NULL is a value like any other.
    entities: arrow::row::Rows,
    numbers: HashMap<Vec<u8>, Vec<u64>>,
}

impl Matches {
    fn new(closed: &Found, wanted: &[usize]) -> Result<Self> {
        let column = |name: &String| closed.rows.column_by_name(name).cloned();
        let columns: Vec<ArrayRef> = closed.rule.header.entity.iter().filter_map(column).collect();
        let types: Vec<_> = columns.iter().map(|c| c.data_type().clone()).collect();
        let converter = RowConverter::new(types.iter().cloned().map(SortField::new).collect())?;
        let entities = converter.convert_columns(&columns)?;
        let numbers = wanted.iter().map(|&i| (entities.row(i).as_ref().to_vec(), Vec::new())).collect();
        Ok(Self { converter, types, entities, numbers })
    }

    fn add(&mut self, counted: &plan::Counted) -> Result<()> {
        let columns = counted.entity.iter().zip(&self.types).map(|(column, kind)| cast(column, kind));
        let keys = self.converter.convert_columns(&columns.collect::<std::result::Result<Vec<_>, _>>()?)?;
        for (key, &number) in keys.iter().zip(counted.rows.values()) {
            if let Some(numbers) = self.numbers.get_mut(key.as_ref()) {
                numbers.push(number);
            }
        }
        Ok(())
    }

    fn by_finding(&self, wanted: &[usize]) -> Vec<Vec<u64>> {
        let numbers = |&i: &usize| self.numbers.get(self.entities.row(i).as_ref()).cloned().unwrap_or_default();
        wanted.iter().map(numbers).collect()
    }
}

/// Some of the numbered rows as lines, spread over them in the order of time.
fn lines(batches: &[RecordBatch], numbers: Vec<u64>) -> Vec<Evidence> {
    let ends = batches.iter().scan(0, |end, batch| {
        *end += batch.num_rows() as u64;
        Some(*end)
    });
    let ends: Vec<u64> = ends.collect();
    let place = |number: u64| {
        let at = ends.partition_point(|&end| end <= number);
        let before = if at == 0 { 0 } else { ends[at - 1] };
        let row = usize::try_from(number - before).unwrap_or(usize::MAX);
        batches.get(at).filter(|batch| row < batch.num_rows()).map(|batch| (batch, row))
    };
    let mut found: Vec<_> = numbers.into_iter().filter_map(place).map(|(batch, row)| line(batch, row)).collect();
    found.sort_unstable();
    found.dedup();
    let text = |text: &str| text[..text.floor_char_boundary(LINE_BYTES)].to_owned();
    spread(found.len())
        .map(|i| found[i])
        .map(|(_, source, offset, raw)| Evidence { source: text(source), offset, raw: text(raw) })
        .collect()
}

fn line(batch: &RecordBatch, row: usize) -> (i64, &str, u64, &str) {
    let text = |column: usize| {
        let column = batch.column(column).as_string_view();
        if column.is_null(row) { "" } else { column.value(row) }
    };
    let ts = batch.column(TS).as_primitive::<TimestampMicrosecondType>().value(row);
    (ts, text(SOURCE), batch.column(OFFSET).as_primitive::<UInt64Type>().value(row), text(RAW))
}

/// At most [`LINES`] of `n` places, evenly, the first and the last among them.
fn spread(n: usize) -> impl Iterator<Item = usize> {
    let shown = n.min(LINES);
    (0..shown).map(move |i| if shown < 2 { 0 } else { i * (n - 1) / (shown - 1) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_spread_over_the_window() {
        assert_eq!(spread(0).count(), 0);
        assert_eq!(spread(1).collect::<Vec<_>>(), [0]);
        assert_eq!(spread(20).collect::<Vec<_>>(), (0..20).collect::<Vec<_>>());
        let many: Vec<_> = spread(10_001).collect();
        assert_eq!((many.len(), many[0], many[19]), (20, 0, 10_000));
        assert!(many.windows(2).all(|pair| (500..=527).contains(&(pair[1] - pair[0]))), "{many:?}");
    }
}
