//! The sender: takes what is due from the outbox, posts it, and records what came of it.
//!
//! Each destination has a lane of its own, so that one that hangs delays no other. Within a lane messages of one fingerprint go
//! one after the other, in order, others side by side. The id of a message is written before it is first sent: a
//! crash in between makes the receiver see the same id again, never another.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::alert::Alert;
use crate::destination::{Destination, DestinationError, Fault};
use crate::destinations::Notification;
use crate::error::StoreError;
use crate::failpoint::{Step, reach};
use crate::figures::Tries;
use crate::outbox::{Fate, Message, Outbox};
use crate::retry::{Verdict, next_try_ms, retry_after_ms};
use crate::secret::Key;
use crate::store::Store;
pub use crate::transport::Timeouts;
use crate::transport::{Reply, Transport};

/// The most requests to one destination at a time.
const SIDE_BY_SIDE: u32 = 8;
/// The outbox is looked at no less often than this: somebody else may have changed it, or the clock was set.
const LOOK_EVERY_MS: i64 = 30_000;
/// How long to wait when the state file cannot be read or written.
const AFTER_STORE_ERROR: Duration = Duration::from_secs(5);

/// The wall clock, ms since 1970.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Why there is no sender.
#[derive(Debug, thiserror::Error)]
pub enum SenderError {
    /// A destination cannot be used.
    #[error(transparent)]
    Destination(#[from] DestinationError),
    /// The outbox cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a step of delivery did, in messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Taken by the receiver.
    pub delivered: u64,
    /// Tried in vain, and kept.
    pub retrying: u64,
    /// Given up.
    pub dead: u64,
    /// Refused because the destination is gone (410), and kept.
    pub refused: u64,
    /// Steps that the state file did not allow.
    pub store_errors: u64,
}

impl Outcome {
    pub(crate) fn add(&mut self, other: Self) {
        self.delivered += other.delivered;
        self.retrying += other.retrying;
        self.dead += other.dead;
        self.refused += other.refused;
        self.store_errors += other.store_errors;
    }

    fn count(&mut self, fate: &Fate) {
        match fate {
            Fate::Delivered => self.delivered += 1,
            Fate::Retry(..) => self.retrying += 1,
            Fate::Dead(_) => self.dead += 1,
            Fate::Untouched => self.refused += 1,
        }
    }
}

/// Tells the sender that a commit added messages.
#[derive(Debug, Clone)]
pub struct Waker(watch::Sender<()>);

impl Waker {
    /// Look at the outbox now.
    pub fn wake(&self) {
        self.0.send_replace(());
    }
}

/// Delivers what the store commits.
#[derive(Debug)]
pub struct Sender {
    lanes: Vec<Lane>,
    waker: Waker,
    tries: Tries,
}

/// One destination.
#[derive(Debug)]
struct Lane {
    outbox: Outbox,
    transport: Transport,
    /// The receiver asked for a pause until then, ms.
    paused_until_ms: i64,
    /// What became of messages, where the state file did not take it: until it does, nothing is sent, or the receiver would
    /// get the same again and again.
    unrecorded: Vec<(String, Fate)>,
    /// The receiver said that it is gone. Forgotten at a restart: the operator will have looked at it.
    gone: bool,
    tries: Tries,
}

impl Sender {
    /// A sender for the store that this process has open: keep the store until the sender is done, its lock is what
    /// keeps other processes from sending the same.
    pub fn new(store: &Store, destinations: Vec<Destination>, timeouts: Timeouts) -> Result<Self, SenderError> {
        let mut lanes: Vec<Lane> = Vec::new();
        let tries = Tries::default();
        for destination in destinations {
            if lanes.iter().any(|lane| lane.name() == destination.name) {
                return Err(DestinationError { name: destination.name, fault: Fault::Duplicate }.into());
            }
            let transport = Transport::new(destination, timeouts)?;
            lanes.push(Lane {
                outbox: Outbox::open(store.dir())?,
                transport,
                paused_until_ms: i64::MIN,
                unrecorded: Vec::new(),
                gone: false,
                tries: tries.clone(),
            });
        }
        for (name, messages) in Outbox::open(store.dir())?.destinations()? {
            if !lanes.iter().any(|lane| lane.name() == name) {
                tracing::warn!(
                    destination = name,
                    messages,
                    "messages wait for a destination that the config does not have"
                );
            }
        }
        Ok(Self { lanes, waker: Waker(watch::Sender::new(())), tries })
    }

