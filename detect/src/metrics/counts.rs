//! What `run` counts since it began.

use std::collections::BTreeMap;

use tripline_alert::{Alert, Status};
use tripline_ingest::{FileStatus, TailBatch};

use crate::engine::Trouble;

/// A source's lines, and how its files stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SourceCounts {
    /// Lines that are requests.
    pub rows: u64,
    /// Lines that are not.
    pub rejects: u64,
    /// Requests that do not count here, because another layer's do for their host.
    pub other_layer: u64,
    /// Requests that came too late for at least one window.
    pub late: u64,
    /// How often a file was truncated under way: lines may be lost.
    pub truncations: u64,
    /// Files that are followed.
    pub files: u64,
    /// Files with lines that are not read yet.
    pub unread: u64,
    /// `ts` of the newest request, µs.
    pub newest: Option<i64>,
}

/// All that is counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// By the source's path in the config.
    pub sources: BTreeMap<String, SourceCounts>,
    /// Lines that are no requests, by format and reason.
    pub rejects: BTreeMap<(String, &'static str), u64>,
    /// States of alerts, by rule.
    pub alerts: BTreeMap<(String, Status), u64>,
    /// How often a rule lost windows.
    pub troubles: BTreeMap<String, u64>,
    /// Commits.
    pub commits: u64,
    /// The path of each source in the config's list.
    paths: Vec<String>,
}

impl Counts {
    /// For sources with these paths.
    pub fn new(paths: &[String]) -> Self {
        let sources = paths.iter().map(|path| (path.clone(), SourceCounts::default())).collect();
        Self { sources, paths: paths.to_vec(), ..Self::default() }
    }

    fn source(&mut self, number: usize) -> Option<&mut SourceCounts> {
        self.sources.get_mut(self.paths.get(number)?)
    }

    /// Lines were read. `format`: asked for if there are rejects.
    pub fn read(&mut self, batch: &TailBatch, format: impl FnOnce() -> Option<String>) {
        let (rows, rejects) = (batch.batch.rows.num_rows() as u64, &batch.batch.rejects);
        if let Some(source) = self.source(batch.source) {
            source.rows += rows;
            source.rejects += rejects.len() as u64;
            source.other_layer += batch.batch.counters.other_layer;
        }
        if !rejects.is_empty() {
            let format = format().unwrap_or_else(|| "unknown".to_owned());
            for reject in rejects {
                *self.rejects.entry((format.clone(), reject.reason.name())).or_default() += 1;
            }
        }
    }

    /// So many rows of a source came late.
    pub fn late(&mut self, source: usize, rows: usize) {
        if let Some(source) = self.source(source) {
            source.late += rows as u64;
        }
    }

    /// How the files stand, and how many were truncated by source.
    pub fn files(&mut self, files: &[FileStatus<'_>], truncations: &[u64]) {
        for source in self.sources.values_mut() {
            (source.files, source.unread, source.truncations) = (0, 0, 0);
        }
        for (number, count) in truncations.iter().enumerate() {
            if let Some(source) = self.source(number) {
                source.truncations += count;
            }
        }
        for file in files {
            if let Some(source) = self.source(file.source) {
                source.files += 1;
                source.unread += u64::from(!file.at_end);
                source.newest = source.newest.max(file.newest_ts);
            }
        }
    }

    /// A commit that changed these alerts.
    pub fn committed(&mut self, alerts: &[Alert]) {
        self.commits += 1;
        for alert in alerts {
            *self.alerts.entry((alert.rule.clone(), alert.status)).or_default() += 1;
        }
    }

    /// Rules lost windows.
    pub fn trouble(&mut self, trouble: &Trouble) {
        for rule in &trouble.rules {
            *self.troubles.entry(rule.clone()).or_default() += 1;
        }
    }
}
