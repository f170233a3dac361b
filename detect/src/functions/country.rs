//! `country(ip)`: the country of an address, by a local database.

use std::sync::{Arc, LazyLock};

use arrow::array::StringViewArray;
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::common::utils::take_function_args;
use datafusion::logical_expr::scalar_doc_sections::DOC_SECTION_OTHER;
use datafusion::logical_expr::{ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature};

use super::addresses::{each, one_text, texts};
use crate::enrichment::Enrichment;

static DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        DOC_SECTION_OTHER,
        "The two letters (ISO 3166-1) of the country that an address is in, by the database that `country` of `[mmdb]` names. NULL where it is not known.",
        "country(ip)",
    )
    .with_argument("ip", "An address, as client_ip or client has it")
    .with_sql_example("SELECT country('192.0.2.1'); -- 'DE'")
    .build()
});

#[derive(Debug, PartialEq, Eq, Hash)]
struct Country {
    signature: Signature,
    enrichment: Arc<Enrichment>,
}

/// The function, for a session to register.
pub(super) fn udf(enrichment: &Arc<Enrichment>) -> ScalarUDF {
    ScalarUDF::new_from_impl(Country { signature: one_text(), enrichment: Arc::clone(enrichment) })
}

impl ScalarUDFImpl for Country {
    fn name(&self) -> &'static str {
        "country"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8View)
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&DOCUMENTATION)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [addresses] = take_function_args(self.name(), arrays)?;
        let found = each(&texts(&addresses)?, |address| self.enrichment.country(address));
        Ok(ColumnarValue::Array(Arc::new(StringViewArray::from_iter(found))))
    }
}
