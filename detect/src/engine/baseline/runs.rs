//! Rows of a baseline in memory: *runs*, each sorted by the hash of its rows' keys, so that a key is found by bisection and two
//! runs become one by walking along both.
//!
//! Nothing is kept beside the rows but eight bytes of hash each. Hashes only find: whether two rows have the same key, their
//! columns say. The hashes' seed is the process's own, so that nobody can write a log whose keys collide.

use std::hash::{BuildHasher, Hasher};
use std::sync::{Arc, LazyLock};

use arrow::array::{
    Array, ArrayRef, AsArray, ByteView, DynComparator, MAX_INLINE_VIEW_LEN, RecordBatch, RecordBatchOptions,
    StringViewArray, UInt32Array, make_comparator, make_view,
};
use arrow::buffer::Buffer;
use arrow::compute::{SortOptions, interleave_record_batch, take_record_batch};
use arrow::error::ArrowError;
use datafusion::common::Result;
use datafusion::common::hash_utils::{RandomState, create_hashes};
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

/// Texts that are remembered while others are copied.
const COPIED: usize = 4096;
/// Text goes to buffers of about so many bytes.
const BLOCK: usize = 16 << 20;

static SEED: LazyLock<RandomState> =
    LazyLock::new(|| RandomState::with_seed(std::hash::RandomState::new().build_hasher().finish()));

/// The hashes of keys: of the columns together, row by row.
pub fn hashes(keys: &[ArrayRef], rows: usize) -> Result<Vec<u64>> {
    let mut hashes = vec![0; rows];
    create_hashes(keys, &*SEED, &mut hashes)?;
    Ok(hashes)
}

/// Rows of one or more closed windows.
#[derive(Debug)]
pub struct Run {
    /// End of the newest window in it, µs.
    pub newest: i64,
    /// Ascending.
    hashes: Vec<u64>,
    rows: RecordBatch,
}

/// A row: the number of its run, and where in it.
type Place = (usize, usize);

impl Run {
    /// The rows of the window that ended at `end`. `keys`: the columns that make a row's key.
    pub fn new(end: i64, rows: &RecordBatch, keys: &[usize]) -> Result<Self> {
        let hashes = hashes_of(rows, keys)?;
        let mut order: Vec<(u64, u32)> = hashes.into_iter().zip(0..).collect();
        order.sort_unstable();
        let rows = take_record_batch(rows, &UInt32Array::from_iter_values(order.iter().map(|(_, row)| *row)))?;
        let hashes = order.into_iter().map(|(hash, _)| hash).collect();
        Ok(Self { newest: end, hashes, rows: compact(&rows)? })
    }

    /// One run of two or more, the newest first, with the rows of each key that are newest, if `holds` is true for them.
    pub fn merge(runs: &[Arc<Self>], keys: &[usize], holds: impl Fn(&RecordBatch, usize) -> bool) -> Result<Self> {
        let mut places = newest(runs, keys, None)?;
        places.retain(|&(run, row)| holds(&runs[run].rows, row));
        let hashes = places.iter().map(|&(run, row)| runs[run].hashes[row]).collect();
        let newest = runs.iter().map(|r| r.newest).max().unwrap_or(i64::MIN);
        Ok(Self { newest, hashes, rows: compact(&at(runs, &places)?)? })
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Memory, bytes.
    pub fn size(&self) -> usize {
        self.rows.get_array_memory_size() + self.hashes.capacity() * size_of::<u64>()
    }
}

/// Of each key the newest row. The runs come newest first. `wanted`: only keys with these hashes, ascending.
pub fn newest(runs: &[Arc<Run>], keys: &[usize], wanted: Option<&[u64]>) -> Result<Vec<Place>> {
    let mut same = SameKey { runs, keys, comparators: HashMap::new() };
    let mut next: Vec<usize> = vec![0; runs.len()];
    let mut wanted = wanted.map(|hashes| hashes.iter().copied());
    let mut found: Vec<Place> = Vec::new();
    loop {
        let hash = match &mut wanted {
            Some(wanted) => wanted.next(),
            None => runs.iter().zip(&next).filter_map(|(run, &row)| run.hashes.get(row)).min().copied(),
        };
        let Some(hash) = hash else { return Ok(found) };
        let others = found.len();
        for (number, run) in runs.iter().enumerate() {
            let mut row = next[number];
            if run.hashes.get(row).is_some_and(|&h| h < hash) {
                row += run.hashes[row..].partition_point(|&h| h < hash);
            }
            while run.hashes.get(row) == Some(&hash) {
                let mut known = false;
                for &other in &found[others..] {
                    known = known || same.key(other, (number, row))?;
                }
                if !known {
                    found.push((number, row));
                }
                row += 1;
            }
            next[number] = row;
        }
    }
}

/// The rows at `places`, in that order. There is at least one run.
pub fn at(runs: &[Arc<Run>], places: &[Place]) -> Result<RecordBatch> {
    let batches: Vec<&RecordBatch> = runs.iter().map(|run| &run.rows).collect();
    Ok(interleave_record_batch(&batches, places)?)
}

/// Compares keys of rows in different runs; what it takes for a pair of runs is made when it is needed.
struct SameKey<'a> {
    runs: &'a [Arc<Run>],
    keys: &'a [usize],
    comparators: HashMap<(usize, usize), Vec<DynComparator>>,
}

