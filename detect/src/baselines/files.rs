//! Files of baselines: what they are called, and their rows as Parquet.
//!
//! `baselines/client_hours/2026-03-02T10-00-00Z.parquet` holds the rows of the window that ended then, with the columns of the
//! baseline's rule. `.newest-2026-03-02T10-00-00Z` beside it holds the newest row of each key as of then, so that a start reads
//! that and the windows since; its name keeps it from who reads the folder as one table.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use datafusion::parquet::arrow::ArrowSchemaConverter;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::errors::ParquetError;
use jiff::Timestamp;

use crate::durable::{create_folder, properties, sync_folder, writer};

const SUFFIX: &str = ".parquet";
const NEWEST: &str = ".newest-";
const HIDDEN_SUFFIX: &str = ".tmp";

/// What a file is about. No two files of a state directory have the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// The baseline's name as a table.
    pub table: String,
    /// End of the window, or of the newest window whose rows count, µs.
    pub end: i64,
    /// Whether it holds the newest row of each key, rather than the rows of one window.
    pub newest: bool,
}

impl Name {
    /// The key of its row in the checkpoint: `window/TABLE/END` or `newest/TABLE/END`.
    pub fn key(&self) -> Vec<u8> {
        format!("{}/{}/{}", if self.newest { "newest" } else { "window" }, self.table, self.end).into_bytes()
    }

    /// From such a key.
    pub fn from_key(key: &[u8]) -> Option<Self> {
        let mut parts = std::str::from_utf8(key).ok()?.split('/');
        let newest = match parts.next()? {
            "newest" => true,
            "window" => false,
            _ => return None,
        };
        let (table, end) = (parts.next()?.to_owned(), parts.next()?.parse().ok()?);
        Some(Self { table, end, newest }).filter(|_| parts.next().is_none())
    }

    /// Where it is once it is committed.
    pub fn path(&self, dir: &Path) -> PathBuf {
        // (What no calendar reaches is named by its number.)
        let end = Timestamp::from_microsecond(self.end);
        let end = end.map_or(self.end.to_string(), |end| end.strftime("%Y-%m-%dT%H-%M-%S%.fZ").to_string());
        dir.join(&self.table).join(if self.newest { format!("{NEWEST}{end}") } else { format!("{end}{SUFFIX}") })
    }

    /// Where it is until then.
    pub fn hidden_path(&self, dir: &Path) -> PathBuf {
        let path = self.path(dir);
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        path.with_file_name(format!(".{}{HIDDEN_SUFFIX}", name.trim_start_matches('.')))
    }
}

/// All files in `dir` that have such a name, hidden or not. Whatever else lies there is somebody else's.
pub fn files_in(dir: &Path) -> io::Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    if !dir.exists() {
        return Ok(found);
    }
    for table in fs::read_dir(dir)? {
        let table = table?;
        if !table.file_type()?.is_dir() {
            continue;
        }
        for file in fs::read_dir(table.path())? {
            let path = file?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let hidden = name.starts_with('.') && name.ends_with(HIDDEN_SUFFIX);
            if hidden || name.starts_with(NEWEST) || (name.ends_with(SUFFIX) && !name.starts_with('.')) {
                found.insert(path);
            }
        }
    }
    Ok(found)
}

/// Writes a file and waits until it is on the disk.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(path);
    create_folder(folder)?;
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    sync_folder(folder)
}

/// Rows as Parquet.
pub fn encode(schema: &SchemaRef, rows: &[RecordBatch]) -> Result<Vec<u8>, ParquetError> {
    let properties = properties().set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?)).build();
    let mut writer = writer(Vec::new(), schema, properties)?;
    rows.iter().try_for_each(|rows| writer.write(rows))?;
    writer.into_inner()
}

