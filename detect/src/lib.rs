//! Finds scraping and API abuse in access logs with rules written as SQL.
//!
//! A tour, in the order in which data flows:
//!
//! 1. [`input`] reads log files in event-time order (what a line is, is `tripline-ingest`'s business).
//! 2. [`rules`] are SQL files with a header; [`exceptions`] say which rows a rule must not see, [`lookups`] are tables of the
//!    user's own that rules join, [`enrichment`] what they ask of addresses; [`setup`] puts them together, [`reload`] notices when they change.
//! 3. The [`engine`] runs them window by window, with the answer that one query over the whole log would give; [`peers`] groups what
//!    baselines have learnt, [`budget`] decides how much evidence is enough.
//! 4. [`finding`] turns a rule's rows into findings, [`evidence`] finds some of the lines that made them again; what becomes of
//!    those is `tripline-alert`'s business.
//! 5. [`late`] keeps the rows that came too late, [`health`] tells of silent sources and wrong clocks, [`jump`] of single lines
//!    from the future.
//! 6. [`scan`] does this once over files, [`run`] for ever over growing ones; [`query`] asks anything of whole logs; [`history`]
//!    keeps what `run` has read as Parquet, and reads it where logs are read; [`baselines`] keeps what baselines have learnt.
//! 7. [`surface`] tells which routes there are, and how they differ from an [`openapi`] file; what the config says of them are [`routes`].
//! 8. [`metrics`] tells how `run` goes; [`scope`] says which requests an incident is about.
//! 9. [`cli`] is the command line, one file a command; [`config`] is `tripline.toml`; [`diagnostic`] is how errors look.
//!
//! Architecture invariants: nothing in `engine` knows files, clocks or destinations. Only `cli` prints.

pub mod baselines;
pub mod budget;
pub mod cli;
pub mod config;
pub mod destinations;
pub mod diagnostic;
pub mod doctor;
mod durable;
pub mod duration;
pub mod engine;
pub mod enrichment;
mod event_clock;
pub mod evidence;
pub mod exceptions;
pub mod finding;
pub mod fixtures;
pub mod functions;
pub mod health;
pub mod history;
pub mod input;
pub mod jump;
pub mod late;
pub mod layers;
pub mod lookups;
pub mod metrics;
pub mod openapi;
pub mod overlap;
pub mod peers;
mod persist;
pub mod privacy;
pub mod query;
pub mod reload;
pub mod routes;
pub mod rules;
pub mod run;
pub mod scan;
pub mod scope;
pub mod setup;
pub mod size;
pub mod surface;
