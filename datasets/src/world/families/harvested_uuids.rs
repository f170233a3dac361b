//! UUIDs that were collected elsewhere: no order, no misses.

use crate::world::plan::{Plan};

pub(super) const PLANS: &[Plan] = &[
    Plan {
        name: "harvested-uuids",
        summary: "one address, UUIDs, 3/s",
        target: "/v1/conversations/{uuid}/messages?limit=50",
        route: "/v1/conversations/{uuid}/messages",
        rate: 3.0,
        ..Plan::BASE
    },
];
