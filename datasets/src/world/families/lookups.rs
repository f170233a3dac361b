//! Phone numbers or e-mail addresses from a list, of which 2 to 20 % are known.

use crate::world::plan::{Agent, Plan};

pub(super) const PLANS: &[Plan] = &[
    Plan {
        name: "lookup-phone",
        summary: "one address looks up phone numbers, 10/s, 2 % hits",
        target: "/v1/contacts?phone={phone}",
        route: "/v1/contacts",
        hit_ratio: 0.02,
        agent: Agent::Tool,
        ..Plan::BASE
    },
    Plan {
        name: "lookup-email",
        summary: "100 addresses look up e-mail addresses in the path, 10/s in sum, 20 % hits",
        target: "/v1/members/{email}",
        route: "/v1/members/{id}",
        hit_ratio: 0.2,
        identities: 100,
        ..Plan::BASE
    },
];
