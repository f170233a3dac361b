//! `contains_any(text, patterns)`: whether any of many texts occurs in one, found in one walk over it.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use arrow::array::BooleanArray;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::utils::take_function_args;
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::scalar_doc_sections::DOC_SECTION_STRING;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    TypeSignature, Volatility,
};

use super::addresses::{STRINGS, texts};

/// Characters of all patterns together.
const LONGEST: usize = 64 * 1024;
/// Characters up to which a list is looked for by a table.
const DENSE: usize = 4 * 1024;
/// Lists that are kept ready.
const KEPT: usize = 64;

static DOCUMENTATION: LazyLock<Documentation> = LazyLock::new(|| {
    Documentation::builder(
        DOC_SECTION_STRING,
        "Whether a text contains any of some others, whatever the case of ASCII letters. However many there are, it is walked over once. \
         NULL where an argument is NULL or no pattern is left. Source: Aho and Corasick, Efficient String Matching (1975).",
        "contains_any(text, patterns)",
    )
    .with_argument("text", "Where to look, such as path or query")
    .with_argument("patterns", "What to look for, joined by '|', 64 KiB at most; blanks count; also a lookup's column")
    .with_sql_example("SELECT contains_any('/a/../ETC/passwd', '/etc/passwd|/proc/self'); -- true")
    .build()
});

/// Lists that were asked for, ready to look with.
static READY: LazyLock<Mutex<HashMap<String, Option<AhoCorasick>>>> = LazyLock::new(Mutex::default);

#[derive(Debug, PartialEq, Eq, Hash)]
struct ContainsAny {
    signature: Signature,
}

/// The function, for a session to register.
pub(super) fn udf() -> ScalarUDF {
    let pairs = STRINGS.iter().flat_map(|a| STRINGS.iter().map(|b| TypeSignature::Exact(vec![a.clone(), b.clone()])));
    ScalarUDF::new_from_impl(ContainsAny { signature: Signature::one_of(pairs.collect(), Volatility::Immutable) })
}

impl ScalarUDFImpl for ContainsAny {
    fn name(&self) -> &'static str {
        "contains_any"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    /// A list that cannot be used is a mistake of the rule: it is told when the rule is planned.
    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let list = args.scalar_arguments.get(1).copied().flatten().and_then(|value| value.try_as_str().flatten());
        if let Some(list) = list
            && searcher(list).is_none()
        {
            return plan_err!("contains_any: the list of patterns is empty or longer than 64 KiB");
        }
        Ok(Arc::new(Field::new(self.name(), DataType::Boolean, true)))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&DOCUMENTATION)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [text, list] = take_function_args(self.name(), &args.args)?;
        // (one list for all rows, as a rule has it, is neither copied nor compared row by row)
        if let ColumnarValue::Scalar(list) = list {
            let texts_in = text.to_array(args.number_rows)?;
            let searcher = list.try_as_str().flatten().and_then(searcher);
            let found: BooleanArray =
                texts(&texts_in)?.iter().map(|text| Some(searcher.as_ref()?.is_match(text?))).collect();
            return Ok(ColumnarValue::Array(Arc::new(found)));
        }
        let arrays = ColumnarValue::values_to_arrays(&args.args)?;
        let [where_to, lists] = take_function_args(self.name(), arrays)?;
        let (where_to, lists) = (texts(&where_to)?, texts(&lists)?);
        let mut before: (Option<&str>, Option<AhoCorasick>) = (None, None);
        let found: BooleanArray = where_to
            .iter()
            .zip(&lists)
            .map(|(text, list)| {
                if list != before.0 {
                    before = (list, list.and_then(searcher));
                }
                Some(before.1.as_ref()?.is_match(text?))
            })
            .collect();
        Ok(ColumnarValue::Array(Arc::new(found)))
    }
}

/// What looks for the patterns of a list; `None`: there are none, or too many.
fn searcher(list: &str) -> Option<AhoCorasick> {
    if list.len() > LONGEST {
        return None;
    }
    let mut ready = READY.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = ready.get(list) {
        return known.clone();
    }
    let patterns: Vec<&str> = list.split('|').filter(|pattern| !pattern.is_empty()).collect();
    let searcher = Some(patterns).filter(|patterns| !patterns.is_empty());
    // (a table of all transitions is the fastest, and takes up to a KiB a character: 256 of four bytes)
    let kind = (list.len() <= DENSE).then_some(AhoCorasickKind::DFA);
    let searcher = searcher.and_then(|p| AhoCorasick::builder().ascii_case_insensitive(true).kind(kind).build(p).ok());
    if ready.len() >= KEPT {
        ready.clear();
    }
    ready.insert(list.to_owned(), searcher.clone());
    searcher
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::searcher;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn finds_what_looking_for_each_finds(text in "[abAB/|]{0,20}", list in "[abAB/]{0,3}(\\|[abAB/]{0,3}){0,4}") {
            let patterns: Vec<String> = list.split('|').filter(|p| !p.is_empty()).map(str::to_ascii_lowercase).collect();
            let expected = (!patterns.is_empty()).then(|| patterns.iter().any(|p| text.to_ascii_lowercase().contains(p.as_str())));
            prop_assert_eq!(searcher(&list).map(|s| s.is_match(&text)), expected);
        }
    }
}
