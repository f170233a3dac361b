//! Reads one lookup's file: CSV with a header, JSON lines or Parquet, told apart by the extension.
//!
//! Types are those that Arrow infers, with three differences, so that a join means what it seems to: text is `Utf8View` as
//! in `requests`, times are microseconds in UTC, and a CSV column of digits is a number only where the number is written
//! the same (`007` stays text).

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{CastOptions, cast, cast_with_options, concat_batches};
use arrow::csv::reader::Format;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use arrow::json::reader::infer_json_schema_from_iterator;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Map, Value};

use crate::diagnostic::{Diagnostic, Place};
use crate::engine::window::{ROW_WATERMARK, WINDOW_END, WINDOW_START, timestamp_type};

/// Largest file, bytes.
pub const MAX_FILE: u64 = 64 << 20;
/// Most memory that its rows may take, bytes. (Parquet is compressed.)
pub const MAX_MEMORY: usize = 256 << 20;

/// Names that a lookup's columns cannot have: they mean something else where it is joined.
const RESERVED: [&str; 5] = [WINDOW_START, WINDOW_END, ROW_WATERMARK, "valid_from", "valid_until"];

/// What is wrong with a file.
struct Problem {
    message: String,
    help: &'static str,
    /// 1-based, if known.
    line: Option<usize>,
}

impl Problem {
    fn new(message: impl Into<String>, help: &'static str) -> Self {
        Self { message: message.into(), help, line: None }
    }
}

/// The rows of a file.
pub(super) fn read(path: &Path) -> Result<RecordBatch, Diagnostic> {
    let origin = path.display().to_string();
    let explain = |text: &str, problem: Problem| {
        let width = |line: usize| text.lines().nth(line - 1).map_or(1, |l| l.chars().count().clamp(1, 200));
        let place = problem.line.map(|line| Place { line, column: 1, width: width(line) });
        Diagnostic::new(&origin, text, place, problem.message).with_help(problem.help)
    };
    let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    if extension == "parquet" {
        return open(path).and_then(parquet).and_then(|rows| normalise(&rows)).map_err(|p| explain("", p));
    }
    let text = open(path).and_then(text).map_err(|p| explain("", p))?;
    if text.trim().is_empty() {
        let problem = Problem::new("this lookup is empty", "give it a header line, even if it has no rows yet");
        return Err(explain(&text, problem));
    }
    let rows = match extension.as_str() {
        "csv" => csv(&text),
        "json" | "jsonl" | "ndjson" => json(&text),
        other => Err(Problem::new(
            format!("a lookup's file cannot be of the kind {other:?}"),
            "write it as .csv with a header, .jsonl (one object a line) or .parquet",
        )),
    };
    rows.and_then(|rows| normalise(&rows)).map_err(|p| explain(&text, p))
}

fn open(path: &Path) -> Result<File, Problem> {
    let unreadable = |e: std::io::Error| {
        Problem::new(format!("cannot read this lookup: {e}"), "check the path and that this user may read it")
    };
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(Problem::new("this lookup is not a file", "name one file in path"));
    }
    if metadata.len() > MAX_FILE {
        return Err(too_large(&format!("{} MiB", metadata.len() >> 20), MAX_FILE >> 20));
    }
    Ok(file)
}

fn too_large(size: &str, limit: u64) -> Problem {
    Problem::new(
        format!("this lookup has {size}; at most {limit} MiB are read into memory"),
        "keep only the rows and columns that rules join",
    )
}

fn text(file: File) -> Result<String, Problem> {
    let mut bytes = Vec::new();
    // (it may grow while it is read)
    file.take(MAX_FILE).read_to_end(&mut bytes).map_err(|e| {
        Problem::new(format!("reading this lookup failed: {e}"), "see what the system says about the disk")
    })?;
    if bytes.starts_with(b"\xEF\xBB\xBF") {
        bytes.drain(..3);
    }
    String::from_utf8(bytes).map_err(|e| {
        let valid = std::str::from_utf8(&e.as_bytes()[..e.utf8_error().valid_up_to()]);
        let line = valid.unwrap_or_default().matches('\n').count() + 1;
        Problem::new(format!("line {line} is not UTF-8"), "save the file as UTF-8")
    })
}

