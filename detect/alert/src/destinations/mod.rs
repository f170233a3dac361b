//! Payload styles: one file each, a pure function from an alert to the body of a request.
//!
//! A new style is a file here, a variant of [`Style`], and its line in the two matches below. It escapes log text for where the
//! text ends up, and never takes a URL or a header from it.

mod native;

use std::str::FromStr;

use crate::alert::Alert;

/// How a destination wants its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Tripline's own: `{type, timestamp, data}`, as Standard Webhooks suggests.
    Native,
}

/// A word that names no style.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a style; there is: native")]
pub struct UnknownStyle(String);

impl FromStr for Style {
    type Err = UnknownStyle;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "native" => Ok(Self::Native),
            _ => Err(UnknownStyle(word.to_owned())),
        }
    }
}

/// What is posted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The `content-type` header.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
}

impl Style {
    /// The request for a state of an alert.
    pub fn request(self, alert: &Alert) -> serde_json::Result<Request> {
        match self {
            Self::Native => native::request(alert),
        }
    }
}
