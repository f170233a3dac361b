//! `theta_sketch(x)`, and what can be asked of it.
//!
//! It keeps the [`KEPT`] values with the smallest hashes (bottom-k; Bar-Yossef and others 2002), with how often each was seen. Two sketches keep the same values of
//! what they have in common, so that they can be compared. Bytes: `t`, rows, theta, then ascending (hash, count).

use std::collections::BTreeMap;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::aggregate_doc_sections::DOC_SECTION_APPROXIMATE;
use datafusion::logical_expr::scalar_doc_sections::DOC_SECTION_OTHER;
use datafusion::logical_expr::{AggregateUDF, Documentation, ScalarUDF};

use super::scalar::{Compute, udf};
use super::{Sketch, has_text, hashes, u32_at, u64_at};

/// So many different values are kept.
const KEPT: usize = 1024;
const TAG: u8 = b't';
const HEAD: usize = 17;
const ENTRY: usize = 12;

#[derive(Debug)]
pub(super) struct Theta {
    rows: u64,
    /// Hashes from here on are not kept.
    bound: u64,
    counts: BTreeMap<u64, u32>,
}

impl Default for Theta {
    fn default() -> Self {
        Self { rows: 0, bound: u64::MAX, counts: BTreeMap::new() }
    }
}

impl Theta {
    fn count(&mut self, hash: u64, times: u32) {
        if hash >= self.bound {
            return;
        }
        let count = self.counts.entry(hash).or_default();
        *count = count.saturating_add(times);
        if self.counts.len() > KEPT
            && let Some((largest, _)) = self.counts.pop_last()
        {
            self.bound = largest;
        }
    }
}

impl Sketch for Theta {
    fn takes(kind: &DataType) -> bool {
        has_text(kind)
    }

    fn add(&mut self, values: &ArrayRef) -> Result<()> {
        for hash in hashes(values)?.into_iter().flatten() {
            self.rows = self.rows.saturating_add(1);
            self.count(hash, 1);
        }
        Ok(())
    }

    fn merge(&mut self, bytes: &[u8]) -> Option<()> {
        let other = Read::of(bytes)?;
        self.rows = self.rows.saturating_add(other.rows);
        self.bound = self.bound.min(other.theta);
        self.counts.split_off(&self.bound);
        other.entries().for_each(|(hash, count)| self.count(hash, count));
        Some(())
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEAD + ENTRY * self.counts.len());
        bytes.push(TAG);
        bytes.extend(self.rows.to_le_bytes());
        bytes.extend(self.bound.to_le_bytes());
        for (hash, count) in &self.counts {
            bytes.extend(hash.to_le_bytes());
            bytes.extend(count.to_le_bytes());
        }
        bytes
    }

    fn size(&self) -> usize {
        // (a tree's nodes are at least half full)
        self.counts.len() * 2 * ENTRY
    }
}

/// A sketch, read where its bytes lie.
pub(super) struct Read<'a> {
    rows: u64,
    theta: u64,
    entries: &'a [[u8; ENTRY]],
}

impl<'a> Read<'a> {
    /// `None`: it is something else.
    pub(super) fn of(bytes: &'a [u8]) -> Option<Self> {
        let (entries, rest) = bytes.get(HEAD..)?.as_chunks();
        let fits = bytes[0] == TAG && rest.is_empty() && entries.len() <= KEPT;
        Some(Self { rows: u64_at(bytes, 1)?, theta: u64_at(bytes, 9)?, entries }).filter(|_| fits)
    }

