//! `tripline.toml`: what the user configures. Read once, checked whole, unknown keys refused.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use tripline_ingest::SourceOptions;

use crate::destinations::{Alerts, Destination};
use crate::diagnostic::{Diagnostic, place_of_bytes};
use crate::lookups;
use crate::{duration, size};

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
    /// How the rules run.
    #[serde(default)]
    pub engine: EngineLimits,
    /// Where `run` tells how it goes.
    #[serde(default)]
    pub metrics: Metrics,
    /// What to read.
    #[serde(default, rename = "source")]
    pub sources: Vec<Source>,
    /// Which rules, and their parameters.
    #[serde(default)]
    pub rules: Rules,
    /// Tables of the user's own that rules join.
    #[serde(default, rename = "lookup")]
    pub lookups: Vec<Lookup>,
    /// Rows that rules must not see.
    #[serde(default, rename = "exception")]
    pub exceptions: Vec<Exception>,
    /// What is sent.
    #[serde(default)]
    pub alerts: Alerts,
    /// Where alerts go.
    #[serde(default, rename = "destination")]
    pub destinations: Vec<Destination>,
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

/// `[[source]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Directory (recursive), file or glob.
    pub path: PathBuf,
    /// A format's name, or `auto`.
    #[serde(default = "auto")]
    pub format: String,
    /// Instead of a format: the string that makes the server write its lines, from its config.
    pub log_format: Option<String>,
    /// Instead of a format: the keys of JSON lines, by what they mean.
    #[serde(default)]
    pub fields: BTreeMap<String, String>,
    /// Networks whose forwarded-for headers are believed.
    #[serde(default)]
    pub trusted_proxies: Vec<ipnet::IpNet>,
    /// Columns that identify a client, the first that is not NULL counts.
    #[serde(default)]
    pub client: Vec<String>,
    /// Whether the format's user is authenticated by the server.
    #[serde(default)]
    pub user_verified: bool,
    /// How late lines may come within a file, such as `30s`; the format's own default otherwise.
    pub lateness: Option<String>,
    /// How long it may write nothing before that is an alert, such as `15m`; `off`: for ever.
    #[serde(default = "silent_after")]
    pub silent_after: String,
}

fn silent_after() -> String {
    "15m".into()
}

