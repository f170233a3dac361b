//! The harness of the end-to-end tests in `e2e/`: the program as users run it, on real files, against a real server.
//!
//! The tour: [`repository`] knows where things stand; [`program`] runs `tripline` and waits for it; [`receiver`] is the
//! webhook's other end; [`debian`] has programs of others, [`certificates`] what they show; [`pages`] asks the program's own pages;
//! [`site`] is a folder with a config, rules and logs for `tripline run`; [`logs`] writes lines; and [`journal`] is how all of
//! them wait: for something to happen, up to a deadline, never for time to pass.

// A harness panics: that is how a test fails.
#![allow(clippy::missing_panics_doc)]

pub mod certificates;
pub mod debian;
pub mod journal;
pub mod logs;
pub mod pages;
pub mod program;
pub mod python;
pub mod random;
pub mod receiver;
pub mod repository;
pub mod site;
