//! Refuses rules that cannot run pane by pane with the same answer as one query over the whole log.
//!
//! The walk goes over the plan as the user wrote it, before any optimiser rule, and keeps for each node which of its columns
//! are the window's bounds. What it guards: below the lowest aggregate a bound is not known yet, so it may only be a bare
//! group key; above it the rest of the plan runs once a window, so nothing may look across windows.

use std::collections::BTreeMap;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Span, TableReference};
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::{Aggregate, Distinct, Expr, LogicalPlan, Volatility, Window};

use super::window::{WINDOW_END, WINDOW_START};

mod joins;

/// Why a rule is refused, where to point, and the way out.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: &'static str,
    /// Where, if the plan still knows.
    pub span: Option<Span>,
    /// Else a word of the SQL to point at.
    pub word: &'static str,
}

/// Which bound of the window a column is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bound {
    Start,
    End,
}

/// Index of a column in the node's schema → the bound it is.
type Bounds = BTreeMap<usize, Bound>;

/// What the rows of a plan node are.
enum Rows {
    /// Requests with their panes, not yet aggregated.
    Raw(Bounds),
    /// Aggregated by window.
    Windowed(Bounds),
    /// A lookup table, values.
    Static,
    /// A baseline's rows.
    Baseline,
}

/// What the validator must know of the tables.
pub struct Tables<'a> {
    /// Names of the baselines.
    pub baselines: &'a [String],
}

