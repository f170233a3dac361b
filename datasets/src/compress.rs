//! Where a command writes to: a file or stdout, compressed if asked for.

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use flate2::write::GzEncoder;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

/// How a log is compressed, at the fastest level.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Compression {
    Gzip,
    Zstd,
}

/// A log being written.
pub(crate) enum Output {
    Plain(Box<dyn Write>),
    Gzip(GzEncoder<Box<dyn Write>>),
    Zstd(zstd::Encoder<'static, Box<dyn Write>>),
}

impl Output {
    /// Without a path, stdout.
    pub(crate) fn create(path: Option<&Path>, compression: Option<Compression>) -> Result<Self> {
        let out: Box<dyn Write> = match path {
            Some(path) => Box::new(File::create(path).with_context(|| format!("cannot write {}", path.display()))?),
            None => Box::new(io::stdout().lock()),
        };
        Ok(match compression {
            None => Self::Plain(out),
            Some(Compression::Gzip) => Self::Gzip(GzEncoder::new(out, flate2::Compression::fast())),
            Some(Compression::Zstd) => Self::Zstd(zstd::Encoder::new(out, 1)?),
        })
    }

    /// Without it, a compressed log has no end.
    pub(crate) fn finish(self) -> io::Result<()> {
        match self {
            Self::Plain(mut out) => out.flush(),
            Self::Gzip(out) => out.finish()?.flush(),
            Self::Zstd(out) => out.finish()?.flush(),
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(out) => out.write(bytes),
            Self::Gzip(out) => out.write(bytes),
            Self::Zstd(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(out) => out.flush(),
            Self::Gzip(out) => out.flush(),
            Self::Zstd(out) => out.flush(),
        }
    }
}

/// What a failed write is told with.
pub(crate) fn cannot_write(path: Option<&Path>) -> impl Fn() -> String {
    move || match path {
        Some(path) => format!("cannot write {}", path.display()),
        None => "cannot write to stdout".to_owned(),
    }
}
