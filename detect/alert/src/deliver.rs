//! The sender: takes what is due from the outbox, posts it, and records what came of it.
//!
//! Each destination has a lane of its own (`lane.rs`), so that one that hangs delays no other. The id of a message is written
//! before it is first sent: a crash in between makes the receiver see the same id again, never another.

use std::sync::Arc;

use futures::future::join_all;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::alert::Alert;
use crate::destination::{Destination, DestinationError, Fault};
use crate::error::StoreError;
use crate::figures::Tries;
use crate::flight::try_once;
use crate::lane::Lane;
use crate::outbox::{Attempt, Fate, Outbox};
use crate::store::Store;
pub use crate::transport::Timeouts;
use crate::transport::Transport;

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

    pub(crate) fn count(&mut self, fate: &Fate) {
        match fate {
            Fate::Delivered => self.delivered += 1,
            Fate::Retry(..) | Fate::Postponed(..) => self.retrying += 1,
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

/// What a message that was sent to try a destination out came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tested {
    /// Its `webhook-id`.
    pub id: String,
    /// What became of it; no error: delivered.
    pub attempt: Attempt,
}

/// Sends states of an alert to a destination, once each, past the outbox, until one is not delivered.
pub async fn try_out(
    destination: Destination,
    states: &[Alert],
    timeouts: Timeouts,
    now_ms: i64,
) -> Result<Vec<Tested>, DestinationError> {
    let transport = Transport::new(destination, timeouts)?;
    let mut tested = Vec::new();
    for alert in states {
        let id = alert.webhook_id(&transport.destination().name);
        let attempt = try_once(&transport, &id, alert, now_ms).await;
        let failed = attempt.error.is_some();
        tested.push(Tested { id, attempt });
        if failed {
            break;
        }
    }
    Ok(tested)
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
            lanes.push(Lane::new(Outbox::open(store.dir())?, transport, tries.clone())?);
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