/// The rows of a file that was written with this schema.
pub fn read(path: &Path, schema: &SchemaRef) -> Result<RecordBatch, String> {
    let bytes = Bytes::from(fs::read(path).map_err(|e| e.to_string())?);
    let damaged = |e: ParquetError| format!("it is damaged or not whole ({e})");
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(damaged)?;
    let wanted = ArrowSchemaConverter::new().convert(schema).map_err(damaged)?;
    if builder.parquet_schema().root_schema().get_fields() != wanted.root_schema().get_fields() {
        return Err("it has other columns than the rule has now".into());
    }
    let broken = |e: arrow::error::ArrowError| format!("it is damaged or not whole ({e})");
    let found = Arc::clone(builder.schema());
    let batches = builder.build().map_err(damaged)?.collect::<Result<Vec<_>, _>>().map_err(broken)?;
    let rows = concat_batches(&found, &batches).map_err(broken)?;
    // Text came out as another kind of text.
    let columns = rows.columns().iter().zip(schema.fields()).map(|(column, field)| cast(column, field.data_type()));
    let columns = columns.collect::<Result<_, _>>().map_err(broken)?;
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(broken)
}

#[cfg(test)]
mod tests {
    use super::*;

    use arrow::array::{ArrayRef, Float64Array, StringViewArray, TimestampMicrosecondArray, UInt64Array};
    use arrow::datatypes::{DataType, Field, Schema, TimeUnit};

    #[test]
    fn names_say_what_is_in_a_file() {
        let dir = Path::new("d");
        let window = Name { table: "t".into(), end: 1_772_445_600_000_000, newest: false };
        assert_eq!(window.path(dir), Path::new("d/t/2026-03-02T10-00-00Z.parquet"));
        assert_eq!(window.hidden_path(dir), Path::new("d/t/.2026-03-02T10-00-00Z.parquet.tmp"));
        let newest = Name { newest: true, end: 1, ..window.clone() };
        assert_eq!(newest.path(dir), Path::new("d/t/.newest-1970-01-01T00-00-00.000001Z"));
        assert_eq!(newest.hidden_path(dir), Path::new("d/t/.newest-1970-01-01T00-00-00.000001Z.tmp"));
        let far = Name { end: i64::MIN, ..window.clone() };
        assert_eq!(far.path(dir), Path::new("d/t/-9223372036854775808.parquet"));
        for name in [window, newest, far] {
            assert_eq!(Name::from_key(&name.key()), Some(name));
        }
        for key in ["window/t", "window/t/x", "other/t/1", "window/t/1/2", "\u{fffd}"] {
            assert_eq!(Name::from_key(key.as_bytes()), None, "{key}");
        }
    }

    /// What a rule can return comes back as it was, and what it did not return is refused.
    #[test]
    fn rows_come_back_as_they_were() {
        let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let schema = Arc::new(Schema::new(vec![
            Field::new("client", DataType::Utf8View, true),
            Field::new("window_end", utc, false),
            Field::new("n", DataType::UInt64, true),
            Field::new("mean", DataType::Float64, true),
        ]));
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringViewArray::from(vec![Some("a"), None, Some("a client with a long name")])),
            Arc::new(TimestampMicrosecondArray::from(vec![-1, 0, i64::MAX]).with_timezone("UTC")),
            Arc::new(UInt64Array::from(vec![Some(u64::MAX), None, Some(0)])),
            Arc::new(Float64Array::from(vec![Some(0.1), Some(f64::INFINITY), None])),
        ];
        let rows = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/a.parquet");
        let bytes = encode(&schema, &[rows.clone(), rows.slice(1, 1)]).unwrap();
        write(&path, &bytes).unwrap();
        assert_eq!(read(&path, &schema), Ok(concat_batches(&schema, &[rows.clone(), rows.slice(1, 1)]).unwrap()));

        let fewer = Arc::new(schema.project(&[0, 1]).unwrap());
        assert!(read(&path, &fewer).unwrap_err().contains("other columns"));
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        assert!(read(&path, &schema).unwrap_err().contains("damaged"));
        assert!(read(&folder.path().join("none.parquet"), &schema).is_err());
    }
}