    /// A handle for who commits.
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// What becomes of its tries.
    pub fn tries(&self) -> Tries {
        self.tries.clone()
    }

    /// Sends what is due at `now_ms` until nothing is.
    pub async fn deliver_due(&mut self, now_ms: i64) -> Outcome {
        let outcomes = join_all(self.lanes.iter_mut().map(|lane| lane.deliver_due(now_ms))).await;
        let mut total = Outcome::default();
        for outcome in outcomes {
            total.add(outcome);
        }
        total
    }

    /// Delivers until `shutdown` is true or dropped; then once more what is due, for at most [`Timeouts::drain`].
    pub async fn run(self, shutdown: watch::Receiver<bool>, clock: Clock) {
        // Kept to the end: lanes wait on it.
        let Self { lanes, waker, .. } = self;
        let mut running = JoinSet::new();
        for lane in lanes {
            running.spawn(lane.run(waker.0.subscribe(), shutdown.clone(), clock.clone()));
        }
        while let Some(ended) = running.join_next().await {
            if let Err(e) = ended {
                tracing::error!("a destination's sender failed: {e}");
            }
        }
    }
}

impl Lane {
    fn name(&self) -> &str {
        &self.transport.destination().name
    }

    async fn run(self, wake: watch::Receiver<()>, mut shutdown: watch::Receiver<bool>, clock: Clock) {
        let name = self.name().to_owned();
        let drain = self.transport.timeouts.drain;
        let work = self.work(wake, shutdown.clone(), clock);
        let deadline = async {
            ended(&mut shutdown).await;
            tokio::time::sleep(drain).await;
        };
        tokio::select! {
            () = work => {}
            () = deadline => tracing::warn!(destination = name, "no time to deliver the rest: it is sent after the next start"),
        }
    }

