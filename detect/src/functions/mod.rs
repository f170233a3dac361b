//! The SQL functions that Tripline adds to DataFusion's, one file a function; the list is here.

use std::collections::BTreeMap;

use datafusion::execution::FunctionRegistry;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{AggregateUDF, Documentation, ScalarUDF};

#[cfg(test)]
mod explosive;
mod numeric;
mod object_part;
mod robust_z;
mod tails;
#[cfg(test)]
mod tests;
mod whole;

/// Those of one row.
fn scalars() -> Vec<ScalarUDF> {
    let mut all = vec![object_part::udf(), robust_z::udf()];
    all.extend(tails::all());
    #[cfg(test)]
    all.push(explosive::udf());
    all
}

/// Those of a group.
fn aggregates() -> Vec<AggregateUDF> {
    whole::all().into()
}

/// What each of them says about itself, by name.
pub fn documentation() -> BTreeMap<String, Documentation> {
    let scalars = scalars().into_iter().filter_map(|f| Some((f.name().to_owned(), f.documentation()?.clone())));
    let aggregates = aggregates().into_iter().filter_map(|f| Some((f.name().to_owned(), f.documentation()?.clone())));
    scalars.chain(aggregates).collect()
}

/// Adds them to a session.
pub(crate) fn register(state: &mut SessionState) {
    // These fail only where a registry refuses functions altogether, which a session's does not.
    for function in scalars() {
        let _replaced = state.register_udf(function.into());
    }
    for function in aggregates() {
        let _replaced = state.register_udaf(function.into());
    }
}
