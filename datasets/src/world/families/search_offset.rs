//! A search that is paged through by offset.

use crate::world::plan::{Plan};

pub(super) const PLANS: &[Plan] = &[
    Plan {
        name: "search-offset",
        summary: "one address, search results by offset, 50 a request, 1/s",
        target: "/v1/search?q=a&offset={offset}&limit=50",
        route: "/v1/search",
        batch: 50,
        rate: 1.0,
        ..Plan::BASE
    },
];
