//! The crate from outside: what it makes of files.

mod corpus;
mod formats;
mod fuzz;
mod hostile;
mod invariants;
mod pieces;
mod rows;
mod tailing;
mod tailing_odd;
mod tailing_told;
mod variants;
