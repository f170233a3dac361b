//! What everybody is to the merge: somebody with a next request.

use crate::line::Lines;

/// Somebody who makes requests in the order of time.
pub(crate) trait Actor {
    /// When the next request is logged, µs since 1970; None if there is none any more.
    fn next_us(&self) -> Option<i64>;
    /// Writes it.
    fn act(&mut self, lines: &mut Lines);
}
