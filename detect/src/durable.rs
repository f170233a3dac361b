//! Files that a transaction lists: they are written under a hidden name and made durable before it, get their own name after it,
//! and after a crash what is listed is revealed and what is not is removed. What [`crate::history`] and [`crate::baselines`] keep
//! are such files, of Parquet.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use arrow::datatypes::SchemaRef;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::arrow::arrow_writer::ArrowWriterOptions;
use datafusion::parquet::errors::Result;
use datafusion::parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};

/// Creates a folder and those above it, for this user only: it will hold log lines.
pub fn create_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(path)?;
    // The new names must last as long as the files in them.
    path.ancestors().skip(1).take(2).try_for_each(sync_folder)
}

/// Makes the names in a folder durable.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    File::open(path)?.sync_all()
}

/// Gives a committed file its name. One that has it already is done.
pub fn reveal(hidden: &Path, path: &Path) -> io::Result<()> {
    match fs::rename(hidden, path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound && path.is_file() => Ok(()),
        Err(e) => Err(e),
        Ok(()) => path.parent().map_or(Ok(()), sync_folder),
    }
}

/// Removes a file, and the folders that are empty without it.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    for folder in path.ancestors().skip(1).take(2) {
        // Not empty is no fault.
        if fs::remove_dir(folder).is_err() {
            break;
        }
    }
    Ok(())
}

/// What all Parquet of Tripline's has in common.
pub fn properties() -> WriterPropertiesBuilder {
    WriterProperties::builder().set_created_by(concat!("tripline ", env!("CARGO_PKG_VERSION")).into())
}

/// Without Arrow's own schema in it: text is text to every reader, whether it knows string views or not.
pub fn writer<W: Write + Send>(out: W, schema: &SchemaRef, properties: WriterProperties) -> Result<ArrowWriter<W>> {
    let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
    ArrowWriter::try_new_with_options(out, SchemaRef::clone(schema), options)
}
