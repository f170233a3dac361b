//! What `run` says of itself: log lines, and figures for who asks.

use std::sync::Arc;
use std::time::Instant;

use tripline_alert::{Alert, Status};
use tripline_ingest::{Level, Notice};

use super::{Follower, now_us};
use crate::config::Config;
use crate::exceptions::end_us;
use crate::metrics::{self, Board, ExceptionFigures, Listening, MetricsError, Report};

/// Tells how it goes, if the config says where.
pub async fn listen(config: &Config, board: &Arc<Board>) -> Result<Option<Listening>, MetricsError> {
    let Some(address) = config.metrics.listen else { return Ok(None) };
    let listening = metrics::listen(address, Arc::clone(board), now_us).await?;
    tracing::info!("metrics at http://{}/metrics", listening.address);
    if !address.ip().is_loopback() {
        tracing::warn!("[metrics] listen = \"{address}\": whoever reaches it can read rules, sources and alert counts");
    }
    Ok(Some(listening))
}

impl Follower {
    /// Shows that it goes on, and from time to time how.
    pub(super) fn show(&self) {
        let now = Instant::now();
        if self.board.beat(now) {
            let covered = self.exceptions.list.iter().zip(1..);
            let report = Report {
                rules: self.engine.figures(),
                counts: self.counts.clone(),
                exceptions: covered
                    .map(|(e, n)| ExceptionFigures {
                        name: format!("{n}: {}", e.config.reason),
                        hits: e.hits,
                        ends: end_us(&e.config),
                    })
                    .collect(),
                early_time: self.engine.early_time(),
                state_bytes: self.engine.state_bytes(),
                memory_limit: self.memory_limit,
            };
            self.board.report(now, report);
        }
    }
}

/// Logs what happened to a file.
pub fn tell(notice: &Notice) {
    match notice.level {
        Level::Warn => tracing::warn!("{}", notice.text),
        Level::Info => tracing::info!("{}", notice.text),
    }
}

/// Logs what became of an alert.
pub fn log(alert: &Alert) {
    let entity = serde_json::to_string(&alert.entity).unwrap_or_default();
    match alert.status {
        Status::Firing => {
            tracing::warn!(rule = alert.rule, severity = %alert.severity, entity, id = alert.id, "alert: {}", alert.title);
        }
        Status::Updated => tracing::debug!(rule = alert.rule, entity, id = alert.id, "alert goes on"),
        Status::Resolved => tracing::info!(rule = alert.rule, entity, id = alert.id, "alert resolved"),
    }
}
