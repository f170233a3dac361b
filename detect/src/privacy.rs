//! `[privacy]`: what of the logs must not be kept.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use tripline_ingest::Privacy;

use crate::diagnostic::Diagnostic;

/// Bytes that a key has at least.
const KEY: usize = 16;

/// `[privacy]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Whether tokens, keys, passwords and cookies are replaced; with a key, also session ids and e-mail addresses.
    pub secrets: bool,
    /// Query parameters and JSON keys whose values are replaced besides.
    pub params: Vec<String>,
    /// Holds the key of the hash that replaces values; without it, they become `***`.
    pub key_file: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { secrets: true, params: Vec::new(), key_file: None }
    }
}

/// What takes values out of lines. The default: what [`Settings::default`] asks for.
#[derive(Debug, Clone)]
pub struct Scrubbing(pub Option<Arc<Privacy>>);

impl Default for Scrubbing {
    fn default() -> Self {
        Self(Settings::default().privacy(None).ok().flatten())
    }
}

impl Settings {
    /// What is wrong with them, as far as the config alone says it.
    pub fn check(&self, origin: &str, text: &str) -> Result<(), Diagnostic> {
        self.privacy(None).map(drop).map_err(|why| {
            let name = self.params.iter().find(|name| why.contains(&format!("{name:?}")));
            Diagnostic::at_word(origin, text, name.map_or("params", String::as_str), why)
        })
    }

    /// Reads the key.
    pub fn read(&self) -> Result<Scrubbing, Diagnostic> {
        let key = self.key_file.as_deref().map(read_key).transpose()?;
        let wrong = |why: String| Diagnostic::new("config", "", None, why);
        self.privacy(key.as_deref()).map(Scrubbing).map_err(wrong)
    }

    fn privacy(&self, key: Option<&[u8]>) -> Result<Option<Arc<Privacy>>, String> {
        if !self.secrets && self.params.is_empty() {
            return Ok(None);
        }
        Privacy::new(self.secrets, &self.params, key).map(|privacy| Some(Arc::new(privacy)))
    }
}

fn read_key(path: &Path) -> Result<Vec<u8>, Diagnostic> {
    let problem = |message: String| {
        Diagnostic::new(&path.display().to_string(), "", None, message)
            .with_help("make one with `openssl rand -hex 32`, readable for Tripline alone, and keep it: another key gives other values")
    };
    let key = std::fs::read(path).map_err(|e| problem(format!("the key of [privacy] cannot be read: {e}")))?;
    let key = key.trim_ascii();
    if key.len() < KEY {
        return Err(problem(format!("the key of [privacy] has {} bytes; it needs {KEY}", key.len())));
    }
    Ok(key.to_vec())
}
