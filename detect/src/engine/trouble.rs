//! What went wrong in one rule while the others went on.

use datafusion::common::DataFusionError;

use super::Engine;
use super::state::{MAX_FAILURES, Store};

/// Something that cost one or more rules windows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The rules' ids.
    pub rules: Vec<String>,
    /// What happened, what is lost, and what to do.
    pub message: String,
    /// Event time at which it happened, µs.
    pub at: i64,
}

impl Trouble {
    /// A window could not be put together.
    pub fn window_lost(rule: &str, (start, end): (i64, i64), error: &DataFusionError) -> Self {
        let message = format!(
            "the rule {rule} has no answer for the window from {} to {}: {}",
            time(start),
            time(end),
            error.strip_backtrace()
        );
        Self { rules: vec![rule.into()], message, at: end }
    }
}

impl Engine {
    /// What went wrong since the last call.
    pub fn take_troubles(&mut self) -> Vec<Trouble> {
        std::mem::take(&mut self.troubles)
    }

    /// A store could not take in rows: what it holds may be incomplete, so it starts anew.
    pub(super) fn store_failed(&mut self, store: usize, error: &DataFusionError) {
        let failures = self.stores[store].fail();
        let what = if failures >= MAX_FAILURES {
            "will not run again before a restart"
        } else {
            "go on with the next whole window"
        };
        self.give_up(store, &format!("{}; they {what}", error.strip_backtrace()));
    }

    /// Drops a store's state and says whose it was.
    fn give_up(&mut self, number: usize, why: &str) {
        let newest = self.newest;
        self.stores[number].clear();
        self.postponed.retain(|(store, _)| *store != number);
        let mut rules = Vec::new();
        for rule in self.rules.iter_mut().filter(|r| r.uses(number)) {
            rule.starts_fresh(newest);
            rules.push(rule.compiled.rule.id.clone());
        }
        let message = format!("the open windows of {} are lost: {why}", rules.join(", "));
        self.troubles.push(Trouble { rules, message, at: newest });
    }

    /// Gives up the largest store while there is too much state.
    pub(super) fn hold_memory_limit(&mut self) {
        while self.state_bytes() > self.memory_limit {
            let sizes = self.stores.iter().map(Store::size).enumerate();
            let Some((largest, bytes)) = sizes.max_by_key(|(_, bytes)| *bytes).filter(|(_, bytes)| *bytes > 0) else {
                return;
            };
            let (mib, limit) = (bytes >> 20, self.memory_limit >> 20);
            let groups = self.stores[largest].groups();
            self.give_up(
                largest,
                &format!(
                    "their {groups} groups took {mib} MiB, and all state together may take {limit} MiB; they go on with the \
                     next whole window (raise [engine] memory, or give the rules a shorter window or fewer groups)"
                ),
            );
        }
    }
}

fn time(us: i64) -> String {
    jiff::Timestamp::from_microsecond(us).map_or_else(|_| us.to_string(), |t| t.to_string())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::engine::{FileRows, Keep};
    use crate::lookups::Lookups;
    use crate::rules::Rule;
    use arrow::array::{ArrayRef, RecordBatch, StringViewArray, TimestampMicrosecondArray, new_null_array};
    use std::sync::Arc;

    /// A request of each of so many clients.
    pub fn rows(clients: usize, minute: i64) -> FileRows {
        let schema = tripline_ingest::schema();
        let columns = schema.fields().iter().map(|field| -> ArrayRef {
            match field.name().as_str() {
                "ts" => {
                    Arc::new(TimestampMicrosecondArray::from(vec![minute * 60_000_000; clients]).with_timezone("UTC"))
                }
                "client" => Arc::new(StringViewArray::from_iter_values((0..clients).map(|c| format!("192.0.2.{c}")))),
                _ => new_null_array(field.data_type(), clients),
            }
        });
        let rows = RecordBatch::try_new(Arc::clone(&schema), columns.collect()).unwrap();
        FileRows { rows, newest_before: None, lateness: 0 }
    }

    /// The rule with the most state is given up and named; the other finds what it finds, and both go on.
    #[tokio::test]
    async fn the_memory_limit_holds() {
        let rule = |id: &str, keys: &str| {
            let sql = format!(
                "/*\ntitle = \"t\"\nentity = [\"client\"]\n*/\nSELECT window_start, window_end, {keys} count(*) AS n, max(client) AS c \
                 FROM tumble(requests, ts, INTERVAL '1 minute') GROUP BY ALL"
            );
            Rule::parse(id, "rule.sql", &sql).unwrap()
        };
        let rules = [rule("by/client", "client,"), rule("by/nothing", "'all' AS client,")];
        let (engine, problems) = Engine::new(&rules, &Keep::new(), &Lookups::default()).await;
        assert!(problems.is_empty(), "{}", problems[0]);
        let mut engine = engine.with_memory_limit(64 << 10);
        engine.push(&[rows(5_000, 1)]).await.unwrap();
        let troubles = engine.take_troubles();
        assert_eq!(troubles.len(), 1, "{troubles:?}");
        assert_eq!(troubles[0].rules, ["by/client"]);
        assert!(
            troubles[0].message.contains("5000 groups") && troubles[0].message.contains("[engine] memory"),
            "{troubles:?}"
        );
        assert!(engine.state_bytes() <= 64 << 10);
        engine.push(&[rows(3, 2)]).await.unwrap();
        let found: Vec<_> =
            engine.finish().await.unwrap().into_iter().map(|f| (f.rule.id.clone(), f.end, f.rows.num_rows())).collect();
        let minute = 60_000_000;
        assert_eq!(
            found,
            [
                ("by/nothing".to_owned(), 2 * minute, 1),
                ("by/client".to_owned(), 3 * minute, 3),
                ("by/nothing".to_owned(), 3 * minute, 1)
            ]
        );
    }
}
