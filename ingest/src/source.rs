//! What the config says about one source of logs.

use std::time::Duration;

use ipnet::IpNet;

/// How to read one source. The default: detect the format, trust no proxy, the client is the peer's address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceOptions {
    /// The format's name (see [`crate::formats::formats`]); `None` detects it per file.
    pub format: Option<String>,
    /// Peers whose forwarded-for header counts.
    pub trusted_proxies: Vec<IpNet>,
    /// Columns that identify a client, the first that is not NULL wins (see [`client_columns`]); empty: `client_ip`.
    pub client: Vec<String>,
    /// Whether `user` was authenticated by whoever wrote the log. nginx's `$remote_user` is not: it is whatever the
    /// client put into a Basic header.
    pub user_verified: bool,
    /// How far a line may lie behind the newest one of its file; `None`: the format's default.
    pub lateness: Option<Duration>,
}

/// The names allowed in [`SourceOptions::client`].
pub fn client_columns() -> &'static [&'static str] {
    &["client_ip", "user", "session"]
}