impl SameKey<'_> {
    fn key(&mut self, a: Place, b: Place) -> Result<bool> {
        let comparators = match self.comparators.entry((a.0, b.0)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                let compare = |&key: &usize| {
                    let [a, b] = [a.0, b.0].map(|run| self.runs[run].rows.column(key));
                    make_comparator(a, b, SortOptions::default())
                };
                place.insert(self.keys.iter().map(compare).collect::<std::result::Result<_, _>>()?)
            }
        };
        Ok(comparators.iter().all(|compare| compare(a.1, b.1).is_eq()))
    }
}

fn hashes_of(rows: &RecordBatch, keys: &[usize]) -> Result<Vec<u64>> {
    let keys: Vec<ArrayRef> = keys.iter().map(|&key| Arc::clone(rows.column(key))).collect();
    hashes(&keys, rows.num_rows())
}

/// Text in buffers of its own. Where many rows have the same text, as clients have the same route, it is there few times.
fn compact(rows: &RecordBatch) -> Result<RecordBatch> {
    let columns = rows.columns().iter().map(|column| match column.as_string_view_opt() {
        Some(texts) => Ok(Arc::new(own_text(texts)?) as ArrayRef),
        None => Ok(Arc::clone(column)),
    });
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    Ok(RecordBatch::try_new_with_options(rows.schema(), columns.collect::<Result<_>>()?, &options)?)
}

fn own_text(texts: &StringViewArray) -> Result<StringViewArray> {
    // By its hash, a text that was copied, as the row that had it and the view that it became.
    let mut copied: Vec<Option<(usize, u128)>> = vec![None; COPIED];
    let state = hashbrown::DefaultHashBuilder::default();
    let number = |n: usize| u32::try_from(n).map_err(|_| ArrowError::OffsetOverflowError(n));
    let (mut full, mut block): (Vec<Buffer>, Vec<u8>) = Default::default();
    let mut views = Vec::with_capacity(texts.len());
    for (row, &view) in texts.views().iter().enumerate() {
        let length = ByteView::from(view).length;
        // (a NULL's view means nothing)
        if texts.is_null(row) || length <= MAX_INLINE_VIEW_LEN {
            views.push(if texts.is_null(row) { 0 } else { view });
            continue;
        }
        let text = texts.value(row).as_bytes();
        let [low, high, ..] = state.hash_one(text).to_le_bytes();
        let place = &mut copied[usize::from(u16::from_le_bytes([low, high])) % COPIED];
        let own = match *place {
            Some((other, own)) if texts.value(other).as_bytes() == text => own,
            _ => {
                if block.len() >= BLOCK {
                    full.push(std::mem::take(&mut block).into());
                }
                let own = make_view(text, number(full.len())?, number(block.len())?);
                block.extend_from_slice(text);
                *place = Some((row, own));
                own
            }
        };
        views.push(own);
    }
    block.shrink_to_fit();
    full.push(block.into());
    Ok(StringViewArray::try_new(views.into(), full, texts.nulls().cloned())?)
}
