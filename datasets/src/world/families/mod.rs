//! The families of attacks, one file each: a table of plans. Rates, identities and orders are those of the project's notes on
//! evaluation; what a file says is assumed is a choice.

use super::plan::Plan;

/// Lists the families; each is a file with `PLANS`.
macro_rules! families {
    ($($name:ident),* $(,)?) => {
        $(mod $name;)*
        const ALL: &[&[Plan]] = &[$($name::PLANS),*];
    };
}

families![
    accounts,
    baseline_poisoning,
    batch_ids,
    decoys,
    harvested_uuids,
    human_mimic,
    id_blocks,
    identity_minting,
    lookups,
    many_addresses,
    mobile_mimic,
    one_address,
    pagination,
    popular_first,
    random_order,
    residential_proxies,
    search_offset,
    share_of_route,
    since_first_line,
    slow_token,
    soft_misses,
    stop_and_go,
    unlogged_ids,
];

/// All plans of all families.
pub fn all() -> impl Iterator<Item = &'static Plan> {
    ALL.iter().flat_map(|plans| plans.iter())
}
