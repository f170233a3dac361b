//! `in_network(ip, networks)`: whether an address is in one of some networks.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow::array::BooleanArray;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::utils::take_function_args;
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::scalar_doc_sections::DOC_SECTION_OTHER;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    TypeSignature, Volatility,
};

use super::addresses::{STRINGS, texts};
use crate::enrichment::{Enrichment, Networks, address};

static DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        DOC_SECTION_OTHER,
        "Whether an address is in one of some networks. NULL where it is no address.",
        "in_network(ip, networks)",
    )
    .with_argument("ip", "An address, as client_ip or client has it")
    .with_argument(
        "networks",
        "The name of a list in the config's [networks], or networks and addresses joined by ','; also a lookup's column",
    )
    .with_sql_example("SELECT in_network('192.0.2.7', '192.0.2.0/24,2001:db8::/32'); -- true")
    .build()
});

#[derive(Debug, PartialEq, Eq, Hash)]
struct InNetwork {
    signature: Signature,
    enrichment: Arc<Enrichment>,
}

/// The function, for a session to register.
pub(super) fn udf(enrichment: &Arc<Enrichment>) -> ScalarUDF {
    let pairs = STRINGS.iter().flat_map(|a| STRINGS.iter().map(|b| TypeSignature::Exact(vec![a.clone(), b.clone()])));
    let signature = Signature::one_of(pairs.collect(), Volatility::Immutable);
    ScalarUDF::new_from_impl(InNetwork { signature, enrichment: Arc::clone(enrichment) })
}

impl ScalarUDFImpl for InNetwork {
    fn name(&self) -> &'static str {
        "in_network"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    /// A list that is not there is a mistake of the rule: it is told when the rule is planned.
    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let which = args.scalar_arguments.get(1).copied().flatten().and_then(|value| value.try_as_str().flatten());
        if let Some(Err(why)) = which.map(|which| self.enrichment.list(which)) {
            return plan_err!("in_network: {why}");
        }
        Ok(Arc::new(Field::new(self.name(), DataType::Boolean, true)))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&DOCUMENTATION)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [addresses, networks] = take_function_args(self.name(), arrays)?;
        let (addresses, networks) = (texts(&addresses)?, texts(&networks)?);
        // A column's value that is no network contains nothing: NULL.
        let mut lists: HashMap<&str, Option<Arc<Networks>>> = HashMap::new();
        let found: BooleanArray = addresses
            .iter()
            .zip(&networks)
            .map(|(text, which)| {
                let (address, which) = (address(text?)?, which?);
                let list = lists.entry(which).or_insert_with(|| self.enrichment.list(which).ok());
                list.as_ref().map(|list| list.contains(address))
            })
            .collect();
        Ok(ColumnarValue::Array(Arc::new(found)))
    }
}
