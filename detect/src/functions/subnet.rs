//! `subnet(ip, v4_bits, v6_bits)`: the network that an address is in.

use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use arrow::array::{AsArray, StringViewArray};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::Result;
use datafusion::common::utils::take_function_args;
use datafusion::logical_expr::scalar_doc_sections::DOC_SECTION_OTHER;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use ipnet::IpNet;

use super::addresses::{STRINGS, texts};
use crate::enrichment::address;

static DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        DOC_SECTION_OTHER,
        "The network that an address is in, as 192.0.2.0/24: for campaigns whose addresses are neighbours. An IPv4 address that is \
         written as IPv6 counts as IPv4. NULL where it is no address, or the length is outside 0..32 or 0..128.",
        "subnet(ip, v4_bits, v6_bits)",
    )
    .with_argument("ip", "An address, as client_ip or client has it")
    .with_argument("v4_bits", "Length of the network's prefix for IPv4, such as 24")
    .with_argument("v6_bits", "The same for IPv6, such as 48")
    .with_sql_example("SELECT subnet('192.0.2.7', 24, 48); -- '192.0.2.0/24'")
    .build()
});

#[derive(Debug, PartialEq, Eq, Hash)]
struct Subnet {
    signature: Signature,
}

/// The function, for a session to register.
pub(super) fn udf() -> ScalarUDF {
    let forms = STRINGS.map(|text| TypeSignature::Exact(vec![text, DataType::Int64, DataType::Int64]));
    ScalarUDF::new_from_impl(Subnet { signature: Signature::one_of(forms.into(), Volatility::Immutable) })
}

impl ScalarUDFImpl for Subnet {
    fn name(&self) -> &'static str {
        "subnet"
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
        let [addresses, v4, v6] = take_function_args(self.name(), arrays)?;
        let (addresses, v4, v6) = (texts(&addresses)?, v4.as_primitive::<Int64Type>(), v6.as_primitive::<Int64Type>());
        let networks: StringViewArray = addresses
            .iter()
            .zip(v4.iter().zip(v6))
            .map(|(text, (v4, v6))| network(address(text?)?, v4?, v6?).map(|n| n.to_string()))
            .collect();
        Ok(ColumnarValue::Array(Arc::new(networks)))
    }
}

fn network(address: IpAddr, v4: i64, v6: i64) -> Option<IpNet> {
    let bits = if address.is_ipv4() { v4 } else { v6 };
    Some(IpNet::new(address, u8::try_from(bits).ok()?).ok()?.trunc())
}
