//! Counts false alerts: what the rules say of traffic that harms nobody.

use crate::run::{Raised, rules, run};
use crate::site::Site;
use crate::stats::poisson_interval;
use crate::table::print;
use crate::{Common, Format};
use anyhow::Result;
use jiff::SignedDuration;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use tripline_datasets::world::confounders;

#[derive(Debug, clap::Args)]
pub struct Command {
    /// Days that count, after the warm-up.
    #[arg(long, default_value_t = 3)]
    days: i64,
    #[command(flatten)]
    common: Common,
}

const DAY_US: i64 = 86_400_000_000;

impl Command {
    pub async fn run(self) -> Result<()> {
        let rules = rules(&self.common)?;
        let span = self.common.warm_up + SignedDuration::from_hours(24 * self.days);
        // One false alert: an entity, a rule and a day, of a seed; by who it was.
        let mut counted: BTreeMap<(String, String), u64> = BTreeMap::new();
        let mut warming: BTreeMap<(String, String), u64> = BTreeMap::new();
        let (mut client_days, mut lines, mut examples) = (0, 0, Vec::new());
        for &seed in &self.common.seeds {
            let site = Site::new(&self.common, seed, span)?;
            let warm_days = self.common.warm_up.as_secs() / 86_400;
            client_days += site.known.client_days.range(warm_days..).map(|(_, n)| n).sum::<u64>();
            lines += site.known.lines;
            let start = Site::start().as_microsecond();
            let mut seen = BTreeSet::new();
            for alert in run(&self.common, &rules, &site.pieces(), i64::MAX).await? {
                let day = (alert.at_us - start).div_euclid(DAY_US);
                let entity = serde_json::to_string(&alert.entity)?;
                if seen.insert((alert.rule.clone(), entity.clone(), day)) {
                    let key = (alert.rule.clone(), who(&alert));
                    *if day < warm_days { &mut warming } else { &mut counted }.entry(key).or_default() += 1;
                    examples.push(format!(
                        "seed {seed} day {day} {} {entity} {}",
                        alert.rule,
                        serde_json::to_string(&alert.values)?
                    ));
                }
            }
        }
        let days = self.days as f64 * self.common.seeds.len() as f64;
        let total: u64 = counted.values().sum();
        let per_million = |n: f64| n * 1e6 / client_days.max(1) as f64;
        let (low, high) = poisson_interval(total);
        if self.common.format == Format::Json {
            let list = |alerts: &BTreeMap<(String, String), u64>| {
                alerts
                    .iter()
                    .map(|((rule, who), n)| json!({ "rule": rule, "who": who, "alerts": n }))
                    .collect::<Vec<_>>()
            };
            let all = json!({
                "seeds": self.common.seeds, "lines": lines, "client_days": client_days, "false_alerts": total,
                "per_million_client_days": per_million(total as f64), "interval": [per_million(low), per_million(high)],
                "alerts_a_day": total as f64 / days, "alerts": list(&counted), "while_warming_up": list(&warming),
                "each": examples,
            });
            println!("{}", serde_json::to_string_pretty(&all)?);
            return Ok(());
        }
        for example in &examples {
            eprintln!("{example}");
        }
        let mut rows: Vec<_> = counted
            .iter()
            .map(|((rule, who), n)| vec![rule.clone(), who.clone(), n.to_string(), String::new()])
            .collect();
        for ((rule, who), n) in &warming {
            rows.push(vec![rule.clone(), who.clone(), String::new(), n.to_string()]);
        }
        print(&["rule", "about", "false alerts", "while warming up"], rows, self.common.format == Format::Markdown);
        println!(
            "\n{lines} lines, {client_days} client-days (of at least 20 requests) after the warm-up, seeds {:?}: {total} false alerts,\n\
             {:.1} a million client-days (95 %: {:.1} to {:.1}), {:.2} a day and site",
            self.common.seeds,
            per_million(total as f64),
            per_million(low),
            per_million(high),
            total as f64 / days
        );
        Ok(())
    }
}

/// Who an alert is about, by the blocks of addresses.
fn who(alert: &Raised) -> String {
    let Some(client) = alert.text("client") else {
        return alert.text("route").map_or_else(|| "the site".into(), |route| format!("route {route}"));
    };
    let parts: Vec<u8> = client.split('.').map_while(|part| part.parse().ok()).collect();
    let name = match parts[..] {
        [100, block @ 96..=127, ..] => confounders::ALL.get(usize::from(block - 96)).map_or("?", |c| c.name),
        [192, 0, 2, 10] => "health probe",
        [192, 0, 2, 100..=199] | [198, 19, ..] => "office",
        [66, 249, ..] => "crawler",
        _ => "people",
    };
    name.to_owned()
}
