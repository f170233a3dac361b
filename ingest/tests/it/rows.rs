//! Rows as JSON lines, for people and for comparison.

use std::fmt::Write as _;
use std::path::Path;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float64Type, TimeUnit, TimestampMicrosecondType, UInt16Type, UInt32Type, UInt64Type};
use tripline_ingest::{Batch, LogReader, Mode, ReadError, SourceOptions, probe};

/// One row; NULLs are left out, columns keep the table's order. ts is in µs.
pub fn json_row(rows: &RecordBatch, row: usize) -> String {
    let mut line = String::from("{");
    for (field, column) in rows.schema().fields().iter().zip(rows.columns()) {
        if column.is_valid(row) {
            let comma = if line.len() > 1 { ", " } else { "" };
            write!(line, "{comma}\"{}\": {}", field.name(), json_value(column, row)).expect("a string takes all");
        }
    }
    line.push('}');
    line
}

fn json_value(column: &ArrayRef, row: usize) -> serde_json::Value {
    match column.data_type() {
        DataType::Utf8View => column.as_string_view().value(row).into(),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            column.as_primitive::<TimestampMicrosecondType>().value(row).into()
        }
        DataType::UInt16 => column.as_primitive::<UInt16Type>().value(row).into(),
        DataType::UInt32 => column.as_primitive::<UInt32Type>().value(row).into(),
        DataType::UInt64 => column.as_primitive::<UInt64Type>().value(row).into(),
        DataType::Float64 => column.as_primitive::<Float64Type>().value(row).into(),
        other => panic!("the table has no {other}"),
    }
}

/// A text of a row.
pub fn text(rows: &RecordBatch, column: usize, row: usize) -> Option<&str> {
    let column = rows.column(column).as_string_view();
    column.is_valid(row).then(|| column.value(row))
}

/// All batches of a file, and the error that ended it.
pub fn read(path: &Path, options: &SourceOptions) -> (Vec<Batch>, Option<ReadError>) {
    let probe = probe(path, options).expect("its format is known");
    let mut reader = LogReader::open(&probe, options, Mode::Once).expect("opens");
    drain(&mut reader)
}

/// What a reader has for now.
pub fn drain(reader: &mut LogReader) -> (Vec<Batch>, Option<ReadError>) {
    let mut batches = Vec::new();
    loop {
        match reader.next_batch() {
            Ok(Some(batch)) => batches.push(batch),
            Ok(None) => return (batches, None),
            Err(error) => return (batches, Some(error)),
        }
    }
}
