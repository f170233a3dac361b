//! Busy for minutes, silent for the rest of the hour.

use crate::world::plan::{Order, Pace, Plan};

pub(super) const PLANS: &[Plan] = &[
    Plan {
        name: "stop-and-go",
        summary: "one address, 1/s for 30 s, then silent for 15 min",
        rate: 1.0,
        pace: Pace::StopAndGo(30, 900),
        order: Order::Random,
        ..Plan::BASE
    },
];
