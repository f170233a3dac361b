//! Log files as Arrow batches of one table, `requests`.
//!
//! A tour, in the order that data takes:
//!
//! 1. [`discover()`] turns a PATH (file, directory, glob) into files; [`probe()`] looks at a file's first lines and says
//!    which of the [`formats`] it is.
//! 2. A [`LogReader`] reads one file. `input` opens and decompresses it, `block` cuts it into blocks of whole lines of about
//!    1 MiB, `batch` takes a block line by line through the format's parser.
//!    What must not leave the log, [`Privacy`] takes out of each line before.
//! 3. A format fills a [`row::Row`]; what it cannot parse is a [`Reject`] with its reason.
//! 4. `identity` says who the client is, [`route`] what was asked for; `requests` and `views` make columns of it all. A
//!    block is one Arrow buffer that the columns' strings point into: bytes are copied only where they must change.
//! 5. [`Tailer`] follows many files as they grow, rotate and vanish; [`Wake`] tells it early what happened. What
//!    was read can be committed as [`Position`]s, from which a restart goes on. [`Reread`] leads back to lines that were read.
//!
//! Architecture invariants: nothing here knows SQL, the network or the clock. Only `input`, `discover`,
//! `tail` and `wake` touch the file system. Nothing is learnt on the way, so that a line gives the same row in every mode. Nothing is skipped in
//! silence: a line is a row, a reject or blank, and bytes that are passed over are in [`Counters`].

mod batch;
mod block;
mod discover;
mod escape;
pub mod formats;
mod hint;
mod identity;
mod input;
mod layer;
mod position;
mod privacy;
mod probe;
mod reader;
mod reject;
mod requests;
mod reread;
pub mod route;
pub mod row;
mod source;
pub mod table;
mod tail;
mod time;
mod validity;
mod views;
mod wake;

pub use batch::{Batch, Counters};
pub use discover::{Discovered, Problem, discover};
pub use input::Compression;
pub use layer::Layer;
pub use position::Position;
pub use privacy::Privacy;
pub use probe::{Probe, ProbeError, Score, probe, probe_at};
pub use reader::{LogReader, Mode, ReadError};
pub use reject::{Reject, RejectReason};
pub use reread::Reread;
pub use source::{SourceOptions, client_columns};
pub use table::schema;
pub use tail::{Changes, FileStatus, Level, Notice, Source, TailBatch, Tailer};
pub use wake::{Told, Wake};
