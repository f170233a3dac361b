//! `[alerts]` and `[[destination]]`: from what the config says to what delivers.

use std::path::PathBuf;

use serde::Deserialize;
use tripline_alert::destination::Fault;
use tripline_alert::{self as alert, DestinationError, GroupBy, Grouping, Route, Settings, Severity, Style};

use crate::config::Config;
use crate::duration;

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
    /// Which alerts go in one message: those of one `rule`, of one `incident`, or `none`: each goes alone. Default: `rule` where people
    /// read (slack, discord, teams), and `none` elsewhere.
    pub group_by: Option<String>,
    /// From a group's first message, which goes at once, to the second. Default 10s.
    pub group_wait: Option<String>,
    /// From any later message of a group to the next. Default 5m.
    pub group_interval: Option<String>,
    /// An alert that goes on is told again no sooner than this. Default 4h.
    pub repeat_interval: Option<String>,
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
    routes(config)?;
    settings.map(|s| alert::Destination::new(&s, |name| std::env::var(name).ok())).collect()
}

/// Which of them get which alerts, and in what groups.
pub fn routes(config: &Config) -> Result<Vec<Route>, DestinationError> {
    let route = |d: &Destination| {
        Ok(Route {
            destination: d.name.clone(),
            severity: d.severity,
            rules: d.rules.clone(),
            owners: d.owners.clone(),
            grouping: grouping(d).map_err(|fault| DestinationError { name: d.name.clone(), fault })?,
        })
    };
    config.destinations.iter().map(route).collect()
}

/// The longest time in a grouping, ms.
const LONGEST_MS: i64 = 24 * 3_600_000;

fn grouping(d: &Destination) -> Result<Option<Grouping>, Fault> {
    let several = d.style.parse::<Style>()?.takes_several();
    let by = match d.group_by.as_deref() {
        None if several => Some(GroupBy::Rule),
        None | Some("none") => None,
        Some(_) if !several => {
            let why = format!("its style {} takes one alert a message, so there is no group_by", d.style);
            return Err(Fault::Grouping(why));
        }
        Some("rule") => Some(GroupBy::Rule),
        Some("incident") => Some(GroupBy::Incident),
        Some(other) => {
            return Err(Fault::Grouping(format!("its group_by is {other:?}; there are: rule, incident, none")));
        }
    };
    let times =
        [("group_wait", &d.group_wait), ("group_interval", &d.group_interval), ("repeat_interval", &d.repeat_interval)];
    let Some(by) = by else {
        let unused = times.iter().find(|(_, text)| text.is_some());
        return unused.map_or(Ok(None), |(key, _)| {
            Err(Fault::Grouping(format!("its alerts go alone, so there is no {key}; set group_by")))
        });
    };
    let usual = Grouping::usual(by);
    let [wait_ms, interval_ms, repeat_ms] = times.map(|(key, text)| {
        let ms = text.as_ref().map(|text| duration::parse_us(text).map(|us| us / 1_000)).transpose();
        let ms = ms.map_err(|e| Fault::Grouping(format!("its {key}: {e}")))?;
        match ms {
            Some(ms) if ms > LONGEST_MS => Err(Fault::Grouping(format!("its {key} is longer than a day"))),
            ms => Ok(ms),
        }
    });
    Ok(Some(Grouping {
        by,
        wait_ms: wait_ms?.unwrap_or(usual.wait_ms),
        interval_ms: interval_ms?.unwrap_or(usual.interval_ms),
        repeat_ms: repeat_ms?.unwrap_or(usual.repeat_ms),
    }))
}
