//! Where a command finds the state that `tripline run` keeps, and how it writes what it found.

use std::path::PathBuf;

use anyhow::{Result, bail};

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
