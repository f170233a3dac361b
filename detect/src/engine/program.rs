//! What a lowest aggregate reads of a batch of requests: filters and computed columns, over the columns of the batch itself.
//!
//! DataFusion's plan below an aggregate is nearly always a chain of filters and projections. [`flatten`] folds such a chain
//! into expressions over the scanned table. Two things follow: rules that write the same in different words have equal
//! expressions, and so can share their state; and a [`Program`] evaluates each common part once, filters no column that
//! nobody reads, and copies no text.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{FilterBuilder, prep_null_mask_filter};
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::physical_expr::ScalarFunctionExpr;
use datafusion::physical_expr::expressions::{
    BinaryExpr, CaseExpr, CastExpr, Column, InListExpr, IsNotNullExpr, IsNullExpr, LikeExpr, Literal, NotExpr,
    TryCastExpr,
};
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::streaming::StreamingTableExec;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};

/// An expression.
pub type Expr = Arc<dyn PhysicalExpr>;

/// A chain of filters and projections over a scan, folded: all expressions are over the scanned table's own columns.
#[derive(Debug, Clone)]
pub struct Flat {
    /// All must be true, in this order.
    pub filters: Vec<Expr>,
    /// The columns of the chain's result.
    pub columns: Vec<Expr>,
}

/// Folds a chain; `None` if something else is in it.
pub fn flatten(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<Flat>> {
    if let Some(scan) = plan.downcast_ref::<StreamingTableExec>() {
        let table = scan.partition_schema();
        let all: Vec<usize> = (0..table.fields().len()).collect();
        let projection = scan.projection().as_deref().unwrap_or(&all);
        let column = |&i: &usize| Arc::new(Column::new(table.field(i).name(), i)) as Expr;
        return Ok(Some(Flat { filters: Vec::new(), columns: projection.iter().map(column).collect() }));
    }
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        let Some(mut flat) = flatten(filter.input())? else { return Ok(None) };
        flat.filters.push(over(filter.predicate(), &flat.columns)?);
        if let Some(projection) = filter.projection() {
            flat.columns = projection.iter().map(|&i| Arc::clone(&flat.columns[i])).collect();
        }
        return Ok(Some(flat));
    }
    if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let Some(flat) = flatten(projection.input())? else { return Ok(None) };
        let columns = projection.expr().iter().map(|p| over(&p.expr, &flat.columns)).collect::<Result<_>>()?;
        return Ok(Some(Flat { filters: flat.filters, columns }));
    }
    Ok(None)
}

/// `expr` over columns, as an expression over what those columns are made of.
pub fn over(expr: &Expr, columns: &[Expr]) -> Result<Expr> {
    let replaced = Arc::clone(expr).transform_down(|e| {
        Ok(match e.downcast_ref::<Column>() {
            Some(column) => Transformed::new(Arc::clone(&columns[column.index()]), true, TreeNodeRecursion::Jump),
            None => Transformed::no(e),
        })
    })?;
    Ok(replaced.data)
}

/// Evaluates filters and columns over batches of one table.
#[derive(Debug, Clone)]
pub struct Program {
    /// Which columns of the table are read.
    inputs: Vec<usize>,
    steps: Vec<Step>,
    /// Schemas of the working batch: with the inputs, and after each computed column.
    schemas: Vec<SchemaRef>,
    /// Where each wanted column is in the working batch.
    pub outputs: Vec<usize>,
}

#[derive(Debug, Clone)]
enum Step {
    /// Keeps the rows for which it is true.
    Keep(Expr),
    /// Adds a column.
    Compute(Expr),
}

