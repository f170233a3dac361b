//! Config, rules, lookups and exceptions, put together: what every command begins with, and what is loaded anew when the
//! files change.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::config::Config;
use crate::diagnostic::Diagnostic;
use crate::exceptions::{Exceptions, matches};
use crate::lookups::Lookups;
use crate::routes;
use crate::rules::{Loaded, Rule};

/// Where rules come from, and which of them run.
#[derive(Debug, Clone, Default)]
pub struct RuleFiles {
    /// The config; without it, the shipped rules run with their own parameters.
    pub config: Option<PathBuf>,
    /// Folders of rules, or rules' files, beside the shipped ones and those that the config names.
    pub rules: Vec<PathBuf>,
    /// Ids or globs; only these run. Empty: all.
    pub only: Vec<String>,
}

/// Config, rules, lookups and exceptions, read and checked.
#[derive(Debug)]
pub struct Setup {
    /// The config, or an empty one.
    pub config: Config,
    /// The rules that are to run, with their parameters.
    pub rules: Vec<Rule>,
    /// Tables that they may join.
    pub lookups: Lookups,
    /// Which rows they must not see.
    pub exceptions: Exceptions,
    /// What was wrong with some of the rules and lookups.
    pub problems: Vec<Diagnostic>,
}

impl Setup {
    /// Rules that do not run before there is a lookup, and what each waits for.
    pub fn waiting(&self) -> impl Iterator<Item = (&Rule, String)> {
        self.rules.iter().filter_map(|rule| Some((rule, self.lookups.awaited(rule)?)))
    }
}

impl RuleFiles {
    /// Reads everything. Rules and lookups that cannot be read are problems; a config that cannot is an error.
    pub fn load(&self) -> Result<Setup, Diagnostic> {
        let config = match &self.config {
            Some(path) => Config::read(path, std::env::vars())?,
            None => Config::default(),
        };
        self.load_with(config, &[])
    }

    /// The same with a config that was read before. Where a file holds no rule any more that can be read, the one among
    /// `fallback` that came from it stays.
    pub fn load_with(&self, config: Config, fallback: &[Rule]) -> Result<Setup, Diagnostic> {
        let mut loaded = Loaded::shipped();
        for path in self.rules.iter().chain(&config.rules.dirs) {
            loaded = loaded.and(Loaded::from_path(path));
        }
        let broken: BTreeSet<&str> = loaded.problems.iter().map(|p| p.origin.as_str()).collect();
        let is_free = |id: &String| !loaded.rules.iter().any(|r| r.id == *id);
        let kept: Vec<Rule> =
            fallback.iter().filter(|r| broken.contains(r.origin.as_str()) && is_free(&r.id)).cloned().collect();
        let mut problems = loaded.problems;
        let mut rules = loaded.rules;
        rules.extend(kept);
        rules.sort_by(|a, b| a.id.cmp(&b.id));

        let text = Text::of(self.config.as_ref());
        set_params(&mut rules, &config, &text)?;
        let unknown = |pattern: &&String| !rules.iter().any(|r| matches(std::slice::from_ref(pattern), &r.id));
        let in_config = config.rules.disable.iter().find(unknown).map(|p| (p, &text));
        let on_the_command_line = Text { origin: "--only".into(), text: String::new() };
        if let Some((pattern, text)) = in_config.or(self.only.iter().find(unknown).map(|p| (p, &on_the_command_line))) {
            return Err(text.at(pattern, format!("no rule is called {pattern:?}")).with_help(LIST));
        }
        let chosen = |r: &Rule| r.is_baseline() || self.only.is_empty() || matches(&self.only, &r.id);
        rules.retain(|r| chosen(r) && !matches(&config.rules.disable, &r.id));

        if let Some(rule) = rules.iter().find(|r| r.is_baseline() && r.table_name() == routes::TABLE) {
            let message = "routes is the table of the config's routes";
            return Err(
                Diagnostic::new(&rule.origin, "", None, message).with_help("give the baseline's folder another name")
            );
        }
        let baselines: BTreeSet<String> = rules.iter().filter(|r| r.is_baseline()).map(Rule::table_name).collect();
        if let Some(lookup) = config.lookups.iter().find(|l| baselines.contains(&l.name)) {
            return Err(text
                .at(&lookup.name, format!("{} is the name of a baseline", lookup.name))
                .with_help("give the lookup another name"));
        }
        let (lookups, unreadable) = Lookups::read(&config);
        problems.extend(unreadable);
        let exceptions = Exceptions::new(&config.exceptions, &rules, &text.origin, &text.text)?;
        problems.dedup();
        Ok(Setup { config, rules, lookups, exceptions, problems })
    }
}

const LIST: &str = "`tripline check` lists the rules";

/// The config as written, for errors.
struct Text {
    origin: String,
    text: String,
}

impl Text {
    fn of(path: Option<&PathBuf>) -> Self {
        Self {
            origin: path.map_or_else(|| "config".into(), |p| p.display().to_string()),
            text: path.and_then(|p| std::fs::read_to_string(p).ok()).unwrap_or_default(),
        }
    }

    fn at(&self, word: &str, message: String) -> Diagnostic {
        Diagnostic::at_word(&self.origin, &self.text, word, message)
    }
}

fn set_params(rules: &mut [Rule], config: &Config, text: &Text) -> Result<(), Diagnostic> {
    for (id, params) in &config.rules.params {
        let Some(rule) = rules.iter_mut().find(|r| r.id == *id) else {
            return Err(text.at(id, format!("no rule is called {id}")).with_help(LIST));
        };
        rule.override_params(params).map_err(|(name, message)| {
            let known: Vec<_> = rule.params.keys().map(String::as_str).collect();
            text.at(&name, message).with_help(format!("the parameters of {id} are: {}", known.join(", ")))
        })?;
    }
    Ok(())
}
