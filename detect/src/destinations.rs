//! `[alerts]` and `[[destination]]`: from what the config says to what delivers.

use std::path::PathBuf;

use serde::Deserialize;
use tripline_alert::{self as alert, DestinationError, Route, Settings, Severity};

use crate::config::Config;

/// `[alerts]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alerts {
    /// So many open alerts of a rule are sent one by one; further ones are one alert, `tripline/storm`. Default 100.
    pub storm: Option<u32>,
}

/// `[[destination]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Destination {
    /// How it is called in logs and in the outbox.
    pub name: String,
    /// Where to post.
    #[serde(default)]
    pub url: String,
    /// File with the URL, where that is a secret.
    pub url_file: Option<PathBuf>,
    /// Environment variable with it, instead.
    pub url_env: Option<String>,
    /// The payload's style.
    #[serde(default = "native")]
    pub style: String,
    /// The least severity that is sent there.
    #[serde(default = "info")]
    pub severity: Severity,
    /// Ids of rules, or patterns with `*`; empty: all rules.
    #[serde(default)]
    pub rules: Vec<String>,
    /// Owners of rules; empty: all.
    #[serde(default)]
    pub owners: Vec<String>,
    /// The most requests in any minute.
    pub per_minute: Option<u32>,
    /// Allows `http://`.
    #[serde(default)]
    pub allow_http: bool,
    /// File with the signing secret (`whsec_...`), one a line while rotating.
    pub secret_file: Option<PathBuf>,
    /// Environment variable with the signing secret, instead of a file.
    pub secret_env: Option<String>,
    /// File with the receiver's key: `PagerDuty`'s routing key, or what stands in the `Authorization` header.
    pub key_file: Option<PathBuf>,
    /// Environment variable with it, instead.
    pub key_env: Option<String>,
    /// For `style = "template"`: JSON with `{{name}}` in its texts.
    pub template_file: Option<PathBuf>,
    /// `any`, or `public`: no private addresses.
    #[serde(default)]
    pub network: String,
    /// PEM file with the authorities that sign the receiver's certificate, beside the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM file with the certificate and key by which the receiver knows us.
    pub client_certificate_file: Option<PathBuf>,
}

fn info() -> Severity {
    Severity::Info
}

fn native() -> String {
    "native".into()
}

/// The destinations of a config, checked.
pub fn destinations(config: &Config) -> Result<Vec<alert::Destination>, DestinationError> {
    let settings = config.destinations.iter().map(|d| Settings {
        name: d.name.clone(),
        url: d.url.clone(),
        style: d.style.clone(),
        allow_http: d.allow_http,
        url_file: d.url_file.clone(),
        url_env: d.url_env.clone(),
        key_file: d.key_file.clone(),
        key_env: d.key_env.clone(),
        template_file: d.template_file.clone(),
        network: d.network.clone(),
        per_minute: d.per_minute,
        secret_file: d.secret_file.clone(),
        secret_env: d.secret_env.clone(),
        ca_file: d.ca_file.clone(),
        client_certificate_file: d.client_certificate_file.clone(),
    });
    settings.map(|s| alert::Destination::new(&s, |name| std::env::var(name).ok())).collect()
}

/// Which of them get which alerts.
pub fn routes(config: &Config) -> Vec<Route> {
    let route = |d: &Destination| Route {
        destination: d.name.clone(),
        severity: d.severity,
        rules: d.rules.clone(),
        owners: d.owners.clone(),
    };
    config.destinations.iter().map(route).collect()
}
