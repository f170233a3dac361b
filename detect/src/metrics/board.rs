//! Where `run` puts what it knows of itself, for others to read at any time.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tripline_alert::figures::Tries;

use super::Counts;
use crate::engine::RuleFigures;

/// If no epoch ended for so long, `run` hangs. (One takes a fraction of a second, seconds if a very large window closes.)
const STUCK_AFTER: Duration = Duration::from_mins(2);
/// Reports are not made more often than this: one costs a look at every group.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// The state of `run`, in numbers.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The rules.
    pub rules: Vec<RuleFigures>,
    /// What was counted.
    pub counts: Counts,
    /// Exceptions, in the order of the config.
    pub exceptions: Vec<ExceptionFigures>,
    /// Time that looking into open windows took, of all rules.
    pub early_time: Duration,
    /// Memory of all rules, bytes.
    pub state_bytes: usize,
    /// What it may be, bytes.
    pub memory_limit: u64,
}

/// An exception in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExceptionFigures {
    /// Its place in the config, and what it is for.
    pub name: String,
    /// The rows it covered.
    pub hits: u64,
    /// When it ends, event time, µs.
    pub ends: i64,
}

/// Shared between `run` and who asks.
#[derive(Debug, Default)]
pub struct Board(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    report: Report,
    reported: Option<Instant>,
    /// When `run` last showed that it goes on; `None`: it is starting.
    beat: Option<Instant>,
    /// A commit is being tried in vain.
    unwritable: bool,
    sending: Option<(PathBuf, Tries)>,
}

impl Board {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state is restored: alerts are in `dir`, and their messages are on their way.
    pub fn sends(&self, dir: PathBuf, tries: Tries) {
        self.state().sending = Some((dir, tries));
    }

    /// The sources are open, and `run` goes on. Returns whether a new report is due.
    pub fn beat(&self, now: Instant) -> bool {
        let mut state = self.state();
        state.beat = Some(now);
        state.reported.is_none_or(|then| now.saturating_duration_since(then) >= REPORT_EVERY)
    }

    /// A new report.
    pub fn report(&self, now: Instant, report: Report) {
        let mut state = self.state();
        state.report = report;
        state.reported = Some(now);
    }

    /// Whether the state can be written.
    pub fn writable(&self, can: bool) {
        self.state().unwritable = !can;
    }

    /// The last report, and whether the state can be written.
    pub fn read(&self) -> (Report, bool) {
        let state = self.state();
        (state.report.clone(), !state.unwritable)
    }

    /// Where alerts are and what became of the tries to send them, once that is known.
    pub fn sending(&self) -> Option<(PathBuf, Tries)> {
        self.state().sending.clone()
    }

    /// Whether the state is restored and the sources are open; else what is lacking.
    pub fn ready(&self) -> Result<(), &'static str> {
        if self.state().beat.is_some() { Ok(()) } else { Err("starting: the state is being restored") }
    }

    /// Whether work goes on; else why not.
    pub fn healthy(&self, now: Instant) -> Result<(), String> {
        let state = self.state();
        if state.unwritable {
            return Err("the state directory cannot be written, so reading has stopped; the log says why".into());
        }
        let silence = state.beat.map_or(Duration::ZERO, |beat| now.saturating_duration_since(beat));
        if silence > STUCK_AFTER {
            return Err(format!("nothing was done for {} s", silence.as_secs()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_once_it_follows_and_healthy_while_it_goes_on() {
        let (board, start) = (Board::default(), Instant::now());
        assert!(board.ready().is_err() && board.healthy(start).is_ok());
        assert!(board.beat(start), "the first report is due");
        board.report(start, Report::default());
        assert!(!board.beat(start + Duration::from_millis(999)) && board.beat(start + Duration::from_secs(1)));
        assert!(board.ready().is_ok() && board.healthy(start + Duration::from_secs(121)).is_ok());
        let error = board.healthy(start + Duration::from_secs(122)).unwrap_err();
        assert!(error.contains("for 121 s"), "{error}");
    }

    #[test]
    fn a_state_that_cannot_be_written_is_not_healthy() {
        let (board, now) = (Board::default(), Instant::now());
        board.beat(now);
        board.writable(false);
        assert!(board.healthy(now).unwrap_err().contains("cannot be written") && !board.read().1);
        board.writable(true);
        assert!(board.healthy(now).is_ok() && board.read().1);
    }
}
