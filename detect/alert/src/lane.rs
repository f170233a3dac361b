//! A destination's lane: what is due goes out, and what came of it is written down.
//!
//! Messages of one fingerprint go one after the other, in order, others side by side. A receiver is spared by its
//! `Retry-After`, by a breaker and by a token bucket ([`crate::breaker`]).

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::FutureExt as _;
use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::watch;

use crate::breaker::{Breaker, Bucket, Turn};
use crate::deliver::{Clock, Outcome};
use crate::destination::Destination;
use crate::error::StoreError;
use crate::failpoint::{Step, reach};
use crate::figures::Tries;
use crate::flight::{Failure, Try, meaning, send};
use crate::outbox::{Attempt, Fate, Message, NEVER, Outbox, Recorded};
use crate::retry::{MAX_RETRY_AFTER_MS, Verdict, next_try_ms, retry_after_ms};
use crate::transport::{Reply, Transport};

/// The most alerts in one message, where a style takes several.
const BATCH: u32 = 500;
/// The most requests to one destination at a time.
const SIDE_BY_SIDE: usize = 8;
/// The outbox is looked at no less often than this: somebody else may have changed it, or the clock was set.
const LOOK_EVERY_MS: i64 = 30_000;
/// How long to wait when the state file cannot be read or written.
const AFTER_STORE_ERROR: Duration = Duration::from_secs(5);
/// How old a message may become, ms, while the receiver is left alone, which costs no tries. Time in which the lane was not at work
/// does not count: the machine may have been off, or its clock may have jumped.
const MAX_AGE_MS: i64 = 3 * 86_400_000;
/// Two rounds that are further apart than this have something of that kind between them, ms.
const LONGEST_ROUND_MS: i64 = 60_000;
/// How often it is written down how long the lane was at work, and what is too old is given up, ms.
const RECORD_WORK_MS: i64 = 600_000;
/// A clock that goes back by more than this was set, ms.
const SET_BACK_MS: i64 = 10_000;

/// A request under way: when it began, ms; the message; what came of it.
type Flight = Pin<Box<dyn Future<Output = (i64, Message, Try)> + Send>>;

/// One destination.
#[derive(Debug)]
pub(crate) struct Lane {
    outbox: Outbox,
    transport: Arc<Transport>,
    under_way: FuturesUnordered<Flight>,
    /// The queues that they are of: no other message of these may go.
    busy: BTreeSet<String>,
    breaker: Breaker,
    bucket: Bucket,
    /// What the state file knows of the breaker.
    recorded_probe_ms: Option<i64>,
    /// The time of the last round, ms.
    last_ms: i64,
    /// How long it has been at work, in this process and before; and what the state file knows of that, ms.
    worked_ms: i64,
    recorded_worked_ms: i64,
    /// The receiver asked for a pause until then, ms.
    paused_until_ms: i64,
    /// What became of messages, where the state file did not take it: until it does, nothing is sent, or the receiver would
    /// get the same again and again.
    unrecorded: Vec<Recorded>,
    /// The receiver said that it is gone. Forgotten at a restart: the operator will have looked at it.
    gone: bool,
    tries: Tries,
}

