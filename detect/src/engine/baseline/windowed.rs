//! A baseline's rows as rows to put windows over: `hop(client_hours, ts, ..)`.
//!
//! `ts` of such a row is the start of the window that it is about, so that a window over a baseline holds the same requests as one
//! over `requests` would, counted once. The row comes when its own window closes, which is no later than the rule's.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use datafusion::common::Result;
use tripline_ingest::table::columns::TS;

use super::super::explain::time;
use super::super::window::{WINDOW_END, WINDOW_START, WindowSpec, timestamp_type};

/// A baseline's columns that mean the same under other windows: all but the bounds of its own.
fn columns(rows: &Schema) -> impl Iterator<Item = (usize, &FieldRef)> {
    rows.fields().iter().enumerate().filter(|(_, field)| ![WINDOW_START, WINDOW_END].contains(&field.name().as_str()))
}

/// The columns of the rows of a baseline, whose rule returns `rows`, to put windows over: `ts` first, the bounds last.
pub fn windowed_schema(rows: &Schema) -> SchemaRef {
    let time = |name: &str| Arc::new(Field::new(name, timestamp_type(), false));
    let ts = time(tripline_ingest::schema().field(TS).name());
    let bounds = [WINDOW_START, WINDOW_END].map(time);
    Arc::new(Schema::new(
        [ts].into_iter().chain(columns(rows).map(|(_, f)| Arc::clone(f))).chain(bounds).collect::<Vec<_>>(),
    ))
}

/// Rows of a baseline's rule as they are put into a window. The bounds hold the row's `ts`, as those of requests do.
pub fn windowed(rows: &RecordBatch) -> Result<RecordBatch> {
    let schema = rows.schema();
    let ts = Arc::clone(rows.column(schema.index_of(WINDOW_START)?));
    let others = columns(&schema).map(|(at, _)| Arc::clone(rows.column(at)));
    let all: Vec<ArrayRef> = [Arc::clone(&ts)].into_iter().chain(others).chain([Arc::clone(&ts), ts]).collect();
    Ok(RecordBatch::try_new(windowed_schema(&schema), all)?)
}

/// Why windows of `wanted` cannot be put over a baseline with windows of its `own`, if so, and the way out.
pub fn misfit(table: &str, own: WindowSpec, wanted: WindowSpec) -> Option<(String, String)> {
    if own.slide != own.size {
        return Some((
            format!("the windows of {table} overlap: each request would count several times"),
            format!("put the windows over a baseline that reads FROM tumble(..), or over requests instead of {table}"),
        ));
    }
    (wanted.slide % own.size != 0).then(|| {
        let size = time(own.size);
        (
            format!("{table} has a row for each window of {size}, and these windows begin or end within one"),
            format!("choose a slide and a size that are multiples of {size}"),
        )
    })
}
