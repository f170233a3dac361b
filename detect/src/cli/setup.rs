//! The arguments that most commands share: which rules run, and how.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::setup::{RuleFiles, Setup};

/// Which rules run, and how.
#[derive(Debug, Clone, Default, Args)]
pub struct RuleArgs {
    /// The config; without it, the shipped rules run with their own parameters
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// A folder of rules, or one rule's file, beside the shipped ones (repeatable)
    #[arg(long, value_name = "PATH")]
    pub rules: Vec<PathBuf>,
    /// Run only the rules with this id; globs as 'api1/*' (repeatable)
    #[arg(long, value_name = "ID")]
    pub only: Vec<String>,
}

impl RuleArgs {
    /// Reads everything.
    pub fn load(&self) -> Result<Setup> {
        Ok(self.files().load()?)
    }

    /// What to read, for reading it again.
    pub fn files(&self) -> RuleFiles {
        RuleFiles { config: self.config.clone(), rules: self.rules.clone(), only: self.only.clone() }
    }
}
