//! Where a command finds the state that `tripline run` keeps, and how it writes what it found.

use std::io::{self, Write as _};
use std::path::PathBuf;

use anyhow::{Result, bail};
use comfy_table::{ContentArrangement, Table, presets};
use serde_json::json;

use super::output::PlainJson;
use crate::config::Config;

/// Arguments of commands that look at the state.
#[derive(Debug, clap::Args)]
pub struct StateArgs {
    /// The config
    #[arg(short, long, value_name = "FILE", default_value = "tripline.toml", global = true)]
    config: PathBuf,
    /// How to write it
    #[arg(long, value_enum, default_value_t, global = true)]
    pub format: Format,
}

/// How results are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Table,
    /// One object a line
    Json,
}

impl StateArgs {
    /// The config.
    pub fn config(&self) -> Result<Config> {
        Ok(Config::read(&self.config, std::env::vars())?)
    }

    /// The state directory that it names.
    pub fn dir(&self) -> Result<PathBuf> {
        match self.config()?.state.dir {
            Some(dir) => Ok(dir),
            None => bail!("{} has no [state] dir", self.config.display()),
        }
    }
}

/// A table for people.
pub(super) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header);
    table
}

/// One object a line; nothing in it steers a terminal.
pub(super) fn json_lines(records: &[impl serde::Serialize]) -> Result<()> {
    let mut out = PlainJson(io::stdout().lock());
    for record in records {
        out.write_all(format!("{}\n", json!(record)).as_bytes())?;
    }
    Ok(())
}
