//! Opens log files and decompresses them: the one place of this crate that reads their bytes.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use flate2::bufread::MultiGzDecoder;

/// How a file is compressed. Its first bytes decide, not its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, of one or more members.
    Gzip,
    /// Zstandard, of one or more frames.
    Zstd,
}

impl Compression {
    fn of(magic: &[u8]) -> Self {
        match magic {
            [0x1F, 0x8B, ..] => Self::Gzip,
            // A frame, or a skippable frame before it (RFC 8878 §3.1).
            [0x28, 0xB5, 0x2F, 0xFD, ..] | [0x50..=0x5F, 0x2A, 0x4D, 0x18, ..] => Self::Zstd,
            _ => Self::None,
        }
    }
}

/// An archive that unpacks to more than this, and to more than [`RATIO`] times its size, is no log. Access logs reach 50,
/// gzip cannot go beyond 1,032, Zstandard can.
const SUSPICIOUS: u64 = 256 << 20;
const RATIO: u64 = 500;

/// What reading says of an archive that unpacks to far more than a log would.
#[derive(Debug, thiserror::Error)]
#[error("it unpacks to more than {RATIO} times its size, as no log does")]
pub(crate) struct Bomb;

/// An open log file.
pub(crate) struct Input {
    decoder: Decoder,
    /// Bytes that came out so far.
    unpacked: u64,
}

enum Decoder {
    Plain(Counted),
    Gzip(Box<MultiGzDecoder<BufReader<Counted>>>),
    Zstd(zstd::stream::read::Decoder<'static, BufReader<Counted>>),
}

impl Input {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let mut file = open_file(path)?;
        let mut magic = Vec::new();
        (&mut file).take(4).read_to_end(&mut magic)?;
        file.seek(SeekFrom::Start(0))?;
        let file = Counted { file: Arc::new(file), bytes: 0 };
        let decoder = match Compression::of(&magic) {
            Compression::None => Decoder::Plain(file),
            Compression::Gzip => Decoder::Gzip(Box::new(MultiGzDecoder::new(BufReader::new(file)))),
            Compression::Zstd => Decoder::Zstd(zstd::stream::read::Decoder::with_buffer(BufReader::new(file))?),
        };
        Ok(Self { decoder, unpacked: 0 })
    }

    pub(crate) fn compression(&self) -> Compression {
        match self.decoder {
            Decoder::Plain(_) => Compression::None,
            Decoder::Gzip(_) => Compression::Gzip,
            Decoder::Zstd(_) => Compression::Zstd,
        }
    }

    /// What the file system says about the open file now, whatever its name has come to mean.
    pub(crate) fn metadata(&self) -> io::Result<Metadata> {
        self.file().file.metadata()
    }

    /// Bytes of the file read so far.
    pub(crate) fn consumed(&self) -> u64 {
        self.file().bytes
    }

    /// Appends up to `limit` decompressed bytes; fewer only at the end. On an error, what came before it was appended.
    pub(crate) fn fill(&mut self, bytes: &mut Vec<u8>, limit: usize) -> io::Result<usize> {
        if self.compression() != Compression::None {
            self.refuse_bomb()?;
        }
        bytes.reserve_exact(limit.min(self.expected()));
        let before = bytes.len();
        let result = self.fill_any(bytes, limit);
        self.unpacked += (bytes.len() - before) as u64;
        result
    }

    /// How many bytes are likely to come, so that a few new lines do not cost the memory of many. One more than there are tells
    /// that there are no more.
    fn expected(&self) -> usize {
        if self.compression() != Compression::None {
            return usize::MAX;
        }
        let length = self.metadata().map_or(0, |metadata| metadata.len());
        usize::try_from(length.saturating_sub(self.consumed())).unwrap_or(usize::MAX).saturating_add(1)
    }

    fn refuse_bomb(&self) -> io::Result<()> {
        if self.unpacked > SUSPICIOUS && self.unpacked / RATIO > self.consumed() {
            return Err(io::Error::other(Bomb));
        }
        Ok(())
    }

    fn fill_any(&mut self, bytes: &mut Vec<u8>, limit: usize) -> io::Result<usize> {
        match &mut self.decoder {
            // Around the counter: a `File` reads into memory that was not zeroed first.
            Decoder::Plain(Counted { file, bytes: counter }) => {
                let before = bytes.len();
                let result = file.take(limit as u64).read_to_end(bytes);
                *counter += (bytes.len() - before) as u64;
                result
            }
            Decoder::Gzip(decoder) => decoder.take(limit as u64).read_to_end(bytes),
            Decoder::Zstd(decoder) => decoder.take(limit as u64).read_to_end(bytes),
        }
    }

    /// The `length` bytes at `offset` of a file that is not compressed, as they are now; fewer if it ends before.
    pub(crate) fn look_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        read_at(&self.file().file, offset, length)
    }

    /// The open file.
    pub(crate) fn handle(&self) -> &Arc<File> {
        &self.file().file
    }

    /// Passes over the decompressed bytes up to `offset` from the beginning; nothing must have been read but `read` bytes.
    /// False: the file ends before.
    pub(crate) fn skip_to(&mut self, read: u64, offset: u64) -> io::Result<bool> {
        let missing = offset.saturating_sub(read);
        let skip = |decoder: &mut dyn Read| io::copy(&mut decoder.take(missing), &mut io::sink());
        let skipped = match &mut self.decoder {
            Decoder::Plain(Counted { file, bytes }) => {
                *bytes = file.seek(SeekFrom::Start(offset))?;
                return Ok(file.metadata()?.len() >= offset);
            }
            Decoder::Gzip(decoder) => skip(decoder)?,
            Decoder::Zstd(decoder) => skip(decoder)?,
        };
        self.unpacked += skipped;
        Ok(skipped == missing)
    }

    fn file(&self) -> &Counted {
        match &self.decoder {
            Decoder::Plain(file) => file,
            Decoder::Gzip(decoder) => decoder.get_ref().get_ref(),
            Decoder::Zstd(decoder) => decoder.get_ref().get_ref(),
        }
    }
}

/// Opens a regular file. What took its place since it was listed, such as a pipe, must not be waited for.
fn open_file(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    match file.metadata()? {
        metadata if metadata.is_file() => Ok(file),
        metadata if metadata.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")),
    }
}

/// The `length` bytes at `offset`, wherever the file is read otherwise; fewer if it ends before.
pub(crate) fn read_at(file: &File, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    use std::os::unix::fs::FileExt;
    let mut bytes = vec![0; length];
    let mut read = 0;
    while read < length {
        match file.read_at(&mut bytes[read..], offset + read as u64)? {
            0 => break,
            more => read += more,
        }
    }
    bytes.truncate(read);
    Ok(bytes)
}

/// A file that counts what was read of it.
struct Counted {
    file: Arc<File>,
    bytes: u64,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.bytes += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (opening a pipe waits for a writer, as a rule)
    #[test]
    fn what_is_no_file_is_not_opened() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let pipe = folder.path().join("access.log");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.is_ok_and(|status| status.success()));
        for path in [pipe.as_path(), Path::new("/dev/zero"), folder.path()] {
            assert!(Input::open(path).is_err(), "{}", path.display());
        }
    }
}
