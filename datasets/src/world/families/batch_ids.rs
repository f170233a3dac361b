//! Many ids a request.

use crate::world::plan::{Plan};

pub(super) const PLANS: &[Plan] = &[
    Plan {
        name: "batch-ids",
        summary: "one address, 100 ids a request, one in 2 s",
        target: "/v1/users?ids={ids}",
        route: "/v1/users",
        batch: 100,
        rate: 0.5,
        ..Plan::BASE
    },
];
