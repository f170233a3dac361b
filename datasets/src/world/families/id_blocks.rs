//! Each address has a block of ids of its own.

use crate::world::plan::{Plan, Turns};

pub(super) const PLANS: &[Plan] = &[
    Plan {
        name: "id-blocks",
        summary: "100 addresses, each its own block in sequence, 10/s in sum",
        identities: 100,
        turns: Turns::Blocks,
        ..Plan::BASE
    },
];
