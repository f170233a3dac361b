//! The identifier stands in the body, which no access log has.

use crate::world::plan::{Agent, Plan};

pub(super) const PLANS: &[Plan] = &[
    Plan {
        name: "unlogged-1",
        summary: "one address, sign-up checks by POST, 10.8/s",
        method: "POST",
        target: "/v1/signup/checks",
        route: "/v1/signup/checks",
        logged: false,
        rate: 10.8,
        agent: Agent::App,
        ..Plan::BASE
    },
    Plan {
        name: "unlogged-1000",
        summary: "1,000 addresses, sign-up checks by POST, 10.8/s in sum",
        method: "POST",
        target: "/v1/signup/checks",
        route: "/v1/signup/checks",
        logged: false,
        rate: 10.8,
        identities: 1_000,
        agent: Agent::App,
        ..Plan::BASE
    },
];
