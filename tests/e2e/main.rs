//! End to end: the program as users run it. One file a subject; the harness is this crate's library.

mod alerts;
mod architecture;
mod bad_config;
mod bad_input;
mod bad_rules;
mod baselines;
mod counterparts;
mod doctor;
mod equality;
mod evidence;
mod explain;
mod follow;
mod formats;
mod history;
mod kills;
mod lookups;
mod metrics;
mod parse;
mod rules;
mod run;
mod scan;
mod secrets;
mod sources;
mod state;
mod trouble;
mod webhooks;
