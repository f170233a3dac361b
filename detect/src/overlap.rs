//! Finds out whether two sources log the same requests: a load balancer and the proxy behind it, say. Then everything counts
//! twice.
//!
//! Of each source a sample of requests is kept, chosen by a hash of what names a request, so that two sources keep the
//! same ones. A request is named by its id; where there is none, by method, host, path and query, if that came once, and by
//! its time to a few seconds.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use tripline_ingest::table::columns;

/// Requests kept of a source and kind of name.
const KEPT: usize = 20_000;
/// Two times of one request differ by this at most, µs: one layer logs its start, the other its end.
const APART: i64 = 3_000_000;
/// So many requests in common, and so large a share of what could be, are no chance.
const LEAST: usize = 10;
const SHARE: f64 = 0.2;

/// Samples of requests by source.
#[derive(Debug, Default)]
pub struct Overlap {
    sources: BTreeMap<String, Source>,
}

#[derive(Debug, Default)]
struct Source {
    ids: Sample,
    requests: Sample,
}

/// A sample of names, and when each came; `None`: more than once.
#[derive(Debug, Default)]
struct Sample {
    kept: HashMap<u64, Option<i64>>,
    /// Hashes with so many zeros at their end are kept.
    zeros: u32,
}

impl Sample {
    fn add(&mut self, name: impl Hash, ts: i64) {
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        let hash = hasher.finish();
        if hash.trailing_zeros() < self.zeros {
            return;
        }
        self.kept.entry(hash).and_modify(|time| *time = None).or_insert(Some(ts));
        while self.kept.len() > KEPT {
            self.zeros += 1;
            self.kept.retain(|hash, _| hash.trailing_zeros() >= self.zeros);
        }
    }

    /// How many of both are the same, and how many could be.
    fn common(&self, other: &Self, apart: i64) -> (usize, usize) {
        let zeros = self.zeros.max(other.zeros);
        let once =
            |sample: &Self| sample.kept.iter().filter(|(h, t)| t.is_some() && h.trailing_zeros() >= zeros).count();
        let same = self.kept.iter().filter(|(hash, time)| {
            let (Some(a), Some(Some(b))) = (time, other.kept.get(hash)) else { return false };
            hash.trailing_zeros() >= zeros && a.abs_diff(*b) <= apart.unsigned_abs()
        });
        (same.count(), once(self).min(once(other)))
    }
}

impl Overlap {
    /// Takes in rows of a source.
    pub fn add(&mut self, source: &str, rows: &RecordBatch) {
        if !self.sources.contains_key(source) {
            self.sources.insert(source.to_owned(), Source::default());
        }
        let Some(sample) = self.sources.get_mut(source) else { return };
        let text = |column: usize| rows.column(column).as_string_view();
        let ts = rows.column(columns::TS).as_primitive::<TimestampMicrosecondType>();
        let (ids, methods, paths) = (text(columns::REQUEST_ID), text(columns::METHOD), text(columns::PATH));
        let queries = text(columns::QUERY);
        for row in 0..rows.num_rows() {
            if ids.is_valid(row) {
                sample.ids.add(ids.value(row), ts.value(row));
            }
            if paths.is_valid(row) {
                // (not every layer knows the host)
                let query = queries.is_valid(row).then(|| queries.value(row));
                sample.requests.add((methods.value(row), paths.value(row), query), ts.value(row));
            }
        }
    }

    /// Pairs of sources that log the same requests, for people.
    pub fn warnings(&self) -> Vec<String> {
        let sources: Vec<(&String, &Source)> = self.sources.iter().collect();
        let mut warnings = Vec::new();
        for (i, (a_name, a)) in sources.iter().enumerate() {
            for (b_name, b) in &sources[i + 1..] {
                let by_id = a.ids.common(&b.ids, i64::MAX);
                let by_time = a.requests.common(&b.requests, APART);
                let found = [(by_id, "request_id"), (by_time, "path and time")];
                let is_much = |(same, possible): (usize, usize)| {
                    #[expect(clippy::cast_precision_loss, reason = "a share")]
                    let share = same as f64 / possible.max(1) as f64;
                    (same >= LEAST && share >= SHARE).then_some(share)
                };
                if let Some((share, by)) = found.into_iter().find_map(|(c, by)| Some((is_much(c)?, by))) {
                    warnings.push(format!(
                        "{a_name} and {b_name} log the same requests ({:.0} % of those that could be, by {by}): they count twice. \
                         Give each [[source]] its `layer` and say which counts: [layers] default",
                        share * 100.0
                    ));
                }
            }
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tripline_ingest::{LogReader, Mode, SourceOptions};

    /// The rows of lines, each with its second, path and maybe an id.
    fn rows(lines: impl Iterator<Item = (u32, String, Option<String>)>) -> RecordBatch {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        let line = |(second, path, id): (u32, String, Option<String>)| {
            let id = id.map_or(String::new(), |id| format!(",\"request_id\":\"{id}\""));
            format!(
                "{{\"time_iso8601\":\"2026-03-02T09:{:02}:{:02}Z\",\"remote_addr\":\"192.0.2.1\",\"request_method\":\"GET\",\"request_uri\":\"{path}\",\"status\":200{id}}}\n",
                second / 60,
                second % 60
            )
        };
        std::fs::write(&path, lines.map(line).collect::<String>()).unwrap();
        let options = SourceOptions::default();
        let probe = tripline_ingest::probe(&path, &options).unwrap();
        LogReader::open(&probe, &options, Mode::Once).unwrap().next_batch().unwrap().unwrap().rows
    }

    fn warnings(a: &RecordBatch, b: &RecordBatch) -> usize {
        let mut overlap = Overlap::default();
        overlap.add("a", a);
        overlap.add("b", b);
        overlap.warnings().len()
    }

    #[test]
    fn the_same_requests_are_told_by_id_or_by_path_and_time() {
        let of = |begin: u32, ids: &'static str, path: &'static str| {
            rows((0..200).map(move |i| {
                let id = (!ids.is_empty()).then(|| format!("{ids}{i}"));
                (begin + i, if path.is_empty() { format!("/p/{i}") } else { path.to_owned() }, id)
            }))
        };
        assert_eq!(warnings(&of(0, "x", "/"), &of(900, "x", "/")), 1, "ids alone suffice");
        assert_eq!(warnings(&of(0, "", ""), &of(2, "", "")), 1, "two seconds later, at the other layer");
        assert_eq!(warnings(&of(0, "", ""), &of(900, "", "")), 0, "the same paths at another time");
        assert_eq!(warnings(&of(0, "", "/"), &of(0, "", "/")), 0, "everybody asks for /");
        assert_eq!(warnings(&of(0, "x", "/a"), &of(0, "y", "/b")), 0);
    }

    #[test]
    fn samples_are_bounded_and_still_meet() {
        let of = |from: u32| {
            let mut sample = Sample::default();
            (from..from + 300_000).for_each(|i| sample.add(i, 0));
            sample
        };
        let (a, b) = (of(0), of(150_000));
        assert!(a.kept.len() <= KEPT);
        let (same, possible) = a.common(&b, 0);
        assert!(same * 3 > possible && same * 3 < possible * 2, "about half: {same} of {possible}");
    }
}