    fn entries(&self) -> impl Iterator<Item = (u64, u32)> + use<'a> {
        self.entries.iter().filter_map(|entry| Some((u64_at(entry, 0)?, u32_at(entry, 8)?)))
    }

    /// The hashes that were kept, ascending.
    pub(super) fn hashes(&self) -> impl Iterator<Item = u64> + use<'a> {
        self.entries().map(|(hash, _)| hash)
    }

    /// How many different values there were.
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    pub(super) fn distinct(&self) -> f64 {
        let kept = self.entries.len() as f64;
        if self.theta == u64::MAX { kept } else { kept / (self.theta as f64 / 2f64.powi(64)) }
    }

    #[expect(clippy::cast_precision_loss, reason = "at most 1,024")]
    fn once_share(&self) -> Option<f64> {
        let once = self.entries().filter(|(_, count)| *count == 1).count();
        (self.rows > 0).then(|| once as f64 / self.entries.len() as f64)
    }

    fn new_share(&self, known: &Read) -> Option<f64> {
        let theta = self.theta.min(known.theta);
        let mut others = known.hashes().peekable();
        let (mut looked, mut new) = (0_u32, 0_u32);
        for hash in self.hashes().take_while(|hash| *hash < theta) {
            while others.next_if(|other| *other < hash).is_some() {}
            looked += 1;
            new += u32::from(others.peek() != Some(&hash));
        }
        (looked > 0).then(|| f64::from(new) / f64::from(looked))
    }
}

pub(super) fn sketch() -> AggregateUDF {
    let documentation = Documentation::builder(
        DOC_SECTION_APPROXIMATE,
        "Which values there were, as a sample of at most 1,024 of the different ones, chosen by their hashes, with how often each was seen: for \
         theta_distinct, theta_once_share, theta_new_share and rarity. Exact up to 1,024 different values. 12 bytes a value, at most 12 KiB. \
         Sources: Bar-Yossef and others, Counting Distinct Elements in a Data Stream (2002); Dasgupta and others, A Framework for Estimating Stream \
         Expression Cardinalities (2016).",
        "theta_sketch(x)",
    )
    .with_argument("x", "A text, number, time or boolean; NULL is no value")
    .with_sql_example("SELECT route, theta_distinct(theta_sketch(object)) FROM requests GROUP BY route;")
    .build();
    super::aggregate::<Theta>("theta_sketch", documentation)
}

pub(super) fn distinct() -> ScalarUDF {
    let documentation = Documentation::builder(
        DOC_SECTION_OTHER,
        "How many different values a theta sketch has seen. Exact up to 1,024, then an estimate with a standard error of 3.1 %: 1,024 / theta, where theta is the \
         share of all hashes that are below the largest kept. (approx_distinct(x) is the better number where no sketch is needed.) \
         Source: Beyer and others, On Synopses for Distinct-Value Estimation Under Multiset Operations (2007).",
        "theta_distinct(sketch)",
    )
    .with_argument("sketch", "Of theta_sketch")
    .with_sql_example("SELECT theta_distinct(theta_sketch(client)) FROM requests;")
    .build();
    udf("theta_distinct", documentation, Compute::One(|bytes| Some(Read::of(bytes)?.distinct())))
}

pub(super) fn once_share() -> ScalarUDF {
    let documentation = Documentation::builder(
        DOC_SECTION_OTHER,
        "Of the different values that a theta sketch has seen, the share that it has seen once. Of clients: the share of one-request clients, which proxies by the \
         request raise. Of objects: s times theta_distinct / count(*) is the chance that the next request is for an object not seen before (Good and \
         Turing; Good, The Population Frequencies of Species, 1953), which whoever walks through ids raises. NULL if there is no value. \
         Standard error at most 1.6 % (of 1,024 values).",
        "theta_once_share(sketch)",
    )
    .with_argument("sketch", "Of theta_sketch")
    .with_sql_example("SELECT route, theta_once_share(theta_sketch(client)) FROM requests GROUP BY route;")
    .build();
    udf("theta_once_share", documentation, Compute::One(|bytes| Read::of(bytes)?.once_share()))
}