fn auto() -> String {
    "auto".into()
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
        for source in &self.sources {
            source.options().map_err(|(word, message)| Diagnostic::at_word(origin, text, &word, message))?;
            source.silent_after_us().map_err(|message| Diagnostic::at_word(origin, text, "silent_after", message))?;
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

    fn resolve(&mut self, folder: &Path) {
        let resolve = |path: &mut PathBuf| *path = folder.join(&*path);
        self.state.dir.iter_mut().chain(&mut self.history.dir).for_each(resolve);
        self.sources.iter_mut().map(|s| &mut s.path).for_each(resolve);
        self.rules.dirs.iter_mut().for_each(resolve);
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

impl Source {
    /// How long it may be silent, µs; `None`: for ever.
    pub fn silent_after_us(&self) -> Result<Option<i64>, String> {
        match self.silent_after.as_str() {
            "off" => Ok(None),
            text => match duration::parse_us(text)? {
                us if us >= 1_000_000 => Ok(Some(us)),
                _ => Err("silent_after is at least \"1s\", or \"off\"".into()),
            },
        }
    }

    /// What ingest must know. The error is the word to point at, and what is wrong.
    pub fn options(&self) -> Result<SourceOptions, (String, String)> {
        let format = (self.format != "auto").then(|| self.format.clone());
        let described = SourceOptions {
            format,
            log_format: self.log_format.clone(),
            fields: self.fields.clone(),
            ..SourceOptions::default()
        };
        let key = match (&self.log_format, self.fields.is_empty()) {
            (Some(_), _) => "log_format",
            (None, false) => "fields",
            (None, true) => &self.format,
        };
        described.check_format().map_err(|why| (key.to_owned(), why))?;
        let allowed = tripline_ingest::client_columns();
        if let Some(column) = self.client.iter().find(|c| !allowed.contains(&c.as_str())) {
            return Err((
                column.clone(),
                format!("{column:?} cannot identify a client; these can: {}", allowed.join(", ")),
            ));
        }
        let lateness =
            self.lateness.as_deref().map(duration::parse_us).transpose().map_err(|e| ("lateness".to_owned(), e))?;
        Ok(SourceOptions {
            trusted_proxies: self.trusted_proxies.clone(),
            client: self.client.clone(),
            user_verified: self.user_verified,
            lateness: lateness.map(|us| std::time::Duration::from_micros(us.unsigned_abs())),
            ..described
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, env: &[(&str, &str)]) -> Result<Config, Diagnostic> {
        Config::parse("tripline.toml", text, env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())))
    }

    #[test]
    fn a_misspelt_key_is_pointed_at() {
        let error = parse("[state]\ndirr = \"x\"\n", &[]).unwrap_err().to_string();
        assert!(error.contains("tripline.toml:2:1") && error.contains("dirr"), "{error}");
    }

    #[test]
    fn the_environment_overrides() {
        let config = parse("[state]\ndir = \"a\"\n", &[("TRIPLINE__STATE__DIR", "b"), ("HOME", "x")]).unwrap();
        assert_eq!(config.state.dir, Some(PathBuf::from("b")));
        assert!(parse("", &[("TRIPLINE__STATE__DIRR", "b")]).is_err());
    }

    #[test]
    fn names_of_lookups_are_checked() {
        let lookup = |name: &str| format!("[[lookup]]\nname = \"{name}\"\npath = \"a.csv\"\n");
        assert_eq!(parse(&lookup("partners"), &[]).unwrap().lookups[0].name, "partners");
        for (text, part) in [
            (lookup("requests"), "built in"),
            (lookup("Partners"), "lower-case"),
            (lookup("order"), "word of SQL"),
            (lookup("a") + &lookup("a"), "two lookups are named a"),
        ] {
            let error = parse(&text, &[]).unwrap_err().to_string();
            assert!(
                error.contains(part) && error.contains("tripline.toml:") && error.contains("another name"),
                "{error}"
            );
        }
    }

    #[test]
    fn metrics_are_off_or_at_an_address() {
        assert_eq!(parse("", &[]).unwrap().metrics.listen, None);
        let listen = |text: &str| parse(&format!("[metrics]\nlisten = \"{text}\"\n"), &[]);
        assert_eq!(listen("[::1]:9464").unwrap().metrics.listen.unwrap().port(), 9464);
        for bad in [":9464", "localhost", "127.0.0.1"] {
            let error = listen(bad).unwrap_err().to_string();
            assert!(error.contains("tripline.toml:2:10") && error.contains("127.0.0.1:9464"), "{error}");
        }
    }

    #[test]
    fn silence_is_a_duration_or_off() {
        let after = |text: &str| parse(&format!("[[source]]\npath = \"x\"\nsilent_after = \"{text}\"\n"), &[]);
        assert_eq!(after("off").unwrap().sources[0].silent_after_us(), Ok(None));
        assert_eq!(after("2h").unwrap().sources[0].silent_after_us(), Ok(Some(7_200_000_000)));
        for bad in ["soon", "0s", ""] {
            let error = after(bad).unwrap_err().to_string();
            assert!(error.contains("tripline.toml:3:1"), "{error}");
        }
    }

    #[test]
    fn history_is_bounded_in_age_and_size() {
        let config = parse("[history]\ndir = \"h\"\n", &[]).unwrap().history;
        assert_eq!((config.keep, config.max_bytes), (30 * 86_400_000_000, 50_000_000_000));
        let env = [("TRIPLINE__HISTORY__MAX_BYTES", "2 GiB"), ("TRIPLINE__HISTORY__KEEP", "12h")];
        let config = parse("", &env).unwrap().history;
        assert_eq!((config.dir, config.keep, config.max_bytes), (None, 43_200_000_000, 2 << 30));
        for wrong in ["keep = \"long\"", "max_bytes = \"much\"", "max_bites = 1"] {
            let error = parse(&format!("[history]\n{wrong}\n"), &[]).unwrap_err().to_string();
            assert!(error.contains("tripline.toml:2:"), "{error}");
        }
    }

    #[test]
    fn unknown_formats_and_columns_are_named() {
        let error = parse("[[source]]\npath = \"x\"\nformat = \"nginxx\"\n", &[]).unwrap_err().to_string();
        assert!(error.contains("nginxx") && error.contains("combined"), "{error}");
        for (text, part) in [
            ("log_format = '$remote_addr $request'", "it has no time"),
            ("fields = { ts = \"t\", url = \"u\", ip = \"i\" }", "`ip` is not among"),
            ("format = \"main\"\nlog_format = '%t %r'", "leave out format"),
        ] {
            let error = parse(&format!("[[source]]\npath = \"x\"\n{text}\n"), &[]).unwrap_err().to_string();
            assert!(error.contains(part) && error.contains("tripline.toml:"), "{error}");
        }
        assert!(parse("[[source]]\npath = \"x\"\nlog_format = '%h %t \"%r\"'\n", &[]).is_ok());
        assert!(parse("[[source]]\npath = \"x\"\nclient = [\"sesion\"]\n", &[]).is_err());
        assert!(parse("[[source]]\npath = \"x\"\nlateness = \"soon\"\n", &[]).is_err());
    }
}
