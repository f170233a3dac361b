//! Signing secrets: read, checked, and never shown.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The lengths of a key that Standard Webhooks allows, bytes.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// The most secrets a destination signs with at once: the old one and the new one, with room to spare.
const MAX_SECRETS: usize = 4;

/// The key of an HMAC. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// What a receiver knows us by: a routing key, or the value of an `Authorization` header. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Key(String);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(***)")
    }
}

impl Key {
    /// One line that can stand in a header.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let fits = (1..=4096).contains(&text.len()) && text.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
        fits.then(|| Self(text.to_owned()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// What is wrong with a secret, without any of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Nothing there.
    #[error("it is empty; put a secret in it: whsec_ and 24 to 64 random bytes in base64")]
    Empty,
    /// No `whsec_`.
    #[error("secret {0} does not begin with whsec_; a secret is whsec_ and 24 to 64 random bytes in base64")]
    NoPrefix(usize),
    /// Not base64.
    #[error("secret {0} is not base64 after whsec_")]
    NotBase64(usize),
    /// Too short or too long.
    #[error("secret {0} has {1} bytes; 24 to 64 are allowed")]
    Length(usize, usize),
    /// Too many.
    #[error("there are {0} secrets; at most {MAX_SECRETS} can sign at once, delete those that no receiver needs")]
    TooMany(usize),
}

impl Secret {
    /// Reads the secrets in a text, divided by blanks or line ends; several during rotation. `whsec_` and base64 each.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, SecretError> {
        let words: Vec<_> = text.split_ascii_whitespace().collect();
        match words.len() {
            0 => Err(SecretError::Empty),
            n if n > MAX_SECRETS => Err(SecretError::TooMany(n)),
            _ => words.into_iter().enumerate().map(|(i, word)| Self::parse(i + 1, word)).collect(),
        }
    }

    fn parse(number: usize, word: &str) -> Result<Self, SecretError> {
        let encoded = word.strip_prefix("whsec_").ok_or(SecretError::NoPrefix(number))?;
        let key = STANDARD.decode(encoded).map_err(|_| SecretError::NotBase64(number))?;
        if KEY_BYTES.contains(&key.len()) { Ok(Self(key)) } else { Err(SecretError::Length(number, key.len())) }
    }

    pub(crate) fn key(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_which_and_why_but_not_what() {
        let good = format!("whsec_{}", STANDARD.encode([7; 32]));
        assert_eq!(Secret::parse_all(&format!("{good}\n{good}\n")).unwrap().len(), 2);
        assert_eq!(Secret::parse_all(" \n"), Err(SecretError::Empty));
        assert_eq!(Secret::parse_all(&format!("{good} canary")), Err(SecretError::NoPrefix(2)));
        assert_eq!(Secret::parse_all("whsec_!canary!"), Err(SecretError::NotBase64(1)));
        assert_eq!(Secret::parse_all(&format!("whsec_{}", STANDARD.encode([7; 23]))), Err(SecretError::Length(1, 23)));
        assert_eq!(Secret::parse_all(&format!("whsec_{}", STANDARD.encode([7; 65]))), Err(SecretError::Length(1, 65)));
        assert_eq!(Secret::parse_all(&vec![good; 5].join(" ")), Err(SecretError::TooMany(5)));
        assert_eq!(format!("{:?}", Secret(b"canary".to_vec())), "Secret(***)");
    }
}