pub(super) fn new_share() -> ScalarUDF {
    let documentation = Documentation::builder(
        DOC_SECTION_OTHER,
        "Of the different values of one theta sketch, the share that another has not seen: of a route's objects those that nobody asked for on the days before, \
         if a baseline keeps their sketch. 1 - new_share is the overlap of two windows; with n1 and n2 different values and that overlap o of the first with the second, \
         n2 / o is how many there are in all, if both are samples of the same (capture and recapture; Lincoln and Petersen). \
         Compares the values whose hashes both could have kept; NULL if there are none: a handful of values cannot be looked up in a million. \
         Standard error at most 1.6 % if both have about as many values.",
        "theta_new_share(sketch, known)",
    )
    .with_argument("sketch", "Of theta_sketch: of this window")
    .with_argument("known", "Of theta_sketch: of earlier ones")
    .with_sql_example("SELECT theta_new_share(theta_sketch(object), theta_sketch(object) FILTER (WHERE status = 200)) FROM requests; -- 0.07...")
    .build();
    udf("theta_new_share", documentation, Compute::Two(|a, b| Read::of(a)?.new_share(&Read::of(b)?)))
}

#[cfg(test)]
#[allow(clippy::cast_precision_loss, clippy::float_cmp, reason = "few values, counted")]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use arrow::array::Int64Array;
    use proptest::prelude::*;

    use super::super::sketch_of;
    use super::*;

    fn of(values: impl IntoIterator<Item = i64>, cut: usize) -> Vec<u8> {
        sketch_of::<Theta>(&(Arc::new(Int64Array::from_iter_values(values)) as ArrayRef), cut)
    }

    fn near(a: f64, b: f64, by: f64) {
        assert!((a - b).abs() <= by, "{a} {b}");
    }

    #[test]
    fn of_many_values_it_tells_nearly_what_was() {
        // 0 to 99,999, of which the last third twice; and 50,000 to 149,999.
        let (a, b) = (of((0..100_000).chain(66_667..100_000), 70_000), of(50_000..150_000, 1));
        let (a, b) = (Read::of(&a).unwrap(), Read::of(&b).unwrap());
        near(a.distinct(), 100_000.0, 10_000.0);
        near(a.once_share().unwrap(), 2.0 / 3.0, 0.05);
        near(a.new_share(&b).unwrap(), 0.5, 0.07);
        near(b.new_share(&a).unwrap(), 0.5, 0.07);
        assert_eq!(a.rows, 133_333);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_order_and_the_parts_do_not_matter(mut values in proptest::collection::vec(0i64..3000, 0..4000), cut in any::<prop::sample::Index>()) {
            let whole = of(values.iter().copied(), 0);
            prop_assert_eq!(&of(values.iter().copied(), if values.is_empty() { 0 } else { cut.index(values.len()) }), &whole);
            values.reverse();
            prop_assert_eq!(of(values, 0), whole);
        }

        /// Against counting.
        #[test]
        fn of_few_values_it_knows_all(values in proptest::collection::vec(0i64..200, 0..600), others in proptest::collection::vec(0i64..200, 0..600)) {
            let (a, b) = (of(values.iter().copied(), 0), of(others.iter().copied(), 0));
            let (a, b) = (Read::of(&a).unwrap(), Read::of(&b).unwrap());
            let mut counts: HashMap<i64, u32> = HashMap::new();
            for value in &values {
                *counts.entry(*value).or_default() += 1;
            }
            let share = |n: usize| (!values.is_empty()).then(|| n as f64 / counts.len() as f64);
            prop_assert_eq!(a.distinct(), counts.len() as f64);
            prop_assert_eq!(a.once_share(), share(counts.values().filter(|n| **n == 1).count()));
            prop_assert_eq!(a.new_share(&b), share(counts.keys().filter(|value| !others.contains(value)).count()));
        }

        #[test]
        fn bytes_of_something_else_are_none_or_a_sketch(bytes in any::<Vec<u8>>(), with_tag in any::<bool>()) {
            let mut bytes = bytes;
            if with_tag && !bytes.is_empty() {
                bytes[0] = TAG;
            }
            let _ = Theta::default().merge(&bytes);
            let _ = Read::of(&bytes).and_then(|read| read.new_share(&read).or(read.once_share()));
        }
    }
}