fn csv(text: &str) -> Result<RecordBatch, Problem> {
    let wrong = |e: ArrowError| {
        let message = e.to_string();
        let line = message.rsplit_once("line ").and_then(|(_, rest)| {
            rest.split(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse().ok())
        });
        Problem {
            line: line.filter(|&n| n > 0),
            ..Problem::new(
                "this line has another number of cells than the header",
                "one cell a column, separated by commas; quote a cell that holds a comma or a line end",
            )
        }
    };
    let format = Format::default().with_header(true);
    let (inferred, _) = format.infer_schema(Cursor::new(text), None).map_err(wrong)?;
    let names: Vec<&str> = inferred.fields().iter().map(|f| f.name().trim()).collect();
    if let ([only], true) = (names.as_slice(), text.lines().next().is_some_and(|l| l.contains([';', '\t']))) {
        return Err(Problem {
            line: Some(1),
            ..Problem::new(format!("the header names one column, {only:?}"), "separate cells by commas")
        });
    }
    let as_text: Vec<Field> = names.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect();
    let schema = Arc::new(Schema::new(as_text));
    let reader = arrow::csv::ReaderBuilder::new(Arc::clone(&schema))
        .with_header(true)
        .build(Cursor::new(text))
        .map_err(wrong)?;
    let batches = reader.collect::<Result<Vec<_>, _>>().map_err(wrong)?;
    let rows = concat_batches(&schema, &batches).map_err(|e| Problem::new(e.to_string(), "make the file smaller"))?;
    let columns = rows
        .columns()
        .iter()
        .zip(inferred.fields())
        .map(|(cells, field)| typed(cells, field.data_type(), field.name()))
        .collect::<Result<Vec<_>, _>>()?;
    let fields: Vec<Field> =
        names.iter().zip(&columns).map(|(name, c)| Field::new(*name, c.data_type().clone(), true)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
        .map_err(|e| Problem::new(e.to_string(), "give the file a header line"))
}

/// A column of text as what it was inferred to be.
fn typed(cells: &ArrayRef, inferred: &DataType, name: &str) -> Result<ArrayRef, Problem> {
    let kind = match inferred {
        DataType::Int64 | DataType::Float64 | DataType::Boolean | DataType::Date32 => inferred.clone(),
        DataType::Timestamp(..) => timestamp_type(),
        _ => return Ok(Arc::clone(cells)),
    };
    let failed = |e: ArrowError| Problem::new(format!("column {name}: {e}"), "correct the file");
    let values =
        cast_with_options(cells, &kind, &CastOptions { safe: true, ..CastOptions::default() }).map_err(failed)?;
    if kind == DataType::Int64 && &cast(&values, &DataType::Utf8).map_err(failed)? != cells {
        return Ok(Arc::clone(cells));
    }
    match (0..cells.len()).find(|&row| values.is_null(row) && cells.is_valid(row)) {
        None => Ok(values),
        Some(row) => Err(Problem::new(
            format!(
                "column {name}, row {}: {:?} is not a value as in the other rows",
                row + 1,
                cells.as_string::<i32>().value(row)
            ),
            "correct it; dates are 2026-03-02, times 2026-03-02T07:00:00Z",
        )),
    }
}

fn json(text: &str) -> Result<RecordBatch, Problem> {
    if text.trim_start().starts_with('[') {
        return Err(Problem::new("this is one JSON array", "write one object a line (jq -c '.[]' does)"));
    }
    let mut wrong = None;
    let objects = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(|(i, line)| {
        serde_json::from_str::<Map<String, Value>>(line).map(Value::Object).map_err(|e| {
            let message = format!("this line is not one JSON object: {e}");
            wrong = Some(Problem { line: Some(i + 1), ..Problem::new(message, "write one object a line") });
            ArrowError::JsonError(String::new())
        })
    });
    let inferred = infer_json_schema_from_iterator(objects);
    if let Some(problem) = wrong {
        return Err(problem);
    }
    let failed = |e: ArrowError| Problem::new(e.to_string(), "give a column values of one kind in all lines");
    // (inferred in an order of its own)
    let mut fields: Vec<_> = inferred.map_err(failed)?.fields().iter().cloned().collect();
    fields.sort_by(|a, b| a.name().cmp(b.name()));
    let schema = Arc::new(Schema::new(fields));
    flat(&schema)?;
    let reader = arrow::json::ReaderBuilder::new(Arc::clone(&schema))
        .with_coerce_primitive(true)
        .build(Cursor::new(text))
        .map_err(failed)?;
    let batches = reader.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    concat_batches(&schema, &batches).map_err(failed)
}

fn parquet(file: File) -> Result<RecordBatch, Problem> {
    let wrong = |e: &dyn std::fmt::Display| {
        Problem::new(format!("this is not a Parquet file that can be read: {e}"), "write it again")
    };
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| wrong(&e))?;
    let schema = Arc::clone(builder.schema());
    flat(&schema)?;
    let mut memory = 0;
    let mut batches = Vec::new();
    for batch in builder.build().map_err(|e| wrong(&e))? {
        let batch = batch.map_err(|e| wrong(&e))?;
        memory += batch.get_array_memory_size();
        if memory > MAX_MEMORY {
            return Err(too_large("more when decompressed", (MAX_MEMORY >> 20) as u64));
        }
        batches.push(batch);
    }
    concat_batches(&schema, &batches).map_err(|e| wrong(&e))
}