impl Tables<'_> {
    /// Checks the plan of a whole rule. `Ok` if it can run incrementally.
    pub fn check(&self, plan: &LogicalPlan) -> Result<(), Refusal> {
        let Rows::Windowed(bounds) = self.rows(plan)? else {
            return Err(no_window(None));
        };
        for (name, bound) in [(WINDOW_START, Bound::Start), (WINDOW_END, Bound::End)] {
            let position = plan.schema().fields().iter().position(|f| f.name() == name);
            if position.and_then(|i| bounds.get(&i)) != Some(&bound) {
                return Err(Refusal {
                    message: format!("the rule does not return {name}"),
                    help: "start the SELECT list with window_start, window_end, and GROUP BY both: a finding belongs to a window",
                    span: None,
                    word: "SELECT",
                });
            }
        }
        Ok(())
    }

    fn rows(&self, plan: &LogicalPlan) -> Result<Rows, Refusal> {
        self.check_expressions(plan)?;
        match plan {
            LogicalPlan::TableScan(scan) => Ok(self.scan_rows(&scan.table_name, plan)),
            LogicalPlan::SubqueryAlias(alias) => self.rows(&alias.input),
            LogicalPlan::Filter(filter) => {
                let rows = self.rows(&filter.input)?;
                if let Rows::Raw(bounds) = &rows {
                    forbid_bounds(&filter.predicate, &filter.input, bounds)?;
                }
                Ok(rows)
            }
            LogicalPlan::Projection(projection) => {
                let rows = self.rows(&projection.input)?;
                rows.map_bounds(|bounds, raw| carry(&projection.expr, &projection.input, bounds, raw))
            }
            LogicalPlan::Aggregate(aggregate) => self.aggregate_rows(aggregate),
            LogicalPlan::Distinct(distinct) => self.distinct_rows(distinct),
            LogicalPlan::Window(window) => self.window_rows(window),
            LogicalPlan::Join(join) => self.join_rows(join),
            LogicalPlan::Union(union) => self.union_rows(&union.inputs),
            LogicalPlan::Sort(sort) => match self.rows(&sort.input)? {
                Rows::Static => Ok(Rows::Static),
                _ => Err(Refusal {
                    message: "a rule's rows have no order".into(),
                    help: "drop ORDER BY; for the top few of a window use row_number() OVER (PARTITION BY window_start ORDER BY ...)",
                    span: None,
                    word: "ORDER BY",
                }),
            },
            LogicalPlan::Limit(limit) => match self.rows(&limit.input)? {
                Rows::Static => Ok(Rows::Static),
                _ => Err(Refusal {
                    message: "LIMIT counts across windows".into(),
                    help: "use row_number() OVER (PARTITION BY window_start ORDER BY ...) and a condition on it",
                    span: None,
                    word: "LIMIT",
                }),
            },
            other => {
                for input in other.inputs() {
                    if !matches!(self.rows(input)?, Rows::Static) {
                        return Err(Refusal {
                            message: "a rule cannot use this kind of query incrementally".into(),
                            help: "use SELECT with WHERE, GROUP BY, HAVING, joins, UNION ALL and row_number()",
                            span: None,
                            word: "SELECT",
                        });
                    }
                }
                Ok(Rows::Static)
            }
        }
    }

    fn scan_rows(&self, table: &TableReference, plan: &LogicalPlan) -> Rows {
        let bounds: Bounds = plan
            .schema()
            .fields()
            .iter()
            .enumerate()
            .filter_map(|(i, f)| bound_named(f.name()).map(|b| (i, b)))
            .collect();
        if self.baselines.iter().any(|b| b == table.table()) {
            Rows::Baseline
        } else if bounds.is_empty() {
            // A lookup. `FROM requests` without a window ends here too, and is refused for want of one.
            Rows::Static
        } else {
            Rows::Raw(bounds)
        }
    }

    fn aggregate_rows(&self, aggregate: &Aggregate) -> Result<Rows, Refusal> {
        let rows = self.rows(&aggregate.input)?;
        let (bounds, raw) = match &rows {
            Rows::Raw(bounds) => (bounds, true),
            Rows::Windowed(bounds) => (bounds, false),
            Rows::Static => return Ok(Rows::Static),
            Rows::Baseline => return Err(folds_baseline("GROUP BY")),
        };
        if aggregate.group_expr.iter().any(|e| matches!(e, Expr::GroupingSet(_))) {
            return Err(Refusal {
                message: "grouping sets cannot run by windows".into(),
                help: "write one SELECT for each grouping and join them with UNION ALL",
                span: None,
                word: "GROUP BY",
            });
        }
        if raw {
            for expr in &aggregate.aggr_expr {
                forbid_bounds(expr, &aggregate.input, bounds)?;
            }
        }
        let carried = carry(&aggregate.group_expr, &aggregate.input, bounds, raw)?;
        if carried.is_empty() {
            return Err(no_window(aggregate.group_expr.first().and_then(|e| e.spans()?.first())));
        }
        Ok(Rows::Windowed(carried))
    }

    fn distinct_rows(&self, distinct: &Distinct) -> Result<Rows, Refusal> {
        match (self.rows(distinct.input())?, distinct) {
            (Rows::Raw(bounds) | Rows::Windowed(bounds), Distinct::All(_)) if !bounds.is_empty() => {
                Ok(Rows::Windowed(bounds))
            }
            (Rows::Baseline, _) => Err(folds_baseline("DISTINCT")),
            (Rows::Raw(_) | Rows::Windowed(_), _) => Err(Refusal {
                message: "DISTINCT here would look across windows".into(),
                help: "select window_start and window_end along, or use GROUP BY",
                span: None,
                word: "DISTINCT",
            }),
            (Rows::Static, _) => Ok(Rows::Static),
        }
    }

    fn window_rows(&self, window: &Window) -> Result<Rows, Refusal> {
        match self.rows(&window.input)? {
            Rows::Windowed(bounds) => {
                for expr in &window.window_expr {
                    let Expr::WindowFunction(function) = expr.clone().unalias() else { continue };
                    if !partitions_by_bound(&function, &window.input, &bounds) {
                        return Err(Refusal {
                            message: format!("{} looks across windows", function.fun.name()),
                            help: "add window_start to its PARTITION BY; to compare with earlier windows, join a baseline",
                            span: None,
                            word: "OVER",
                        });
                    }
                    if function.fun.name().starts_with("row_number") && function.params.order_by.is_empty() {
                        return Err(Refusal {
                            message: "row_number() without an order depends on chance".into(),
                            help: "add ORDER BY, ending with the rule's keys so that there are no ties",
                            span: None,
                            word: "OVER",
                        });
                    }
                }
                Ok(Rows::Windowed(bounds))
            }
            Rows::Raw(_) => Err(Refusal {
                message: "a window function over single requests cannot run incrementally".into(),
                help: "aggregate by window_start, window_end first, then use OVER on the aggregated rows",
                span: None,
                word: "OVER",
            }),
            Rows::Baseline => Err(folds_baseline("OVER")),
            Rows::Static => Ok(Rows::Static),
        }
    }

    fn union_rows(&self, inputs: &[std::sync::Arc<LogicalPlan>]) -> Result<Rows, Refusal> {
        let mut common: Option<Bounds> = None;
        let mut others = false;
        for input in inputs {
            match self.rows(input)? {
                Rows::Windowed(bounds) => {
                    common = Some(match common {
                        None => bounds,
                        Some(c) => c.into_iter().filter(|(i, b)| bounds.get(i) == Some(b)).collect(),
                    });
                }
                Rows::Static => others = true,
                Rows::Baseline => return Err(folds_baseline("UNION")),
                Rows::Raw(_) => {
                    return Err(Refusal {
                        message: "UNION of single requests cannot run incrementally".into(),
                        help: "aggregate each side by window_start, window_end, then UNION ALL the results",
                        span: None,
                        word: "UNION",
                    });
                }
            }
        }
        match common {
            Some(bounds) if !others => Ok(Rows::Windowed(bounds)),
            None => Ok(Rows::Static),
            Some(_) => Err(Refusal {
                message: "one side of this UNION has no window".into(),
                help: "give every side window_start and window_end",
                span: None,
                word: "UNION",
            }),
        }
    }

    /// What holds for every expression of a node: only functions whose answer is a function of their arguments, and no
    /// subquery over requests.
    fn check_expressions(&self, plan: &LogicalPlan) -> Result<(), Refusal> {
        let mut refusal = None;
        for expr in plan.expressions() {
            let until = expr
                .column_refs()
                .into_iter()
                .find(|c| c.name == "valid_until" && !matches!(plan, LogicalPlan::Join(_)));
            if let Some(column) = until {
                return Err(Refusal {
                    message: "valid_until is not known before the next row of its key".into(),
                    help: "use it only in the join: w.window_start < b.valid_until",
                    span: column.spans.first(),
                    word: "valid_until",
                });
            }
            let walk = expr.apply(|e| {
                refusal = self.check_expression(e).err();
                Ok(if refusal.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
            });
            debug_assert!(walk.is_ok(), "the visitor returns no error");
            if let Some(refusal) = refusal {
                return Err(refusal);
            }
        }
        Ok(())
    }

    fn check_expression(&self, expr: &Expr) -> Result<(), Refusal> {
        let subquery = match expr {
            Expr::ScalarFunction(f) if f.func.signature().volatility != Volatility::Immutable => {
                return Err(Refusal {
                    message: format!("{}() gives another answer at another time", f.func.name()),
                    help: "a rule must find the same in yesterday's log tomorrow: use ts, window_start or a parameter",
                    span: None,
                    word: "SELECT",
                });
            }
            Expr::AggregateFunction(f) if ORDER_DEPENDENT.contains(&f.func.name()) => {
                if f.func.name().ends_with("_agg") && !f.params.order_by.is_empty() {
                    return Err(Refusal {
                        message: format!("{}(.. ORDER BY ..) would keep every row of a group", f.func.name()),
                        help: "an alert brings up to 20 of its log lines; of values tell min, max, count or approx_distinct",
                        span: None,
                        word: "SELECT",
                    });
                }
                return Err(Refusal {
                    message: format!("{}() depends on the order in which rows arrive", f.func.name()),
                    help: "use min, max, count or approx_distinct, whose answer does not",
                    span: None,
                    word: "SELECT",
                });
            }
            Expr::ScalarSubquery(s) => &s.subquery,
            Expr::InSubquery(s) => &s.subquery.subquery,
            Expr::Exists(s) => &s.subquery.subquery,
            _ => return Ok(()),
        };
        match self.rows(subquery)? {
            Rows::Static => Ok(()),
            _ => Err(Refusal {
                message: "a subquery over windows cannot run incrementally".into(),
                help: "write it as a CTE and join it on window_start",
                span: None,
                word: "SELECT",
            }),
        }
    }
}

