//! The crate from outside: lifecycles against a naive model, the store across kills, delivery to a real HTTP server.

// A test that unwraps says what it expects.
#![allow(clippy::unwrap_used)]

mod commits;
mod config;
mod delivery;
mod desk;
mod early;
mod figures;
mod grouping;
mod http;
mod incidents;
mod interleaving;
mod lifecycle;
mod secrets;
mod segments;
mod store;
mod support;
mod tls;
