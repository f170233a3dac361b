//! Why the state cannot be opened or written, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// Why the state cannot be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory or the lock file.
    #[error("cannot open the state directory {}: {source}; it must be a folder on a local disk that this user may write to", dir.display())]
    Directory {
        /// The directory.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is none, and this is not who makes it.
    #[error("there is no state in {} yet: tripline run makes it", dir.display())]
    NoState {
        /// The directory.
        dir: PathBuf,
    },
    /// Another process holds the lock.
    #[error("another tripline is running with the state directory {}; stop it, or give this one a [state] dir of its own", dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// The file's content is not what was written.
    #[error("the state file {} is damaged ({detail}); restore it from a backup, or move it away to start afresh", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// Written by a newer program.
    #[error("the state file {} has version {version}, this program knows up to {known}; \
             use the newer program that wrote it, or give this one an empty [state] dir", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: i64,
        /// The newest version known here.
        known: usize,
    },
    /// Written by an older program, which still runs.
    #[error("the state file {} is of an older version, and another tripline is at work with it; restart that one, which upgrades the file", path.display())]
    Older {
        /// The file.
        path: PathBuf,
    },
    /// No room.
    #[error("the disk is full: {} cannot grow; nothing is lost, free some space", path.display())]
    DiskFull {
        /// The file.
        path: PathBuf,
    },
    /// A file beside the state file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Anything else that `SQLite` says.
    #[error("the state file {}: {source}", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What `SQLite` said.
        source: rusqlite::Error,
    },
}

impl StoreError {
    /// Whether the same commit may succeed later, without a restart: when there is room again, or the disk answers.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::DiskFull { .. } | Self::File { .. } => true,
            Self::Sqlite { source, .. } => matches!(
                source.sqlite_error_code(),
                Some(
                    ErrorCode::SystemIoFailure
                        | ErrorCode::CannotOpen
                        | ErrorCode::ReadOnly
                        | ErrorCode::DatabaseBusy
                        | ErrorCode::DatabaseLocked
                )
            ),
            Self::Directory { .. }
            | Self::NoState { .. }
            | Self::InUse { .. }
            | Self::Damaged { .. }
            | Self::Newer { .. }
            | Self::Older { .. } => false,
        }
    }

    pub(crate) fn from_io(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path },
            _ => Self::File { path, source },
        }
    }

    pub(crate) fn from_sqlite(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::DiskFull { path },
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                Self::Damaged { path, detail: source.to_string() }
            }
            _ => Self::Sqlite { path, source },
        }
    }
}
