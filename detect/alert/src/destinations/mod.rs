//! Payload styles: one file each, a pure function from a [`Notification`] to a [`Request`].
//!
//! A new style is a file here and its line in [`STYLES`]. It escapes log text for where the text ends up, and never takes a URL
//! or a header from it.

mod alertmanager;
mod alertmanager_webhook;
mod cloudevents;
mod discord;
mod ecs;
mod native;
mod ocsf;
mod pagerduty;
mod slack;
mod teams;
pub mod template;
mod text;

#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use crate::alert::Alert;
pub use native::SCHEMA;
use template::Template;
use text::Digest;

/// The most that any request's body has, bytes: see `delivery`'s cap.
const MAX_BODY: usize = 64 * 1024;

/// All styles.
const STYLES: &[Description] = &[
    native::STYLE,
    cloudevents::STYLE,
    ocsf::STYLE,
    ecs::STYLE,
    alertmanager::STYLE,
    alertmanager_webhook::STYLE,
    slack::STYLE,
    discord::STYLE,
    teams::STYLE,
    pagerduty::STYLE,
    template::STYLE,
];

/// What a style is.
#[derive(Debug)]
struct Description {
    /// As the config says it.
    name: &'static str,
    /// What a destination must have for it.
    needs: Needs,
    /// The most bytes that the receiver takes, as its documentation says; less is left out of an alert until it fits.
    max_body: usize,
    build: fn(&Notification<'_>) -> serde_json::Result<Request>,
    /// For several alerts in one message, where people read them; else each is a message of its own.
    digest: Option<fn(&Digest) -> serde_json::Result<Request>>,
}

/// What a destination must have for its style.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    Nothing,
    /// A key that stands in the body.
    Key,
    Template,
}

/// How a destination wants its payload.
#[derive(Clone, Copy)]
pub struct Style(&'static Description);

impl fmt::Debug for Style {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name)
    }
}

impl PartialEq for Style {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for Style {}

/// A word that names no style.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a style; there are: {list}", list = Style::names().collect::<Vec<_>>().join(", "))]
pub struct UnknownStyle(String);

impl FromStr for Style {
    type Err = UnknownStyle;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let known = STYLES.iter().find(|style| style.name == word);
        known.map(Self).ok_or_else(|| UnknownStyle(word.to_owned()))
    }
}

/// All that a request is made of.
#[derive(Debug, Clone, Copy)]
pub struct Notification<'a> {
    /// The state of the alert.
    pub alert: &'a Alert,
    /// All that go with it, itself included, where several go in one message.
    pub group: &'a [Alert],
    /// The `webhook-id`.
    pub id: &'a str,
    /// When it is sent: wall clock, ms since 1970. Only a style that must say until when it holds looks at it.
    pub sent_ms: i64,
    /// The destination's name.
    pub destination: &'a str,
    /// The receiver's key, for styles that have it in the body.
    pub key: Option<&'a str>,
    /// For the style `template`.
    pub template: Option<&'a Template>,
}

/// What is posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The `content-type` header.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
}

impl Request {
    fn json(body: &impl serde::Serialize) -> serde_json::Result<Self> {
        Ok(Self { content_type: "application/json", body: crate::json::to_string(body)? })
    }
}

/// Why there is no request.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// It cannot be written as JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// No alert.
    #[error("the message holds no alert")]
    Nothing,
    /// It is for a style that takes several.
    #[error("the style {0} takes one alert a message; restart tripline run after the style has changed")]
    Several(&'static str),
    /// It is too large even without evidence and values.
    #[error("the request would have {0} bytes, more than the {1} that the receiver takes")]
    TooLarge(usize, usize),
}

impl Style {
    /// The names of all styles.
    pub fn names() -> impl Iterator<Item = &'static str> {
        STYLES.iter().map(|style| style.name)
    }

    /// Its name in the config.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// Whether several alerts can go in one message.
    pub fn takes_several(self) -> bool {
        self.0.digest.is_some()
    }

    pub(crate) fn needs(self) -> Needs {
        self.0.needs
    }

    /// The request for a notification. Where it would be larger than the receiver takes, the alert is cut further, and says so.
    pub fn request(self, notification: &Notification<'_>) -> Result<Request, RequestError> {
        if notification.group.len() > 1 {
            let digest = self.0.digest.ok_or(RequestError::Several(self.name()))?;
            return Ok(digest(&Digest::new(notification.group))?);
        }
        let mut request = (self.0.build)(notification)?;
        for longest in [1024, 256, 64, 0] {
            if request.body.len() <= self.0.max_body {
                return Ok(request);
            }
            let alert = notification.alert.cut(longest);
            request = (self.0.build)(&Notification { alert: &alert, ..*notification })?;
        }
        match request.body.len() {
            n if n <= self.0.max_body => Ok(request),
            n => Err(RequestError::TooLarge(n, self.0.max_body)),
        }
    }
}
