//! The aggregate functions of a store: what they are given, and their accumulators.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, FieldRef, Schema, UInt64Type};
use datafusion::common::Result;
use datafusion::logical_expr::{EmitTo, GroupsAccumulator};
use datafusion::physical_expr::GroupsAccumulatorAdapter;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::expressions::Literal;

use super::distinct::{self, Distinct};
use super::fold::Fold;
use crate::engine::monotone::{self, Argument};
use crate::engine::program::{Expr, cannot_fail, over};

/// One aggregate function over requests.
#[derive(Debug, Clone)]
pub struct Aggregate {
    function: Arc<AggregateFunctionExpr>,
    /// Over the columns of the scanned table.
    arguments: Vec<Expr>,
    filter: Option<Expr>,
    kind: Kind,
    argument: Argument,
    /// All arguments are of a fixed width.
    small: bool,
}

#[derive(Debug, Clone)]
enum Kind {
    /// `count(*)`: the store counts rows anyway.
    Rows,
    /// `approx_distinct` by sketches.
    Distinct,
    /// One value a group: an empty one.
    Fold(Fold),
    /// DataFusion's accumulator.
    Other,
}

impl Aggregate {
    /// `function` as it stands in an aggregate whose input has the columns `columns`, which are made of those of `table`.
    pub fn new(
        function: &Arc<AggregateFunctionExpr>,
        filter: Option<&Expr>,
        columns: &[Expr],
        table: &Schema,
    ) -> Result<Self> {
        let arguments: Vec<Expr> = function.expressions().iter().map(|e| over(e, columns)).collect::<Result<_>>()?;
        let filter = filter.map(|f| over(f, columns)).transpose()?;
        let states = function.state_fields()?;
        let never_null = |e: &Expr| e.downcast_ref::<Literal>().is_some_and(|l| !l.value().is_null());
        let kind = match function.fun().name() {
            "count" if !function.is_distinct() && filter.is_none() && arguments.iter().all(never_null) => Kind::Rows,
            "approx_distinct" if states.len() == 1 && *states[0].data_type() == DataType::Binary => Kind::Distinct,
            _ if states.len() == 1 => match arguments.first().map(|a| a.data_type(table)).transpose()? {
                Some(argument) => Fold::of(function, &argument).map_or(Kind::Other, Kind::Fold),
                None => Kind::Other,
            },
            _ => Kind::Other,
        };
        let nothing = Argument { least: f64::NEG_INFINITY, most: f64::INFINITY, present: false };
        let mut argument = arguments.first().map_or(nothing, |a| monotone::argument(a, table));
        argument.present &= filter.is_none();
        let small = arguments
            .iter()
            .all(|a| a.data_type(table).is_ok_and(|t| t.primitive_width().is_some() || t == DataType::Boolean));
        Ok(Self { function: Arc::clone(function), arguments, filter, kind, argument, small })
    }

    /// The function's name, in lower case.
    pub fn function_name(&self) -> &str {
        self.function.fun().name()
    }

    /// What is known of its (first) argument.
    pub fn argument(&self) -> Argument {
        self.argument
    }

    /// Whether its value is never above the number of rows: `Some(true)`. `Some(false)`: hardly above, it is an estimate.
    pub fn at_most_rows(&self) -> Option<bool> {
        match self.function_name() {
            "count" => Some(true),
            "approx_distinct" => Some(false),
            "sum" if self.argument.most <= 1.0 => Some(true),
            _ => None,
        }
    }

    /// Whether its state is the number of rows.
    pub fn counts_rows(&self) -> bool {
        matches!(self.kind, Kind::Rows)
    }

    /// Whether its state is a list of hashes or a sketch.
    pub fn is_sketch(&self) -> bool {
        matches!(self.kind, Kind::Distinct)
    }

    /// Whether its arguments are of a fixed width.
    pub fn is_small(&self) -> bool {
        self.small
    }

    /// Whether its arguments can be kept for later: they are small, and do not hold other memory alive.
    pub fn can_wait(&self) -> bool {
        matches!(self.kind, Kind::Rows | Kind::Distinct) || self.small
    }

    /// Whether the state of one group can be had by itself.
    pub fn can_be_seen(&self) -> bool {
        !matches!(self.kind, Kind::Other)
    }

    /// Whether both have the same state at all times.
    pub fn same(&self, other: &Self) -> bool {
        self.counts_rows() && other.counts_rows()
            || self.function.fun() == other.function.fun()
                && self.function.is_distinct() == other.function.is_distinct()
                && self.function.ignore_nulls() == other.function.ignore_nulls()
                && self.arguments == other.arguments
                && self.filter == other.filter
    }

