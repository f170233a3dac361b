//! `[[destination]]`: from what the config says to what delivers.

use tripline_alert::{Destination, DestinationError, Route, Settings};

use crate::config::{self, Config};

/// The destinations of a config, checked.
pub fn destinations(config: &Config) -> Result<Vec<Destination>, DestinationError> {
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
    settings.map(|s| Destination::new(&s, |name| std::env::var(name).ok())).collect()
}

/// Which of them get which alerts.
pub fn routes(config: &Config) -> Vec<Route> {
    let route = |d: &config::Destination| Route {
        destination: d.name.clone(),
        severity: d.severity,
        rules: d.rules.clone(),
        owners: d.owners.clone(),
    };
    config.destinations.iter().map(route).collect()
}
