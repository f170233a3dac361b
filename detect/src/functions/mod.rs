//! The SQL functions that Tripline adds to DataFusion's, one file a function; the list is here.

use std::sync::Arc;

use datafusion::execution::FunctionRegistry;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::ScalarUDF;

use crate::enrichment::Enrichment;

mod addresses;
mod asn;
mod country;
#[cfg(test)]
mod explosive;
mod in_network;
mod object_part;
#[cfg(test)]
mod slt;

/// All of them. Those about addresses ask `enrichment`.
pub fn all(enrichment: &Arc<Enrichment>) -> Vec<ScalarUDF> {
    vec![
        object_part::udf(),
        asn::udf(enrichment),
        country::udf(enrichment),
        in_network::udf(enrichment),
        #[cfg(test)]
        explosive::udf(),
    ]
}

/// Adds them to a session.
pub(crate) fn register(state: &mut SessionState, enrichment: &Arc<Enrichment>) {
    for function in all(enrichment) {
        // Fails only where a registry refuses functions altogether, which a session's does not.
        let _replaced = state.register_udf(function.into());
    }
}