    async fn work(mut self, mut wake: watch::Receiver<()>, mut shutdown: watch::Receiver<bool>, clock: Clock) {
        while !*shutdown.borrow() {
            wake.mark_unchanged();
            let pause = match self.round(clock()).await {
                Ok(outcome) if outcome != Outcome::default() => continue,
                Ok(_) => self.until_next(clock()),
                Err(e) => self.complain(&e),
            };
            tokio::select! {
                () = ended(&mut shutdown) => break,
                _ = wake.changed() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
        self.deliver_due(clock()).await;
    }

    async fn deliver_due(&mut self, now_ms: i64) -> Outcome {
        let mut total = Outcome::default();
        loop {
            match self.round(now_ms).await {
                Ok(outcome) if outcome == Outcome::default() => return total,
                Ok(outcome) => total.add(outcome),
                Err(e) => {
                    self.complain(&e);
                    total.store_errors += 1;
                    return total;
                }
            }
        }
    }

    /// Sends some of what is due. Every message that was tried is then delivered, dead, or due later, so that rounds at one time end.
    async fn round(&mut self, now_ms: i64) -> Result<Outcome, StoreError> {
        self.record(now_ms)?;
        if self.gone || now_ms < self.paused_until_ms {
            return Ok(Outcome::default());
        }
        let messages = self.outbox.due(self.name(), now_ms, SIDE_BY_SIDE)?;
        let results = join_all(messages.iter().map(|m| send(&self.transport, m, now_ms))).await;
        if !messages.is_empty() {
            let _ = reach(Step::AfterSend);
        }
        let mut outcome = Outcome::default();
        for (message, result) in messages.into_iter().zip(results) {
            let fate = self.judge(&message, result, now_ms);
            outcome.count(&fate);
            self.unrecorded.push((message.id, fate));
        }
        self.tries.add(self.name(), outcome);
        self.record(now_ms)?;
        Ok(outcome)
    }

    fn record(&mut self, now_ms: i64) -> Result<(), StoreError> {
        if !self.unrecorded.is_empty() {
            self.outbox.record(&self.unrecorded, now_ms)?;
            self.unrecorded.clear();
        }
        Ok(())
    }

    fn judge(&mut self, message: &Message, result: Result<Reply, Failure>, now_ms: i64) -> Fate {
        let (verdict, error) = match &result {
            Ok(reply) => (Verdict::of_status(reply.status), format!("the receiver answered {}", reply.status)),
            Err(Failure::Unsent(error)) => (Verdict::Retry, error.clone()),
            Err(Failure::Unreadable(error)) => (Verdict::Rejected, error.clone()),
        };
        let destination = self.name().to_owned();
        let id = &message.id;
        match verdict {
            Verdict::Delivered => {
                tracing::debug!(destination, id, "delivered");
                Fate::Delivered
            }
            Verdict::Rejected => {
                tracing::error!(destination, id, error, "not delivered, never will be: a dead letter");
                Fate::Dead(error)
            }
            Verdict::Gone => {
                tracing::error!(destination, "the receiver is gone (410): nothing is sent to it until the next start");
                self.gone = true;
                Fate::Untouched
            }
            Verdict::Retry => {
                let asked = result.ok().and_then(|r| retry_after_ms(&r.retry_after?, now_ms));
                self.paused_until_ms = self.paused_until_ms.max(asked.unwrap_or(i64::MIN));
                let Some(next) = next_try_ms(id, message.attempts.saturating_add(1), now_ms) else {
                    tracing::error!(destination, id, error, "not delivered for a day: a dead letter");
                    return Fate::Dead(error);
                };
                tracing::warn!(
                    destination,
                    id,
                    error,
                    attempts = message.attempts + 1,
                    "not delivered, will be tried again"
                );
                Fate::Retry(next.max(asked.unwrap_or(i64::MIN)), error)
            }
        }
    }

    fn until_next(&self, now_ms: i64) -> Duration {
        if self.gone {
            return Duration::MAX;
        }
        let next = match self.outbox.next_due_ms(self.name()) {
            Ok(next) => next.unwrap_or(i64::MAX).max(self.paused_until_ms),
            Err(e) => return self.complain(&e),
        };
        let ms = next.saturating_sub(now_ms).clamp(1, LOOK_EVERY_MS);
        Duration::from_millis(ms.unsigned_abs())
    }

    fn complain(&self, error: &StoreError) -> Duration {
        tracing::error!(destination = self.name(), "{error}");
        AFTER_STORE_ERROR
    }
}

/// Why there is no reply.
enum Failure {
    /// The request failed.
    Unsent(String),
    /// The message cannot be made into a request.
    Unreadable(String),
}

async fn send(transport: &Transport, message: &Message, now_ms: i64) -> Result<Reply, Failure> {
    let unreadable =
        |e: serde_json::Error| Failure::Unreadable(format!("the outbox holds a message that cannot be read: {e}"));
    let alert: Alert = serde_json::from_str(&message.alert).map_err(unreadable)?;
    let destination = transport.destination();
    let notification = Notification {
        alert: &alert,
        id: &message.id,
        sent_ms: now_ms,
        destination: &destination.name,
        key: destination.key.as_ref().map(Key::as_str),
        template: destination.template.as_ref(),
    };
    let request = destination.style.request(&notification).map_err(|e| Failure::Unreadable(e.to_string()))?;
    let _ = reach(Step::BeforeSend);
    transport.post(&message.id, now_ms.div_euclid(1_000), request).await.map_err(Failure::Unsent)
}

/// Waits for the end of the program.
async fn ended(shutdown: &mut watch::Receiver<bool>) {
    // An error means that who could tell is gone: an end too.
    let _ = shutdown.wait_for(|end| *end).await;
}
