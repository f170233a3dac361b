//! The campaign runs since the first line of the log: nothing was ever normal.

use crate::world::plan::{Order, Plan};

pub(super) const PLANS: &[Plan] = &[
    Plan {
        name: "since-first-line",
        summary: "one address, 0.3/s since the first line",
        rate: 0.3,
        order: Order::Random,
        ..Plan::BASE
    },
];
