//! What spares a receiver: a breaker for one that fails, a token bucket for one that works. Pure: the clock is an argument.

use std::collections::VecDeque;

/// So many failures in a row can open the breaker.
const FAILURES: usize = 5;
/// So many results are remembered, for so long, ms; and so many of a hundred of them must be failures, too.
const RECENT: usize = 20;
const RECENT_MS: i64 = 60_000;
const FAILURE_PERCENT: usize = 90;
/// The first pause, ms; each probe that fails doubles it, up to the longest.
const FIRST_PAUSE_MS: i64 = 30_000;
const LONGEST_PAUSE_MS: i64 = 600_000;

/// Opens after five failures in a row, if nearly all of the last results were failures. While it is open one message is tried from
/// time to time, and no message loses a try.
///
/// Five in a row alone would not do: of a receiver that fails at random, a third of the time, they are every 364th request on
/// average, and each pause would cost more messages than are sent between two of them. (Breakers by share of failures in a window
/// are usual: Hystrix, resilience4j.)
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    /// The newest results, each with its time, ms, and whether it is a failure.
    recent: VecDeque<(i64, bool)>,
    /// Open: the current pause, and when the next probe is, ms.
    open: Option<(i64, i64)>,
}

/// What a result did to the breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    None,
    Opened,
    Closed,
}

impl Breaker {
    pub(crate) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// How many messages may be tried now.
    pub(crate) fn allows(&self, now_ms: i64) -> u32 {
        match self.open {
            None => u32::MAX,
            Some((_, probe_ms)) => u32::from(now_ms >= probe_ms),
        }
    }

    /// When the next probe is, ms.
    pub(crate) fn next_probe_ms(&self) -> Option<i64> {
        self.open.map(|(_, probe_ms)| probe_ms)
    }

    /// The clock was set back.
    pub(crate) fn set_right(&mut self, now_ms: i64) {
        if let Some((pause, probe_ms)) = &mut self.open {
            *probe_ms = now_ms.saturating_add(*pause).min(*probe_ms);
        }
    }

    /// The receiver works: it has answered, whatever it thinks of the message.
    pub(crate) fn success(&mut self, now_ms: i64) -> Turn {
        self.note(now_ms, false);
        if self.open.take().is_some() { Turn::Closed } else { Turn::None }
    }

    /// No answer, or one that is no answer to the message.
    pub(crate) fn failure(&mut self, now_ms: i64) -> Turn {
        self.note(now_ms, true);
        let failing = self.is_failing(now_ms);
        match &mut self.open {
            Some((pause, probe_ms)) if now_ms >= *probe_ms => {
                *pause = pause.saturating_mul(2).min(LONGEST_PAUSE_MS);
                *probe_ms = now_ms.saturating_add(*pause);
                Turn::None
            }
            None if failing => {
                self.open = Some((FIRST_PAUSE_MS, now_ms.saturating_add(FIRST_PAUSE_MS)));
                Turn::Opened
            }
            // One of those that were under way when it opened, or too few so far.
            Some(_) | None => Turn::None,
        }
    }

    fn note(&mut self, now_ms: i64, failed: bool) {
        self.recent.push_back((now_ms, failed));
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
    }

    fn is_failing(&self, now_ms: i64) -> bool {
        let in_a_row = self.recent.iter().rev().take_while(|(_, failed)| *failed).count();
        // (what lies in the future is of a clock that was set back)
        let lately = now_ms.saturating_sub(RECENT_MS)..=now_ms;
        let (mut all, mut failures) = (0, 0);
        for (_, failed) in self.recent.iter().filter(|(at, _)| lately.contains(at)) {
            all += 1;
            failures += usize::from(*failed);
        }
        in_a_row >= FAILURES && failures * 100 >= all * FAILURE_PERCENT
    }
}

/// At most so many requests a minute.
#[derive(Debug, Default)]
pub(crate) struct Bucket {
    /// Requests a minute; `None`: as many as there are.
    rate: Option<u32>,
    /// When the requests of the last minute were, ms: at most `rate`.
    sent: VecDeque<i64>,
}

const MINUTE_MS: i64 = 60_000;

impl Bucket {
    pub(crate) fn new(rate: Option<u32>) -> Self {
        Self { rate, sent: VecDeque::new() }
    }

