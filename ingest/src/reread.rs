//! Reads lines again that were read before: an alert shows the lines that made it, long after their rows are forgotten.

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;

use crate::batch::Parser;
use crate::input::{Compression, Input, read_at};

/// A way back to the lines of one file. It costs little to keep: the file is not held open.
#[derive(Clone)]
pub struct Reread {
    path: PathBuf,
    /// As long as the file is being read, its handle: its name may mean another file by now.
    file: Weak<File>,
    compression: Compression,
    parser: Arc<Parser>,
}

impl fmt::Debug for Reread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reread").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Reread {
    pub(crate) fn new(path: &Path, input: &Input, parser: &Arc<Parser>) -> Self {
        let (file, compression) = (Arc::downgrade(input.handle()), input.compression());
        Self { path: path.to_owned(), file, compression, parser: Arc::clone(parser) }
    }

    /// The rows of some stretches of the file, in the order of the stretches. Those are whole batches of the first reading
    /// ([`crate::Batch::offset`] and [`crate::Batch::bytes`]), ascending. What the file does not hold any more has no rows.
    ///
    /// A compressed file is read from its start, at most up to `limit` decompressed bytes; stretches beyond have no rows.
    pub fn rows(&self, stretches: &[Range<u64>], limit: u64) -> io::Result<Vec<Vec<RecordBatch>>> {
        if self.compression == Compression::None {
            let file = self.file.upgrade().map_or_else(|| File::open(&self.path).map(Arc::new), Ok)?;
            return stretches
                .iter()
                .map(|stretch| Ok(self.parse(read_at(&file, stretch.start, length(stretch))?, stretch)))
                .collect();
        }
        let mut input = Input::open(&self.path)?;
        let mut read = 0;
        let mut all = Vec::new();
        for stretch in stretches {
            let mut bytes = Vec::new();
            if stretch.end <= limit && stretch.start >= read && input.skip_to(read, stretch.start)? {
                input.fill(&mut bytes, length(stretch))?;
                read = stretch.end;
            }
            all.push(self.parse(bytes, stretch));
        }
        Ok(all)
    }

    fn parse(&self, bytes: Vec<u8>, stretch: &Range<u64>) -> Vec<RecordBatch> {
        if bytes.len() < length(stretch) {
            return Vec::new();
        }
        let block = Buffer::from_vec(bytes);
        let mut batches = Vec::new();
        let mut start = 0;
        while start < block.len() {
            let parsed = self.parser.parse(&block, start..block.len(), stretch.start, true);
            batches.push(parsed.batch.rows);
            start += parsed.length.max(1);
        }
        batches
    }
}

fn length(stretch: &Range<u64>) -> usize {
    usize::try_from(stretch.end.saturating_sub(stretch.start)).unwrap_or(usize::MAX)
}
