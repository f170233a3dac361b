//! What a reply means, and when to try again. Pure: clock and identity are arguments.

use std::time::UNIX_EPOCH;

use serde_json::json;

use crate::finding::hash;

/// How long after a try the next may start, ms; the first is due at once. After the last, about a day
/// after the first, the message is a dead letter.
const DELAYS_MS: [i64; 10] = {
    const S: i64 = 1_000;
    const M: i64 = 60 * S;
    const H: i64 = 60 * M;
    [5 * S, 30 * S, 2 * M, 10 * M, 30 * M, H, 2 * H, 4 * H, 8 * H, 8 * H]
};
/// No message is due later than this from now, ms: the last delay, stretched, or a `Retry-After`.
pub(crate) const LONGEST_DELAY_MS: i64 = 10 * 3_600_000;
/// A delay is stretched by up to this part of it, so that messages that failed together do not come back together.
const JITTER: f64 = 0.2;
/// The most that a `Retry-After` can ask for, ms.
pub(crate) const MAX_RETRY_AFTER_MS: i64 = 3_600_000;

/// What a receiver's answer means for a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The receiver has it.
    Delivered,
    /// The receiver will never take this message: it is a dead letter.
    Rejected,
    /// The receiver wants no messages any more.
    Gone,
    /// Keep it and try again.
    Retry,
}

impl Verdict {
    /// By the status code.
    pub fn of_status(status: u16) -> Self {
        match status {
            200..=299 => Self::Delivered,
            400 | 413 | 415 | 422 => Self::Rejected,
            410 => Self::Gone,
            _ => Self::Retry,
        }
    }
}

/// When to try a message again after its try number `attempts` (from 1) at `now_ms`; `None`: never, it is a dead letter.
pub fn next_try_ms(id: &str, attempts: u32, now_ms: i64) -> Option<i64> {
    let delay = *DELAYS_MS.get(usize::try_from(attempts).ok()?.checked_sub(1)?)?;
    // Delays are far below 2^52.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation)]
    let stretched = (delay as f64 * (1.0 + JITTER * jitter(id, attempts))) as i64;
    Some(now_ms.saturating_add(stretched))
}

/// A number in 0..1 that differs between messages and tries, and is the same when asked again.
fn jitter(id: &str, attempts: u32) -> f64 {
    let digits = &hash(&json!([id, attempts]))[..8];
    u32::from_str_radix(digits, 16).map_or(0.0, |n| f64::from(n) / 4_294_967_296.0)
}

/// Until when, ms, a `Retry-After` asks to wait: seconds or an HTTP date, at most an hour. `None` if it is neither.
pub fn retry_after_ms(header: &str, now_ms: i64) -> Option<i64> {
    let header = header.trim();
    let until = if !header.is_empty() && header.bytes().all(|b| b.is_ascii_digit()) {
        let seconds = header.parse::<i64>().unwrap_or(i64::MAX);
        now_ms.saturating_add(seconds.saturating_mul(1_000))
    } else {
        let date = httpdate::parse_http_date(header).ok()?;
        i64::try_from(date.duration_since(UNIX_EPOCH).ok()?.as_millis()).unwrap_or(i64::MAX)
    };
    Some(until.clamp(now_ms, now_ms.saturating_add(MAX_RETRY_AFTER_MS)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn status_times_policy() {
        let table = [
            (Verdict::Delivered, vec![200, 201, 202, 204, 299]),
            (Verdict::Rejected, vec![400, 413, 415, 422]),
            (Verdict::Gone, vec![410]),
            (
                Verdict::Retry,
                vec![
                    100, 199, 300, 301, 302, 304, 307, 308, 401, 403, 404, 405, 408, 409, 411, 412, 414, 418, 421, 423,
                    425, 429, 499, 500, 501, 502, 503, 504, 599, 999,
                ],
            ),
        ];
        for (verdict, statuses) in table {
            for status in statuses {
                assert_eq!(Verdict::of_status(status), verdict, "{status}");
            }
        }
    }

    #[test]
    fn about_a_day_then_never() {
        let mut now = 0;
        let mut tries = 1;
        while let Some(next) = next_try_ms("msg_1", tries, now) {
            assert!(next > now);
            now = next;
            tries += 1;
        }
        assert_eq!(tries, 11);
        let hours = now / 3_600_000;
        assert!((23..=29).contains(&hours), "{hours} h");
        assert_eq!(next_try_ms("msg_1", 0, 0), None);
        assert_eq!(next_try_ms("msg_1", u32::MAX, 0), None);
    }

    proptest! {
        #[test]
        fn jitter_stays_within_a_fifth(id: String, attempts in 1..=10_u32, now in 0..4_000_000_000_000_i64) {
            let delay = DELAYS_MS[attempts as usize - 1];
            let next = next_try_ms(&id, attempts, now).unwrap() - now;
            prop_assert!((delay..=delay + delay / 5).contains(&next));
            prop_assert_eq!(next_try_ms(&id, attempts, now), Some(now + next));
        }

        #[test]
        fn retry_after_never_panics_nor_exceeds_an_hour(header: String, now in 0..4_000_000_000_000_i64) {
            if let Some(until) = retry_after_ms(&header, now) {
                prop_assert!((now..=now + MAX_RETRY_AFTER_MS).contains(&until));
            }
        }
    }

    #[test]
    fn retry_after_in_both_forms() {
        const NOW: i64 = 1_700_000_000_000; // Tue, 14 Nov 2023 22:13:20 GMT
        assert_eq!(retry_after_ms("120", NOW), Some(NOW + 120_000));
        assert_eq!(retry_after_ms(" 0 ", NOW), Some(NOW));
        assert_eq!(retry_after_ms("99999999999999999999999", NOW), Some(NOW + 3_600_000));
        assert_eq!(retry_after_ms("Tue, 14 Nov 2023 22:14:20 GMT", NOW), Some(NOW + 60_000));
        assert_eq!(retry_after_ms("Tue, 14 Nov 2023 21:00:00 GMT", NOW), Some(NOW));
        assert_eq!(retry_after_ms("Wed, 15 Nov 2023 22:14:20 GMT", NOW), Some(NOW + 3_600_000));
        for neither in ["", "soon", "-5", "1.5", "+5"] {
            assert_eq!(retry_after_ms(neither, NOW), None, "{neither}");
        }
    }

    #[test]
    fn jitter_spreads() {
        let spread: std::collections::BTreeSet<_> =
            (0..100).filter_map(|n| next_try_ms(&format!("msg_{n}"), 6, 0)).collect();
        assert!(spread.len() > 90);
    }
}