impl Program {
    /// A program over `table` that keeps the rows for which all of `filters` are true, and gives the columns `wanted`.
    pub fn new(table: &Schema, filters: &[Expr], wanted: &[Expr]) -> Result<Self> {
        let shared = common_parts(filters.iter().chain(wanted));
        let mut read = BTreeSet::new();
        for expr in filters.iter().chain(wanted) {
            expr.apply(|e| {
                read.extend(e.downcast_ref::<Column>().map(Column::index));
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        let inputs: Vec<usize> = read.into_iter().collect();
        let fields: Vec<Field> = inputs.iter().map(|&i| table.field(i).clone()).collect();
        let mut builder = Builder {
            table,
            shared,
            computed: Vec::new(),
            program: Self {
                inputs,
                steps: Vec::new(),
                schemas: vec![Arc::new(Schema::new(fields))],
                outputs: Vec::new(),
            },
        };
        for filter in filters {
            let filter = builder.rewritten(filter)?;
            builder.program.steps.push(Step::Keep(filter));
        }
        for expr in wanted {
            let position = builder.position(expr)?;
            builder.program.outputs.push(position);
        }
        Ok(builder.program)
    }

    /// The working batch: the rows that pass, with the columns that [`Program::outputs`] points at.
    pub fn run(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let mut working = batch.project(&self.inputs)?.with_schema(Arc::clone(&self.schemas[0]))?;
        let mut schemas = self.schemas[1..].iter();
        for step in &self.steps {
            if working.num_rows() == 0 {
                return Ok(RecordBatch::new_empty(Arc::clone(&self.schemas[self.schemas.len() - 1])));
            }
            match step {
                Step::Keep(filter) => {
                    let mask = filter.evaluate(&working)?.into_array(working.num_rows())?;
                    working = keep(&working, mask.as_boolean())?;
                }
                Step::Compute(expr) => {
                    let column = expr.evaluate(&working)?.into_array(working.num_rows())?;
                    let columns = working.columns().iter().cloned().chain([column]).collect();
                    let Some(schema) = schemas.next() else { break };
                    working = RecordBatch::try_new(Arc::clone(schema), columns)?;
                }
            }
        }
        Ok(working)
    }
}

/// Functions that have an answer for every value.
const SURE: [&str; 12] = [
    "abs",
    "btrim",
    "character_length",
    "coalesce",
    "date_bin",
    "date_part",
    "greatest",
    "least",
    "lower",
    "object_part",
    "octet_length",
    "upper",
];

/// Whether it is sure that evaluating an expression cannot fail, whatever the rows hold. (CASTs are `TRY_CAST`s, division by zero
/// is NULL, whole numbers wrap: see [`super::hostile`].)
pub fn cannot_fail(expr: &Expr) -> bool {
    let mut sure = true;
    // (the visitor returns no error)
    let _ = expr.apply(|e| {
        let function = e.downcast_ref::<ScalarFunctionExpr>();
        sure &= e.is::<Column>()
            || e.is::<Literal>()
            || e.is::<BinaryExpr>()
            || e.is::<CaseExpr>()
            || e.is::<CastExpr>()
            || e.is::<InListExpr>()
            || e.is::<IsNotNullExpr>()
            || e.is::<IsNullExpr>()
            || e.is::<LikeExpr>()
            || e.is::<NotExpr>()
            || e.is::<TryCastExpr>()
            || function.is_some_and(|f| SURE.contains(&f.name()));
        Ok(if sure { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    });
    sure
}

fn keep(batch: &RecordBatch, mask: &BooleanArray) -> Result<RecordBatch> {
    let mask = if mask.null_count() > 0 { prep_null_mask_filter(mask) } else { mask.clone() };
    if mask.true_count() == batch.num_rows() {
        return Ok(batch.clone());
    }
    Ok(FilterBuilder::new(&mask).optimize().build().filter_record_batch(batch)?)
}

/// The parts, larger than a column, that stand in several places of the expressions.
fn common_parts<'a>(expressions: impl Iterator<Item = &'a Expr>) -> Vec<Expr> {
    let mut seen: Vec<(Expr, usize)> = Vec::new();
    for expr in expressions {
        // (the visitor returns no error)
        let _ = expr.apply(|e| {
            if e.is::<Column>() || e.is::<Literal>() {
                return Ok(TreeNodeRecursion::Jump);
            }
            if let Some((_, times)) = seen.iter_mut().find(|(other, _)| other == e) {
                // What is inside of it was counted when it was first met.
                *times += 1;
                return Ok(TreeNodeRecursion::Jump);
            }
            seen.push((Arc::clone(e), 1));
            Ok(TreeNodeRecursion::Continue)
        });
    }
    seen.into_iter().filter(|(_, times)| *times > 1).map(|(e, _)| e).collect()
}

struct Builder<'a> {
    table: &'a Schema,
    shared: Vec<Expr>,
    /// What the computed columns are, as expressions over the table.
    computed: Vec<Expr>,
    program: Program,
}

impl Builder<'_> {
    /// The expression over the working batch; what it shares with others is computed before.
    fn rewritten(&mut self, expr: &Expr) -> Result<Expr> {
        let rewritten = Arc::clone(expr).transform_down(|e| {
            let is_part = self.shared.contains(&e) && &e != expr;
            if is_part || e.is::<Column>() || self.computed.contains(&e) {
                let at = self.position(&e)?;
                let schema = &self.program.schemas[self.program.schemas.len() - 1];
                let column = Arc::new(Column::new(schema.field(at).name(), at)) as Expr;
                return Ok(Transformed::new(column, true, TreeNodeRecursion::Jump));
            }
            Ok(Transformed::no(e))
        })?;
        Ok(rewritten.data)
    }

    /// Where an expression's value is in the working batch; computes it if need be.
    fn position(&mut self, expr: &Expr) -> Result<usize> {
        if let Some(column) = expr.downcast_ref::<Column>()
            && let Some(at) = self.program.inputs.iter().position(|&i| i == column.index())
        {
            return Ok(at);
        }
        if let Some(at) = self.computed.iter().position(|e| e == expr) {
            return Ok(self.program.inputs.len() + at);
        }
        let rewritten = self.rewritten(expr)?;
        let field = Field::new(expr.to_string(), expr.data_type(self.table)?, true);
        let last = &self.program.schemas[self.program.schemas.len() - 1];
        let fields: Vec<_> = last.fields().iter().cloned().chain([Arc::new(field)]).collect();
        self.program.schemas.push(Arc::new(Schema::new(fields)));
        self.program.steps.push(Step::Compute(rewritten));
        self.computed.push(Arc::clone(expr));
        Ok(self.program.inputs.len() + self.computed.len() - 1)
    }
}