/// The type that a column of `kind` has in a lookup; `None` for lists, objects and bytes.
fn plain_type(kind: &DataType) -> Option<DataType> {
    match kind {
        DataType::Null | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Some(DataType::Utf8View),
        DataType::Dictionary(_, values) => plain_type(values),
        DataType::Timestamp(..) | DataType::Date64 => Some(timestamp_type()),
        DataType::Float16 => Some(DataType::Float32),
        DataType::Boolean | DataType::Date32 => Some(kind.clone()),
        number if number.is_numeric() => Some(kind.clone()),
        _ => None,
    }
}

fn flat(schema: &Schema) -> Result<(), Problem> {
    match schema.fields().iter().find(|f| plain_type(f.data_type()).is_none()) {
        None => Ok(()),
        Some(field) => Err(Problem::new(
            format!("column {} is of the type {}", field.name(), field.data_type()),
            "a lookup's columns are texts, numbers, booleans, dates and times; leave the others out",
        )),
    }
}

/// Checks the columns' names, and gives each column the type and nullability that it has in SQL.
fn normalise(rows: &RecordBatch) -> Result<RecordBatch, Problem> {
    let schema = rows.schema();
    let mut seen = BTreeSet::new();
    for (i, field) in schema.fields().iter().enumerate() {
        let name = field.name().as_str();
        if name.is_empty() {
            return Err(Problem::new(format!("column {} has no name", i + 1), "name every column in the header"));
        }
        if !seen.insert(name.to_owned()) {
            return Err(Problem::new(format!("two columns are named {name}"), "rename one of them"));
        }
        if RESERVED.contains(&name) {
            return Err(Problem::new(
                format!("no column of a lookup can be named {name}: windows and baselines have it"),
                "rename it",
            ));
        }
    }
    if seen.is_empty() {
        return Err(Problem::new("this lookup has no columns", "give it a header line, even if it has no rows yet"));
    }
    let columns = rows.columns().iter().zip(schema.fields()).map(|(column, field)| {
        let kind = plain_type(field.data_type()).unwrap_or(DataType::Utf8View);
        cast(column, &kind).map_err(|e| Problem::new(format!("column {}: {e}", field.name()), "correct the file"))
    });
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    // Without NULLs, NOT IN needs no care for them, and is faster for it.
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .zip(&columns)
        .map(|(field, c)| Field::new(field.name(), c.data_type().clone(), c.null_count() > 0))
        .collect();
    let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns);
    rows.map_err(|e| Problem::new(e.to_string(), "correct the file"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::util::pretty::pretty_format_batches;
    use datafusion::parquet::arrow::ArrowWriter;

    fn file(name: &str, content: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        (folder, path)
    }

    fn rows(name: &str, content: &str) -> RecordBatch {
        let (_folder, path) = file(name, content.as_bytes());
        read(&path).unwrap_or_else(|e| panic!("{e}"))
    }

    fn error(name: &str, content: &[u8]) -> String {
        let (_folder, path) = file(name, content);
        read(&path).expect_err("is refused").to_string()
    }

    fn types(rows: &RecordBatch) -> Vec<String> {
        rows.schema()
            .fields()
            .iter()
            .map(|f| format!("{} {}{}", f.name(), f.data_type(), if f.is_nullable() { "?" } else { "" }))
            .collect()
    }

    #[test]
    fn a_csv_file_has_the_types_that_it_seems_to_have() {
        let rows = rows(
            "p.csv",
            "\u{feff}client, tier,zip,share,since,until,active,note\r\n192.0.2.7,1,00420,0.5,2026-03-02,2026-03-02T07:00:00+01:00,true,\"a, b\"\r\n\r\n192.0.2.8,2,10115,2,2026-03-03,2026-03-03T07:00:00Z,false,\r\n",
        );
        let ts = "Timestamp(µs, \"UTC\")";
        assert_eq!(
            types(&rows),
            [
                "client Utf8View",
                "tier Int64",
                "zip Utf8View",
                "share Float64",
                "since Date32",
                &format!("until {ts}"),
                "active Boolean",
                "note Utf8View?"
            ]
        );
        let shown = pretty_format_batches(&[rows]).unwrap().to_string();
        assert!(shown.contains("2026-03-02T06:00:00Z") && shown.contains("00420") && shown.contains("a, b"), "{shown}");
    }

    #[test]
    fn a_header_alone_is_an_empty_table() {
        let rows = rows("allow.csv", "client\n");
        assert_eq!((rows.num_rows(), types(&rows)), (0, vec!["client Utf8View".to_owned()]));
    }

    #[test]
    fn json_lines_and_parquet_are_read_as_well() {
        let expected = rows("p.csv", "client,tier\na,1\nb,\n");
        assert_eq!(
            rows("p.jsonl", "{\"tier\": 1, \"client\": \"a\"}\n\n{\"client\": \"b\", \"tier\": null}\n"),
            expected
        );
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, expected.schema(), None).unwrap();
        writer.write(&expected).unwrap();
        writer.close().unwrap();
        let (_folder, path) = file("p.parquet", &bytes);
        assert_eq!(read(&path).unwrap(), expected);
        assert!(error("q.parquet", &bytes[..bytes.len() / 2]).contains("not a Parquet file"));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (name, content, parts) in [
            ("p.csv", &b"a,b\n1,2\n3\n"[..], &["p.csv:3:1", "number of cells"][..]),
            ("p.csv", b"a,b\n1,2\n3,4,5\n", &["p.csv:3:1", "number of cells"]),
            ("p.csv", b"a\n2026-01-01\n2026-13-01\n", &["column a, row 2", "2026-13-01"]),
            ("p.csv", b"a;b\n1;2\n", &["p.csv:1:1", "commas"]),
            ("p.csv", b"a,a\n1,2\n", &["two columns are named a"]),
            ("p.csv", b"a,\n1,2\n", &["column 2 has no name"]),
            ("p.csv", b"a,window_start\n1,2\n", &["window_start", "rename it"]),
            ("p.csv", b"a\n1\n\xff\n", &["line 3 is not UTF-8"]),
            ("p.csv", b"", &["is empty", "header line"]),
            ("p.jsonl", b"{\"a\": 1}\n{\"a\": \n", &["p.jsonl:2:1", "not one JSON object"]),
            ("p.jsonl", b"[{\"a\": 1}]", &["JSON array", "jq -c"]),
            ("p.jsonl", b"{\"a\": [1]}\n", &["column a", "List"]),
            ("p.txt", b"a", &["txt", ".csv"]),
        ] {
            let text = error(name, content);
            for part in parts {
                assert!(text.contains(part), "{text}\nlacks {part:?}");
            }
            assert!(text.contains("= help: "), "{text}");
        }
        let text = read(Path::new("/nonexistent/p.csv")).expect_err("is not there").to_string();
        assert!(text.contains("cannot read this lookup") && text.contains("check the path"), "{text}");
    }

    #[test]
    fn a_large_file_is_refused_before_it_is_read() {
        let (_folder, path) = file("p.csv", b"a\n");
        File::options().write(true).open(&path).and_then(|f| f.set_len(MAX_FILE + 1)).unwrap();
        let text = read(&path).expect_err("is too large").to_string();
        assert!(text.contains("at most 64 MiB"), "{text}");
    }
}
