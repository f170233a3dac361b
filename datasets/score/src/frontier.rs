//! The evasion frontier: for so many identities, the highest rate at which nothing is said.

use crate::campaigns::outcome;
use crate::run::rules;
use crate::site::Site;
use crate::table::{number, print};
use crate::{Common, Format};
use anyhow::Result;
use jiff::SignedDuration;
use serde_json::json;
use tripline_datasets::world::plan::parse;

#[derive(Debug, clap::Args)]
pub struct Command {
    /// The campaign whose identities and rate are varied.
    #[arg(default_value = "random-5")]
    campaign: String,
    /// How many identities.
    #[arg(long, value_delimiter = ',', default_value = "1,10,100,1000,10000")]
    identities: Vec<u64>,
    /// Rates in sum, requests a second, the lowest first.
    #[arg(long, value_delimiter = ',', default_value = "0.003,0.01,0.03,0.1,0.3,1,3,10")]
    rates: Vec<f64>,
    /// How long each is watched.
    #[arg(long, value_parser = tripline_datasets::duration, default_value = "12h")]
    watched: SignedDuration,
    #[command(flatten)]
    common: Common,
}

impl Command {
    pub async fn run(self) -> Result<()> {
        let all = rules(&self.common)?;
        let span = self.common.warm_up + SignedDuration::from_hours(24);
        let seed = self.common.seeds.first().copied().unwrap_or(101);
        let site = Site::new(&self.common, seed, span)?;
        let mut rows = Vec::new();
        for &identities in &self.identities {
            let mut silent: Option<(f64, u64)> = None;
            let mut heard = String::from("-");
            for &rate in &self.rates {
                let mut plan = parse(&self.campaign)?;
                (plan.identities, plan.rate) = (identities, rate);
                plan.start = self.common.warm_up + SignedDuration::from_hours(8);
                plan.duration = Some(self.watched);
                let outcome = outcome(&site, &plan, &all, &self.common, seed).await?;
                eprintln!("{identities} identities, {rate}/s: {:?} of {}", outcome.alert, outcome.leaked);
                if let Some((_, _, rule)) = outcome.alert {
                    heard = rule;
                    break;
                }
                silent = Some((rate, outcome.leaked));
            }
            rows.push((identities, silent, heard));
        }
        if self.common.format == Format::Json {
            let rows: Vec<_> = rows
                .iter()
                .map(|(identities, silent, rule)| {
                    json!({ "identities": identities, "silent_at": silent.map(|s| s.0), "leaked": silent.map(|s| s.1), "then": rule })
                })
                .collect();
            println!("{}", serde_json::to_string_pretty(&rows)?);
            return Ok(());
        }
        let rows = rows.into_iter().map(|(identities, silent, rule)| {
            let (rate, leaked) =
                silent.map_or(("-".into(), "-".into()), |(rate, leaked)| (rate.to_string(), number(leaked as f64)));
            vec![number(identities as f64), rate, leaked, rule]
        });
        let heading = ["identities", "silent up to, a second in sum", "leaked in that time", "found above it by"];
        print(&heading, rows.collect(), self.common.format == Format::Markdown);
        Ok(())
    }
}
