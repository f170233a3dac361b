//! `[[source]]`: which logs are read, and how.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use tripline_ingest::route::Templates;
use tripline_ingest::{Layer, SourceOptions};

use crate::duration;
use crate::privacy::Scrubbing;

/// `[[source]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Directory (recursive), file or glob.
    pub path: PathBuf,
    /// A format's name, or `auto`.
    #[serde(default = "auto")]
    pub format: String,
    /// Instead of a format: the string that makes the server write its lines, from its config.
    pub log_format: Option<String>,
    /// Instead of a format: the keys of JSON lines, by what they mean.
    #[serde(default)]
    pub fields: BTreeMap<String, String>,
    /// Networks whose forwarded-for headers are believed.
    #[serde(default)]
    pub trusted_proxies: Vec<ipnet::IpNet>,
    /// Columns that identify a client, the first that is not NULL counts.
    #[serde(default)]
    pub client: Vec<String>,
    /// Whether the format's user is authenticated by the server.
    #[serde(default)]
    pub user_verified: bool,
    /// An OpenAPI 3 file of this source's API.
    pub openapi: Option<PathBuf>,
    /// Query parameters that name objects, beside those whose names say so.
    #[serde(default)]
    pub object_params: Vec<String>,
    /// What the rest of the config says.
    #[serde(skip)]
    pub(super) reading: Reading,
    /// Where the requests of one host are logged more than once: which layer this is, as `[layers]` calls it.
    pub layer: Option<String>,
    /// How lines arrive.
    #[serde(default)]
    pub arrival: Arrival,
    /// With [`Arrival::Batch`], the time that a file covers, such as `5m`.
    pub interval: Option<String>,
    /// How late lines may come within a file, such as `30s`; the format's own default otherwise.
    pub lateness: Option<String>,
    /// Where files are read from that are there when this source is followed for the first time. Later ones are read whole.
    #[serde(default)]
    pub start: Start,
    /// How long it may write nothing before that is an alert, such as `15m`; `off`: for ever.
    #[serde(default = "silent_after")]
    pub silent_after: String,
}

/// Where reading begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// With the first line.
    #[default]
    Beginning,
    /// With what is written from now on.
    End,
}

/// How lines arrive.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arrival {
    /// One by one, as they are written.
    #[default]
    Stream,
    /// In files that come when their time is over: of load balancers, from object storage.
    Batch,
}

fn silent_after() -> String {
    "15m".into()
}

fn auto() -> String {
    "auto".into()
}

/// What the config as a whole says of how logs are read, once its files are read.
#[derive(Debug, Clone, Default)]
pub(super) struct Reading {
    /// Of `[[route]]` and OpenAPI files.
    pub(super) templates: Option<Arc<Templates>>,
    /// Of `[privacy]`.
    pub(super) scrubbing: Scrubbing,
    /// Of `[layers]`.
    pub(super) layer: Option<Arc<Layer>>,
}

impl Reading {
    pub(super) fn add_to(&self, options: SourceOptions) -> SourceOptions {
        SourceOptions {
            templates: self.templates.clone(),
            privacy: self.scrubbing.0.clone(),
            layer: self.layer.clone(),
            ..options
        }
    }
}

impl Source {
    /// How long it may be silent, µs; `None`: for ever.
    pub fn silent_after_us(&self) -> Result<Option<i64>, String> {
        match self.silent_after.as_str() {
            "off" => Ok(None),
            text => match duration::parse_us(text)? {
                us if us >= 1_000_000 => Ok(Some(us)),
                _ => Err("silent_after is at least \"1s\", or \"off\"".into()),
            },
        }
    }

    /// The time that one of its files covers, µs; `None`: lines come one by one. The error is the word to point at, and what
    /// is wrong.
    pub fn interval_us(&self) -> Result<Option<i64>, (&'static str, String)> {
        match (self.arrival, &self.interval) {
            (Arrival::Stream, None) => Ok(None),
            (Arrival::Stream, Some(_)) => Err(("interval", "interval goes with arrival = \"batch\"".to_owned())),
            (Arrival::Batch, None) => Err((
                "arrival",
                "arrival = \"batch\" needs interval, the time that a file covers, as \"5m\"".to_owned(),
            )),
            (Arrival::Batch, Some(text)) => duration::parse_us(text).map(Some).map_err(|why| ("interval", why)),
        }
    }

    /// What ingest must know. The error is the word to point at, and what is wrong.
    pub fn options(&self) -> Result<SourceOptions, (String, String)> {
        let format = (self.format != "auto").then(|| self.format.clone());
        let described = SourceOptions {
            format,
            log_format: self.log_format.clone(),
            fields: self.fields.clone(),
            ..SourceOptions::default()
        };
        let key = match (&self.log_format, self.fields.is_empty()) {
            (Some(_), _) => "log_format",
            (None, false) => "fields",
            (None, true) => &self.format,
        };
        described.check_format().map_err(|why| (key.to_owned(), why))?;
        let allowed = tripline_ingest::client_columns();
        if let Some(column) = self.client.iter().find(|c| !allowed.contains(&c.as_str())) {
            return Err((
                column.clone(),
                format!("{column:?} cannot identify a client; these can: {}", allowed.join(", ")),
            ));
        }
        let lateness =
            self.lateness.as_deref().map(duration::parse_us).transpose().map_err(|e| ("lateness".to_owned(), e))?;
        Ok(self.reading.add_to(SourceOptions {
            trusted_proxies: self.trusted_proxies.clone(),
            client: self.client.clone(),
            user_verified: self.user_verified,
            lateness: lateness.map(|us| std::time::Duration::from_micros(us.unsigned_abs())),
            ..described
        }))
    }
}
