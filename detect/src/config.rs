//! `tripline.toml`: what the user configures. Read once, checked whole, unknown keys refused.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use tripline_ingest::SourceOptions;

use crate::destinations::{Alerts, Destination};
use crate::diagnostic::{Diagnostic, place_of_bytes};
use crate::layers::Layers;
use crate::lookups;
use crate::routes::{Apis, Route};
use crate::{budget, duration, enrichment, privacy, routes, size};

use source::Reading;
pub use source::{Arrival, Source, Start};

/// The whole file. Paths in it are relative to the folder it is in.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where `run` keeps what it must not forget.
    #[serde(default)]
    pub state: State,
    /// The requests that `run` keeps.
    #[serde(default)]
    pub history: History,
    /// How many false alerts there may be, of rules with a budget.
    #[serde(default)]
    pub budget: budget::Settings,
    /// How the rules run.
    #[serde(default)]
    pub engine: EngineLimits,
    /// Where `run` tells how it goes.
    #[serde(default)]
    pub metrics: Metrics,
    /// What to read.
    #[serde(default, rename = "source")]
    pub sources: Vec<Source>,
    /// What of the logs must not be kept.
    #[serde(default)]
    pub privacy: privacy::Settings,
    /// An OpenAPI 3 file, whose paths are templates for all sources.
    pub openapi: Option<PathBuf>,
    /// Templates of paths, and what they are worth.
    #[serde(default, rename = "route")]
    pub routes: Vec<Route>,
    /// Which rules, and their parameters.
    #[serde(default)]
    pub rules: Rules,
    /// Tables of the user's own that rules join.
    #[serde(default, rename = "lookup")]
    pub lookups: Vec<Lookup>,
    /// Lists of networks for `in_network`, by name.
    #[serde(default)]
    pub networks: BTreeMap<String, PathBuf>,
    /// Databases for `asn` and `country`.
    #[serde(default)]
    pub mmdb: enrichment::Databases,
    /// Of layers that log the same requests, which one counts.
    #[serde(default)]
    pub layers: Layers,
    /// Rows that rules must not see.
    #[serde(default, rename = "exception")]
    pub exceptions: Vec<Exception>,
    /// What is sent.
    #[serde(default)]
    pub alerts: Alerts,
    /// Where alerts go.
    #[serde(default, rename = "destination")]
    pub destinations: Vec<Destination>,
    /// The OpenAPI files that were named.
    #[serde(skip)]
    pub apis: Apis,
    /// For logs that belong to no source.
    #[serde(skip)]
    reading: Reading,
}

/// `[engine]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineLimits {
    /// State that all rules together may keep in memory, bytes. Above it the largest is given up, by name.
    #[serde(default = "memory", deserialize_with = "size::deserialize")]
    pub memory: u64,
}

fn memory() -> u64 {
    1 << 30
}

impl Default for EngineLimits {
    fn default() -> Self {
        Self { memory: memory() }
    }
}

impl EngineLimits {
    /// [`EngineLimits::memory`] as the engine takes it.
    pub fn memory_bytes(&self) -> usize {
        usize::try_from(self.memory).unwrap_or(usize::MAX)
    }
}

/// `[metrics]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// Address and port for `/metrics`, `/healthz` and `/readyz`; without it, nothing listens.
    #[serde(default, deserialize_with = "address")]
    pub listen: Option<SocketAddr>,
}

fn address<'de, D: Deserializer<'de>>(text: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(text)?;
    let wrong = || D::Error::custom(format!("{text:?} is not an address and a port, such as \"127.0.0.1:9464\""));
    text.parse().map(Some).map_err(|_| wrong())
}

/// `[state]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// A folder of its own, on a local disk.
    pub dir: Option<PathBuf>,
}

/// `[history]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct History {
    /// A folder of its own; without it no history is kept.
    pub dir: Option<PathBuf>,
    /// How long an hour of event time is kept, µs.
    #[serde(deserialize_with = "duration::deserialize_us")]
    pub keep: i64,
    /// Bytes that all files may take together; the oldest hours go first.
    #[serde(deserialize_with = "size::deserialize")]
    pub max_bytes: u64,
}

