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

use crate::address;
pub use crate::destinations::Style;
use crate::destinations::UnknownStyle;
use crate::secret::{Secret, SecretError};

/// The most bytes of a file with secrets or certificates.
const MAX_FILE: u64 = 1 << 20;

/// What the config says of a destination.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// What it is called in logs and in the outbox, and part of every `webhook-id`: renaming it makes it another.
    pub name: String,
    /// Where to post.
    pub url: String,
    /// The payload's style, such as `native`.
    pub style: String,
    /// Whether `http://` will do.
    pub allow_http: bool,
    /// A file with the signing secrets.
    pub secret_file: Option<PathBuf>,
    /// An environment variable with them, instead.
    pub secret_env: Option<String>,
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
    /// Two sources of secrets.
    #[error("it has both secret_file and secret_env; keep one of them")]
    TwoSecrets,
    /// The environment variable.
    #[error("the environment variable {0} (its secret_env) is not set, or is not text")]
    Environment(String),
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

    fn check(settings: &Settings, env: impl Fn(&str) -> Option<String>) -> Result<Self, Fault> {
        check_name(&settings.name)?;
        Ok(Self {
            name: settings.name.clone(),
            url: check_url(&settings.url, settings.allow_http)?,
            style: settings.style.parse::<Style>()?,
            allow_http: settings.allow_http,
            secrets: read_secrets(settings, env)?,
            authorities: settings.ca_file.as_deref().map(read_authorities).transpose()?.unwrap_or_default(),
            identity: settings.client_certificate_file.as_deref().map(read_identity).transpose()?,
        })
    }
}

fn check_name(name: &str) -> Result<(), Fault> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if (1..=64).contains(&name.len()) && name.chars().all(allowed) { Ok(()) } else { Err(Fault::Name) }
}

fn check_url(text: &str, allow_http: bool) -> Result<Url, Fault> {
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
    match literal.and_then(|address| Some((address, address::refused(address)?))) {
        Some((address, why)) => Err(Fault::Address(address, why)),
        None => Ok(url),
    }
}

fn read_secrets(settings: &Settings, env: impl Fn(&str) -> Option<String>) -> Result<Vec<Secret>, Fault> {
    let (text, place) = match (&settings.secret_file, &settings.secret_env) {
        (None, None) => return Ok(Vec::new()),
        (Some(_), Some(_)) => return Err(Fault::TwoSecrets),
        (Some(path), None) => {
            let bytes = read(path)?;
            // What is not text is no secret either; which is all that may be said of it.
            (String::from_utf8_lossy(&bytes).into_owned(), path.display().to_string())
        }
        (None, Some(name)) => (env(name).ok_or_else(|| Fault::Environment(name.clone()))?, name.clone()),
    };
    Secret::parse_all(&text).map_err(|source| Fault::Secret { place, source })
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
