//! What logs can and cannot show, judged from the rows themselves.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use arrow::array::{Array, AsArray, RecordBatch};
use tripline_ingest::table::columns;

use crate::engine::compile::CompiledRule;

/// Clients counted at most; the rest is counted together.
const MAX_CLIENTS: usize = 200_000;

/// What was seen of some files.
#[derive(Debug, Default)]
pub struct Examination {
    rows: u64,
    /// Rows with a value, by the column's position.
    filled: Vec<u64>,
    clients: HashMap<String, u64>,
    uncounted_clients: u64,
    private_rows: u64,
    first: Option<i64>,
    newest: Option<i64>,
    /// Largest step back in time within a file, µs.
    furthest_back: i64,
    backwards: u64,
}

/// How well a rule can work on the logs.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ability {
    /// A column it cannot do without is empty.
    Blind(String),
    /// A column it uses is filled in few rows.
    Degraded(String),
    /// It has what it needs.
    Works,
}

impl Examination {
    /// Takes in a batch of one file.
    pub fn add(&mut self, rows: &RecordBatch, newest_before: Option<i64>) {
        self.rows += rows.num_rows() as u64;
        self.filled.resize(rows.num_columns(), 0);
        for (filled, column) in self.filled.iter_mut().zip(rows.columns()) {
            *filled += (column.len() - column.null_count()) as u64;
        }
        for client in rows.column(columns::CLIENT).as_string_view().iter().flatten() {
            self.private_rows += u64::from(client.parse().is_ok_and(is_private));
            if let Some(n) = self.clients.get_mut(client) {
                *n += 1;
            } else if self.clients.len() < MAX_CLIENTS {
                self.clients.insert(client.to_owned(), 1);
            } else {
                self.uncounted_clients += 1;
            }
        }
        let ts = rows.column(columns::TS).as_primitive::<arrow::datatypes::TimestampMicrosecondType>();
        let mut newest = newest_before.unwrap_or(i64::MIN);
        for &ts in ts.values() {
            if ts < newest {
                self.backwards += 1;
                self.furthest_back = self.furthest_back.max(newest - ts);
            }
            newest = newest.max(ts);
            self.first = Some(self.first.map_or(ts, |first| first.min(ts)));
        }
        self.newest = self.newest.max(Some(newest).filter(|n| *n > i64::MIN));
    }

    /// Rows seen.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// First and newest `ts`, µs.
    pub fn span(&self) -> Option<(i64, i64)> {
        self.first.zip(self.newest)
    }

    /// Different clients, at least.
    pub fn clients(&self) -> usize {
        self.clients.len()
    }

    /// Share of rows in which each column has a value, 0 to 1.
    pub fn fill_rates(&self) -> Vec<(String, f64)> {
        let schema = tripline_ingest::schema();
        schema.fields().iter().zip(&self.filled).map(|(f, &n)| (f.name().clone(), share(n, self.rows))).collect()
    }

    /// What is wrong with the logs as a whole, with what to do about it.
    pub fn warnings(&self, now_us: i64) -> Vec<String> {
        let mut warnings = Vec::new();
        let private = share(self.private_rows, self.rows);
        if private > 0.5 {
            let addresses = self.clients.keys().filter(|c| c.parse().is_ok_and(is_private)).count();
            warnings.push(format!(
                "{:.0} % of requests come from {addresses} private address{}: these are your proxies, not the clients. Log the forwarded-for header \
                 (nginx: $http_x_forwarded_for) and name the proxies in trusted_proxies",
                private * 100.0,
                if addresses == 1 { "" } else { "es" }
            ));
        }
        let busiest = self.clients.values().max().copied().unwrap_or(0);
        if self.rows >= 1000 && private <= 0.5 && share(busiest, self.rows) > 0.5 {
            let client = self.clients.iter().max_by_key(|(_, n)| **n).map_or("", |(c, _)| c.as_str());
            warnings.push(format!("{:.0} % of requests come from {client}: if that is a proxy or load balancer, name it in trusted_proxies", share(busiest, self.rows) * 100.0));
        }
        if self.span().is_some_and(|(_, newest)| newest > now_us + 300_000_000) {
            warnings.push("the newest line is in the future: a clock or a time zone is wrong".into());
        }
        if self.furthest_back > 0 {
            let seconds = self.furthest_back / 1_000_000;
            warnings.push(format!(
                "{:.1} % of lines are older than a line before them, by up to {seconds} s. That is ordinary where the time is the request's start; lines older than `lateness` do not count",
                share(self.backwards, self.rows) * 100.0
            ));
        }
        warnings
    }

    /// How well a rule can work, and why not better.
    pub fn ability(&self, rule: &CompiledRule) -> Ability {
        let rates: BTreeMap<String, f64> = self.fill_rates().into_iter().collect();
        let rate = |column: &str| rates.get(column).copied().unwrap_or(0.0);
        let mut worst = Ability::Works;
        for column in &rule.columns {
            let ability = match rate(column) {
                r if r <= 0.0 => Ability::Blind(format!("no line has {column}; {}", advice(column))),
                // Few paths name an object, and few requests have a user: that alone is no fault.
                r if r < 0.2 && !SPARSE.contains(&column.as_str()) => {
                    Ability::Degraded(format!("{:.0} % of lines have {column}; {}", r * 100.0, advice(column)))
                }
                _ => Ability::Works,
            };
            worst = worst.min(ability);
        }
        worst
    }
}

const SPARSE: [&str; 6] = ["object", "user", "session", "query", "referer", "records"];

/// What to switch on so that a column is there.
pub fn advice(column: &str) -> &'static str {
    match column {
        "user_agent" | "referer" => "use the combined format (nginx: log_format combined; Apache: LogFormat combined)",
        "object" | "route" => {
            "log the full path: an API Gateway logs $context.resourcePath, the template, where $context.path is needed"
        }
        "user" => "log the authenticated subject, not what the client sent, and set user_verified = true",
        "session" => "log a session id or the key's id (never the secret itself)",
        "duration_ms" => "log the request time (nginx: $request_time; Apache: %D)",
        "bytes_in" => "log the request's length (nginx: $request_length; Apache: %I)",
        "host" => "log the host (nginx: $host; Apache: %v)",
        "request_id" => "log a request id (nginx: $request_id)",
        "rpc_status" => "log the gRPC status (Envoy: %GRPC_STATUS%)",
        _ => "the log's format does not carry it",
    }
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private() || v4.is_loopback() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share for people")]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
