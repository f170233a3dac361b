//! Columns that several stores need of each batch, made once for all: numbers of texts to group by, hashes of what is counted.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::Result;
use datafusion::physical_expr::expressions::Column;
use tripline_ingest::table::columns;

use super::compile::paned_schema;
use super::program::Expr;
use super::state::words::SharedWords;
use super::state::{Store, distinct};
use super::tasks::each;

/// What is added to batches of requests, beside the window's bounds.
#[derive(Debug)]
pub struct Prepared {
    added: Vec<(usize, Added)>,
    /// Requests, bounds, and what is added.
    pub schema: SchemaRef,
}

/// Rows as stores take them.
#[derive(Debug, Clone)]
pub struct PreparedRows {
    rows: RecordBatch,
    /// For each column that was added, how often its texts had got new numbers.
    generations: Vec<u64>,
}

/// What is added for a column of requests.
#[derive(Debug, Clone)]
enum Added {
    /// The numbers of its texts.
    Numbers(SharedWords),
    /// [`distinct::hashes`].
    Hashes,
}

impl Default for Prepared {
    fn default() -> Self {
        Self { added: Vec::new(), schema: paned_schema() }
    }
}

impl Prepared {
    /// For stores that group by these expressions and count these: what several of them have in common.
    pub fn new(keys: &[&Expr], counted: &[&Expr]) -> Self {
        let base = paned_schema();
        let is_text =
            |at: usize| matches!(base.field(at).data_type(), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        let numbers = in_several(keys).filter(|at| is_text(*at)).map(|at| (at, Added::Numbers(SharedWords::default())));
        let added: Vec<_> = numbers.chain(in_several(counted).map(|at| (at, Added::Hashes))).collect();
        let field = |(at, added): &(usize, Added)| match added {
            Added::Numbers(_) => Field::new(format!("number of {}", base.field(*at).name()), DataType::UInt32, false),
            Added::Hashes => Field::new(format!("hash of {}", base.field(*at).name()), DataType::UInt64, true),
        };
        let fields = base.fields().iter().cloned().chain(added.iter().map(field).map(Arc::new));
        Self { schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())), added }
    }

    /// The column that stands for a key, if there is one, and what its numbers mean.
    pub fn numbers_of(&self, key: &Expr) -> Option<(Expr, SharedWords)> {
        self.find(key, |added| if let Added::Numbers(words) = added { Some(words.clone()) } else { None })
    }

    /// The column with the hashes of what is counted, if there is one.
    pub fn hashes_of(&self, counted: &Expr) -> Option<Expr> {
        self.find(counted, |added| matches!(added, Added::Hashes).then_some(())).map(|(column, ())| column)
    }

    fn find<T>(&self, expr: &Expr, wanted: impl Fn(&Added) -> Option<T>) -> Option<(Expr, T)> {
        let at = expr.downcast_ref::<Column>()?.index();
        let first = self.schema.fields().len() - self.added.len();
        let matching = |(i, (of, added)): (usize, &(usize, Added))| Some((i, wanted(added).filter(|_| *of == at)?));
        let (i, found) = self.added.iter().enumerate().find_map(matching)?;
        Some((Arc::new(Column::new(self.schema.field(first + i).name(), first + i)), found))
    }

    /// Rows of requests with the window's bounds, both of which are the row's `ts` (which pane that is in, is the store's
    /// business), and with what is added.
    pub async fn rows(&self, requests: &RecordBatch) -> Result<PreparedRows> {
        let work = self.added.iter().map(|(at, added)| (Arc::clone(requests.column(*at)), added.clone())).collect();
        let added = each(work, |(column, added)| async move { added.of(&column) }).await?;
        let (added, generations): (Vec<_>, _) = added.into_iter().collect::<Result<Vec<_>>>()?.into_iter().unzip();
        let ts = requests.column(columns::TS);
        let bounds = [Arc::clone(ts), Arc::clone(ts)];
        let all = requests.columns().iter().cloned().chain(bounds).chain(added);
        Ok(PreparedRows { rows: RecordBatch::try_new(Arc::clone(&self.schema), all.collect())?, generations })
    }

    /// The rows, with numbers that mean what they mean now.
    pub async fn refreshed(&self, prepared: PreparedRows) -> Result<RecordBatch> {
        if prepared
            .generations
            .iter()
            .zip(&self.added)
            .all(|(generation, (_, added))| added.generation() == *generation)
        {
            return Ok(prepared.rows);
        }
        let requests: Vec<usize> = (0..tripline_ingest::schema().fields().len()).collect();
        Ok(self.rows(&prepared.rows.project(&requests)?).await?.rows)
    }

    /// Forgets the texts that no store knows any more.
    pub fn forget(&self, stores: &mut [Store]) {
        for (_, added) in &self.added {
            let Added::Numbers(words) = added else { continue };
            if let Some(renumbered) = words.forget(|used| stores.iter().for_each(|s| s.mark_words(words, used))) {
                for store in stores.iter_mut() {
                    store.renumber_words(words, &renumbered);
                }
            }
        }
    }

    /// Memory, bytes.
    pub fn size(&self) -> usize {
        self.added
            .iter()
            .map(|(_, added)| if let Added::Numbers(words) = added { words.read().size() } else { 0 })
            .sum()
    }
}

impl Added {
    fn of(&self, column: &ArrayRef) -> Result<(ArrayRef, u64)> {
        match self {
            Self::Hashes => Ok((Arc::new(distinct::hashes(column)?), 0)),
            Self::Numbers(words) => {
                let mut numbers = Vec::with_capacity(column.len());
                let mut words = words.write();
                words.numbers(column, |_, number| numbers.push(number))?;
                Ok((Arc::new(UInt32Array::from(numbers)), words.generation))
            }
        }
    }

    fn generation(&self) -> u64 {
        if let Self::Numbers(words) = self { words.read().generation } else { 0 }
    }
}

/// The columns that stand more than once among expressions.
fn in_several(expressions: &[&Expr]) -> impl Iterator<Item = usize> {
    let mut columns: Vec<usize> =
        expressions.iter().filter_map(|e| e.downcast_ref::<Column>().map(Column::index)).collect();
    columns.sort_unstable();
    let several: Vec<usize> =
        columns.chunk_by(|a, b| a == b).filter(|same| same.len() > 1).map(|same| same[0]).collect();
    several.into_iter()
}
