//! Lookup tables: files of the user's own that rules can join, such as partners, allow-lists or owners of accounts.
//!
//! A lookup is read whole when the program starts (or its rules are loaded anew) and does not change while an engine lives:
//! a window is never computed with two contents of a table. What of a rule's state depends on a lookup's content is in
//! the fingerprint of the rule's plan, so that a restart with another content does not mix the two.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::Result;
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::keywords::{RESERVED_FOR_COLUMN_ALIAS, RESERVED_FOR_TABLE_ALIAS};
use datafusion::sql::sqlparser::tokenizer::Token;

use crate::config::{self, Config};
use crate::diagnostic::Diagnostic;
use crate::enrichment::Enrichment;
use crate::routes;
use crate::rules::Rule;

mod read;

pub use read::{MAX_FILE, MAX_MEMORY};

/// One lookup table.
#[derive(Debug, Clone)]
pub struct Lookup {
    /// The file.
    pub path: PathBuf,
    /// All of its rows. Text is `Utf8View`, times are UTC; columns without NULLs are not nullable.
    pub rows: RecordBatch,
}

/// All lookup tables, by the names under which rules join them, and what functions look up. The table of the config's routes is always
/// among them.
#[derive(Debug, Clone)]
pub struct Lookups {
    tables: BTreeMap<String, Lookup>,
    enrichment: Arc<Enrichment>,
}

impl Default for Lookups {
    fn default() -> Self {
        Self { tables: [of_routes(&Config::default())].into(), enrichment: Arc::default() }
    }
}

fn of_routes(config: &Config) -> (String, Lookup) {
    let rows = routes::table(config, &config.apis);
    (routes::TABLE.to_owned(), Lookup { path: PathBuf::from("[[route]]"), rows })
}

impl Lookups {
    /// Reads the config's lookups, and makes one of its routes. Those that cannot be read are problems; a rule that joins one of
    /// them will not run.
    pub fn read(config: &Config) -> (Self, Vec<Diagnostic>) {
        let (enrichment, mut problems) = Enrichment::read(config);
        let mut lookups = Self { tables: [of_routes(config)].into(), enrichment: Arc::new(enrichment) };
        for lookup in &config.lookups {
            problems.extend(lookups.add(&lookup.name, &lookup.path).err());
        }
        (lookups, problems)
    }

    /// Adds the lookups in a folder, each named as its file without the extension; they replace those of the same name.
    pub fn read_folder(&mut self, folder: &Path) -> std::result::Result<(), Diagnostic> {
        for file in tripline_ingest::discover(&folder.display().to_string()).files {
            let name = file.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
            // (a rule's test may say what its routes are)
            if name != routes::TABLE {
                check_name(&name).map_err(|message| {
                    Diagnostic::new(&file.display().to_string(), "", None, message).with_help("rename the file")
                })?;
            }
            self.add(&name, &file)?;
        }
        Ok(())
    }

    fn add(&mut self, name: &str, path: &Path) -> std::result::Result<(), Diagnostic> {
        let rows = read::read(path)?;
        self.tables.insert(name.to_owned(), Lookup { path: path.to_owned(), rows });
        Ok(())
    }

    /// Adds those of `config` that are missing here from `old`.
    pub fn fill_from(&mut self, old: &Self, config: &[config::Lookup]) {
        if self.enrichment.is_incomplete() {
            self.enrichment = Arc::clone(&old.enrichment);
        }
        for lookup in config.iter().filter(|l| !self.tables.contains_key(&l.name)).collect::<Vec<_>>() {
            if let Some(table) = old.tables.get(&lookup.name) {
                self.tables.insert(lookup.name.clone(), table.clone());
            }
        }
    }

    /// Names of the tables that are others in `new`, or missing here or there.
    pub fn differing(&self, new: &Self) -> Vec<String> {
        let names: std::collections::BTreeSet<&String> = self.tables.keys().chain(new.tables.keys()).collect();
        let rows = |lookups: &Self, name: &String| lookups.tables.get(name).map(|l| l.rows.clone());
        let mut names: Vec<String> =
            names.into_iter().filter(|name| rows(self, name) != rows(new, name)).cloned().collect();
        if self.enrichment != new.enrichment {
            names.push("[networks] or [mmdb]".to_owned());
        }
        names
    }

    /// What `rule` waits for, for people: the first of its tables that the user has not configured, or that is another of the same name.
    pub fn awaited(&self, rule: &Rule) -> Option<String> {
        rule.header.lookups.iter().find_map(|(name, columns)| {
            let Some(lookup) = self.tables.get(name) else {
                return Some(format!("for a [[lookup]] named {name} with the columns {}", columns.join(", ")));
            };
            let missing = columns.iter().find(|column| lookup.rows.schema().index_of(column).is_err())?;
            Some(format!("for a column {missing} in the lookup {name} (it needs {})", columns.join(", ")))
        })
    }

    /// What functions look up.
    pub fn enrichment(&self) -> &Arc<Enrichment> {
        &self.enrichment
    }

    /// The tables with their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Lookup)> {
        self.tables.iter().map(|(name, lookup)| (name.as_str(), lookup))
    }

    /// Makes them tables of a session.
    pub fn register(&self, context: &SessionContext) -> Result<()> {
        for (name, lookup) in &self.tables {
            let table = MemTable::try_new(lookup.rows.schema(), vec![vec![lookup.rows.clone()]])?;
            context.register_table(name.as_str(), Arc::new(table))?;
        }
        Ok(())
    }
}

impl Lookup {
    /// Its columns for a person: `client text, tier number`.
    pub fn describe(&self) -> String {
        let mut text = String::new();
        for field in self.rows.schema().fields() {
            let kind = match field.data_type() {
                t if t.is_string() => "text",
                t if t.is_numeric() => "number",
                t if t.is_temporal() => "time",
                _ => "boolean",
            };
            let _ = write!(text, "{}{} {kind}", if text.is_empty() { "" } else { ", " }, field.name());
        }
        text
    }
}

/// Why a lookup cannot have this name, if it cannot. Baselines' names are compared when the rules are known.
pub fn check_name(name: &str) -> std::result::Result<(), String> {
    let is_plain = name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if !is_plain {
        return Err(format!(
            "{name:?} is not a table's name: a lookup's has lower-case letters, digits and _, and begins with a letter"
        ));
    }
    if ["requests", "hop", "tumble", routes::TABLE].contains(&name) {
        return Err(format!("{name} is built in: a lookup needs another name"));
    }
    let Token::Word(word) = Token::make_word(name, None) else { return Ok(()) };
    if RESERVED_FOR_TABLE_ALIAS.contains(&word.keyword) || RESERVED_FOR_COLUMN_ALIAS.contains(&word.keyword) {
        return Err(format!("{name} is a word of SQL: a lookup needs another name"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check_name;

    #[test]
    fn names_are_those_of_tables() {
        for good in ["partners", "asn_v4", "allow2"] {
            assert_eq!(check_name(good), Ok(()));
        }
        for bad in ["", "requests", "hop", "tumble", "Partners", "2nd", "a-b", "__x", "select", "where", "a b", "ä"] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
