//! Sketches: what a group's values were, in bounded memory, as a value of its own (`BINARY`) that baselines keep and other functions ask.
//!
//! A sketch depends on the values alone: neither on their order nor on how they were split among states that were merged, or a rule would say
//! something else in `scan` than in `query`. (That is why these are not the crate `datasketches`: its HLL, its t-digest and, until it is trimmed, its
//! theta sketch depend on the order.) The bytes are read where they lie: a row of a join costs a look, not a copy.

mod count_min;
mod dd;
mod hash;
mod scalar;
mod theta;

use std::fmt::Debug;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::utils::take_function_args;
use datafusion::common::{DataFusionError, Result, ScalarValue, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, ScalarUDF, Signature, Volatility,
};

/// The aggregates that make sketches.
pub(super) fn aggregates() -> [AggregateUDF; 3] {
    [theta::sketch(), count_min::sketch(), dd::sketch()]
}

/// The functions that ask them.
pub(super) fn scalars() -> [ScalarUDF; 7] {
    [
        theta::distinct(),
        theta::once_share(),
        theta::new_share(),
        count_min::estimate(),
        count_min::rarity(),
        dd::quantile(),
        dd::p_value(),
    ]
}

/// What is kept of a group's values.
trait Sketch: Debug + Default + Send + Sync + 'static {
    /// Whether it can take in values of this type.
    fn takes(kind: &DataType) -> bool;
    /// Takes in a column; NULL is no value.
    fn add(&mut self, values: &ArrayRef) -> Result<()>;
    /// Takes in what another has; `None` if the bytes are no such sketch.
    fn merge(&mut self, bytes: &[u8]) -> Option<()>;
    fn to_bytes(&self) -> Vec<u8>;
    /// What it holds outside of itself, bytes.
    fn size(&self) -> usize;
}

/// The aggregate that makes an `S`.
#[derive(Debug)]
struct Sketching<S> {
    name: &'static str,
    signature: Signature,
    documentation: Documentation,
    of: PhantomData<S>,
}

fn aggregate<S: Sketch>(name: &'static str, documentation: Documentation) -> AggregateUDF {
    let signature = Signature::any(1, Volatility::Immutable);
    AggregateUDF::new_from_impl(Sketching::<S> { name, signature, documentation, of: PhantomData })
}

// There is one function of a name.
impl<S> PartialEq for Sketching<S> {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl<S> Eq for Sketching<S> {}

impl<S> Hash for Sketching<S> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl<S: Sketch> AggregateUDFImpl for Sketching<S> {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        if arguments.iter().all(S::takes) {
            return Ok(DataType::Binary);
        }
        plan_err!("{} cannot take in {}", self.name, arguments.first().unwrap_or(&DataType::Null))
    }

    fn accumulator(&self, _: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::<Sketched<S>>::default())
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(vec![Field::new(format_state_name(args.name, "sketch"), DataType::Binary, false).into()])
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

#[derive(Debug, Default)]
struct Sketched<S>(S);

impl<S: Sketch> Accumulator for Sketched<S> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let [values] = take_function_args("a sketch", values)?;
        self.0.add(values)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let [states] = take_function_args("a sketch", states)?;
        for state in states.as_binary::<i32>().iter().flatten() {
            self.0.merge(state).ok_or_else(|| DataFusionError::Execution("a sketch is damaged".into()))?;
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::Binary(Some(self.0.to_bytes()))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Binary(Some(self.0.to_bytes())))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.0.size()
    }
}

/// Whether it can be written as text, which is what is hashed.
fn has_text(kind: &DataType) -> bool {
    kind.is_primitive() || kind.is_string() || matches!(kind, DataType::Boolean | DataType::Null)
}

/// The hash of each value's text; `None` is NULL.
fn hashes(values: &ArrayRef) -> Result<Vec<Option<u64>>> {
    let texts = if values.data_type() == &DataType::Utf8View {
        values.clone()
    } else {
        cast(&cast(values, &DataType::Utf8)?, &DataType::Utf8View)?
    };
    Ok(texts.as_string_view().iter().map(|text| text.map(|text| hash::hash(text.as_bytes()))).collect())
}

/// A little-endian `u64` at a place.
fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// A little-endian `u32` at a place.
fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// For tests: the sketch of these values, taken in at once or in two parts.
#[cfg(test)]
fn sketch_of<S: Sketch>(values: &ArrayRef, cut: usize) -> Vec<u8> {
    let part = |from: usize, length: usize| {
        let mut sketch = S::default();
        sketch.add(&values.slice(from, length)).expect("values");
        sketch.to_bytes()
    };
    let mut whole = S::default();
    whole.merge(&part(cut, values.len() - cut)).expect("a sketch");
    whole.merge(&part(0, cut)).expect("a sketch");
    whole.to_bytes()
}
