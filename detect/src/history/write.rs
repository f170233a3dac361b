//! Rows of `requests` as Parquet: sorted by time, so that a query for an hour and a client reads little.

use std::fs::File;

use arrow::array::RecordBatch;
use arrow::compute::{SortColumn, lexsort_to_indices, take_record_batch};
use arrow::error::ArrowError;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::basic::{Compression, Encoding, ZstdLevel};
use datafusion::parquet::errors::Result;
use datafusion::parquet::file::metadata::SortingColumn;
use datafusion::parquet::file::properties::EnabledStatistics;
use datafusion::parquet::schema::types::ColumnPath;
use tripline_ingest::table::columns::{OFFSET, SOURCE, TS};

use crate::durable::{properties, writer};

/// Rows of a row group: what a query that needs one of them reads at least.
pub const ROW_GROUP: usize = 128 * 1024;

/// The columns that rows are sorted by. No two rows of a history agree in all of them, so that the order is the rows' own.
pub const ORDER: [usize; 3] = [TS, SOURCE, OFFSET];

/// Sorts rows by [`ORDER`].
pub fn sorted(rows: &RecordBatch) -> std::result::Result<RecordBatch, ArrowError> {
    let columns = ORDER.map(|i| SortColumn { values: rows.column(i).clone(), options: None });
    take_record_batch(rows, &lexsort_to_indices(&columns, None)?)
}

/// Writes files for readers: statistics of every column but the line itself, Bloom filters on who asked.
pub fn file_writer(file: File) -> Result<ArrowWriter<File>> {
    let mut properties = properties()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
        .set_max_row_group_row_count(Some(ROW_GROUP))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_sorting_columns(Some(vec![SortingColumn { column_idx: 0, descending: false, nulls_first: false }]));
    for name in ["ts", "offset"] {
        properties = properties
            .set_column_dictionary_enabled(path(name), false)
            .set_column_encoding(path(name), Encoding::DELTA_BINARY_PACKED);
    }
    for name in ["client", "client_ip"] {
        properties = properties.set_column_bloom_filter_enabled(path(name), true);
    }
    properties = properties
        .set_column_dictionary_enabled(path("raw"), false)
        .set_column_statistics_enabled(path("raw"), EnabledStatistics::None);
    writer(file, &tripline_ingest::schema(), properties.build())
}

/// A batch as Parquet in memory, for ourselves: small and quick rather than easy to search.
pub fn to_bytes(rows: &RecordBatch) -> Result<Vec<u8>> {
    let properties = properties()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_statistics_enabled(EnabledStatistics::None)
        .set_dictionary_enabled(false)
        .set_offset_index_disabled(true);
    let mut writer = writer(Vec::new(), &tripline_ingest::schema(), properties.build())?;
    writer.write(rows)?;
    writer.into_inner()
}

fn path(name: &str) -> ColumnPath {
    ColumnPath::from(name)
}
