//! What the functions of an address have in common.

use std::net::IpAddr;

use arrow::array::{ArrayRef, AsArray, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::{Signature, TypeSignature, Volatility};

use crate::enrichment::address;

/// Text in any of its three types: Ballista switches views off.
pub(super) const STRINGS: [DataType; 3] = [DataType::Utf8View, DataType::Utf8, DataType::LargeUtf8];

/// One text. What it gives depends on files that stay as they are while a plan lives.
pub(super) fn one_text() -> Signature {
    let forms = STRINGS.into_iter().map(|s| TypeSignature::Exact(vec![s])).collect();
    Signature::one_of(forms, Volatility::Immutable)
}

/// A column of text.
pub(super) fn texts(column: &ArrayRef) -> Result<StringViewArray> {
    Ok(cast(column, &DataType::Utf8View)?.as_string_view().clone())
}

/// What `ask` says of each address; NULL where there is none. An address that comes again at once is asked for once.
pub(super) fn each<T: Clone>(texts: &StringViewArray, ask: impl Fn(IpAddr) -> Option<T>) -> Vec<Option<T>> {
    let mut before: (Option<&str>, Option<T>) = (None, None);
    texts
        .iter()
        .map(|text| {
            if text != before.0 {
                before = (text, text.and_then(address).and_then(&ask));
            }
            before.1.clone()
        })
        .collect()
}
