//! What is known of an expression over a group's columns: its bounds, and how it changes while rows come in.
//!
//! Bounds are those of interval arithmetic, in floats. Conditions are numbers, too: 1 is true, 0 false, and NULL lies within
//! any bounds. So `most` = 0 says that a condition is never true, and `least` = 1 that it is never false.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{
    BinaryExpr, CaseExpr, CastExpr, Column, IsNotNullExpr, IsNullExpr, Literal, NotExpr, TryCastExpr,
};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};

use crate::engine::state::aggregate::Aggregate;

/// Beyond it whole numbers may have wrapped around.
const WRAPS: f64 = 9e18;
/// What decimals and floats may be off by, of one and of the value: far more than they are.
const SLACK: f64 = 1e-3;

/// How a value changes when its group gets another row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trend {
    Still,
    Up,
    Down,
    Any,
}

/// What is known of a column or an expression.
///
/// An aggregate may be NULL at first, and then never again. NULL is false where a condition is wanted, so `Up` holds with it, but
/// `Down` is meant from the first value on: whoever needs more asks for `present`.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// How it changes.
    pub trend: Trend,
    /// Never less than this.
    pub least: f64,
    /// Never more than this.
    pub most: f64,
    /// It is never NULL.
    pub present: bool,
    /// It is this aggregate, of those of the split.
    pub aggregate: Option<usize>,
}

/// Nothing is known.
pub const ANY: Known =
    Known { trend: Trend::Any, least: f64::NEG_INFINITY, most: f64::INFINITY, present: false, aggregate: None };
/// It does not change.
pub const STILL: Known = Known { trend: Trend::Still, ..ANY };

impl Known {
    /// It may be true.
    pub fn possible(self) -> bool {
        self.most > 0.0
    }

    /// A condition with these bounds; what is no number has none.
    fn truth(trend: Trend, present: bool, least: f64, most: f64) -> Self {
        Self { trend, least: least.clamp(0.0, 1.0), most: most.clamp(0.0, 1.0), present, aggregate: None }
    }

    fn number(trend: Trend, present: bool, least: f64, most: f64) -> Self {
        let wraps = |x: f64| x.is_nan() || (x.is_finite() && x.abs() > WRAPS);
        let (least, most) =
            if wraps(least) || wraps(most) { (f64::NEG_INFINITY, f64::INFINITY) } else { (least, most) };
        Self { trend, least, most, present, aggregate: None }
    }

    /// Whether it is certainly less.
    fn below(self, other: Self) -> bool {
        self.most + SLACK * (1.0 + self.most.abs()) < other.least
    }
}

/// What is known of an aggregate of a group that has from `least` to `most` rows.
pub fn of_aggregate(aggregate: &Aggregate, (least, most): (f64, f64)) -> Known {
    let argument = aggregate.argument();
    let up = Known { trend: Trend::Up, present: argument.present, ..ANY };
    match aggregate.function_name() {
        "count" if aggregate.counts_rows() => Known { least, most, present: true, ..up },
        "count" => Known { least: 0.0, most, present: true, ..up },
        // The estimate of a sketch can be above the number of values.
        "approx_distinct" => Known { least: 0.0, most: most_distinct(most), present: true, ..up },
        "max" => Known { least: argument.least, most: argument.most, ..up },
        "min" => Known { trend: Trend::Down, least: argument.least, most: argument.most, ..up },
        "bool_or" => up,
        "bool_and" => Known { trend: Trend::Down, ..up },
        "avg" => Known { least: argument.least, most: argument.most, ..ANY },
        "sum" => {
            let trend = if argument.least >= 0.0 { Trend::Up } else { Trend::Any };
            let times = |x: f64| if x == 0.0 { 0.0 } else { x * most };
            let (least, most) = (times(argument.least.min(0.0)), times(argument.most.max(0.0)));
            Known::number(trend, argument.present, least, most)
        }
        _ => ANY,
    }
}

/// The highest estimate for so many values.
fn most_distinct(values: f64) -> f64 {
    (values + 16.0) / 0.98
}

/// The least number of values that may be estimated as so many.
pub fn least_values(estimate: f64) -> f64 {
    (estimate * 0.98 - 16.0).max(0.0)
}

/// What is known of an expression over columns of which this is known.
pub fn known(expr: &Arc<dyn PhysicalExpr>, columns: &[Known]) -> Known {
    if let Some(column) = expr.downcast_ref::<Column>() {
        return columns.get(column.index()).copied().unwrap_or(ANY);
    }
    if let Some(literal) = expr.downcast_ref::<Literal>() {
        return of_literal(literal.value());
    }
    if let Some(cast) = expr.downcast_ref::<CastExpr>() {
        return of_cast(cast.expr(), cast.cast_type(), columns);
    }
    if let Some(cast) = expr.downcast_ref::<TryCastExpr>() {
        return of_cast(cast.expr(), cast.cast_type(), columns);
    }
    if let Some(binary) = expr.downcast_ref::<BinaryExpr>() {
        return of_binary(binary, columns);
    }
    if let Some(case) = expr.downcast_ref::<CaseExpr>() {
        return of_case(case, columns);
    }
    if let Some(not) = expr.downcast_ref::<NotExpr>() {
        let inner = known(not.arg(), columns);
        return Known::truth(flipped(inner.trend), inner.present, 1.0 - inner.most, 1.0 - inner.least);
    }
    if let Some(is) = expr.downcast_ref::<IsNotNullExpr>() {
        let inner = known(is.arg(), columns);
        return Known::truth(becomes_known(inner), true, if inner.present { 1.0 } else { 0.0 }, 1.0);
    }
    if let Some(is) = expr.downcast_ref::<IsNullExpr>() {
        let inner = known(is.arg(), columns);
        return Known::truth(flipped(becomes_known(inner)), true, 0.0, if inner.present { 0.0 } else { 1.0 });
    }
    of_function(expr, columns)
}

