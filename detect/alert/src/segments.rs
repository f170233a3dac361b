//! Segments: immutable files that hold the large values of checkpoint rows.
//!
//! A commit writes at most one, and makes it durable, before the transaction that lists it: a file that no transaction lists
//! is what a crash left behind, and goes. (`SQLite` writes everything twice; state is large.)
//!
//! The file: [`MAGIC`], then values one after the other. Where a value begins and ends, and its checksum, is in the state file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::checksum::crc32;
use crate::error::StoreError;
use crate::failpoint::{Step, reach};

const FOLDER: &str = "segments";
const MAGIC: &[u8; 8] = b"tripseg1";

/// Where a value is. As `SQLite` has no unsigned numbers, these are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) segment: i64,
    /// From the beginning of the file, bytes.
    pub(crate) offset: i64,
    /// Bytes.
    pub(crate) length: i64,
    pub(crate) checksum: i64,
}

/// A segment that was written and is durable.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) number: i64,
    /// Its length.
    pub(crate) bytes: i64,
    /// Of its values, in order.
    pub(crate) places: Vec<Place>,
}

/// The folder with the segments.
#[derive(Debug)]
pub(crate) struct Segments {
    folder: PathBuf,
    /// No number is used twice, not even after a failure: a transaction that failed may turn up after a crash.
    next: i64,
}

impl Segments {
    /// Opens or creates the folder in a state directory and deletes what is not listed.
    pub(crate) fn open(state: &Path, listed: &BTreeSet<i64>) -> Result<Self, StoreError> {
        let folder = state.join(FOLDER);
        let wrap = |source| StoreError::from_io(&folder, source);
        if !folder.is_dir() {
            fs::create_dir(&folder).and_then(|()| sync(state)).map_err(wrap)?;
        }
        let mut segments = Self { next: listed.last().map_or(1, |last| last + 1), folder: folder.clone() };
        for entry in fs::read_dir(&folder).map_err(wrap)? {
            let name = entry.map_err(wrap)?.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(".seg")?.parse::<i64>().ok());
            if let Some(number) = number.filter(|number| !listed.contains(number)) {
                segments.remove(number);
                segments.next = segments.next.max(number.saturating_add(1));
            }
        }
        Ok(segments)
    }

    /// Writes a segment and waits until it is on the disk.
    pub(crate) fn write(&mut self, values: &[&[u8]]) -> Result<Segment, StoreError> {
        let number = self.next;
        self.next += 1;
        let path = self.path(number);
        let write = || {
            reach(Step::BeforeSegment)?;
            let mut file = File::create_new(&path)?;
            file.write_all(MAGIC)?;
            for value in values {
                file.write_all(value)?;
            }
            reach(Step::SegmentWritten)?;
            file.sync_all()?;
            sync(&self.folder)?;
            reach(Step::SegmentSynced)
        };
        if let Err(source) = write() {
            self.remove(number);
            return Err(StoreError::from_io(&path, source));
        }
        let mut bytes = signed(MAGIC.len());
        let place = |value: &&[u8]| {
            let place =
                Place { segment: number, offset: bytes, length: signed(value.len()), checksum: crc32(value).into() };
            bytes += place.length;
            place
        };
        let places = values.iter().map(place).collect();
        Ok(Segment { number, bytes, places })
    }

    /// Deletes a file, if it is there. If that fails, it is tried again when the store opens.
    pub(crate) fn remove(&self, number: i64) {
        let path = self.path(number);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                tracing::warn!("cannot delete {}, which is not needed any more: {e}", path.display());
            }
            _ => {}
        }
    }

    /// Reads values.
    pub(crate) fn reader(&self) -> Reader<'_> {
        Reader { segments: self, files: BTreeMap::new() }
    }

    fn path(&self, number: i64) -> PathBuf {
        self.folder.join(format!("{number}.seg"))
    }
}

/// Reads values, and opens each file once.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    segments: &'a Segments,
    files: BTreeMap<i64, Result<File, String>>,
}

impl Reader<'_> {
    /// The value, or why it cannot be had.
    pub(crate) fn read(&mut self, place: Place) -> Result<Vec<u8>, String> {
        let path = self.segments.path(place.segment);
        let explain = |e: io::Error| format!("{}: {e}", path.display());
        let file = self.files.entry(place.segment).or_insert_with(|| File::open(&path).map_err(explain)).as_ref()?;
        let (Ok(offset), Ok(length)) = (u64::try_from(place.offset), u64::try_from(place.length)) else {
            return Err(format!("{}: its place in the file is damaged", path.display()));
        };
        if file.metadata().map_err(explain)?.len() < offset.saturating_add(length) {
            return Err(format!("{}: the file was cut short", path.display()));
        }
        let mut value = vec![0; usize::try_from(length).map_err(|e| e.to_string())?];
        file.read_exact_at(&mut value, offset).map_err(explain)?;
        if i64::from(crc32(&value)) != place.checksum {
            return Err(format!("{}: the bytes at {offset} are damaged", path.display()));
        }
        Ok(value)
    }
}

/// Makes a folder's entries durable.
fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// A length in memory as `SQLite` has it.
fn signed(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}
