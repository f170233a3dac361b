//! Scores campaigns: each by itself in a site's traffic, over several seeds.

use crate::floor::floor;
use crate::run::{Raised, rules, run};
use crate::site::{Site, key};
use crate::stats::quantile;
use crate::table::{number, print, time};
use crate::{Common, Format};
use anyhow::Result;
use jiff::SignedDuration;
use serde::Serialize;
use std::collections::{BTreeMap, HashSet};
use tripline::rules::Rule;
use tripline_datasets::world::plan::{Pace, Plan, parse};
use tripline_datasets::world::{CampaignTruth, families, incidents};

#[derive(Debug, clap::Args)]
pub struct Command {
    /// Campaigns, as `tripline-datasets list` names them, with changes: tmobile-2022:identities=100; or families, incidents.
    #[arg(default_values = ["families", "incidents"])]
    campaigns: Vec<String>,
    #[command(flatten)]
    common: Common,
}

/// What one seed says of a campaign.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    pub seed: u64,
    /// Records leaked before the alert, seconds until it, and its rule; None if there was none while the campaign was watched.
    pub alert: Option<(u64, f64, String)>,
    /// Records leaked while it was watched.
    pub leaked: u64,
    /// Share of the campaign's clients named while it was watched.
    pub named: f64,
    /// Of the clients named since it began, the share that are the campaign's; of a route's requests in the window named, if
    /// the alert was about a route.
    pub precision: Option<f64>,
    pub floor: Option<f64>,
    /// What was told of it, by rule: the first alert's records.
    pub by_rule: BTreeMap<String, u64>,
}

impl Command {
    pub async fn run(self) -> Result<()> {
        let rules = rules(&self.common)?;
        let mut plans = Vec::new();
        for name in &self.campaigns {
            match name.as_str() {
                "families" => plans.extend(families::all().cloned()),
                "incidents" => plans.extend(incidents::all().cloned()),
                name => plans.push(parse(name)?),
            }
        }
        let labels = self.campaigns.iter().any(|name| name.contains(':')).then_some(&self.campaigns);
        let mut outcomes: Vec<Vec<Outcome>> = vec![Vec::new(); plans.len()];
        for &seed in &self.common.seeds {
            let mut sites: BTreeMap<i64, Site> = BTreeMap::new();
            for (plan, outcomes) in plans.iter().zip(&mut outcomes) {
                let plan = placed(plan, &self.common, seed);
                let span = span(&plan);
                let site = match sites.entry(span.as_hours()) {
                    std::collections::btree_map::Entry::Occupied(site) => site.into_mut(),
                    std::collections::btree_map::Entry::Vacant(none) => {
                        none.insert(Site::new(&self.common, seed, span)?)
                    }
                };
                let outcome = outcome(site, &plan, &rules, &self.common, seed).await?;
                eprintln!("{} (seed {seed}): {:?} of {}", plan.name, outcome.alert, outcome.leaked);
                outcomes.push(outcome);
            }
        }
        if self.common.format == Format::Json {
            let all: BTreeMap<_, _> =
                plans.iter().zip(&outcomes).map(|(plan, outcomes)| (plan.name, (plan, outcomes))).collect();
            println!("{}", serde_json::to_string_pretty(&all)?);
            return Ok(());
        }
        let name =
            |nth: usize| labels.map_or(plans[nth].name, |labels| labels.get(nth).map_or("", String::as_str)).to_owned();
        if self.common.format == Format::Markdown {
            let heading =
                ["incident", "records taken then", "leaked before the alert: median", "most", "after", "rule"];
            let rows = plans
                .iter()
                .zip(&outcomes)
                .enumerate()
                .map(|(nth, (plan, outcomes))| readme_row(name(nth), plan, outcomes));
            print(&heading, rows.collect(), true);
        } else {
            let heading = [
                "campaign", "rate/s", "ids", "floor", "leaked", "p90", "x floor", "share", "after", "missed", "named",
                "precise", "rule",
            ];
            let rows =
                plans.iter().zip(&outcomes).enumerate().map(|(nth, (plan, outcomes))| row(name(nth), plan, outcomes));
            print(&heading, rows.collect(), false);
            println!(
                "\nleaked: distinct records answered before the alert was told, event time, median over seeds {:?}; those without an\n\
                 alert while they were watched count as all that leaked then. named: share of its clients named in the end.",
                self.common.seeds
            );
        }
        Ok(())
    }
}