/// The trend of `x IS NOT NULL`.
fn becomes_known(x: Known) -> Trend {
    match x.trend {
        Trend::Still => Trend::Still,
        Trend::Up | Trend::Down if x.aggregate.is_some() => Trend::Up,
        _ if x.present => Trend::Still,
        _ => Trend::Any,
    }
}

fn flipped(trend: Trend) -> Trend {
    match trend {
        Trend::Up => Trend::Down,
        Trend::Down => Trend::Up,
        other => other,
    }
}

/// The trend of something that goes with both.
fn both(a: Trend, b: Trend) -> Trend {
    match (a, b) {
        (Trend::Still, other) | (other, Trend::Still) => other,
        (a, b) if a == b => a,
        _ => Trend::Any,
    }
}

fn of_literal(value: &ScalarValue) -> Known {
    let kind = value.data_type();
    // (texts of digits are compared as texts)
    let counts = kind.is_numeric() || kind == DataType::Boolean;
    let number = value.cast_to(&DataType::Float64).ok().filter(|_| counts);
    match (value.is_null(), number) {
        (false, Some(ScalarValue::Float64(Some(x)))) => Known { least: x, most: x, present: true, ..STILL },
        (is_null, _) => Known { present: !is_null, ..STILL },
    }
}

fn of_cast(expr: &Arc<dyn PhysicalExpr>, to: &DataType, columns: &[Known]) -> Known {
    let inner = known(expr, columns);
    // A text that is no number becomes NULL; what has a bound is a number.
    let present = inner.present && (inner.least.is_finite() || inner.most.is_finite());
    let inner = Known { present, ..inner };
    // Counts fit these; a cast that overflows would be NULL. To other types only what does not change.
    let fits = matches!(to, DataType::Float64 | DataType::Int64 | DataType::UInt64 | DataType::Decimal128(20.., _));
    match inner.trend {
        _ if fits && *to == DataType::Float64 => inner,
        // They round.
        _ if fits => Known { least: inner.least.floor(), most: inner.most.ceil(), ..inner },
        Trend::Still => STILL,
        _ => ANY,
    }
}

fn of_binary(binary: &BinaryExpr, columns: &[Known]) -> Known {
    let (a, b) = (known(binary.left(), columns), known(binary.right(), columns));
    let present = a.present && b.present;
    let truth = |trend, least, most| Known::truth(trend, present, least, most);
    let number = |trend, least, most| Known::number(trend, present, least, most);
    let greater = |a: Known, b: Known| {
        truth(both(a.trend, flipped(b.trend)), if b.below(a) { 1.0 } else { 0.0 }, if a.below(b) { 0.0 } else { 1.0 })
    };
    let apart = if a.below(b) || b.below(a) { 1.0 } else { 0.0 };
    let unchanged = if both(a.trend, b.trend) == Trend::Still { Trend::Still } else { Trend::Any };
    match binary.op() {
        // `x IS NOT NULL AND x`, as the optimiser writes coalesce(x, false).
        Operator::And if is_presence_of(binary.left(), binary.right()) => Known::truth(b.trend, true, 0.0, b.most),
        Operator::And => truth(both(a.trend, b.trend), a.least.min(b.least), a.most.min(b.most)),
        Operator::Or => truth(both(a.trend, b.trend), a.least.max(b.least), a.most.max(b.most)),
        Operator::Gt | Operator::GtEq => greater(a, b),
        Operator::Lt | Operator::LtEq => greater(b, a),
        Operator::Eq => truth(unchanged, 0.0, 1.0 - apart),
        Operator::NotEq => truth(unchanged, apart, 1.0),
        Operator::Plus => number(both(a.trend, b.trend), a.least + b.least, a.most + b.most),
        Operator::Minus if a.least >= b.most => {
            number(both(a.trend, flipped(b.trend)), a.least - b.most, a.most - b.least)
        }
        // Where both are unsigned, what would be below 0 wraps around.
        Operator::Minus => number(both(a.trend, flipped(b.trend)), f64::NEG_INFINITY, f64::INFINITY),
        Operator::Multiply if a.least >= 0.0 && b.least >= 0.0 => {
            number(both(a.trend, b.trend), a.least * b.least, product(a.most, b.most))
        }
        // (of whole numbers it is cut off)
        Operator::Divide if a.least >= 0.0 && b.least > 0.0 => {
            let least = if b.most.is_finite() { (a.least / b.most).floor() } else { 0.0 };
            Known { present: false, ..number(unchanged, least, a.most / b.least) }
        }
        // `x IS [NOT] DISTINCT FROM true`: how the optimiser writes a condition of CASE.
        Operator::IsNotDistinctFrom if is_true(binary.right()) => Known::truth(from_start(a), true, certain(a), a.most),
        Operator::IsDistinctFrom if is_true(binary.right()) => {
            Known::truth(flipped(from_start(a)), true, 1.0 - a.most, 1.0 - certain(a))
        }
        _ if unchanged == Trend::Still => STILL,
        _ => ANY,
    }
}