impl Default for History {
    fn default() -> Self {
        Self { dir: None, keep: 30 * 86_400_000_000, max_bytes: 50_000_000_000 }
    }
}

/// `[rules]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Folders of rules beside the shipped ones.
    #[serde(default)]
    pub dirs: Vec<PathBuf>,
    /// Ids, or globs of ids, that do not run.
    #[serde(default)]
    pub disable: Vec<String>,
    /// Parameters by rule.
    #[serde(default)]
    pub params: BTreeMap<String, BTreeMap<String, toml::Value>>,
}

/// `[[lookup]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lookup {
    /// How rules call it.
    pub name: String,
    /// A `.csv` file with a header, a `.jsonl` or a `.parquet` file.
    pub path: PathBuf,
}

/// `[[exception]]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exception {
    /// Ids or globs of ids.
    pub rules: Vec<String>,
    /// A condition over the columns of `requests`.
    #[serde(rename = "where")]
    pub condition: String,
    /// Who answers for it.
    pub owner: String,
    /// Why.
    pub reason: String,
    /// The first day on which it holds no more (UTC).
    pub expires: toml::value::Datetime,
}

impl Config {
    /// Reads a file. `env`: the process's environment, for `TRIPLINE__SECTION__KEY`.
    pub fn read(path: &Path, env: impl IntoIterator<Item = (String, String)>) -> Result<Self, Diagnostic> {
        let origin = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|e| {
            Diagnostic::new(&origin, "", None, format!("cannot read the config: {e}"))
                .with_help("name another file with -c, or create this one; the README has an example")
        })?;
        let mut config = Self::parse(&origin, &text, env)?;
        config.resolve(path.parent().unwrap_or(Path::new("")));
        config.read_files()?;
        Ok(config)
    }

    /// Reads a text.
    pub fn parse(
        origin: &str,
        text: &str,
        env: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Diagnostic> {
        let explain = |e: toml::de::Error| {
            let place = e.span().map(|s| place_of_bytes(text, s.start, s.end));
            Diagnostic::new(origin, text, place, e.message().trim_end()).with_help("the README describes the config")
        };
        // The text alone first: its errors have places.
        let config: Self = toml::from_str(text).map_err(explain)?;
        let mut overrides = env
            .into_iter()
            .filter_map(|(k, v)| Some((k.strip_prefix("TRIPLINE__")?.to_ascii_lowercase(), v)))
            .peekable();
        let config = if overrides.peek().is_some() {
            let mut table: toml::Table = toml::from_str(text).map_err(explain)?;
            for (key, value) in overrides {
                set(&mut table, &key, &value).map_err(|message| Diagnostic::new("environment", "", None, message))?;
            }
            table
                .try_into()
                .map_err(|e: toml::de::Error| Diagnostic::new("environment", "", None, e.message().trim_end()))?
        } else {
            config
        };
        config.check(origin, text)?;
        Ok(config)
    }

    fn check(&self, origin: &str, text: &str) -> Result<(), Diagnostic> {
        routes::check(&self.routes, origin, text)?;
        self.layers.check(&self.sources, origin, text)?;
        self.privacy.check(origin, text)?;
        for source in &self.sources {
            source.options().map_err(|(word, message)| Diagnostic::at_word(origin, text, &word, message))?;
            source.silent_after_us().map_err(|message| Diagnostic::at_word(origin, text, "silent_after", message))?;
            source.interval_us().map_err(|(word, message)| Diagnostic::at_word(origin, text, word, message))?;
        }
        for (i, lookup) in self.lookups.iter().enumerate() {
            let taken = || format!("two lookups are named {}", lookup.name);
            let is_taken = self.lookups[..i].iter().any(|l| l.name == lookup.name);
            lookups::check_name(&lookup.name).and_then(|()| if is_taken { Err(taken()) } else { Ok(()) }).map_err(
                |message| {
                    Diagnostic::at_word(origin, text, &lookup.name, message).with_help("give the lookup another name")
                },
            )?;
        }
        for (i, destination) in self.destinations.iter().enumerate() {
            if self.destinations[..i].iter().any(|d| d.name == destination.name) {
                return Err(Diagnostic::at_word(origin, text, &destination.name, "two destinations have this name")
                    .with_help("rename one of them"));
            }
        }
        for exception in &self.exceptions {
            if exception.expires.date.is_none() {
                return Err(Diagnostic::at_word(origin, text, "expires", "an exception expires on a day")
                    .with_help("write expires = 2027-03-01"));
            }
        }
        Ok(())
    }

    /// Reads the files that say how logs are read.
    fn read_files(&mut self) -> Result<(), Diagnostic> {
        let apis = Apis::read(self)?;
        let scrubbing = self.privacy.read()?;
        let readings: Vec<Reading> = self
            .sources
            .iter()
            .map(|source| Reading {
                templates: apis.templates(self, source.openapi.as_deref(), &source.object_params),
                scrubbing: scrubbing.clone(),
                layer: self.layers.of(source.layer.as_deref()),
            })
            .collect();
        for (source, reading) in self.sources.iter_mut().zip(readings) {
            source.reading = reading;
        }
        self.reading = Reading { templates: apis.templates(self, None, &[]), scrubbing, layer: None };
        self.apis = apis;
        Ok(())
    }

    /// What stands for the source of a file: its `path`, or where no source names the file, the file's folder.
    pub fn source_of(&self, file: &Path) -> String {
        let source = self.sources.iter().find(|source| file.starts_with(&source.path)).map(|source| &*source.path);
        source.or(file.parent()).unwrap_or(file).display().to_string()
    }

    /// How to read what is at `path`: as the source that is, or holds it, says. Err: what is wrong with that source.
    pub fn options_for(&self, path: &str) -> Result<SourceOptions, String> {
        match self.sources.iter().find(|source| Path::new(path).starts_with(&source.path)) {
            Some(source) => source.options().map_err(|(_, message)| message),
            None => Ok(self.reading.add_to(SourceOptions::default())),
        }
    }

    fn resolve(&mut self, folder: &Path) {
        let resolve = |path: &mut PathBuf| *path = folder.join(&*path);
        self.state.dir.iter_mut().chain(&mut self.history.dir).chain(&mut self.privacy.key_file).for_each(resolve);
        self.sources.iter_mut().map(|s| &mut s.path).for_each(resolve);
        self.openapi.iter_mut().chain(self.sources.iter_mut().filter_map(|s| s.openapi.as_mut())).for_each(resolve);
        self.rules.dirs.iter_mut().for_each(resolve);
        self.networks.values_mut().for_each(resolve);
        self.mmdb.asn.iter_mut().chain(&mut self.mmdb.country).for_each(resolve);
        self.lookups.iter_mut().map(|l| &mut l.path).for_each(resolve);
        for d in &mut self.destinations {
            [
                &mut d.secret_file,
                &mut d.url_file,
                &mut d.key_file,
                &mut d.template_file,
                &mut d.ca_file,
                &mut d.client_certificate_file,
            ]
            .into_iter()
            .flatten()
            .for_each(resolve);
        }
    }
}

/// `state__dir` = `/x` sets `dir` in the table `state`.
fn set(table: &mut toml::Table, key: &str, value: &str) -> Result<(), String> {
    let wrong = || format!("TRIPLINE__{} does not name a key of the config", key.to_ascii_uppercase());
    let (sections, key_name) = key.rsplit_once("__").map_or((None, key), |(s, k)| (Some(s), k));
    let mut inner = table;
    for section in sections.into_iter().flat_map(|s| s.split("__")) {
        inner = inner.entry(section).or_insert_with(|| toml::Table::new().into()).as_table_mut().ok_or_else(wrong)?;
    }
    // A number, boolean or list if it reads as one, else text.
    let typed = toml::from_str::<toml::Table>(&format!("v = {value}")).ok().and_then(|mut t| t.remove("v"));
    inner.insert(key_name.into(), typed.unwrap_or_else(|| toml::Value::String(value.to_owned())));
    Ok(())
}

mod source;
#[cfg(test)]
mod tests;
