//! HTTP: one POST, bounded in time and in what is read of the reply.

use std::error::Error;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, redirect, retry, tls};

use crate::address;
use crate::destination::{Destination, DestinationError, Fault};
use crate::destinations::{Needs, Request};
use crate::signature::sign;

/// How much of a reply's body is read: enough to use the connection again after a short one.
const MAX_REPLY: usize = 4096;

/// How long sending may take.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// Until connected, TLS included.
    pub connect: Duration,
    /// Until the reply is read, from the start of the request.
    pub whole: Duration,
    /// For all that is due when the program ends.
    pub drain: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), whole: Duration::from_secs(15), drain: Duration::from_secs(10) }
    }
}

/// A destination's HTTP client.
#[derive(Debug)]
pub(crate) struct Transport {
    client: Client,
    destination: Destination,
    pub(crate) timeouts: Timeouts,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<String>,
    /// How the body begins.
    pub(crate) text: String,
}

impl Transport {
    pub(crate) fn new(destination: Destination, timeouts: Timeouts) -> Result<Self, DestinationError> {
        let mut builder = Client::builder()
            .user_agent(concat!("tripline/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(timeouts.connect)
            .timeout(timeouts.whole)
            .redirect(redirect::Policy::none())
            // A message is tried again by the outbox or not at all.
            .retry(retry::never())
            // A proxy would resolve names itself, past the check of addresses.
            .no_proxy()
            .referer(false)
            .min_tls_version(tls::Version::TLS_1_2)
            .https_only(!destination.allow_http)
            .dns_resolver(address::resolver(destination.network));
        for authority in &destination.authorities {
            builder = builder.add_root_certificate(authority.clone());
        }
        if let Some(identity) = &destination.identity {
            builder = builder.identity(identity.clone());
        }
        match builder.build() {
            Ok(client) => Ok(Self { client, destination, timeouts }),
            Err(e) => Err(DestinationError { name: destination.name, fault: Fault::Client(explain(&e.without_url())) }),
        }
    }

    pub(crate) fn destination(&self) -> &Destination {
        &self.destination
    }

    /// Posts a message. The error is what to tell the operator: no URL, nothing that the receiver wrote.
    pub(crate) async fn post(&self, id: &str, seconds: i64, request: Request) -> Result<Reply, String> {
        let mut post = self
            .client
            .post(self.destination.url.clone())
            .header(CONTENT_TYPE, request.content_type)
            .header("webhook-id", id)
            .header("webhook-timestamp", seconds);
        if let Some(mut value) = self.authorization() {
            value.set_sensitive(true);
            post = post.header(AUTHORIZATION, value);
        }
        if let Some(signature) = sign(&self.destination.secrets, id, seconds, &request.body) {
            post = post.header("webhook-signature", signature);
        }
        let response = post.body(request.body).send().await.map_err(|e| self.describe(e))?;
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok()).map(str::to_owned);
        // The status decides: a body that hangs or breaks off changes nothing.
        Ok(Reply { status: response.status().as_u16(), retry_after, text: begin(response).await })
    }

    /// The receiver's key, unless it stands in the body.
    fn authorization(&self) -> Option<HeaderValue> {
        let Destination { key, style, .. } = &self.destination;
        let key = key.as_ref().filter(|_| style.needs() != Needs::Key)?;
        HeaderValue::from_str(key.as_str()).ok()
    }

    /// What a receiver wrote, for whoever tries it out: a line, unless it repeats what is secret.
    pub(crate) fn shown(&self, reply: &Reply) -> Option<String> {
        let Destination { url, key, .. } = &self.destination;
        let parts = url.path_segments().into_iter().flatten().map(str::to_owned);
        let parts = parts.chain(url.query_pairs().map(|(_, value)| value.into_owned()));
        // (what is shorter is no secret)
        let secrets = parts.chain(key.iter().map(|key| key.as_str().to_owned())).filter(|text| text.len() >= 8);
        let line = reply.text.split_whitespace().collect::<Vec<_>>().join(" ");
        let fine = !line.is_empty() && !secrets.into_iter().any(|secret| line.contains(&secret));
        fine.then(|| line.chars().take(200).collect())
    }

    fn describe(&self, error: reqwest::Error) -> String {
        let error = error.without_url();
        if error.is_timeout() {
            let limit = if error.is_connect() { self.timeouts.connect } else { self.timeouts.whole };
            return format!("no answer within {limit:?}");
        }
        explain(&error)
    }
}

/// Reads the body to its end or [`MAX_REPLY`], whichever comes first.
async fn begin(mut response: Response) -> String {
    let mut read = Vec::new();
    while read.len() < MAX_REPLY {
        match response.chunk().await {
            Ok(Some(chunk)) => read.extend_from_slice(&chunk[..chunk.len().min(MAX_REPLY)]),
            Ok(None) | Err(_) => break,
        }
    }
    String::from_utf8_lossy(&read).into_owned()
}

/// What went wrong: "Connection refused", "certificate has expired". That it was in sending a request is known.
fn explain(error: &(dyn Error + 'static)) -> String {
    let mut causes = vec![error.to_string()];
    let mut error = error;
    while let Some(cause) = error.source() {
        causes.push(cause.to_string());
        error = cause;
    }
    causes.dedup();
    let says_nothing = |cause: &String| cause == "error sending request" || cause.starts_with("client error (");
    if !causes.iter().all(says_nothing) {
        causes.retain(|cause| !says_nothing(cause));
    }
    let text = causes.join(": ");
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}