/// Of bounds: nothing times anything is nothing.
fn product(a: f64, b: f64) -> f64 {
    if a == 0.0 || b == 0.0 { 0.0 } else { a * b }
}

/// 1 if a condition is certainly true.
fn certain(condition: Known) -> f64 {
    if condition.present { condition.least } else { 0.0 }
}

/// The trend of a condition that takes NULL for false.
fn from_start(condition: Known) -> Trend {
    if condition.trend == Trend::Down && !condition.present { Trend::Any } else { condition.trend }
}

fn is_presence_of(test: &Arc<dyn PhysicalExpr>, value: &Arc<dyn PhysicalExpr>) -> bool {
    test.downcast_ref::<IsNotNullExpr>().is_some_and(|is| is.arg() == value)
}

fn is_true(expr: &Arc<dyn PhysicalExpr>) -> bool {
    expr.downcast_ref::<Literal>().is_some_and(|l| *l.value() == ScalarValue::Boolean(Some(true)))
}

fn of_case(case: &CaseExpr, columns: &[Known]) -> Known {
    let otherwise = case.else_expr().map_or(ANY, |e| known(e, columns));
    // From the last to the first: WHEN c THEN a ELSE (the rest).
    let steps = case.when_then_expr().iter().rev();
    let result = steps.fold(otherwise, |rest, (when, then)| {
        let (when, then) = (known(when, columns), known(then, columns));
        let trend = match from_start(when) {
            Trend::Still => both(then.trend, rest.trend),
            // It can go over from the one to the other: which must lie on the right side.
            Trend::Up if then.least >= rest.most => both(both(then.trend, rest.trend), Trend::Up),
            Trend::Up if then.most <= rest.least => both(both(then.trend, rest.trend), Trend::Down),
            Trend::Down if rest.least >= then.most => both(both(then.trend, rest.trend), Trend::Up),
            Trend::Down if rest.most <= then.least => both(both(then.trend, rest.trend), Trend::Down),
            _ => Trend::Any,
        };
        let present = then.present && rest.present;
        Known { trend, least: then.least.min(rest.least), most: then.most.max(rest.most), present, aggregate: None }
    });
    match case.expr() {
        Some(expr) if known(expr, columns).trend != Trend::Still => ANY,
        _ => result,
    }
}

fn of_function(expr: &Arc<dyn PhysicalExpr>, columns: &[Known]) -> Known {
    let arguments: Vec<Known> = expr.children().into_iter().map(|child| known(child, columns)).collect();
    let trend = arguments.iter().map(|a| a.trend).fold(Trend::Still, both);
    if trend == Trend::Still {
        return STILL;
    }
    let name = expr.downcast_ref::<ScalarFunctionExpr>().map_or("", ScalarFunctionExpr::name);
    match (name, arguments.as_slice()) {
        ("round" | "floor" | "ceil", [x]) => Known { trend, least: x.least - 1.0, most: x.most + 1.0, ..ANY },
        ("sqrt", [x]) => Known { trend, least: 0.0, most: x.most.max(0.0).sqrt(), ..ANY },
        // They pass over NULL.
        ("greatest" | "least", _) => {
            let least = arguments.iter().map(|a| a.least).fold(f64::INFINITY, f64::min);
            Known { trend, least, most: arguments.iter().map(|a| a.most).fold(f64::NEG_INFINITY, f64::max), ..ANY }
        }
        ("nullif", [x, _]) => Known { trend: Trend::Any, present: false, aggregate: None, ..*x },
        // (rounded to thousands, 500 is 1,000)
        ("ln" | "exp" | "round", _) => Known { trend, ..ANY },
        _ => ANY,
    }
}

/// What is known of an aggregate's argument, for any row.
#[derive(Debug, Clone, Copy)]
pub struct Argument {
    /// Never less than this.
    pub least: f64,
    /// Never more than this.
    pub most: f64,
    /// It is never NULL.
    pub present: bool,
}

/// What is known of an expression over the columns of `table`.
pub fn argument(expr: &Arc<dyn PhysicalExpr>, table: &Schema) -> Argument {
    let columns: Vec<Known> = table.fields().iter().map(|f| Known { present: !f.is_nullable(), ..ANY }).collect();
    let known = known(expr, &columns);
    let unsigned = expr.data_type(table).is_ok_and(|t| t.is_unsigned_integer());
    Argument {
        least: if unsigned { known.least.max(0.0) } else { known.least },
        most: known.most,
        present: known.present,
    }
}
