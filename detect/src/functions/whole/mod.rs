//! Aggregates over a group's distinct whole numbers (ids, or seconds), that ask how they lie to each other. All keep a
//! [`Sample`], and differ in what they make of it: one file a function.

mod dense_ids;
mod id_density;
mod id_gap_entropy;
mod interval_variation;
mod sample;

use std::hash::{Hash, Hasher};

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Int64Type, TimeUnit};
use datafusion::common::utils::take_function_args;
use datafusion::common::{DataFusionError, Result, ScalarValue, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, Signature, Volatility};

use sample::Sample;

/// The functions, for a session to register.
pub(super) fn all() -> [AggregateUDF; 4] {
    [dense_ids::udf(), id_density::udf(), id_gap_entropy::udf(), interval_variation::udf()]
}

/// What the numbers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    /// Whole numbers.
    Ids,
    /// Timestamps, in whole seconds.
    Seconds,
}

/// What is made of the sample; `None` is NULL.
type Evaluate = fn(&Sample) -> Option<f64>;

#[derive(Debug)]
struct Whole {
    name: &'static str,
    of: Of,
    signature: Signature,
    documentation: Documentation,
    evaluate: Evaluate,
}

fn udf(name: &'static str, of: Of, documentation: Documentation, evaluate: Evaluate) -> AggregateUDF {
    let signature = match of {
        Of::Ids => Signature::exact(vec![DataType::Int64], Volatility::Immutable),
        // Of any unit and zone.
        Of::Seconds => Signature::any(1, Volatility::Immutable),
    };
    AggregateUDF::new_from_impl(Whole { name, of, signature, documentation, evaluate })
}

// There is one function of a name.
impl PartialEq for Whole {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Whole {}

impl Hash for Whole {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl AggregateUDFImpl for Whole {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match (self.of, arguments) {
            (Of::Ids, _) | (Of::Seconds, [DataType::Timestamp(..)]) => Ok(DataType::Float64),
            _ => plan_err!("{} wants a timestamp, such as ts", self.name),
        }
    }

    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Sampled { sample: Sample::default(), of: self.of, evaluate: self.evaluate }))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(vec![Field::new(format_state_name(args.name, "sample"), DataType::Binary, false).into()])
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

#[derive(Debug)]
struct Sampled {
    sample: Sample,
    of: Of,
    evaluate: Evaluate,
}

impl Accumulator for Sampled {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let [numbers] = take_function_args("an aggregate of whole numbers", values)?;
        let numbers = match (self.of, numbers.data_type()) {
            (Of::Ids, _) => cast(numbers, &DataType::Int64)?,
            (Of::Seconds, DataType::Timestamp(_, zone)) => {
                let seconds = DataType::Timestamp(TimeUnit::Second, zone.clone());
                cast(&cast(numbers, &seconds)?, &DataType::Int64)?
            }
            // (as `return_type` has it)
            (Of::Seconds, other) => return plan_err!("{other} is no timestamp"),
        };
        numbers.as_primitive::<Int64Type>().iter().flatten().for_each(|number| self.sample.add(number));
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let [states] = take_function_args("an aggregate of whole numbers", states)?;
        for state in states.as_binary::<i32>().iter().flatten() {
            let state = Sample::from_bytes(state)
                .ok_or_else(|| DataFusionError::Execution("a state of whole numbers is damaged".into()))?;
            self.sample.merge(&state);
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Binary(Some(self.sample.to_bytes()))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64((self.evaluate)(&self.sample).filter(|x| x.is_finite())))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.sample.size()
    }
}

/// How far each of a block's numbers is above the one before it.
fn gaps(numbers: &[u16]) -> impl Iterator<Item = u16> {
    numbers.windows(2).map(|pair| pair[1] - pair[0])
}

/// From the lowest to the highest of a block's numbers, both included.
fn span(numbers: &[u16]) -> u16 {
    numbers.first().zip(numbers.last()).map_or(0, |(first, last)| last - first + 1)
}