/// When a campaign begins and how long it is watched.
fn placed(plan: &Plan, common: &Common, seed: u64) -> Plan {
    let mut plan = plan.clone();
    let watched = match plan.pace {
        Pace::Ramp(_) => SignedDuration::from_hours(14 * 24),
        Pace::Human | Pace::StopAndGo(..) => SignedDuration::from_hours(24),
        Pace::Steady if plan.start.is_zero() && plan.name == "since-first-line" => SignedDuration::from_hours(30),
        Pace::Steady if plan.rate / (plan.identities as f64) < 0.05 && plan.rate < 0.5 => {
            SignedDuration::from_hours(24)
        }
        Pace::Steady if plan.rate < 2.0 => SignedDuration::from_hours(4),
        // Long enough for a hundred thousand requests, at most an hour and a half.
        Pace::Steady => SignedDuration::from_secs(((100_000.0 / plan.rate) as i64).clamp(60, 5_400)),
    };
    plan.duration = Some(plan.duration.unwrap_or(watched));
    if plan.start.is_zero() && plan.name != "since-first-line" {
        // Some time of the first day after the warm-up, another for each seed.
        let offset = 8 * 3_600 + (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20) % (9 * 3_600);
        plan.start = common.warm_up + SignedDuration::from_secs(offset as i64);
    }
    plan
}

/// What the site must span: whole days, so that campaigns share sites.
fn span(plan: &Plan) -> SignedDuration {
    let end = plan.start + plan.duration.unwrap_or_default();
    SignedDuration::from_hours(24 * (end.as_secs() / 86_400 + 1))
}

/// How long after a campaign's end alerts are waited for.
const PATIENCE: SignedDuration = SignedDuration::from_mins(5);

pub async fn outcome(site: &Site, plan: &Plan, rules: &[Rule], common: &Common, seed: u64) -> Result<Outcome> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("campaign.log.zst");
    let truth = site.campaign(plan, &file)?;
    let begin = (Site::start() + plan.start).as_microsecond();
    let end = (Site::start() + plan.start + plan.duration.unwrap_or_default() + PATIENCE).as_microsecond();
    let mut files = site.pieces();
    files.push(file);
    let raised = run(common, rules, &files, end).await?;
    let raised: Vec<&Raised> = raised.iter().filter(|alert| alert.at_us >= begin).collect();

    let members: HashSet<String> = truth.clients.iter().map(|client| key(client)).collect();
    let hits: Vec<&Raised> = raised.iter().copied().filter(|alert| is_about(alert, plan, &members)).collect();
    // (the log shows milliseconds)
    let leaked_by =
        |at_us: i64| truth.leaked_us.partition_point(|&t| t.div_euclid(1_000) <= at_us.div_euclid(1_000)) as u64;
    let mut by_rule: BTreeMap<String, u64> = BTreeMap::new();
    for hit in &hits {
        by_rule.entry(hit.rule.clone()).or_insert_with(|| leaked_by(hit.at_us));
    }
    let clients =
        |alerts: &[&Raised]| alerts.iter().filter_map(|a| a.text("client")).map(str::to_owned).collect::<HashSet<_>>();
    let (named, all) = (clients(&hits), clients(&raised));
    let first = hits.first();
    let precision = first.and_then(|first| match first.text("client") {
        Some(_) => Some(named.len() as f64 / all.len().max(1) as f64),
        None => of_window(first, &truth),
    });
    Ok(Outcome {
        seed,
        alert: first.map(|first| (leaked_by(first.at_us), (first.at_us - begin) as f64 / 1e6, first.rule.clone())),
        leaked: truth.campaign.records,
        named: named.len() as f64 / members.len().max(1) as f64,
        precision,
        floor: site.known.routes.get(plan.target).and_then(|organic| floor(plan, organic)),
        by_rule,
    })
}

/// Whether an alert is about the campaign: it names a member, or, naming no client, its route.
fn is_about(alert: &Raised, plan: &Plan, members: &HashSet<String>) -> bool {
    match (alert.text("client"), alert.text("route")) {
        (Some(client), _) => members.contains(client),
        (None, Some(route)) => route == plan.route,
        (None, None) => false,
    }
}

/// The campaign's share of the requests that a route's alert counted.
fn of_window(alert: &Raised, truth: &CampaignTruth) -> Option<f64> {
    let counted = alert.values.get("requests").and_then(serde_json::Value::as_f64)?;
    let (start, end) = (alert.window.0, alert.window.1.min(alert.at_us));
    let within = truth.leaked_us.iter().filter(|&&t| (start..end).contains(&t)).count() as f64;
    let requests = within / truth.plan.hit_ratio / truth.plan.batch as f64;
    Some((requests / counted.max(1.0)).min(1.0))
}

