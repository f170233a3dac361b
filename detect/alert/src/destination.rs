//! One destination, read and checked: from what the config says to what the sender can rely on.
//!
//! Files and the environment are read here, once, and nowhere else in the crate. Errors and `Debug` show neither secrets nor
//! the path and query of a URL, which with many receivers are the secret.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use reqwest::{Certificate, Identity, Url};

use crate::address::Network;
use crate::alert::Alert;
pub use crate::destinations::Style;
use crate::destinations::template::{Template, TemplateError};
use crate::destinations::{Needs, Notification, Request, RequestError, UnknownStyle};
use crate::secret::{Key, Secret, SecretError};

/// The most bytes of a file with secrets or certificates.
const MAX_FILE: u64 = 1 << 20;

/// The most requests a minute that can be asked for: each is remembered for a minute.
const MAX_RATE: u32 = 100_000;

/// What the config says of a destination.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// What it is called in logs and in the outbox, and part of every `webhook-id`: renaming it makes it another.
    pub name: String,
    /// Where to post.
    pub url: String,
    /// A file with the URL instead, where it is a secret: Slack's, Discord's and Teams' are.
    pub url_file: Option<PathBuf>,
    /// An environment variable with it, instead.
    pub url_env: Option<String>,
    /// The payload's style, such as `native`.
    pub style: String,
    /// Whether `http://` will do.
    pub allow_http: bool,
    /// A file with the signing secrets.
    pub secret_file: Option<PathBuf>,
    /// An environment variable with them, instead.
    pub secret_env: Option<String>,
    /// A file with the receiver's key: for `PagerDuty` the routing key, else the value of the `Authorization` header.
    pub key_file: Option<PathBuf>,
    /// An environment variable with it, instead.
    pub key_env: Option<String>,
    /// For the style `template`: a JSON file, see [`crate::destinations::template`].
    pub template_file: Option<PathBuf>,
    /// `any`, or `public`: only addresses of the Internet are called. Empty: `any`.
    pub network: String,
    /// The most requests in any minute; `None`: no limit.
    pub per_minute: Option<u32>,
    /// A PEM file with the authorities that sign the receiver's certificate, beside the system's.
    pub ca_file: Option<PathBuf>,
    /// A PEM file with the certificate and the private key by which the receiver knows us.
    pub client_certificate_file: Option<PathBuf>,
}

/// A destination that can be sent to.
#[derive(Clone)]
pub struct Destination {
    /// See [`Settings::name`].
    pub name: String,
    /// Where to post. Treat it as a secret.
    pub url: Url,
    /// The payload's style.
    pub style: Style,
    /// Whether `http://` will do.
    pub allow_http: bool,
    /// What to sign with: every one of them signs. Empty: no signature.
    pub secrets: Vec<Secret>,
    /// The receiver's key. Treat it as a secret.
    pub(crate) key: Option<Key>,
    pub(crate) template: Option<Template>,
    pub(crate) network: Network,
    pub(crate) per_minute: Option<u32>,
    /// Authorities beside the system's.
    pub(crate) authorities: Vec<Certificate>,
    /// Our certificate and key.
    pub(crate) identity: Option<Identity>,
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Destination")
            .field("name", &self.name)
            .field("url", &format_args!("{}/***", self.url.origin().ascii_serialization()))
            .field("style", &self.style)
            .field("allow_http", &self.allow_http)
            .field("secrets", &self.secrets)
            .field("key", &self.key)
            .field("network", &self.network)
            .field("template", &self.template)
            .field("per_minute", &self.per_minute)
            .field("authorities", &self.authorities.len())
            .field("identity", &self.identity.as_ref().map(|_| "***"))
            .finish()
    }
}

/// What is wrong with a destination's settings.
#[derive(Debug, thiserror::Error)]
#[error("the destination {name:?}: {fault}")]
pub struct DestinationError {
    /// Which.
    pub name: String,
    /// What.
    pub fault: Fault,
}

