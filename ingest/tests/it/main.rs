//! The crate from outside: what it makes of files.

mod corpus;
mod formats;
mod hostile;
mod rows;
mod tailing;