    /// Whether it is sure that taking in rows cannot fail.
    pub fn cannot_fail(&self) -> bool {
        self.wanted().all(cannot_fail)
    }

    /// The expressions that it needs of each row.
    pub fn wanted(&self) -> impl Iterator<Item = &Expr> {
        let arguments: &[Expr] = if self.counts_rows() { &[] } else { &self.arguments };
        arguments.iter().chain(&self.filter)
    }

    /// Whether the last of [`Aggregate::wanted`] is its filter.
    pub fn has_filter(&self) -> bool {
        self.filter.is_some()
    }

    /// What it is, in words that a checkpoint can compare.
    pub fn describe(&self) -> String {
        let arguments: Vec<_> = self.arguments.iter().map(ToString::to_string).collect();
        let distinct = if self.function.is_distinct() { "DISTINCT " } else { "" };
        let filter = self.filter.as_ref().map(|f| format!(" FILTER ({f})")).unwrap_or_default();
        if self.counts_rows() {
            return "count(*)".into();
        }
        format!("{}({distinct}{}){filter}", self.function.fun().name(), arguments.join(", "))
    }

    /// The fields of its state, beside the number of rows that every group has.
    pub fn state_fields(&self) -> Result<Vec<FieldRef>> {
        if self.counts_rows() { Ok(Vec::new()) } else { self.function.state_fields() }
    }

    /// An empty accumulator.
    pub fn accumulator(&self) -> Result<Accumulator> {
        Ok(match &self.kind {
            Kind::Rows => Accumulator::Rows,
            Kind::Distinct => Accumulator::Distinct(Distinct::default()),
            Kind::Fold(empty) => Accumulator::Fold(empty.clone()),
            Kind::Other if self.function.groups_accumulator_supported() => {
                Accumulator::Other(Mutex::new(self.function.create_groups_accumulator()?))
            }
            Kind::Other => {
                let function = Arc::clone(&self.function);
                Accumulator::Other(Mutex::new(Box::new(GroupsAccumulatorAdapter::new(move || {
                    function.create_accumulator()
                }))))
            }
        })
    }

    /// The results of groups with these states, of which there is one each. `rows`: how many rows the groups have.
    pub fn results(&self, states: &[ArrayRef], rows: &Int64Array) -> Result<ArrayRef> {
        match &self.kind {
            Kind::Rows => Ok(Arc::new(rows.clone())),
            Kind::Distinct => distinct::estimates(&states[0]),
            Kind::Fold(_) => Ok(Arc::clone(&states[0])),
            Kind::Other => {
                let mut accumulator = self.accumulator()?;
                let groups: Vec<usize> = (0..rows.len()).collect();
                accumulator.merge(states, &groups, rows.len())?;
                accumulator.take_results(rows)
            }
        }
    }
}

/// Where in a working batch an aggregate finds what it needs.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    /// Columns of the arguments.
    pub arguments: Vec<usize>,
    /// Column of the filter.
    pub filter: Option<usize>,
    /// The arguments are hashes of what is to be counted.
    pub hashed: bool,
}

/// The values of one aggregate for the groups of one pane.
pub enum Accumulator {
    /// None: the pane's count of rows says it.
    Rows,
    /// Sketches.
    Distinct(Distinct),
    /// One value a group.
    Fold(Fold),
    /// DataFusion's. (The lock lets threads read what is beside it; it is never waited for.)
    Other(Mutex<Box<dyn GroupsAccumulator>>),
}

/// The rows that count: those of whom the filter is true, without `nulls`.
pub fn counted(filter: Option<&BooleanArray>, nulls: Option<NullBuffer>) -> Option<NullBuffer> {
    let Some(filter) = filter else { return nulls.filter(|n| n.null_count() > 0) };
    let kept = filter.nulls().map_or_else(|| filter.values().clone(), |nulls| filter.values() & nulls.inner());
    NullBuffer::union(Some(&NullBuffer::new(kept)), nulls.as_ref())
}

fn own(accumulator: &mut Mutex<Box<dyn GroupsAccumulator>>) -> &mut dyn GroupsAccumulator {
    accumulator.get_mut().unwrap_or_else(PoisonError::into_inner).as_mut()
}

impl std::fmt::Debug for Accumulator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Rows => "Rows",
            Self::Distinct(_) => "Distinct",
            Self::Fold(_) => "Fold",
            Self::Other(_) => "Other",
        })
    }
}

