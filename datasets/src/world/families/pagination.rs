//! A list of all accounts, page after page.

use crate::world::plan::Plan;

pub(super) const PLANS: &[Plan] = &[
    Plan {
        name: "pagination",
        summary: "one address, pages of 100 accounts, one in 2 s",
        target: "/v1/users?page={page}&limit=100",
        route: "/v1/users",
        batch: 100,
        rate: 0.5,
        ..Plan::BASE
    },
];