/// Their answer depends on how files and batches are interleaved. An ORDER BY inside can settle that, but only with every row
/// sorted and kept until the window closes, which is what a rule is not for: an alert is cut at 64 KiB anyway.
const ORDER_DEPENDENT: [&str; 5] = ["first_value", "last_value", "nth_value", "array_agg", "string_agg"];

impl Rows {
    fn map_bounds(self, f: impl FnOnce(&Bounds, bool) -> Result<Bounds, Refusal>) -> Result<Self, Refusal> {
        Ok(match self {
            Self::Raw(bounds) => Self::Raw(f(&bounds, true)?),
            Self::Windowed(bounds) => Self::Windowed(f(&bounds, false)?),
            other => other,
        })
    }
}

fn bound_named(name: &str) -> Option<Bound> {
    match name {
        WINDOW_START => Some(Bound::Start),
        WINDOW_END => Some(Bound::End),
        _ => None,
    }
}

/// The bound that `expr` is, if it is nothing but that column of `input`.
fn bound_of(expr: &Expr, input: &LogicalPlan, bounds: &Bounds) -> Option<Bound> {
    let Expr::Column(column) = expr.clone().unalias() else { return None };
    bound_column(&column, input, bounds)
}

fn bound_column(column: &Column, input: &LogicalPlan, bounds: &Bounds) -> Option<Bound> {
    bounds.get(&input.schema().maybe_index_of_column(column)?).copied()
}

