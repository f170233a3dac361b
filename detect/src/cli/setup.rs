//! What most commands begin with: the config, the rules, the exceptions.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;

use crate::config::Config;
use crate::diagnostic::Diagnostic;
use crate::exceptions::{Exceptions, matches};
use crate::rules::{Loaded, Rule};

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

/// Config, rules and exceptions, read and checked.
#[derive(Debug)]
pub struct Setup {
    /// The config, or an empty one.
    pub config: Config,
    /// The rules that are to run, with their parameters.
    pub rules: Vec<Rule>,
    /// Which rows they must not see.
    pub exceptions: Exceptions,
    /// What was wrong with some of the rules, ready to print.
    pub problems: Vec<String>,
}

impl RuleArgs {
    /// Reads everything. Rules that cannot be read are problems; a config that cannot is an error.
    pub fn load(&self) -> Result<Setup> {
        let config = match &self.config {
            Some(path) => Config::read(path, std::env::vars())?,
            None => Config::default(),
        };
        let mut loaded = Loaded::shipped();
        for path in self.rules.iter().chain(&config.rules.dirs) {
            loaded = loaded.and(Loaded::from_path(path));
        }
        let mut problems: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
        let mut rules = loaded.rules;
        let origin = self.config.as_ref().map_or_else(|| "config".into(), |p| p.display().to_string());
        let text = self.config.as_ref().and_then(|p| std::fs::read_to_string(p).ok()).unwrap_or_default();
        for (id, params) in &config.rules.params {
            let Some(rule) = rules.iter_mut().find(|r| r.id == *id) else {
                return Err(Diagnostic::at_word(&origin, &text, id, format!("no rule is called {id}"))
                    .with_help("`tripline check` lists the rules")
                    .into());
            };
            rule.override_params(params).map_err(|(name, message)| {
                let known: Vec<_> = rule.params.keys().map(String::as_str).collect();
                Diagnostic::at_word(&origin, &text, &name, message)
                    .with_help(format!("the parameters of {id} are: {}", known.join(", ")))
            })?;
        }
        for pattern in config.rules.disable.iter().chain(&self.only) {
            if !rules.iter().any(|r| matches(std::slice::from_ref(pattern), &r.id)) {
                bail!("no rule is called {pattern:?}; `tripline check` lists the rules");
            }
        }
        let chosen = |r: &Rule| r.is_baseline() || self.only.is_empty() || matches(&self.only, &r.id);
        rules.retain(|r| chosen(r) && !matches(&config.rules.disable, &r.id));
        let exceptions = Exceptions::new(&config.exceptions, &rules, &origin, &text)?;
        problems.dedup();
        Ok(Setup { config, rules, exceptions, problems })
    }
}
