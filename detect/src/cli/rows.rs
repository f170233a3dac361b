//! Rows of SQL or of a command's own, written as their reader wants them.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::json::WriterBuilder;
use arrow::json::writer::LineDelimited;
use arrow::util::pretty::pretty_format_batches;
use clap::ValueEnum;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::parquet::arrow::ArrowWriter;
use futures::StreamExt;

use super::output::{PlainJson, harmless_batch, plain_batch};

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// With a header line
    Csv,
    /// The same for a spreadsheet: no text is a formula
    #[value(skip)]
    Spreadsheet,
    /// One JSON object a row
    Json,
    /// For pandas, DuckDB and the like
    Parquet,
}

/// A writer of rows to a file, or to stdout.
pub fn writer(format: Format, schema: SchemaRef, output: Option<&PathBuf>) -> Result<Box<dyn Rows>> {
    Ok(match (format, output) {
        (Format::Parquet, None) => bail!("parquet is not for a terminal: name a file with --output"),
        (Format::Parquet, Some(path)) => Box::new(ArrowWriter::try_new(create(path)?, schema, None)?),
        (Format::Table, output) => {
            Box::new(TableRows { schema, rows: Vec::new(), shown: 0, left_out: 0, out: open(output)? })
        }
        (Format::Csv, output) => {
            Box::new(CsvRows(arrow::csv::Writer::new(open(output)?), |batch| plain_batch(batch, usize::MAX)))
        }
        (Format::Spreadsheet, output) => Box::new(CsvRows(arrow::csv::Writer::new(open(output)?), harmless_batch)),
        (Format::Json, output) => {
            Box::new(WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(PlainJson(open(output)?)))
        }
    })
}

/// Writes all rows of a stream.
pub async fn write_rows(format: Format, output: Option<&PathBuf>, mut stream: SendableRecordBatchStream) -> Result<()> {
    let mut rows = writer(format, stream.schema(), output)?;
    while let Some(batch) = stream.next().await {
        rows.add(&batch?)?;
    }
    rows.end()
}

fn create(path: &PathBuf) -> Result<File> {
    File::create(path).with_context(|| format!("cannot write {}", path.display()))
}

fn open(path: Option<&PathBuf>) -> Result<Box<dyn Write + Send>> {
    Ok(match path {
        Some(path) => Box::new(create(path)?),
        None => Box::new(io::BufWriter::new(io::stdout())),
    })
}

/// Something that takes batches and ends.
pub trait Rows {
    /// Takes a batch.
    fn add(&mut self, batch: &RecordBatch) -> Result<()>;
    /// Writes what is left.
    fn end(self: Box<Self>) -> Result<()>;
}

impl Rows for ArrowWriter<File> {
    fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        Ok(self.write(batch)?)
    }
    fn end(self: Box<Self>) -> Result<()> {
        self.close()?;
        Ok(())
    }
}

/// CSV has no escapes of its own: control characters are shown as on a terminal.
struct CsvRows(arrow::csv::Writer<Box<dyn Write + Send>>, fn(&RecordBatch) -> Result<RecordBatch>);

impl Rows for CsvRows {
    fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        Ok(self.0.write(&(self.1)(batch)?)?)
    }
    fn end(self: Box<Self>) -> Result<()> {
        Ok(self.0.into_inner().flush()?)
    }
}

impl Rows for arrow::json::Writer<PlainJson<Box<dyn Write + Send>>, LineDelimited> {
    fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        Ok(self.write(batch)?)
    }
    fn end(mut self: Box<Self>) -> Result<()> {
        self.finish()?;
        Ok(self.into_inner().flush()?)
    }
}

/// A table needs all rows before it knows its widths: it shows only so many.
struct TableRows {
    schema: SchemaRef,
    rows: Vec<RecordBatch>,
    shown: usize,
    left_out: usize,
    out: Box<dyn Write + Send>,
}

const TABLE_ROWS: usize = 1000;

impl Rows for TableRows {
    fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let take = batch.num_rows().min(TABLE_ROWS - self.shown);
        self.shown += take;
        self.left_out += batch.num_rows() - take;
        self.rows.push(plain_batch(&batch.slice(0, take), 200)?);
        Ok(())
    }
    fn end(mut self: Box<Self>) -> Result<()> {
        if self.rows.is_empty() {
            self.rows.push(RecordBatch::new_empty(Arc::clone(&self.schema)));
        }
        writeln!(self.out, "{}", pretty_format_batches(&self.rows)?)?;
        if self.left_out > 0 && io::stderr().is_terminal() {
            eprintln!("{} more rows are not shown; --format csv or json has them all", self.left_out);
        } else if self.left_out > 0 {
            writeln!(self.out, "({} more rows are not shown)", self.left_out)?;
        }
        Ok(self.out.flush()?)
    }
}
