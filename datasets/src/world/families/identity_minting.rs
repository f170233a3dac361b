//! A new identity for each request: names, headers, prefixes.

use crate::world::plan::{Kind, Order, Plan};

pub(super) const PLANS: &[Plan] = &[
    Plan {
        name: "minted-users",
        summary: "one address, another Basic user each time, 5/s",
        rate: 5.0,
        kind: Kind::MintedUser,
        order: Order::Random,
        ..Plan::BASE
    },
    Plan {
        name: "minted-forwarded",
        summary: "one address, another forwarded-for each time, 5/s",
        rate: 5.0,
        kind: Kind::MintedForwarded,
        order: Order::Random,
        ..Plan::BASE
    },
    Plan {
        name: "minted-prefixes",
        summary: "65,536 prefixes (/64) of one /48, 10/s in sum",
        identities: 65_536,
        kind: Kind::Prefix,
        order: Order::Random,
        ..Plan::BASE
    },
];