/// What can be wrong with a destination's settings.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The name.
    #[error("a name has 1 to 64 letters, digits, '-', '_' or '.'")]
    Name,
    /// Two destinations have it.
    #[error("another destination has this name too; rename one of them")]
    Duplicate,
    /// The URL, without showing it.
    #[error("its url is not one ({0}); write it as https://host/path")]
    Url(String),
    /// Neither http nor https.
    #[error("its url begins with {0}:// but only https:// can be posted to")]
    Scheme(String),
    /// http.
    #[error("its url is http://, which anybody on the way can read; use https://, or set allow_http = true")]
    PlainHttp,
    /// `user:password@`.
    #[error("its url holds a user name or password; a secret does not belong in the config")]
    Credentials,
    /// An address that is never called.
    #[error("its url leads to {0}, {1}, which is never called")]
    Address(IpAddr, &'static str),
    /// The style.
    #[error(transparent)]
    Style(#[from] UnknownStyle),
    /// Two sources of a secret.
    #[error("it has more than one of {0}; keep one of them")]
    Several(&'static str),
    /// No URL.
    #[error("it has no url; set url, url_file or url_env")]
    NoUrl,
    /// The environment variable.
    #[error("the environment variable {0} (its {1}) is not set, or is not text")]
    Environment(String, &'static str),
    /// What its style needs.
    #[error("its style {0} needs {1}")]
    Missing(&'static str, &'static str),
    /// What its style does not take.
    #[error("its style {0} takes no template_file; only the style template does")]
    UnusedTemplate(&'static str),
    /// The key.
    #[error("the key in {0} is not one line of at most 4096 visible ASCII characters")]
    Key(String),
    /// The network.
    #[error("its network is {0:?}; there are: any, public")]
    Network(String),
    /// The rate.
    #[error("its per_minute is {0}; it is 1 to {MAX_RATE}, or left out")]
    Rate(u32),
    /// How its alerts are grouped.
    #[error("{0}")]
    Grouping(String),
    /// The template.
    #[error("its template {} {source}", path.display())]
    Template {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: TemplateError,
    },
    /// A file.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The secrets.
    #[error("the signing secret in {place}: {source}")]
    Secret {
        /// The file or the environment variable.
        place: String,
        /// What is wrong with it.
        source: SecretError,
    },
    /// A PEM file.
    #[error("{} does not hold {what} in PEM", path.display())]
    Pem {
        /// Which.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
    /// The HTTP client could not be made of it.
    #[error("no TLS client can be made with its certificates: {0}")]
    Client(String),
}

impl Destination {
    /// Checks the settings and reads what they name. `env` looks up an environment variable.
    pub fn new(settings: &Settings, env: impl Fn(&str) -> Option<String>) -> Result<Self, DestinationError> {
        Self::check(settings, env).map_err(|fault| DestinationError { name: settings.name.clone(), fault })
    }

    /// The request for states of alerts, at least one, that is sent at `sent_ms` (wall clock) under the webhook-id `id`.
    pub fn request(&self, alerts: &[Alert], id: &str, sent_ms: i64) -> Result<Request, RequestError> {
        self.style.request(&Notification {
            alert: alerts.first().ok_or(RequestError::Nothing)?,
            group: alerts,
            id,
            sent_ms,
            destination: &self.name,
            key: self.key.as_ref().map(Key::as_str),
            template: self.template.as_ref(),
        })
    }

    fn check(settings: &Settings, env: impl Fn(&str) -> Option<String>) -> Result<Self, Fault> {
        check_name(&settings.name)?;
        let style = settings.style.parse::<Style>()?;
        let network = settings.network.parse::<Network>().map_err(|()| Fault::Network(settings.network.clone()))?;
        let read = Reader { settings, env: &env };
        let destination = Self {
            name: settings.name.clone(),
            url: check_url(&read.url()?, settings.allow_http, network)?,
            style,
            allow_http: settings.allow_http,
            secrets: read.secrets()?,
            key: read.key()?,
            template: settings.template_file.as_deref().map(read_template).transpose()?,
            network,
            per_minute: match settings.per_minute {
                Some(rate) if !(1..=MAX_RATE).contains(&rate) => return Err(Fault::Rate(rate)),
                rate => rate,
            },
            authorities: settings.ca_file.as_deref().map(read_authorities).transpose()?.unwrap_or_default(),
            identity: settings.client_certificate_file.as_deref().map(read_identity).transpose()?,
        };
        match style.needs() {
            Needs::Key if destination.key.is_none() => Err(Fault::Missing(style.name(), "key_file or key_env")),
            Needs::Template if destination.template.is_none() => Err(Fault::Missing(style.name(), "template_file")),
            Needs::Key | Needs::Nothing if destination.template.is_some() => Err(Fault::UnusedTemplate(style.name())),
            _ => Ok(destination),
        }
    }
}

fn check_name(name: &str) -> Result<(), Fault> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if (1..=64).contains(&name.len()) && name.chars().all(allowed) { Ok(()) } else { Err(Fault::Name) }
}

fn check_url(text: &str, allow_http: bool, network: Network) -> Result<Url, Fault> {
    let url = Url::parse(text).map_err(|e| Fault::Url(e.to_string()))?;
    match url.scheme() {
        "https" => {}
        "http" if allow_http => {}
        "http" => return Err(Fault::PlainHttp),
        other => return Err(Fault::Scheme(other.to_owned())),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Fault::Credentials);
    }
    // The parser has turned every spelling of an address (hexadecimal, one number, mapped) into the plain one.
    let literal = url.host_str().and_then(|host| host.trim_matches(['[', ']']).parse::<IpAddr>().ok());
    match literal.and_then(|address| Some((address, network.refused(address)?))) {
        Some((address, why)) => Err(Fault::Address(address, why)),
        None => Ok(url),
    }
}

/// Reads what is never in the config itself.
struct Reader<'a, E> {
    settings: &'a Settings,
    env: &'a E,
}

impl<E: Fn(&str) -> Option<String>> Reader<'_, E> {
    fn url(&self) -> Result<String, Fault> {
        let Settings { url, url_file, url_env, .. } = self.settings;
        match self.text(url_file.as_deref(), url_env.as_deref(), ["url_file and url_env", "url_env"])? {
            Some(_) if !url.is_empty() => Err(Fault::Several("url, url_file and url_env")),
            Some((text, _)) => Ok(text.trim().to_owned()),
            None if url.is_empty() => Err(Fault::NoUrl),
            None => Ok(url.clone()),
        }
    }

    fn secrets(&self) -> Result<Vec<Secret>, Fault> {
        let Settings { secret_file, secret_env, .. } = self.settings;
        let words = ["secret_file and secret_env", "secret_env"];
        match self.text(secret_file.as_deref(), secret_env.as_deref(), words)? {
            Some((text, place)) => Secret::parse_all(&text).map_err(|source| Fault::Secret { place, source }),
            None => Ok(Vec::new()),
        }
    }

    fn key(&self) -> Result<Option<Key>, Fault> {
        let Settings { key_file, key_env, .. } = self.settings;
        let found = self.text(key_file.as_deref(), key_env.as_deref(), ["key_file and key_env", "key_env"])?;
        found.map(|(text, place)| Key::parse(&text).ok_or(Fault::Key(place))).transpose()
    }

    /// The text of a file or a variable, and where it was. `words`: what both are called, and the variable's key.
    fn text(
        &self,
        file: Option<&Path>,
        variable: Option<&str>,
        words: [&'static str; 2],
    ) -> Result<Option<(String, String)>, Fault> {
        match (file, variable) {
            (None, None) => Ok(None),
            (Some(_), Some(_)) => Err(Fault::Several(words[0])),
            // What is not text is no secret either; which is all that may be said of it.
            (Some(path), None) => {
                Ok(Some((String::from_utf8_lossy(&read(path)?).into_owned(), path.display().to_string())))
            }
            (None, Some(name)) => {
                let text = (self.env)(name).ok_or_else(|| Fault::Environment(name.to_owned(), words[1]))?;
                Ok(Some((text, name.to_owned())))
            }
        }
    }
}

fn read_template(path: &Path) -> Result<Template, Fault> {
    let text = String::from_utf8_lossy(&read(path)?).into_owned();
    Template::parse(&text).map_err(|source| Fault::Template { path: path.to_owned(), source })
}

fn read_authorities(path: &Path) -> Result<Vec<Certificate>, Fault> {
    let found = Certificate::from_pem_bundle(&read(path)?).unwrap_or_default();
    if found.is_empty() { Err(Fault::Pem { path: path.to_owned(), what: "certificates" }) } else { Ok(found) }
}

fn read_identity(path: &Path) -> Result<Identity, Fault> {
    Identity::from_pem(&read(path)?)
        .map_err(|_| Fault::Pem { path: path.to_owned(), what: "a certificate and its private key" })
}

fn read(path: &Path) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    let result = File::open(path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut bytes));
    result.map(|_| bytes).map_err(|source| Fault::File { path: path.to_owned(), source })
}