impl Accumulator {
    /// Adds rows to `total` groups.
    pub fn update(&mut self, inputs: &Inputs, rows: &RecordBatch, groups: &[usize], total: usize) -> Result<()> {
        let filter: Option<&BooleanArray> = inputs.filter.map(|at| rows.column(at).as_boolean());
        let argument = || rows.column(inputs.arguments[0]);
        match self {
            Self::Rows => Ok(()),
            Self::Distinct(distinct) => {
                let counted = counted(filter, argument().logical_nulls());
                if inputs.hashed {
                    distinct.update_hashed(argument().as_primitive::<UInt64Type>().values(), groups, counted.as_ref());
                    return Ok(());
                }
                distinct.update(argument(), groups, counted.as_ref())
            }
            Self::Fold(fold) => {
                let counted = counted(filter, argument().logical_nulls());
                fold.update(argument(), groups, counted.as_ref(), total);
                Ok(())
            }
            Self::Other(accumulator) => {
                let arguments: Vec<ArrayRef> = inputs.arguments.iter().map(|&at| Arc::clone(rows.column(at))).collect();
                own(accumulator).update_batch(&arguments, groups, filter, total)
            }
        }
    }

    /// Adds states to `total` groups.
    pub fn merge(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        match self {
            Self::Rows => Ok(()),
            Self::Distinct(distinct) => distinct.merge(&states[0], groups),
            Self::Fold(fold) => {
                fold.merge(&states[0], groups, total);
                Ok(())
            }
            Self::Other(accumulator) => own(accumulator).merge_batch(states, groups, total),
        }
    }

    /// Makes room for `total` groups that have seen nothing.
    pub fn merge_nothing(&mut self, total: usize) -> Result<()> {
        let Self::Other(accumulator) = self else { return Ok(()) };
        let accumulator = own(accumulator);
        let states = accumulator.state(EmitTo::All)?;
        accumulator.merge_batch(&states, &[], total)?;
        Ok(())
    }

    /// Before [`Accumulator::take_states`].
    pub fn settle(&mut self, total: usize) {
        match self {
            Self::Distinct(distinct) => distinct.settle(),
            Self::Fold(fold) => fold.settle(total),
            Self::Rows | Self::Other(_) => {}
        }
    }

    /// Bytes of a group's state, where they can be many.
    pub fn state_len(&self, group: usize) -> usize {
        if let Self::Distinct(distinct) = self { distinct.state_len(group) } else { 0 }
    }

    /// The states of the groups from `groups.start` on; those before were taken already. `last`: there are none after them.
    pub fn take_states(&mut self, groups: Range<usize>, last: bool) -> Result<Vec<ArrayRef>> {
        let all = last && groups.start == 0;
        match self {
            Self::Rows => Ok(Vec::new()),
            // (what is copied must not stay beside the copies of all others)
            Self::Distinct(distinct) if last => Ok(vec![std::mem::take(distinct).states(groups)?]),
            Self::Distinct(distinct) => Ok(vec![distinct.states(groups)?]),
            Self::Fold(fold) if all => Ok(vec![fold.take_values()?]),
            Self::Fold(fold) => Ok(vec![fold.values(groups)?]),
            Self::Other(accumulator) => {
                own(accumulator).state(if last { EmitTo::All } else { EmitTo::First(groups.len()) })
            }
        }
    }

    /// The results of all groups, which are settled. `rows`: how many rows they have.
    pub fn take_results(&mut self, rows: &Int64Array) -> Result<ArrayRef> {
        match self {
            Self::Rows => Ok(Arc::new(rows.clone())),
            Self::Distinct(distinct) => distinct::estimates(&std::mem::take(distinct).states(0..rows.len())?),
            Self::Fold(fold) => fold.take_values(),
            Self::Other(accumulator) => own(accumulator).evaluate(EmitTo::All),
        }
    }

    /// The state of one group; `None` if the others would have to be touched.
    pub fn peek(&self, group: usize) -> Result<Option<Vec<ArrayRef>>> {
        Ok(match self {
            Self::Rows => Some(Vec::new()),
            Self::Distinct(distinct) => Some(vec![distinct.state(group)]),
            Self::Fold(fold) => Some(vec![fold.values(group..group + 1)?]),
            Self::Other(_) => None,
        })
    }

    /// Memory, bytes.
    pub fn size(&self) -> usize {
        match self {
            Self::Rows => 0,
            Self::Distinct(distinct) => distinct.size(),
            Self::Fold(fold) => fold.size(),
            Self::Other(accumulator) => accumulator.lock().unwrap_or_else(PoisonError::into_inner).size(),
        }
    }
}
