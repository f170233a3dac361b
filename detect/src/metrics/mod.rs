//! What `run` tells of itself over HTTP: `/metrics` for Prometheus, `/healthz` and `/readyz` for who starts and restarts programs.
//!
//! 1. `run` counts ([`Counts`]) and puts what it knows on a [`Board`], at most once a second.
//! 2. [`server`] answers from the board; it never waits for `run`, so that it can tell when `run` does not go on.
//! 3. [`page`] is the text, a pure function.
//!
//! Label values are rule ids, sources as the config has them, destinations, formats and reasons: never what stands in a log, so
//! the number of time series is bounded by the config.

mod board;
mod counts;
mod page;
mod server;

pub use board::{Board, ExceptionFigures, Report};
pub use counts::{Counts, SourceCounts};
pub use server::{Listening, MetricsError, listen};
