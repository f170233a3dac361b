//! What the config says about one source of logs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::formats::candidates;
use crate::layer::Layer;
use crate::privacy::Privacy;
use crate::route::Templates;

/// How to read one source. The default: detect the format, trust no proxy, the client is the peer's address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceOptions {
    /// The format's name (see [`crate::formats::formats`]); `None` detects it per file.
    pub format: Option<String>,
    /// Instead of a format, the string that makes the server write its lines: nginx's `log_format`, Apache's `LogFormat`,
    /// Envoy's `text_format`.
    pub log_format: Option<String>,
    /// Instead of a format, the keys of JSON lines by what they mean: `client_ip` → `client.addr`; empty: none.
    pub fields: BTreeMap<String, String>,
    /// Peers whose forwarded-for header counts.
    pub trusted_proxies: Vec<IpNet>,
    /// Columns that identify a client, the first that is not NULL wins (see [`client_columns`]); empty: `client_ip`.
    pub client: Vec<String>,
    /// Whether `user` was authenticated by whoever wrote the log. nginx's `$remote_user` is not: it is whatever the
    /// client put into a Basic header.
    pub user_verified: bool,
    /// Templates that say what paths' routes and objects are; `None`: their segments alone do.
    pub templates: Option<Arc<Templates>>,
    /// What is taken out of lines before they are parsed; `None`: nothing.
    pub privacy: Option<Arc<Privacy>>,
    /// Which requests of this source's layer count; `None`: all.
    pub layer: Option<Arc<Layer>>,
    /// How far a line may lie behind the newest one of its file; `None`: the format's default.
    pub lateness: Option<Duration>,
}

impl SourceOptions {
    /// Err: why the format that they name or describe cannot be, and what to do.
    pub fn check_format(&self) -> Result<(), String> {
        candidates(self).map(|_| ())
    }
}

/// The names allowed in [`SourceOptions::client`].
pub fn client_columns() -> &'static [&'static str] {
    &["client_ip", "user", "session"]
}