impl Lane {
    pub(crate) fn new(outbox: Outbox, transport: Transport, tries: Tries) -> Result<Self, StoreError> {
        let destination = transport.destination();
        // A new process knows of no failures.
        outbox.record_breaker(&destination.name, None, 0)?;
        if !destination.style.takes_several() {
            outbox.dissolve(&destination.name)?;
        }
        let worked_ms = outbox.worked_ms(&destination.name)?;
        Ok(Self {
            outbox,
            worked_ms,
            recorded_worked_ms: worked_ms,
            breaker: Breaker::default(),
            bucket: Bucket::new(destination.per_minute),
            recorded_probe_ms: None,
            last_ms: i64::MAX,
            paused_until_ms: i64::MIN,
            unrecorded: Vec::new(),
            gone: false,
            tries,
            under_way: FuturesUnordered::new(),
            busy: BTreeSet::new(),
            transport: Arc::new(transport),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.transport.destination().name
    }

    pub(crate) async fn run(self, wake: watch::Receiver<()>, mut shutdown: watch::Receiver<bool>, clock: Clock) {
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
            let pause = match self.start(clock()) {
                Ok(()) => self.until_next(clock()),
                Err(e) => self.complain(&e),
            };
            tokio::select! {
                () = ended(&mut shutdown) => break,
                _ = wake.changed() => {}
                Some(done) = self.under_way.next() => { self.finish_all(done, clock()); }
                () = tokio::time::sleep(pause) => {}
            }
        }
        self.deliver_due(clock()).await;
    }

    /// Sends what is due, and waits for what is under way. Every message that was tried is then delivered, dead, or due later.
    pub(crate) async fn deliver_due(&mut self, now_ms: i64) -> Outcome {
        let mut total = Outcome::default();
        loop {
            let started = self.start(now_ms);
            let done = self.under_way.next().await;
            let ended = done.is_none();
            total.add(done.map_or_else(Outcome::default, |done| self.finish_all(done, now_ms)));
            match started {
                Ok(()) if ended => return total,
                Err(e) if ended => {
                    self.complain(&e);
                    total.store_errors += 1;
                    return total;
                }
                _ => {}
            }
        }
    }

    /// Begins to send what may be sent.
    fn start(&mut self, now_ms: i64) -> Result<(), StoreError> {
        self.record(now_ms)?;
        if now_ms < self.last_ms.saturating_sub(SET_BACK_MS) {
            self.set_right(now_ms)?;
        }
        self.worked_ms += now_ms.saturating_sub(self.last_ms).clamp(0, LONGEST_ROUND_MS);
        self.last_ms = now_ms;
        self.give_up_old(now_ms)?;
        let limit = self.free(now_ms);
        if limit > 0 {
            let messages = self.due(now_ms, limit)?;
            self.bucket.take(messages.len(), now_ms);
            for message in messages {
                self.busy.insert(message.queue.clone());
                let transport = Arc::clone(&self.transport);
                self.under_way.push(Box::pin(async move {
                    let tried = send(&transport, &message, now_ms).await;
                    (now_ms, message, tried)
                }));
            }
        }
        Ok(())
    }

    /// How many requests may begin now.
    fn free(&mut self, now_ms: i64) -> usize {
        // A probe goes alone.
        let probes = self.breaker.is_open() && !self.under_way.is_empty();
        if self.gone || now_ms < self.paused_until_ms || probes {
            return 0;
        }
        let spared = self.breaker.allows(now_ms).min(self.bucket.allows(now_ms));
        SIDE_BY_SIDE.saturating_sub(self.under_way.len()).min(usize::try_from(spared).unwrap_or(usize::MAX))
    }

    /// What may be sent now, at most `limit` messages.
    fn due(&mut self, now_ms: i64, limit: usize) -> Result<Vec<Message>, StoreError> {
        let Destination { name, style, .. } = self.transport.destination();
        let several = if style.takes_several() { BATCH } else { 1 };
        let due = self.outbox.due(name, now_ms, &self.busy, limit, several)?;
        let next = if due.is_empty() { self.outbox.next_due(name, &self.busy)? } else { None };
        // Written while the clock was ahead, which no look has seen.
        if next.is_none_or(|(_, created_ms)| created_ms <= now_ms.saturating_add(SET_BACK_MS)) {
            return Ok(due);
        }
        self.set_right(now_ms)?;
        self.outbox.due(&self.transport.destination().name, now_ms, &self.busy, limit, several)
    }

    /// Takes in what came of a request, and of all others that have ended meanwhile.
    fn finish_all(&mut self, done: (i64, Message, Try), now_ms: i64) -> Outcome {
        let mut outcome = Outcome::default();
        let mut next = Some(done);
        while let Some(done) = next {
            outcome.count(&self.finish(done, now_ms));
            next = self.under_way.next().now_or_never().flatten();
        }
        self.tries.add(self.name(), outcome);
        outcome
    }

    fn finish(&mut self, (started_ms, message, tried): (i64, Message, Try), now_ms: i64) -> Fate {
        let _ = reach(Step::AfterSend);
        self.busy.remove(&message.queue);
        let Try { result, duration_ms } = tried;
        let status = result.as_ref().ok().map(|reply| reply.status);
        let (fate, error) = self.judge(&message, result, now_ms);
        let attempt = Attempt { started_ms, duration_ms, status, error };
        self.unrecorded.push(Recorded { id: message.id, fate: fate.clone(), attempt: Some(attempt) });
        fate
    }

    /// The clock was set back, or this is the first look: what is due later than anything can be is due.
    fn set_right(&mut self, now_ms: i64) -> Result<(), StoreError> {
        self.breaker.set_right(now_ms);
        self.paused_until_ms = self.paused_until_ms.min(now_ms.saturating_add(MAX_RETRY_AFTER_MS));
        let messages = self.outbox.set_right(self.name(), now_ms)?;
        if messages > 0 {
            tracing::warn!(
                destination = self.name(),
                messages,
                "the clock was ahead: messages are sent that waited for it"
            );
        }
        Ok(())
    }

    /// Now and then: what is too old to be of use to a receiver that is left alone becomes a dead letter.
    fn give_up_old(&mut self, now_ms: i64) -> Result<(), StoreError> {
        if self.worked_ms.saturating_sub(self.recorded_worked_ms) < RECORD_WORK_MS {
            return Ok(());
        }
        let is_left_alone = self.gone || self.breaker.is_open();
        let before = is_left_alone.then(|| self.worked_ms.saturating_sub(MAX_AGE_MS));
        let name = &self.transport.destination().name;
        let dead = self.outbox.record_work(name, self.worked_ms, before, now_ms)?;
        self.recorded_worked_ms = self.worked_ms;
        if dead > 0 {
            tracing::error!(destination = self.name(), dead, "messages not delivered for three days are dead letters");
            self.tries
                .add(self.name(), Outcome { dead: u64::try_from(dead).unwrap_or(u64::MAX), ..Outcome::default() });
        }
        Ok(())
    }

    fn record(&mut self, now_ms: i64) -> Result<(), StoreError> {
        if !self.unrecorded.is_empty() {
            self.outbox.record(&self.unrecorded, now_ms)?;
            self.unrecorded.clear();
        }
        let probe_ms = if self.gone { Some(NEVER) } else { self.breaker.next_probe_ms() };
        if probe_ms != self.recorded_probe_ms {
            self.outbox.record_breaker(self.name(), probe_ms, now_ms)?;
            self.recorded_probe_ms = probe_ms;
        }
        Ok(())
    }

    /// What becomes of a message, and the error, if there was one.
    fn judge(&mut self, message: &Message, result: Result<Reply, Failure>, now_ms: i64) -> (Fate, Option<String>) {
        let (verdict, error) = meaning(&result);
        let destination = self.name().to_owned();
        let id = &message.id;
        if verdict != Verdict::Retry && result.is_ok() && self.breaker.success(now_ms) == Turn::Closed {
            tracing::warn!(destination, "the receiver answers again");
        }
        let fate = match verdict {
            Verdict::Delivered => {
                tracing::debug!(destination, id, "delivered");
                return (Fate::Delivered, None);
            }
            Verdict::Rejected => {
                tracing::error!(destination, id, error, "not delivered, never will be: a dead letter");
                Fate::Dead(error.clone())
            }
            Verdict::Gone => {
                tracing::error!(destination, "the receiver is gone (410): nothing is sent to it until the next start");
                self.gone = true;
                Fate::Untouched
            }
            Verdict::Retry => self.keep(message, result.ok(), &error, now_ms),
        };
        (fate, Some(error))
    }

    /// When a message that was not taken is tried again, if it is.
    fn keep(&mut self, message: &Message, reply: Option<Reply>, error: &str, now_ms: i64) -> Fate {
        let destination = self.name().to_owned();
        let id = &message.id;
        let asked = reply.and_then(|r| retry_after_ms(&r.retry_after?, now_ms)).unwrap_or(i64::MIN);
        self.paused_until_ms = self.paused_until_ms.max(asked);
        // The failure that opens the breaker is the last that costs a try.
        let was_open = self.breaker.is_open();
        if self.breaker.failure(now_ms) == Turn::Opened {
            tracing::error!(
                destination,
                error,
                "five failures in a row, and hardly anything else lately: the receiver is left alone and tried now and then"
            );
        }
        if let (true, Some(probe_ms)) = (was_open, self.breaker.next_probe_ms()) {
            return Fate::Postponed(probe_ms.max(asked), error.to_owned());
        }
        let Some(next) = next_try_ms(id, message.attempts.saturating_add(1), now_ms) else {
            tracing::error!(destination, id, error, "not delivered for a day: a dead letter");
            return Fate::Dead(error.to_owned());
        };
        tracing::warn!(destination, id, error, attempts = message.attempts + 1, "not delivered, will be tried again");
        Fate::Retry(next.max(asked), error.to_owned())
    }

    fn until_next(&mut self, now_ms: i64) -> Duration {
        let probes = self.breaker.is_open() && !self.under_way.is_empty();
        let next = match self.outbox.next_due(self.name(), &self.busy) {
            Ok(Some((due_ms, _))) if !self.gone && !probes && self.under_way.len() < SIDE_BY_SIDE => due_ms,
            // Nothing can begin before something has changed.
            Ok(_) => NEVER,
            Err(e) => return self.complain(&e),
        };
        let spared = [self.breaker.next_probe_ms(), self.bucket.next_ms(now_ms), Some(self.paused_until_ms)];
        let next = spared.into_iter().flatten().fold(next, i64::max);
        let ms = next.saturating_sub(now_ms).clamp(1, LOOK_EVERY_MS);
        Duration::from_millis(ms.unsigned_abs())
    }

    fn complain(&self, error: &StoreError) -> Duration {
        tracing::error!(destination = self.name(), "{error}");
        AFTER_STORE_ERROR
    }
}

/// Waits for the end of the program.
async fn ended(shutdown: &mut watch::Receiver<bool>) {
    // An error means that who could tell is gone: an end too.
    let _ = shutdown.wait_for(|end| *end).await;
}
