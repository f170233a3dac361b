//! `run`: follow log files for ever, deliver alerts.
//!
//! An epoch takes in what the files have gained, closes the windows that the watermark has passed, and commits everything that
//! came of it in one transaction: how far the files were read, the engine's state, alerts, and the messages to send. Only
//! then anything is sent. After a kill at any instant the next process goes on from the last commit.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use datafusion::common::DataFusionError;
use tokio::sync::{Notify, watch};
use tripline_alert::deliver::{SenderError, Timeouts};
use tripline_alert::{CheckpointRow, Commit, Delete, DestinationError, Put, Route, Sender, Store, StoreError, Waker};
use tripline_ingest::{Changes, Position, RejectReason, Source, Tailer, Wake};

use crate::baselines::Baselines;
use crate::config::{Config, Start};
use crate::destinations::{destinations, routes};
use crate::engine::{Engine, FileRows, Found, Stopwatch, checkpoint};
use crate::event_clock::EventClock;
use crate::evidence::{Block, Collector, Origin};
use crate::exceptions::{self, Exceptions};
use crate::finding;
use crate::health::{self, Health};
use crate::history::{History, HistoryError, Step};
use crate::late::{self, LateLog};
use crate::metrics::{Board, Counts, MetricsError};
use crate::persist;
use crate::reload::{Reloaded, Reloader};
use crate::rules::Rule;
use telling::{listen, log, tell};

mod telling;

/// Rows that an epoch takes in at most.
const EPOCH_ROWS: usize = 64 * 1024;
/// The files are looked at this often even if nothing announces a change: announcements are only hints.
const POLL: Duration = Duration::from_secs(1);
/// After an announcement, others are waited for, so that a busy writer does not cause an epoch a line.
const GATHER: Duration = Duration::from_millis(100);
/// Closing windows that takes so long is told, ms.
const LONG_CLOSE: u128 = 10;
/// Event time that may pass without a commit while no lines come, µs.
const SILENT_COMMIT: i64 = 10_000_000;

/// When the state cannot be written, it is tried again after this.
const RETRY: Duration = Duration::from_secs(2);

const ENGINE: &str = "engine";
const FILES: &str = "files";
const LATE: &str = "late";
const HISTORY: &str = "history";
const BASELINES: &str = "baselines";