/// What leaked before the alert, for each seed, the least first.
fn leaks(outcomes: &[Outcome]) -> Vec<f64> {
    let mut leaks: Vec<f64> = outcomes.iter().map(|o| o.alert.as_ref().map_or(o.leaked, |a| a.0) as f64).collect();
    leaks.sort_by(f64::total_cmp);
    leaks
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    quantile(&values, 0.5)
}

/// The rules that spoke first, the most frequent first.
fn speakers(outcomes: &[Outcome]) -> String {
    let mut rules: Vec<&str> = outcomes.iter().filter_map(|o| o.alert.as_ref().map(|a| a.2.as_str())).collect();
    rules.sort_unstable();
    rules.dedup();
    if rules.is_empty() { "-".into() } else { rules.join(", ") }
}

fn row(name: String, plan: &Plan, outcomes: &[Outcome]) -> Vec<String> {
    let leaks = leaks(outcomes);
    let dash = || "-".to_owned();
    let missed = outcomes.iter().filter(|o| o.alert.is_none()).count();
    let marked = |x: f64| if missed * 2 > outcomes.len() { format!(">{}", number(x)) } else { number(x) };
    let leaked = quantile(&leaks, 0.5).unwrap_or(0.0);
    let floor = median(outcomes.iter().filter_map(|o| o.floor));
    let percent = |x: f64| format!("{:.0} %", 100.0 * x);
    vec![
        name,
        if plan.rate < 1.0 { format!("{:.3}", plan.rate) } else { number(plan.rate) },
        number(plan.identities as f64),
        floor.map_or_else(dash, number),
        marked(leaked),
        quantile(&leaks, 0.9).map_or_else(dash, number),
        floor.map_or_else(dash, |floor| number(leaked / floor)),
        format!("{:.1e}", leaked / (plan.catalogue as f64 * plan.hit_ratio)),
        median(outcomes.iter().filter_map(|o| o.alert.as_ref().map(|a| a.1))).map_or_else(dash, time),
        format!("{missed}/{}", outcomes.len()),
        median(outcomes.iter().map(|o| o.named)).map_or_else(dash, percent),
        median(outcomes.iter().filter_map(|o| o.precision)).map_or_else(dash, percent),
        speakers(outcomes),
    ]
}

fn readme_row(name: String, plan: &Plan, outcomes: &[Outcome]) -> Vec<String> {
    let leaks = leaks(outcomes);
    let found = outcomes.iter().any(|o| o.alert.is_some());
    let or_none = |text: Option<String>| if found { text.unwrap_or_default() } else { "no alert".into() };
    vec![
        name,
        plan.taken_then.map_or_else(|| "-".into(), |n| number(n as f64)),
        or_none(quantile(&leaks, 0.5).map(number)),
        or_none(leaks.last().copied().map(number)),
        median(outcomes.iter().filter_map(|o| o.alert.as_ref().map(|a| a.1))).map_or_else(|| "-".into(), time),
        speakers(outcomes),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[derive(clap::Parser)]
    struct Arguments {
        #[command(flatten)]
        common: Common,
    }

    /// A small site; one client that reads id after id, five a second, under a rule whose answer is known: 100 objects.
    #[tokio::test]
    async fn a_campaign_is_scored_as_its_rule_says() {
        let folder = tempfile::tempdir().expect("a folder");
        let rule = "/*\ntitle = \"T\"\nentity = [\"client\", \"route\"]\n*/\n\
            SELECT window_start, window_end, client, route, count(*) AS requests FROM tumble(requests, ts, INTERVAL '1 hour')\n\
            WHERE route = '/v1/users/{id}' GROUP BY window_start, window_end, client, route HAVING count(*) >= 100\n";
        std::fs::write(folder.path().join("hundred.sql"), rule).expect("a rule");
        let pack = folder.path().display().to_string();
        let common = Arguments::parse_from(["score", "--rate", "1", "--warm-up", "1h", "--pack", &pack]).common;
        let rules = rules(&common).expect("a rule");
        let plan = parse("sequential-10:rate=5,start=2h,duration=5m").expect("a plan");
        let site = Site::new(&common, 101, SignedDuration::from_hours(3)).expect("a site");
        let outcome = outcome(&site, &plan, &rules, &common, 101).await.expect("a score");
        let (leaked, seconds, rule) = outcome.alert.expect("an alert");
        assert_eq!((leaked, rule.as_str()), (100, "hundred"));
        assert!((15.0..25.0).contains(&seconds), "{seconds} s for 100 requests at 5/s");
        assert!((outcome.named - 1.0).abs() < 1e-9 && outcome.leaked > 1_400);
        assert!(site.known.lines > 3_600);
    }
}
