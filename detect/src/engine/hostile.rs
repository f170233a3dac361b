//! One hostile row must not stop a rule: a CAST that fails and a division by zero are NULL, in every session.
//!
//! `DataFusion` aborts the whole query on both. An attacker chooses what stands in a log, so `CAST(object AS BIGINT)` would
//! let him switch a rule off.

use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result};
use datafusion::functions::core::expr_fn::nullif;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{BinaryExpr, Cast, Expr, ExprSchemable, LogicalPlan, Operator, TryCast, lit};
use datafusion::optimizer::AnalyzerRule;
use datafusion::scalar::ScalarValue;

/// Rewrites `CAST` to `TRY_CAST` where it can fail, and `x / y`, `x % y` to `x / nullif(y, 0)` for exact types.
#[derive(Debug)]
pub struct HostileValues;

impl AnalyzerRule for HostileValues {
    fn name(&self) -> &'static str {
        "hostile_values"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(rewrite_node).map(|t| t.data)
    }
}

fn rewrite_node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let schema = merge_schema(&plan.inputs());
    let names = NamePreserver::new(&plan);
    let rewritten = plan.map_expressions(|expr| {
        let name = names.save(&expr);
        Ok(expr.transform_up(|e| rewrite_expr(e, &schema))?.update_data(|e| name.restore(e)))
    })?;
    // A cast that may now be NULL makes its column nullable.
    if rewritten.transformed { rewritten.map_data(LogicalPlan::recompute_schema) } else { Ok(rewritten) }
}

fn rewrite_expr(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expr {
        Expr::Cast(Cast { expr, field }) => {
            let from = expr.get_type(schema)?;
            Ok(if never_fails(&from, field.data_type()) {
                Transformed::no(Expr::Cast(Cast { expr, field }))
            } else {
                Transformed::yes(Expr::TryCast(TryCast { expr, field }))
            })
        }
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::Divide | Operator::Modulo), right })
            if !right.get_type(schema)?.is_floating() && !is_nonzero(&right) =>
        {
            let zero = lit(ScalarValue::new_zero(&right.get_type(schema)?)?);
            let right = Box::new(nullif(*right, zero));
            Ok(Transformed::yes(Expr::BinaryExpr(BinaryExpr { left, op, right })))
        }
        other => Ok(Transformed::no(other)),
    }
}

fn is_nonzero(expr: &Expr) -> bool {
    let Expr::Literal(value, _) = expr else {
        // Already rewritten: analysis can run more than once over a view.
        return matches!(expr, Expr::ScalarFunction(f) if f.func.name() == "nullif");
    };
    ScalarValue::new_zero(&value.data_type()).is_ok_and(|zero| *value != zero && !value.is_null())
}

/// Widenings, and anything to text: these stay plain casts, which the optimiser understands best.
fn never_fails(from: &DataType, to: &DataType) -> bool {
    use DataType::{Int8, Int16, Int32, Int64, LargeUtf8, Null, UInt8, UInt16, UInt32, UInt64, Utf8, Utf8View};
    let fits = match (from, to) {
        (Null, _)
        | (_, Utf8 | Utf8View | LargeUtf8)
        | (Int8, Int16 | Int32 | Int64)
        | (Int16, Int32 | Int64)
        | (Int32, Int64)
        | (UInt8, UInt16 | UInt32 | UInt64 | Int16 | Int32 | Int64)
        | (UInt16, UInt32 | UInt64 | Int32 | Int64)
        | (UInt32, UInt64 | Int64) => true,
        (from, to) => (from.is_numeric() && to.is_floating()) || (from.is_temporal() && from == to),
    };
    fits || from == to
}
