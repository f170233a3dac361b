//! It makes no requests of its own: `World` sees that it is there and changes everybody's week.

use super::{Confounder, Day};

/// How it is called.
pub const NAME: &str = "summer-time";

pub(super) const CONFOUNDER: Confounder =
    Confounder { name: NAME, summary: "from the third day on all is an hour earlier", day };

fn day(_: &mut Day) {}
