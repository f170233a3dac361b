//! It makes no requests of its own: `World` sees that it is there and changes everybody's week.

use super::{Confounder, Day};

/// How it is called.
pub const NAME: &str = "holiday";

pub(super) const CONFOUNDER: Confounder =
    Confounder { name: NAME, summary: "the fourth day is a holiday: as quiet as a Sunday", day };

fn day(_: &mut Day) {}
