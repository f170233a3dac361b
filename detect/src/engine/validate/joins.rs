//! Joins: what a rule may join with what, so that a window sees only itself, lookups, and baselines as of its start.

use datafusion::common::JoinType;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, Join, Operator};

use super::{Bounds, Refusal, Rows, Tables, bound_of, folds_baseline, forbid_bounds};
use crate::engine::window::WINDOW_START;

impl Tables<'_> {
    pub(super) fn join_rows(&self, join: &Join) -> Result<Rows, Refusal> {
        let (left, right) = (self.rows(&join.left)?, self.rows(&join.right)?);
        let shift = join.left.schema().fields().len();
        match (left, right) {
            (Rows::Static, Rows::Static) => Ok(Rows::Static),
            (Rows::Static, Rows::Baseline) | (Rows::Baseline, Rows::Static | Rows::Baseline) => {
                Err(folds_baseline("JOIN"))
            }
            (Rows::Windowed(l), Rows::Windowed(r)) => {
                let same = join.on.iter().any(|(a, b)| {
                    let (a, b) = (bound_of(a, &join.left, &l), bound_of(b, &join.right, &r));
                    a.is_some() && a == b
                }) || join.filter.as_ref().is_some_and(|f| equates_bounds(f, join, &l, &r));
                if !same {
                    return Err(Refusal {
                        message: "this join looks across windows".into(),
                        help: "add the window to its condition: a.window_start = b.window_start",
                        span: None,
                        word: "JOIN",
                    });
                }
                let right = r.into_iter().map(|(i, b)| (i + shift, b));
                Ok(Rows::Windowed(if left_only(join.join_type) { l } else { l.into_iter().chain(right).collect() }))
            }
            (Rows::Windowed(bounds), Rows::Baseline) => {
                check_baseline_join(join, join.join_type == JoinType::Left)?;
                Ok(Rows::Windowed(bounds))
            }
            (Rows::Baseline, Rows::Windowed(bounds)) => {
                check_baseline_join(join, join.join_type == JoinType::Right)?;
                Ok(Rows::Windowed(bounds.into_iter().map(|(i, b)| (i + shift, b)).collect()))
            }
            (rows @ (Rows::Windowed(_) | Rows::Raw(_)), Rows::Static) if keeps_left(join.join_type) => {
                if let Rows::Raw(bounds) = &rows {
                    for expr in join.on.iter().map(|(l, _)| l).chain(&join.filter) {
                        forbid_bounds(expr, &join.left, bounds)?;
                    }
                }
                Ok(rows)
            }
            (Rows::Static, rows @ (Rows::Windowed(_) | Rows::Raw(_))) if keeps_right(join.join_type) => {
                if let Rows::Raw(bounds) = &rows {
                    for expr in join.on.iter().map(|(_, r)| r).chain(&join.filter) {
                        forbid_bounds(expr, &join.right, bounds)?;
                    }
                }
                rows.map_bounds(|bounds, _| Ok(bounds.iter().map(|(i, b)| (i + shift, *b)).collect()))
            }
            (Rows::Windowed(_) | Rows::Raw(_), Rows::Static) | (Rows::Static, Rows::Windowed(_) | Rows::Raw(_)) => {
                Err(Refusal {
                    message: "this join returns rows of a lookup that belong to no window".into(),
                    help: "use JOIN, or a LEFT JOIN with the requests or windows on its left",
                    span: None,
                    word: "JOIN",
                })
            }
            (Rows::Raw(_), _) | (_, Rows::Raw(_)) => Err(Refusal {
                message: "single requests can only be joined with a lookup table".into(),
                help: "aggregate by window_start, window_end in a CTE first, then join",
                span: None,
                word: "JOIN",
            }),
        }
    }
}

/// Whether every row of a join with a lookup on the right has a row from the left, in the left side's columns.
fn keeps_left(join_type: JoinType) -> bool {
    left_only(join_type) || matches!(join_type, JoinType::Inner | JoinType::Left)
}

/// The same with the lookup on the left.
fn keeps_right(join_type: JoinType) -> bool {
    matches!(join_type, JoinType::Inner | JoinType::Right)
}

fn left_only(join_type: JoinType) -> bool {
    matches!(join_type, JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark)
}

fn equates_bounds(filter: &Expr, join: &Join, left: &Bounds, right: &Bounds) -> bool {
    split_conjunction(filter).into_iter().any(|e| match e {
        Expr::BinaryExpr(BinaryExpr { left: a, op: Operator::Eq, right: b }) => {
            let side = |e: &Expr| {
                bound_of(e, &join.left, left).map(|x| (0, x)).or(bound_of(e, &join.right, right).map(|x| (1, x)))
            };
            matches!((side(a), side(b)), (Some((i, x)), Some((j, y))) if i != j && x == y)
        }
        _ => false,
    })
}

/// A baseline's row holds from `valid_from` (inclusive) to `valid_until` (exclusive): the join must say so, must keep clients
/// without a baseline, and may use those two columns for nothing else.
fn check_baseline_join(join: &Join, keeps_windows: bool) -> Result<(), Refusal> {
    const HELP: &str = "write LEFT JOIN b ON b.client = w.client AND w.window_start >= b.valid_from AND w.window_start < b.valid_until, \
                        then COALESCE what may be missing";
    let refusal = |message: &str| Refusal { message: message.into(), help: HELP, span: None, word: "JOIN" };
    if !keeps_windows {
        return Err(refusal("this join drops clients that have no baseline yet"));
    }
    let is = |e: &Expr, name: &str| matches!(e, Expr::Column(c) if c.name == name);
    let compares = |filter: &Expr, a: &str, op: Operator, b: &str| {
        split_conjunction(filter).into_iter().any(|e| match e {
            Expr::BinaryExpr(x) => {
                (is(&x.left, a) && x.op == op && is(&x.right, b))
                    || (is(&x.left, b) && Some(x.op) == op.swap() && is(&x.right, a))
            }
            _ => false,
        })
    };
    let Some(filter) = &join.filter else {
        return Err(refusal("this join does not say when a baseline's row holds"));
    };
    if !compares(filter, WINDOW_START, Operator::GtEq, "valid_from")
        || !compares(filter, WINDOW_START, Operator::Lt, "valid_until")
    {
        return Err(refusal("this join does not say when a baseline's row holds"));
    }
    Ok(())
}
