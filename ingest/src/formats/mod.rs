//! The log formats, one folder each: parser, sample lines, and the rows that these must give. To add one, add its
//! folder, a `mod` line and a line in [`formats`].

mod caddy_json;
mod clf;
mod combined;
mod common;
mod json;
mod json_scan;
mod main;
mod nginx_json;
mod request;
mod traefik_json;
mod vhost_combined;

use std::time::Duration;

use crate::reject::RejectReason;
use crate::row::Row;

/// One line of a log without its line end.
pub type Line<'a> = &'a str;

/// A log format.
pub trait Format: Sync {
    /// The name that configs use.
    fn name(&self) -> &'static str;

    /// The layout, as the software that writes it documents it.
    fn layout(&self) -> &'static str;

    /// How far lines may lie behind the newest of their file before they count as late. Software that logs a request
    /// when it ends, but with the time it began, needs more.
    fn default_lateness(&self) -> Duration;

    /// Reads one line into `row`, which is clear. What has no column goes to `row.extra`; what the format does not know
    /// is counted there: detection takes the format that parses most lines and, among equals, leaves least unknown.
    fn parse<'a>(&self, line: Line<'a>, row: &mut Row<'a>) -> Result<(), RejectReason>;
}

/// All formats.
pub fn formats() -> &'static [&'static dyn Format] {
    &[
        &combined::Combined,
        &main::Main,
        &common::Common,
        &vhost_combined::VhostCombined,
        &nginx_json::NginxJson,
        &caddy_json::CaddyJson,
        &traefik_json::TraefikJson,
    ]
}

/// The format of this name.
pub fn format(name: &str) -> Option<&'static dyn Format> {
    formats().iter().copied().find(|format| format.name() == name)
}

/// How late lines are that were logged when the request ended, with that time: workers' buffers are written one after
/// another.
const LOGGED_AT_END: Duration = Duration::from_secs(10);

/// How late lines are that were logged when the request ended, with the time it began (Apache's `%t`): as long as
/// requests take. Longer ones exist; they are late.
const LOGGED_WITH_START: Duration = Duration::from_mins(1);