/// Why `run` ended, or could not begin.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The config lacks what `run` needs.
    #[error("{0}")]
    Config(String),
    /// A destination is not usable.
    #[error(transparent)]
    Destination(#[from] DestinationError),
    /// The state cannot be kept. What was committed is safe.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nothing can be sent.
    #[error(transparent)]
    Sender(#[from] SenderError),
    /// The engine failed.
    #[error("the engine failed: {0}")]
    Engine(#[from] DataFusionError),
    /// The history cannot be kept. What was committed is safe.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// A file's position cannot be written down.
    #[error("cannot write down how far a file was read: {0}")]
    Position(#[from] serde_json::Error),
    /// Nobody can ask how it goes.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// The file of late rows cannot be cut to what was committed.
    #[error("late/ in the state directory cannot be used: {0}")]
    Late(#[from] std::io::Error),
}

/// Runs until `shutdown` turns true, then commits and sends what is due.
pub async fn run(
    config: &Config,
    engine: Engine,
    exceptions: Exceptions,
    rules: Reloader,
    shutdown: watch::Receiver<bool>,
) -> Result<(), RunError> {
    // Before anything is read or written.
    let destinations = destinations(config)?;
    let board = Arc::new(Board::default());
    let _listening = listen(config, &board).await?;
    let started = Instant::now();
    let engine = engine.with_stopwatch(Stopwatch::new(move || started.elapsed()));
    let mut follower = Follower::start(config, engine, exceptions, rules, shutdown.clone(), Arc::clone(&board))?;
    if destinations.is_empty() {
        tracing::warn!("no [[destination]] in the config: alerts are logged and stored, but not sent");
    }
    let sender = Sender::new(&follower.store, destinations, Timeouts::default())?;
    follower.waker = Some(sender.waker());
    board.sends(follower.store.dir().to_owned(), sender.tries());
    // The sender has a signal of its own: it drains after the last commit, not beside it.
    let (committed, drain) = watch::channel(false);
    let sending = tokio::spawn(sender.run(drain, Arc::new(now_ms)));
    let result = follower.follow(shutdown).await;
    drop(committed);
    if sending.await.is_err() {
        tracing::error!("the sender failed; what was not sent is kept for the next run");
    }
    result
}

/// The wall clock, ms since 1970.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}

struct Follower {
    store: Store,
    engine: Engine,
    exceptions: Exceptions,
    /// What the state file knows of their counts.
    counted: Vec<CheckpointRow>,
    history: Option<History>,
    baselines: Baselines,
    evidence: Collector,
    tailer: Tailer,
    patterns: Vec<String>,
    destinations: Vec<Route>,
    /// Rules that a reload took away, until the next commit.
    removed_rules: Vec<String>,
    waker: Option<Waker>,
    clock: EventClock,
    committed_watermark: i64,
    /// The clock of the tailer.
    started: Instant,
    leftovers: Vec<Vec<u8>>,
    health: Health,
    late: LateLog,
    rules: Reloader,
    shutdown: watch::Receiver<bool>,
    board: Arc<Board>,
    counts: Counts,
    memory_limit: u64,
    /// The next commit writes the engine's state as a whole.
    rewrite: bool,
    /// A commit could not be written before the end.
    gave_up: bool,
}

impl Follower {
    fn start(
        config: &Config,
        engine: Engine,
        mut exceptions: Exceptions,
        rules: Reloader,
        shutdown: watch::Receiver<bool>,
        board: Arc<Board>,
    ) -> Result<Self, RunError> {
        let missing = |what: &str, how: &str| RunError::Config(format!("the config has no {what}; add {how}"));
        let dir: &PathBuf = config
            .state
            .dir
            .as_ref()
            .ok_or_else(|| missing("state directory", "[state] dir = \"/var/lib/tripline\""))?;
        if config.sources.is_empty() {
            return Err(missing("source", "[[source]] path = \"/var/log/nginx\""));
        }
        let mut sources = Vec::new();
        for source in &config.sources {
            let options = source.options().map_err(|(_, message)| RunError::Config(message))?;
            let from_end = source.start == Start::End;
            sources.push(Source { pattern: source.path.display().to_string(), options, from_end });
        }
        let store = Store::open(dir)?;
        let store = match config.alerts.storm {
            Some(limit) => store.with_storm_limit(limit),
            None => store,
        };
        let (rows, lost) = persist::rows(store.checkpoint(ENGINE)?);
        let mut engine = engine.with_kept_baselines();
        let (notices, left) = engine.restore(rows);
        for notice in notices {
            tracing::warn!("{notice}");
        }
        let mut baselines = Baselines::open(dir, store.checkpoint(BASELINES)?)?;
        baselines.restore(&mut engine);
        let rows = store.checkpoint(FILES)?.rows.into_iter();
        let positions: Vec<Position> =
            rows.map(|(_, value)| serde_json::from_slice(&value)).collect::<Result<_, _>>()?;
        let mark = store.checkpoint(LATE)?.rows.first().and_then(|(_, value)| serde_json::from_slice(value).ok());
        let history = store.checkpoint(HISTORY)?;
        for row in &history.lost {
            tracing::warn!(row = %String::from_utf8_lossy(&row.key).escape_default(), "requests are missing in the history: {}", row.reason);
        }
        let counted = store.checkpoint(exceptions::SPACE)?.rows;
        exceptions.restore(&counted);
        let health = Health::new(&config.sources, &store.open_alerts()?).map_err(RunError::Config)?;
        tracing::info!(rules = engine.rules().count(), files = positions.len(), state = %dir.display(), "starting");
        let patterns: Vec<String> = sources.iter().map(|s| s.pattern.clone()).collect();
        Ok(Self {
            committed_watermark: engine.closed_to(),
            evidence: Collector::new(&engine, &exceptions.keep, rules.lookups()),
            history: History::open(&config.history, history.rows, Instant::now())?,
            baselines,
            store,
            engine,
            exceptions,
            counted,
            counts: Counts::new(&patterns),
            patterns,
            tailer: Tailer::new(sources, positions),
            started: Instant::now(),
            destinations: routes(config)?,
            removed_rules: Vec::new(),
            waker: None,
            clock: EventClock::new(&config.sources).map_err(RunError::Config)?,
            leftovers: lost.into_iter().chain(left.deletes).collect(),
            health,
            late: LateLog::new(&dir.join("late"), mark.unwrap_or_default())?,
            rules,
            shutdown,
            board,
            memory_limit: config.engine.memory,
            rewrite: false,
            gave_up: false,
        })
    }

    async fn follow(&mut self, mut shutdown: watch::Receiver<bool>) -> Result<(), RunError> {
        let changed = Arc::new(Notify::new());
        let hint = Arc::clone(&changed);
        let (wake, problems) = Wake::new(&self.patterns, move || hint.notify_one());
        for problem in problems {
            tracing::info!("no change notifications, looking every second instead: {problem}");
        }
        let hint = Arc::clone(&changed);
        self.rules.watch(move || hint.notify_one());
        while !*shutdown.borrow() {
            self.tailer.hear(wake.told());
            self.tailer.poll(self.started.elapsed()).iter().for_each(tell);
            self.look_at_files();
            if let Some(new) = self.rules.poll().await {
                self.reload(new).await?;
            }
            self.show();
            while self.epoch().await? && !*shutdown.borrow() {
                self.show();
            }
            self.show();
            tokio::select! {
                () = changed.notified() => tokio::time::sleep(GATHER).await,
                () = tokio::time::sleep(POLL) => {}
                result = shutdown.changed() => if result.is_err() { break },
            }
        }
        // (a commit that was given up took what the engine had changed with it: another would lack that)
        while !self.gave_up && self.history.as_mut().is_some_and(|history| history.flush(Instant::now())) {
            self.commit(Vec::new()).await?;
        }
        tracing::info!("stopping: sending what is due");
        Ok(())
    }

    fn look_at_files(&mut self) {
        let files: Vec<_> = self.tailer.sources().collect();
        self.health.look(now_us(), &files).iter().for_each(tell);
        self.counts.files(&files, self.tailer.truncations());
    }

    /// Goes on with other rules. Those that stay keep their state.
    async fn reload(&mut self, new: Reloaded) -> Result<(), RunError> {
        // A rule that goes takes along what it has not written.
        self.commit(Vec::new()).await?;
        let Reloaded { setup, difference: rules, lookups } = new;
        let (engine, problems) = Engine::new(&setup.rules, &setup.exceptions.keep, &setup.lookups).await;
        for problem in problems {
            tracing::warn!("{problem}");
        }
        let is_new = |rule: &&Rule| rules.added.contains(&rule.id) || rules.changed.contains(&rule.id);
        let new: Vec<&str> = setup.rules.iter().filter(is_new).map(|rule| rule.origin.as_str()).collect();
        for warning in engine.warnings().iter().filter(|w| new.contains(&w.origin.as_str())) {
            tracing::warn!("{warning}");
        }
        for notice in self.engine.take_over(engine.without_unused_baselines().with_kept_baselines())? {
            tracing::info!("{notice}");
        }
        self.evidence.set_rules(&self.engine, &setup.exceptions.keep, &setup.lookups);
        let before = std::mem::replace(&mut self.exceptions, setup.exceptions);
        self.exceptions.count_on(&before);
        self.rewrite = true;
        self.removed_rules.clone_from(&rules.removed);
        tracing::warn!(?rules, ?lookups, "rules or lookups have changed and are in use");
        Ok(())
    }

    /// One epoch. Returns whether there may be more to read at once.
    #[tracing::instrument(level = "debug", skip_all)]
    async fn epoch(&mut self) -> Result<bool, RunError> {
        let (rows, early) = self.take_in().await?;
        let watermark = self.clock.watermark(&self.tailer, rows > 0, Instant::now(), health::bound(now_us()));
        let begun = Instant::now();
        let closed = self.engine.advance(watermark.unwrap_or(i64::MIN)).await?;
        let ms = begun.elapsed().as_millis();
        if ms >= LONG_CLOSE {
            tracing::debug!(ms, "windows closed");
        }
        let delay = self.tailer.sources().map(|f| f.lateness_us).max().unwrap_or(0);
        let mut found = Vec::new();
        for rows in early.iter().chain(&closed) {
            let known = i64::MIN..rows.early.map_or(i64::MAX, |ts| ts.saturating_add(1));
            found.extend(self.evidence.findings(rows, delay, &known).await?);
        }
        self.evidence.forget(self.engine.closed_to());
        for trouble in self.engine.take_troubles() {
            tracing::error!(rules = trouble.rules.join(", "), "{}", trouble.message);
            self.counts.trouble(&trouble);
            found.extend(finding::of_trouble(&trouble));
        }
        found.extend(self.health.findings(self.engine.closed_to()));
        found.extend(finding::of_destinations(&self.store.failing_destinations()?, self.engine.closed_to()));
        let silent = self.engine.closed_to().saturating_sub(self.committed_watermark);
        if rows > 0 || !found.is_empty() || silent >= SILENT_COMMIT || self.store.is_asked()? {
            self.commit(found).await?;
        }
        Ok(rows >= EPOCH_ROWS)
    }

    /// Reads what the files have gained, up to an epoch's worth, and gives it to the engine. Returns how many rows, and what they
    /// settled in open windows.
    #[tracing::instrument(level = "debug", skip_all)]
    async fn take_in(&mut self) -> Result<(usize, Vec<Found>), RunError> {
        let (mut files, mut sources) = (Vec::new(), Vec::new());
        let mut rows = 0;
        self.tailer
            .reject_after(health::latest_allowed(now_us(), self.tailer.sources().filter_map(|f| f.newest_ts).max()));
        while rows < EPOCH_ROWS {
            let Some(next) = self.tailer.next_batch() else { break };
            // (what holds no lines, or was passed over, is to be committed, too)
            rows += (next.batch.rows.num_rows() + next.batch.rejects.len()).max(1);
            let format = || self.tailer.sources().find(|f| f.key == next.file).map(|f| f.format.to_owned());
            self.counts.read(&next, format);
            self.exceptions.count(&next.batch.rows)?;
            self.health.heard(next.source);
            for reject in next.batch.rejects.iter().filter(|r| r.reason == RejectReason::FarAhead) {
                self.late.push(&late::ahead(&next.path, reject));
            }
            self.evidence.add(Block::of(&next.file, Origin::Log(next.reread), &next.batch, next.lateness_us));
            if let Some(history) = &mut self.history {
                history.add(&next.batch.rows)?;
            }
            if let Some(reject) = next.batch.rejects.first() {
                let n = next.batch.rejects.len();
                tracing::warn!(file = %next.path.display(), offset = reject.offset, "{n} lines are no requests; the first: {}: {}", reject.reason, reject.line);
            }
            sources.push(next.source);
            files.push(FileRows {
                rows: next.batch.rows,
                newest_before: next.batch.newest_before,
                lateness: next.lateness_us,
            });
        }
        for (file, source) in files.iter().zip(sources) {
            let late = self.late.take(&self.engine, file);
            self.counts.late(source, late);
        }
        Ok((rows, self.engine.push(&files).await?))
    }

    #[tracing::instrument(level = "debug", skip_all, fields(findings = findings.len()))]
    async fn commit(&mut self, findings: Vec<tripline_alert::Finding>) -> Result<(), RunError> {
        if self.gave_up {
            return Ok(());
        }
        let checkpoint::Changes { puts, deletes } = self.engine.checkpoint()?;
        let leftovers = std::mem::take(&mut self.leftovers);
        let mut commit = Commit {
            puts: puts.into_iter().map(|(key, value)| Put { space: ENGINE, key, value }).collect(),
            deletes: leftovers.into_iter().chain(deletes).map(|key| Delete::Key { space: ENGINE, key }).collect(),
            findings,
            watermark: Some(self.engine.closed_to()).filter(|&w| w > i64::MIN),
            removed_rules: std::mem::take(&mut self.removed_rules),
            heard: self.clock.heard().filter(|_| self.health.all_silent()),
            now_ms: now_ms(),
            destinations: self.destinations.clone(),
        };
        if std::mem::take(&mut self.rewrite) {
            commit.deletes.push(Delete::Space(ENGINE));
        }
        let mark = tokio::task::block_in_place(|| self.late.write());
        commit.puts.push(Put { space: LATE, key: b"mark".to_vec(), value: serde_json::to_vec(&mark)? });
        self.put_positions(&mut commit)?;
        let counted = self.exceptions.changed(&mut self.counted);
        commit.puts.extend(counted.into_iter().map(|(key, value)| Put { space: exceptions::SPACE, key, value }));
        let history = self.prepare_history(&mut commit)?;
        let shutdown = &mut self.shutdown;
        // An error means that who could tell is gone: an end too.
        let board = Arc::clone(&self.board);
        let mut wait = async || {
            board.writable(false);
            tokio::time::timeout(RETRY, shutdown.wait_for(|end| *end)).await.is_err()
        };
        let closed = self.engine.take_closed_windows();
        let write = || self.baselines.prepare(&closed, &self.engine);
        let Some(mut learnt) = persist::until_done(self.store.dir(), write, &mut wait).await? else {
            self.gave_up = true;
            return Ok(());
        };
        commit.puts.extend(learnt.puts.drain(..).map(|(key, value)| Put { space: BASELINES, key, value }));
        commit.deletes.extend(learnt.deletes.drain(..).map(|key| Delete::Key { space: BASELINES, key }));
        let Some(alerts) = persist::commit(&mut self.store, &commit, &mut wait).await? else {
            self.gave_up = true;
            return Ok(());
        };
        self.baselines.committed(learnt);
        self.board.writable(true);
        self.counts.committed(&alerts);
        if let (Some(history), Some(step)) = (&mut self.history, history) {
            history.committed(step, Instant::now());
        }
        self.committed_watermark = self.engine.closed_to();
        alerts.iter().for_each(log);
        if let (false, Some(waker)) = (alerts.is_empty(), &self.waker) {
            waker.wake();
        }
        Ok(())
    }
}

/// The wall clock, µs since 1970.
fn now_us() -> i64 {
    now_ms().saturating_mul(1000)
}

impl Follower {
    /// Adds to a transaction how far files were read, where that has changed: of many files most stand still.
    fn put_positions(&mut self, commit: &mut Commit) -> Result<(), RunError> {
        let Changes { puts, deletes } = self.tailer.changes();
        for position in puts {
            let (key, value) = (position.key().as_bytes().to_vec(), serde_json::to_vec(&position)?);
            commit.puts.push(Put { space: FILES, key, value });
        }
        commit.deletes.extend(deletes.into_iter().map(|key| Delete::Key { space: FILES, key: key.into_bytes() }));
        Ok(())
    }

    /// Adds to a transaction what keeps the history.
    fn prepare_history(&mut self, commit: &mut Commit) -> Result<Option<Step>, RunError> {
        let Some(history) = &mut self.history else { return Ok(None) };
        let (watermark, wall) = (self.engine.closed_to(), commit.now_ms.saturating_mul(1000));
        let mut step = tokio::task::block_in_place(|| history.prepare(watermark, wall, Instant::now()))?;
        commit.puts.extend(step.puts.drain(..).map(|(key, value)| Put { space: HISTORY, key, value }));
        commit.deletes.extend(step.deletes.drain(..).map(|key| Delete::Key { space: HISTORY, key }));
        Ok(Some(step))
    }
}
