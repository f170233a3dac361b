//! The log formats, one folder each: layout, sample lines, and the rows that these must give. To add one, add its
//! folder, a `mod` line and a line in [`formats`]. Beside the folders stands what formats share: `clf` for the fast text
//! formats, `text` for those given by a layout, `json`, `extended` (W3C), and `wrapper` for what collectors put around them.

mod clf;
mod custom;
mod extended;
mod field;
mod handle;
mod json;
mod json_scan;
mod keys;
mod names;
mod pieces;
mod request;
mod syntax;
mod template;
mod text;
mod wrapper;

mod akamai_json;
mod api_gateway_clf;
mod api_gateway_json;
mod aws_alb;
mod azure_gateway;
mod azure_gateway_v1;
mod caddy_json;
mod cloudflare_json;
mod cloudfront;
mod combined;
mod common;
mod cpanel;
mod envoy;
mod envoy_json;
mod fastly_json;
mod gcp_json;
mod haproxy;
mod iis;
mod ingress_nginx;
mod istio;
mod kong;
mod kong_json;
mod litespeed;
mod main;
mod nginx_json;
mod nginx_proxy_manager;
mod traefik;
mod traefik_json;
mod vhost_combined;
mod w3c;

use std::time::Duration;

pub use handle::AnyFormat;
pub use keys::Keys;
pub use pieces::Pieces;
pub(crate) use pieces::{GivenUp, Joiner, Open, Taken};
pub(crate) use wrapper::{WRAPPERS, Wrapper, wrapped};

use crate::reject::RejectReason;
use crate::row::Row;
use crate::source::SourceOptions;

/// One line of a log without its line end.
pub type Line<'a> = &'a str;

/// A log format.
pub trait Format: Send + Sync {
    /// The name that configs use.
    fn name(&self) -> &str;

    /// The layout, as the software that writes it documents it.
    fn layout(&self) -> &str;

    /// How far lines may lie behind the newest of their file before they count as late. Software that logs a request
    /// when it ends, but with the time it began, needs more.
    fn default_lateness(&self) -> Duration;

    /// Reads one line into `row`, which is clear. What has no column goes to `row.extra`; what the format does not know
    /// is counted there: detection takes the format that parses most lines and, among equals, leaves least unknown.
    fn parse<'a>(&self, line: Line<'a>, row: &mut Row<'a>) -> Result<(), RejectReason>;

    /// How long lines are cut, where something cuts them, and the format of lines that are put together again.
    fn pieces(&self) -> Option<(Pieces, &AnyFormat)> {
        None
    }

    /// What a line that is no request says about those after it. Asked only where [`Format::parse`] failed.
    fn heading(&self, _line: Line<'_>) -> Option<Heading> {
        None
    }
}

/// Bytes of a heading from which on it is not believed.
pub(crate) const MAX_HEADING: usize = 16 * 1024;

/// A line that belongs to the format but is no request.
pub enum Heading {
    /// It says nothing that matters.
    Comment,
    /// It says how the lines after it are to be read.
    Fields(AnyFormat),
}

/// All formats, but for what the config describes.
pub fn formats() -> &'static [&'static dyn Format] {
    static FORMATS: [&dyn Format; 30] = [
        &combined::FORMAT,
        &main::FORMAT,
        &common::FORMAT,
        &vhost_combined::FORMAT,
        &nginx_json::FORMAT,
        &ingress_nginx::FORMAT,
        &nginx_proxy_manager::FORMAT,
        &kong::FORMAT,
        &kong_json::FORMAT,
        &envoy::FORMAT,
        &istio::FORMAT,
        &envoy_json::FORMAT,
        &traefik::FORMAT,
        &traefik_json::FORMAT,
        &caddy_json::FORMAT,
        &haproxy::FORMAT,
        &aws_alb::FORMAT,
        &api_gateway_json::FORMAT,
        &api_gateway_clf::FORMAT,
        &cloudfront::FORMAT,
        &iis::FORMAT,
        &w3c::FORMAT,
        &cloudflare_json::FORMAT,
        &gcp_json::FORMAT,
        &azure_gateway::FORMAT,
        &azure_gateway_v1::FORMAT,
        &fastly_json::FORMAT,
        &akamai_json::FORMAT,
        &litespeed::FORMAT,
        &cpanel::FORMAT,
    ];
    &FORMATS
}

/// The format of this name, within a wrapper if it has one (`docker+combined`). Err: what is wrong, and what to do.
pub(crate) fn named(name: &str, options: &SourceOptions) -> Result<AnyFormat, String> {
    if let Some((outer, inner)) = name.split_once('+')
        && let Some(wrapper) = WRAPPERS.iter().find(|wrapper| wrapper.name == outer)
    {
        return Ok(wrapped(*wrapper, named(inner, options)?));
    }
    match (name, &options.log_format) {
        (custom::LOG_FORMAT, Some(layout)) => return custom::log_format(layout),
        (custom::FIELDS, _) if !options.fields.is_empty() => return custom::json_fields(&options.fields),
        _ => {}
    }
    let built = formats().iter().find(|format| format.name() == name).map(|format| AnyFormat::Built(*format));
    built.ok_or_else(|| format!("there is no log format `{name}`; known are {}", known_names()))
}

/// The names of all formats, as a list for people.
pub fn known_names() -> String {
    let names: Vec<_> = formats().iter().map(|format| format.name()).collect();
    let wrappers: Vec<_> = WRAPPERS.iter().map(|wrapper| format!("{}+", wrapper.name)).collect();
    format!("{} (with {} before it where it is wrapped)", names.join(", "), wrappers.join(" or "))
}

/// The wrappers' names and layouts.
pub fn wrappers() -> impl Iterator<Item = (&'static str, &'static str)> {
    WRAPPERS.iter().map(|wrapper| (wrapper.name, wrapper.layout))
}

/// The formats that the options leave to choose from, outside wrappers. Err: what is wrong with them, and what to do.
pub(crate) fn candidates(options: &SourceOptions) -> Result<Vec<AnyFormat>, String> {
    let described = match (&options.log_format, options.fields.is_empty()) {
        (Some(_), false) => return Err("a source has either log_format or fields; leave one out".to_owned()),
        (Some(_), true) => Some(custom::LOG_FORMAT),
        (None, false) => Some(custom::FIELDS),
        (None, true) => None,
    };
    match (described, options.format.as_deref()) {
        (Some(_), Some(name)) => {
            Err(format!("log_format and fields describe the format; leave out format = \"{name}\""))
        }
        (Some(name), None) | (None, Some(name)) => Ok(vec![named(name, options)?]),
        (None, None) => Ok(formats().iter().map(|format| AnyFormat::Built(*format)).collect()),
    }
}

/// How late lines are that were logged when the request ended, with that time: workers' buffers are written one after
/// another.
const LOGGED_AT_END: Duration = Duration::from_secs(10);

/// How late lines are that were logged when the request ended, with the time it began (Apache's `%t`): as long as
/// requests take. Longer ones exist; they are late.
const LOGGED_WITH_START: Duration = Duration::from_mins(1);

/// How late lines are that a cloud's edge gathers from many machines before it writes a file.
const GATHERED: Duration = Duration::from_mins(10);
