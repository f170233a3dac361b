//! Reads Parquet with the columns of `requests`: what a history holds, or what somebody else wrote for us to read.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimestampMicrosecondType};
use arrow::error::ArrowError;
use bytes::Bytes;
use datafusion::catalog::TableProvider;
use datafusion::common::Result as DataFusionResult;
use datafusion::config::TableParquetOptions;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::parquet::arrow::ProjectionMask;
use datafusion::parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use datafusion::parquet::errors::ParquetError;
use datafusion::parquet::file::reader::ChunkReader;
use tripline_ingest::table::columns::TS;

/// Rows that are decoded at a time.
pub const BATCH: usize = 16 * 1024;
const MAGIC: [u8; 4] = *b"PAR1";
const HOW_TO: &str = "a Parquet file in place of logs has the columns of `requests`, in the order of ts; write it with \
                      `tripline query \"SELECT * FROM requests ORDER BY ts\" --format parquet --output FILE`, or keep a [history]";

/// Why a Parquet file cannot be read. Each message says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file system refuses.
    #[error("{}: cannot be read: {error}; is it there, and readable for this user?", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// It is not whole, or no Parquet after all.
    #[error("{}: is damaged or not whole ({error}); copy or write it again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the decoder says.
        error: String,
    },
    /// Its columns or its order are others.
    #[error("{}: {what}; {HOW_TO}", path.display())]
    NotRequests {
        /// The file.
        path: PathBuf,
        /// What is missing or different.
        what: String,
    },
    /// It has no rows.
    #[error("{}: has no rows; leave it out", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

/// A Parquet file with the columns of `requests`.
#[derive(Debug, Clone)]
pub struct ParquetFile {
    /// Where it is.
    pub path: PathBuf,
    /// Bytes on disk.
    pub size: u64,
    /// Its rows.
    pub rows: u64,
    /// The first row's `ts`, µs.
    pub first_ts: i64,
}

/// Whether a file begins as Parquet does.
pub fn is_parquet(path: &Path) -> bool {
    let mut magic = [0; 4];
    File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok() && magic == MAGIC
}

impl ParquetFile {
    /// Looks at a file's columns and its first row.
    pub fn probe(path: &Path) -> Result<Self, ReadError> {
        let io = |error| ReadError::Io { path: path.to_owned(), error };
        let file = File::open(path).map_err(io)?;
        let size = file.metadata().map_err(io)?.len();
        let metadata = Metadata::load(&file).map_err(|e| e.at(path))?;
        let rows = u64::try_from(metadata.parquet.metadata().file_metadata().num_rows()).unwrap_or(0);
        let first = metadata.reader(file, 1, Some((0, 1))).map_err(|e| e.at(path))?.next();
        let first = first.ok_or_else(|| ReadError::Empty { path: path.to_owned() })?;
        let first = first.map_err(|e| Trouble::from(e).at(path))?;
        let first_ts = first.column(TS).as_primitive::<TimestampMicrosecondType>().value(0);
        Ok(Self { path: path.to_owned(), size, rows, first_ts })
    }

    /// Its rows from the first on.
    pub fn open(&self) -> Result<RequestRows, ReadError> {
        self.open_range(None)
    }

    /// Some of its rows: the first, counted from 0, and how many.
    pub fn open_range(&self, range: Option<(usize, usize)>) -> Result<RequestRows, ReadError> {
        let file = File::open(&self.path).map_err(|error| ReadError::Io { path: self.path.clone(), error })?;
        rows(file, BATCH, range).map_err(|e| e.at(&self.path))
    }

    /// The error of one of its rows.
    pub fn damaged(&self, error: ArrowError) -> ReadError {
        Trouble::from(error).at(&self.path)
    }
}

/// Such files as a table for queries, which reads only the columns, row groups and pages that a query needs.
pub fn table(files: &[ParquetFile]) -> DataFusionResult<Arc<dyn TableProvider>> {
    listing(files.iter().map(|file| file.path.as_path()), tripline_ingest::schema())
}

/// Parquet files with the columns of `schema` as a table for queries.
pub fn listing<'a>(
    files: impl Iterator<Item = &'a Path>,
    schema: SchemaRef,
) -> DataFusionResult<Arc<dyn TableProvider>> {
    let mut options = TableParquetOptions::default();
    // Of a row that a filter leaves out, only the filter's columns are decoded.
    options.global.pushdown_filters = true;
    options.global.reorder_filters = true;
    let format = Arc::new(ParquetFormat::default().with_options(options));
    // What the files are called does not matter: they were looked into.
    let listing = ListingOptions::new(format).with_file_extension("");
    let urls = files.map(file_url).collect::<DataFusionResult<Vec<_>>>()?;
    let config = ListingTableConfig::new_with_multi_paths(urls).with_listing_options(listing).with_schema(schema);
    Ok(Arc::new(ListingTable::try_new(config)?))
}

