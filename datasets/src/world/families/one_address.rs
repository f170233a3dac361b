//! One address reads id after id, 0.3 to 1,000 a second, the id at the end of the path, in its middle or in the query.

use crate::world::plan::{Plan};

pub(super) const PLANS: &[Plan] = &[
    Plan {
        name: "sequential-10",
        summary: "one address, sequential, 10/s, id at the end",
        ..Plan::BASE
    },
    Plan {
        name: "sequential-1000",
        summary: "one address, sequential, 1,000/s, id at the end",
        rate: 1_000.0,
        ..Plan::BASE
    },
    Plan {
        name: "sequential-5-middle",
        summary: "one address, sequential, 5/s, id in the middle of the path",
        rate: 5.0,
        target: "/v1/users/{id}/addresses",
        route: "/v1/users/{id}/addresses",
        ..Plan::BASE
    },
    Plan {
        name: "sequential-50-query",
        summary: "one address, sequential, 50/s, id in the query",
        rate: 50.0,
        target: "/v1/invoices?order_id={id}",
        route: "/v1/invoices",
        ..Plan::BASE
    },
    Plan {
        name: "sequential-0.3",
        summary: "one address, sequential, 0.3/s",
        rate: 0.3,
        ..Plan::BASE
    },
];
