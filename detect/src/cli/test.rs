//! `tripline test`: rules against their fixtures.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::Outcome;
use crate::config::Config;
use crate::fixtures::{Fixture, Raised, fixtures};
use crate::lookups::Lookups;
use crate::rules::{Loaded, Rule};

/// Arguments of `test`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Beside a rule, tests/NAME.log (or .log.gz, .log.zst) is a log, and tests/NAME.expected.jsonl the alerts it must raise, \
    one a line: {\"entity\": {...}, \"findings\": N, \"values\": {...}}. Without the second file the rule must stay quiet. \
    Lookups that the rule joins are in tests/lookups/, named as their files, or in the config."
)]
pub struct Args {
    /// Folders of rules, or rule files
    #[arg(value_name = "PATH", default_value = "rules")]
    paths: Vec<PathBuf>,
    /// A config whose lookups the rules may join
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Write what the rules raise as what is expected, for review with git diff
    #[arg(long)]
    update: bool,
}

/// Runs the command.
pub async fn main(args: Args) -> Result<Outcome> {
    let shipped = Loaded::shipped().rules;
    let config = args.config.as_ref().map(|path| Config::read(path, std::env::vars())).transpose()?;
    let (lookups, unreadable) = Lookups::read(&config.unwrap_or_default());
    for problem in &unreadable {
        eprintln!("{problem}\n");
    }
    let (mut passed, mut failed) = (0, unreadable.len());
    for path in &args.paths {
        let loaded = Loaded::from_path(path);
        for problem in &loaded.problems {
            eprintln!("{problem}\n");
            failed += 1;
        }
        let mut others = loaded.rules.clone();
        others
            .extend(shipped.iter().filter(|s| !loaded.rules.iter().any(|r| r.table_name() == s.table_name())).cloned());
        for rule in &loaded.rules {
            let fixtures = fixtures(Path::new(&rule.origin));
            if fixtures.is_empty() {
                println!("none  {}: there are no logs in tests/ beside it", rule.id);
            }
            for fixture in fixtures {
                match check(&fixture, rule, &others, &lookups, args.update).await? {
                    None => passed += 1,
                    Some(difference) => {
                        println!("FAIL  {}: {}\n{difference}", rule.id, fixture.log.display());
                        failed += 1;
                        continue;
                    }
                }
                println!("ok    {}: {}", rule.id, fixture.log.display());
            }
        }
    }
    println!("\n{passed} passed, {failed} failed");
    if passed + failed == 0 {
        bail!(
            "there is nothing to test in {}",
            args.paths.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", ")
        );
    }
    Ok(if failed == 0 { Outcome::Done } else { Outcome::Found })
}

async fn check(
    fixture: &Fixture,
    rule: &Rule,
    others: &[Rule],
    lookups: &Lookups,
    update: bool,
) -> Result<Option<String>> {
    let raised = match fixture.raise(rule, others, lookups).await {
        Ok(raised) => raised,
        Err(problem) => return Ok(Some(problem)),
    };
    if update && !raised.is_empty() {
        let lines: Vec<String> = raised.iter().map(serde_json::to_string).collect::<Result<_, _>>()?;
        std::fs::write(&fixture.expected, lines.join("\n") + "\n")
            .with_context(|| fixture.expected.display().to_string())?;
    }
    let expected = match fixture.expectation() {
        Ok(expected) => expected,
        Err(problem) => return Ok(Some(problem)),
    };
    // (which comes first of those that are known at the same time, is a matter of the rule's id, and so of the path given)
    let (expected, raised) = (sorted(expected), sorted(raised));
    Ok((raised != expected).then(|| difference(&expected, &raised)))
}

fn sorted(mut alerts: Vec<Raised>) -> Vec<Raised> {
    alerts.sort_by_cached_key(|alert| serde_json::to_string(alert).unwrap_or_default());
    alerts
}

fn difference(expected: &[Raised], raised: &[Raised]) -> String {
    let line = |sign: &str, r: &Raised| format!("      {sign} {}", serde_json::to_string(r).unwrap_or_default());
    let missing = expected.iter().filter(|e| !raised.contains(e)).map(|e| line("-", e));
    let unexpected = raised.iter().filter(|r| !expected.contains(r)).map(|r| line("+", r));
    let lines: Vec<_> = missing.chain(unexpected).collect();
    // (one may come more often than expected)
    if lines.is_empty() { "      the same alerts, some of them more or less often".into() } else { lines.join("\n") }
}