/// A file and nothing else, even if its name looks like a pattern.
fn file_url(path: &Path) -> DataFusionResult<ListingTableUrl> {
    let path = path.canonicalize()?;
    let mut url = String::from("file://");
    for &byte in path.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-_.=".contains(&byte) {
            url.push(char::from(byte));
        } else {
            let _ = write!(url, "%{byte:02X}");
        }
    }
    ListingTableUrl::parse(url)
}

/// The rows of Parquet that lies in memory.
pub fn rows_of(bytes: Bytes) -> Result<RequestRows, ArrowError> {
    rows(bytes, BATCH, None).map_err(|trouble| match trouble {
        Trouble::Columns(what) => ArrowError::SchemaError(what),
        Trouble::Broken(error) => ArrowError::ParquetError(error),
    })
}

fn rows<T: ChunkReader + 'static>(
    input: T,
    batch: usize,
    range: Option<(usize, usize)>,
) -> Result<RequestRows, Trouble> {
    Metadata::load(&input)?.reader(input, batch, range)
}

/// Batches of `requests`.
pub struct RequestRows {
    reader: ParquetRecordBatchReader,
    /// For each column of `requests`, where it stands in what the reader gives.
    columns: Vec<usize>,
}

impl Iterator for RequestRows {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.reader.next()?.and_then(|batch| self.as_requests(&batch)))
    }
}

impl RequestRows {
    fn as_requests(&self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let schema = tripline_ingest::schema();
        let column = |(&at, field): (&usize, &Arc<Field>)| cast(batch.column(at), field.data_type());
        let columns = self.columns.iter().zip(schema.fields()).map(column).collect::<Result<_, _>>()?;
        RecordBatch::try_new(schema, columns)
    }
}

/// What a file's end says about it.
struct Metadata {
    parquet: ArrowReaderMetadata,
    /// For each column of `requests`, where it stands in the file.
    columns: Vec<usize>,
}

impl Metadata {
    fn load<T: ChunkReader>(input: &T) -> Result<Self, Trouble> {
        let found = ArrowReaderMetadata::load(input, ArrowReaderOptions::new())?;
        let columns = match_columns(found.schema()).map_err(Trouble::Columns)?;
        // Text is decoded into views at once, whatever the writer called it.
        let hint = found.schema().fields().iter().map(|field| {
            if is_text(field.data_type()) {
                Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8View))
            } else {
                Arc::clone(field)
            }
        });
        let hint = Arc::new(Schema::new(hint.collect::<Vec<_>>()));
        let options = ArrowReaderOptions::new().with_schema(hint);
        Ok(Self { parquet: ArrowReaderMetadata::try_new(Arc::clone(found.metadata()), options)?, columns })
    }

    fn reader<T: ChunkReader + 'static>(
        self,
        input: T,
        batch: usize,
        range: Option<(usize, usize)>,
    ) -> Result<RequestRows, Trouble> {
        let mask = ProjectionMask::roots(self.parquet.parquet_schema(), self.columns.iter().copied());
        let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(input, self.parquet)
            .with_projection(mask)
            .with_batch_size(batch);
        if let Some((first, count)) = range {
            builder = builder.with_offset(first).with_limit(count);
        }
        // The reader leaves out the other columns and keeps the file's order.
        let mut in_file = self.columns.clone();
        in_file.sort_unstable();
        let columns = self.columns.iter().map(|at| in_file.partition_point(|other| other < at)).collect();
        Ok(RequestRows { reader: builder.build()?, columns })
    }
}

/// For each column of `requests`, where it stands in a file; an error names the first that is missing or of another type.
pub fn match_columns(file: &Schema) -> Result<Vec<usize>, String> {
    let wanted = tripline_ingest::schema();
    let place = |field: &Arc<Field>| {
        let (at, found) =
            file.column_with_name(field.name()).ok_or_else(|| format!("has no column `{}`", field.name()))?;
        let (found, wanted) = (found.data_type(), field.data_type());
        let fits = match (found, wanted) {
            (DataType::Timestamp(_, Some(_)), DataType::Timestamp(..)) => true,
            (found, DataType::Utf8View) => is_text(found) || *found == DataType::Null,
            (found, wanted) => found == wanted,
        };
        if fits { Ok(at) } else { Err(format!("its column `{}` is {found}, not {wanted}", field.name())) }
    };
    wanted.fields().iter().map(place).collect()
}

fn is_text(kind: &DataType) -> bool {
    match kind {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

/// Why input cannot be read, before it is known what the input is called.
enum Trouble {
    Columns(String),
    Broken(String),
}

impl Trouble {
    fn at(self, path: &Path) -> ReadError {
        let path = path.to_owned();
        match self {
            Self::Columns(what) => ReadError::NotRequests { path, what },
            Self::Broken(error) => ReadError::Damaged { path, error },
        }
    }
}

impl From<ParquetError> for Trouble {
    fn from(error: ParquetError) -> Self {
        Self::Broken(error.to_string())
    }
}

impl From<ArrowError> for Trouble {
    fn from(error: ArrowError) -> Self {
        Self::Broken(error.to_string())
    }
}