/// The bounds among `exprs`, by their position; where a bound still means the pane it may not be computed with.
fn carry(exprs: &[Expr], input: &LogicalPlan, bounds: &Bounds, raw: bool) -> Result<Bounds, Refusal> {
    let mut carried = Bounds::new();
    for (i, expr) in exprs.iter().enumerate() {
        if let Some(bound) = bound_of(expr, input, bounds) {
            carried.insert(i, bound);
        } else if raw {
            forbid_bounds(expr, input, bounds)?;
        }
    }
    Ok(carried)
}

fn forbid_bounds(expr: &Expr, input: &LogicalPlan, bounds: &Bounds) -> Result<(), Refusal> {
    let outer = outer_columns(expr);
    let mut columns = expr.column_refs().into_iter().chain(&outer);
    match columns.find(|c| bound_column(c, input, bounds).is_some()) {
        None => Ok(()),
        Some(column) => Err(Refusal {
            message: format!("{} is used before the rows are grouped by window", column.name),
            help: "GROUP BY window_start, window_end first; conditions on the window go into HAVING or an outer SELECT",
            span: column.spans.first(),
            word: if column.name == WINDOW_END { WINDOW_END } else { WINDOW_START },
        }),
    }
}

/// The columns of the rows around them that an expression's subqueries refer to.
fn outer_columns(expr: &Expr) -> Vec<Column> {
    let mut columns = Vec::new();
    let walk = expr.apply(|e| {
        let subquery = match e {
            Expr::ScalarSubquery(s) => s,
            Expr::InSubquery(s) => &s.subquery,
            Expr::Exists(s) => &s.subquery,
            _ => return Ok(TreeNodeRecursion::Continue),
        };
        columns.extend(subquery.outer_ref_columns.iter().filter_map(|outer| match outer {
            Expr::OuterReferenceColumn(_, column) => Some(column.clone()),
            _ => None,
        }));
        Ok(TreeNodeRecursion::Continue)
    });
    debug_assert!(walk.is_ok(), "the visitor returns no error");
    columns
}

fn partitions_by_bound(function: &WindowFunction, input: &LogicalPlan, bounds: &Bounds) -> bool {
    function.params.partition_by.iter().any(|e| bound_of(e, input, bounds).is_some())
}

/// A streaming plan sees a baseline as it stood when the window began, a batch plan sees all of it: only a join on the
/// time it holds makes the two the same.
fn folds_baseline(word: &'static str) -> Refusal {
    Refusal {
        message: "a baseline can only be joined, row by row, to windows".into(),
        help: "put windows over it, as in tumble(client_hours, ts, INTERVAL '1 day'); or compute what is needed in the baseline's \
               own SQL, then LEFT JOIN it",
        span: None,
        word,
    }
}

fn no_window(span: Option<Span>) -> Refusal {
    Refusal {
        message: "the rule does not group by its window".into(),
        help: "read FROM tumble(requests, ts, INTERVAL '10 minutes') or hop(...), and GROUP BY window_start, window_end",
        span,
        word: "GROUP BY",
    }
}