    /// How many requests may be sent now.
    pub(crate) fn allows(&mut self, now_ms: i64) -> u32 {
        let Some(rate) = self.rate else { return u32::MAX };
        // A clock that was set back: what lies in the future is forgotten.
        self.sent.retain(|&at| at <= now_ms && at > now_ms.saturating_sub(MINUTE_MS));
        rate.saturating_sub(u32::try_from(self.sent.len()).unwrap_or(u32::MAX))
    }

    /// Takes note of requests.
    pub(crate) fn take(&mut self, requests: usize, now_ms: i64) {
        if self.rate.is_some() {
            self.sent.extend(std::iter::repeat_n(now_ms, requests));
        }
    }

    /// When the next request may be sent, ms, if none may now.
    pub(crate) fn next_ms(&mut self, now_ms: i64) -> Option<i64> {
        if self.allows(now_ms) > 0 { None } else { self.sent.front().map(|at| at.saturating_add(MINUTE_MS)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_opens_on_five_in_a_row_and_probes_ever_less() {
        let mut breaker = Breaker::default();
        for n in 1..=5 {
            assert_eq!(breaker.failure(0), if n < 5 { Turn::None } else { Turn::Opened });
        }
        let mut now = 0;
        for pause in [30, 60, 120, 240, 480, 600, 600] {
            assert_eq!(breaker.next_probe_ms(), Some(now + pause * 1_000));
            assert_eq!(breaker.allows(now + pause * 1_000 - 1), 0);
            now += pause * 1_000;
            assert_eq!(breaker.allows(now), 1);
            assert_eq!(breaker.failure(now), Turn::None);
        }
        assert_eq!(breaker.success(now), Turn::Closed);
        assert_eq!((breaker.allows(now), breaker.is_open()), (u32::MAX, false));
    }

    /// How many failures in a row it takes to open, after so many successes a while ago.
    fn failures_to_open(successes: usize, ago_ms: i64) -> usize {
        let mut breaker = Breaker::default();
        for _ in 0..successes {
            breaker.success(0);
        }
        1 + (0..100).take_while(|_| breaker.failure(ago_ms) != Turn::Opened).count()
    }

    #[test]
    fn an_outage_after_successes_opens_it_too() {
        assert_eq!(failures_to_open(0, 0), 5);
        assert_eq!(failures_to_open(1, 1_000), 9);
        assert_eq!(failures_to_open(1_000, 1_000), 18);
        assert_eq!(failures_to_open(1_000, RECENT_MS + 1), 5, "what was a minute ago is no sign");
        assert_eq!(failures_to_open(1_000, -1), 5, "nor what a clock says that was set back");
    }

    /// Of receivers that fail at random: how often it opens in 100,000 requests, fifty a second.
    #[test]
    fn chance_does_not_open_it() {
        let openings = |percent: u64| {
            let mut breaker = Breaker::default();
            let (mut now, mut openings, mut random) = (0, 0, 7_u64);
            for _ in 0..100_000 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                now = breaker.next_probe_ms().unwrap_or(now + 20);
                if (random >> 33) % 100 >= percent {
                    breaker.success(now);
                } else if breaker.failure(now) == Turn::Opened {
                    openings += 1;
                }
            }
            openings
        };
        assert_eq!(openings(33), 0);
        assert!(openings(50) < 20, "{}", openings(50));
        assert!(openings(95) > 1_000, "{}", openings(95));
    }

    proptest! {
        #[test]
        fn never_more_than_the_rate_in_any_minute(rate in 1..20_u32, steps in prop::collection::vec((0..40_000_i64, 0..30_u32), 1..60)) {
            let mut bucket = Bucket::new(Some(rate));
            let mut now = 0;
            let mut sent: Vec<i64> = Vec::new();
            for (pause, wanted) in steps {
                now += pause;
                let n = bucket.allows(now).min(wanted);
                if n == 0 && wanted > 0 {
                    let next = bucket.next_ms(now).unwrap();
                    prop_assert!(next > now && next <= now + MINUTE_MS);
                }
                bucket.take(n as usize, now);
                sent.extend(std::iter::repeat_n(now, n as usize));
                let within = sent.iter().filter(|&&at| at > now - MINUTE_MS).count();
                prop_assert!(within <= rate as usize);
            }
        }
    }
}
