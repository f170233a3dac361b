//! What can go wrong with a history.

use std::io;
use std::path::PathBuf;

use arrow::error::ArrowError;
use datafusion::parquet::errors::ParquetError;

use super::read::ReadError;

/// Why a history cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The file system refuses.
    #[error("{}: {error}; the history needs a folder that this user can write to, with space left", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// A file cannot be written.
    #[error("{}: cannot be written: {error}; is there space left?", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the encoder says.
        error: ParquetError,
    },
    /// A file of the history cannot be read again.
    #[error("{}: cannot be read again: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the decoder says.
        error: ArrowError,
    },
    /// A file of the history is not what was written.
    #[error(transparent)]
    File(#[from] ReadError),
    /// Rows that are on their way into a file are broken.
    #[error("rows of the history that are kept in the state cannot be used: {0}")]
    Spill(ArrowError),
    /// The folder holds another history.
    #[error(
        "{}: holds a history that this state directory knows nothing of ({files} files, such as {}); \
         move it away or name another folder in [history] dir: `tripline query --logs` reads both",
        dir.display(), example.display()
    )]
    Foreign {
        /// The folder.
        dir: PathBuf,
        /// How many files there are.
        files: usize,
        /// One of them.
        example: PathBuf,
    },
    /// More is waiting to be written than may be held.
    #[error("the history cannot be written, and {held} bytes wait for it already; {last}")]
    Stuck {
        /// Bytes that wait.
        held: usize,
        /// What the last attempt said.
        last: String,
    },
    /// The state's notes on the history make no sense.
    #[error("the state's list of the history's files is damaged: {0}")]
    Ledger(String),
}
