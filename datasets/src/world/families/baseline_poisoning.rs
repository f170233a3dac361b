//! A slow ramp, to teach baselines that it is normal.

use crate::world::plan::{Order, Pace, Plan};

pub(super) const PLANS: &[Plan] = &[
    Plan {
        name: "poisoning",
        summary: "one address, from 10 an hour, 1.3 times as fast each day",
        rate: 10.0 / 3_600.0,
        pace: Pace::Ramp(1.3),
        order: Order::Random,
        ..Plan::BASE
    },
];
