//! The SQL functions that Tripline adds to DataFusion's, one file a function; the lists are here.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::execution::FunctionRegistry;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{AggregateUDF, Documentation, ScalarUDF};

use crate::enrichment::Enrichment;

mod addresses;
mod asn;
mod contains_any;
mod country;
#[cfg(test)]
mod explosive;
mod in_network;
mod is_bot_agent;
mod lists;
mod numeric;
mod object_part;
mod robust_z;
mod sketches;
#[cfg(test)]
mod slt;
mod subnet;
mod tails;
mod whole;

/// Those of one row. Those about addresses ask `enrichment`.
fn scalars(enrichment: &Arc<Enrichment>) -> Vec<ScalarUDF> {
    let mut all = vec![
        object_part::udf(),
        contains_any::udf(),
        is_bot_agent::udf(),
        subnet::udf(),
        asn::udf(enrichment),
        country::udf(enrichment),
        in_network::udf(enrichment),
        robust_z::udf(),
    ];
    all.extend(tails::all());
    all.extend(lists::all());
    all.extend(sketches::scalars());
    #[cfg(test)]
    all.push(explosive::udf());
    all
}

/// Those of a group.
fn aggregates() -> Vec<AggregateUDF> {
    let mut all = Vec::from(whole::all());
    all.extend(sketches::aggregates());
    all
}

/// What each of them says about itself, by name.
pub fn documentation() -> BTreeMap<String, Documentation> {
    let scalars = scalars(&Arc::default());
    let scalars = scalars.iter().filter_map(|f| Some((f.name(), f.documentation()?)));
    let aggregates = aggregates();
    let aggregates = aggregates.iter().filter_map(|f| Some((f.name(), f.documentation()?)));
    scalars.chain(aggregates).map(|(name, documentation)| (name.to_owned(), documentation.clone())).collect()
}

/// Adds them to a session.
pub(crate) fn register(state: &mut SessionState, enrichment: &Arc<Enrichment>) {
    // These fail only where a registry refuses functions altogether, which a session's does not.
    for function in scalars(enrichment) {
        let _replaced = state.register_udf(function.into());
    }
    for function in aggregates() {
        let _replaced = state.register_udaf(function.into());
    }
}
