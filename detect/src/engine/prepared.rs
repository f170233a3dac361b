//! Columns that several stores need of each batch, made once for all: numbers of texts to group by, hashes of what is counted,
//! and whatever else they compute alike.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::Result;
use datafusion::physical_expr::expressions::{Column, Literal};
use tripline_ingest::table::columns;

use super::compile::paned_schema;
use super::program::{Expr, cannot_fail};
use super::state::words::SharedWords;
use super::state::{Store, distinct};
use super::tasks::each;

/// What is added to batches of requests, beside the window's bounds.
#[derive(Debug)]
pub struct Prepared {
    /// Expressions over requests and bounds, and what is added for them.
    added: Vec<(Expr, Added)>,
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

/// What is added for an expression.
#[derive(Debug, Clone)]
enum Added {
    /// The numbers of its texts.
    Numbers(SharedWords),
    /// [`distinct::hashes`].
    Hashes,
    /// Its values.
    Values,
}

impl Default for Prepared {
    fn default() -> Self {
        Self { added: Vec::new(), schema: paned_schema() }
    }
}

impl Prepared {
    /// For stores that group by `keys`, count `counted` and compute `arguments`: what several of them have in common.
    pub fn new(keys: &[&Expr], counted: &[&Expr], arguments: &[&Expr]) -> Result<Self> {
        let base = paned_schema();
        let is_text = |e: &Expr| {
            e.is::<Column>()
                && e.data_type(&base)
                    .is_ok_and(|t| matches!(t, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View))
        };
        let is_work = |e: &Expr| !e.is::<Column>() && !e.is::<Literal>() && cannot_fail(e);
        let numbers = in_several(keys, is_text).map(|e| (e, Added::Numbers(SharedWords::default())));
        let hashes = in_several(counted, |e| e.is::<Column>()).map(|e| (e, Added::Hashes));
        let values = in_several(arguments, is_work).map(|e| (e, Added::Values));
        let added: Vec<_> = numbers.chain(hashes).chain(values).collect();
        let field = |(of, added): &(Expr, Added)| -> Result<Field> {
            Ok(match added {
                Added::Numbers(_) => Field::new(format!("number of {of}"), DataType::UInt32, false),
                Added::Hashes => Field::new(format!("hash of {of}"), DataType::UInt64, true),
                Added::Values => Field::new(of.to_string(), of.data_type(&base)?, true),
            })
        };
        let fields = added.iter().map(field).collect::<Result<Vec<_>>>()?;
        let fields = base.fields().iter().cloned().chain(fields.into_iter().map(Arc::new));
        Ok(Self { schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())), added })
    }

    /// The column that stands for a key, if there is one, and what its numbers mean.
    pub fn numbers_of(&self, key: &Expr) -> Option<(Expr, SharedWords)> {
        self.find(key, |added| if let Added::Numbers(words) = added { Some(words.clone()) } else { None })
    }

    /// The column with the hashes of what is counted, if there is one.
    pub fn hashes_of(&self, counted: &Expr) -> Option<Expr> {
        self.find(counted, |added| matches!(added, Added::Hashes).then_some(())).map(|(column, ())| column)
    }

    /// The column with an expression's values, or else the expression.
    pub fn values_of(&self, expr: &Expr) -> Expr {
        let found = self.find(expr, |added| matches!(added, Added::Values).then_some(()));
        found.map_or_else(|| Arc::clone(expr), |(column, ())| column)
    }

    fn find<T>(&self, expr: &Expr, wanted: impl Fn(&Added) -> Option<T>) -> Option<(Expr, T)> {
        let first = self.schema.fields().len() - self.added.len();
        let matching = |(i, (of, added)): (usize, &(Expr, Added))| Some((i, wanted(added).filter(|_| of == expr)?));
        let (i, found) = self.added.iter().enumerate().find_map(matching)?;
        Some((Arc::new(Column::new(self.schema.field(first + i).name(), first + i)), found))
    }

    /// Rows of requests with the window's bounds, both of which are the row's `ts` (which pane that is in, is the store's
    /// business), and with what is added.
    pub async fn rows(&self, requests: &RecordBatch) -> Result<PreparedRows> {
        let ts = requests.column(columns::TS);
        let bounds = [Arc::clone(ts), Arc::clone(ts)];
        let base: Vec<ArrayRef> = requests.columns().iter().cloned().chain(bounds).collect();
        let base = RecordBatch::try_new(paned_schema(), base)?;
        let work = self.added.iter().map(|added| (base.clone(), added.clone())).collect();
        let added =
            each(
                work,
                |(base, (expr, added))| async move { added.of(&expr.evaluate(&base)?.into_array(base.num_rows())?) },
            );
        let added = added.await?.into_iter().collect::<Result<Vec<_>>>()?;
        let (added, generations): (Vec<_>, _) = added.into_iter().unzip();
        let all = base.columns().iter().cloned().chain(added);
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
            Self::Values => Ok((Arc::clone(column), 0)),
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

/// The expressions of a kind that stand more than once.
fn in_several<'a>(expressions: &'a [&Expr], kind: impl Fn(&Expr) -> bool + 'a) -> impl Iterator<Item = Expr> + 'a {
    let several = expressions.iter().enumerate().filter(move |(i, e)| {
        let times = expressions[*i..].iter().filter(|other| other == e).count();
        kind(e) && times == 2
    });
    several.map(|(_, e)| Arc::clone(e))
}
