//! What can go wrong with one file.

use std::io;
use std::path::PathBuf;

/// Why a file cannot be read, or no further.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It cannot be opened.
    #[error("{}: cannot be opened: {error}; is it readable for this user?", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Reading failed.
    #[error("{}: reading failed after {consumed} bytes: {error}; what stands before was read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Bytes on disk that were read.
        consumed: u64,
        /// What the system says.
        error: io::Error,
    },
    /// A compressed file ends in the middle.
    #[error(
        "{}: the archive breaks off after {consumed} bytes; its whole lines were read, copy the file again for the rest",
        path.display()
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes on disk that were read.
        consumed: u64,
    },
    /// A compressed file is damaged.
    #[error("{}: the archive is damaged after {consumed} bytes ({error}); the lines before were read", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Bytes on disk that were read.
        consumed: u64,
        /// What the decoder says.
        error: io::Error,
    },
    /// A compressed file unpacks to far more than a log would.
    #[error(
        "{}: set aside after {consumed} bytes: {error}; its lines until there were read. If it is a log, unpack it",
        path.display()
    )]
    Bomb {
        /// The file.
        path: PathBuf,
        /// Bytes on disk that were read.
        consumed: u64,
        /// What is wrong.
        error: io::Error,
    },
    /// The file is not the one that the position was taken of.
    #[error("{}: is not the file that was read before: {what}", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
        /// How one can tell.
        what: &'static str,
    },
    /// The source's options make no sense.
    #[error("{0}")]
    Options(String),
}
