//! The SQL functions that Tripline adds to DataFusion's, one file a function; the list is here.

use datafusion::execution::FunctionRegistry;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::ScalarUDF;

#[cfg(test)]
mod explosive;
mod object_part;

/// All of them.
pub fn all() -> Vec<ScalarUDF> {
    vec![
        object_part::udf(),
        #[cfg(test)]
        explosive::udf(),
    ]
}

/// Adds them to a session.
pub(crate) fn register(state: &mut SessionState) {
    for function in all() {
        // Fails only where a registry refuses functions altogether, which a session's does not.
        let _replaced = state.register_udf(function.into());
    }
}
