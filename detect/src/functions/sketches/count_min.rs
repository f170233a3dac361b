//! `count_min(x)`, and what can be asked of it.
//!
//! [`ROWS`] rows of [`WIDTH`] counters (Cormode and Muthukrishnan 2005). While few counters are in use only those are kept: most groups are small. Bytes:
//! `c` or `C`, values, then (counter, count) ascending or all counts.

use std::collections::BTreeMap;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::logical_expr::aggregate_doc_sections::DOC_SECTION_APPROXIMATE;
use datafusion::logical_expr::scalar_doc_sections::DOC_SECTION_OTHER;
use datafusion::logical_expr::{AggregateUDF, Documentation, ScalarUDF};

use super::scalar::{Compute, udf};
use super::{Sketch, has_text, hashes, theta, u32_at, u64_at};

const ROWS: u32 = 4;
/// A power of two: 12 bits of the hash.
const WIDTH: u32 = 4096;
const ALL: usize = (ROWS * WIDTH) as usize;
/// With more counters in use than this, all are kept: that takes no more room.
const FEW: usize = ALL / 2;
const TAG_FEW: u8 = b'c';
const TAG_ALL: u8 = b'C';
const HEAD: usize = 9;

#[derive(Debug)]
enum Counters {
    Few(BTreeMap<u32, u32>),
    All(Vec<u32>),
}

#[derive(Debug)]
struct CountMin {
    values: u64,
    counters: Counters,
}

impl Default for CountMin {
    fn default() -> Self {
        Self { values: 0, counters: Counters::Few(BTreeMap::new()) }
    }
}

/// The counters of a value, one in each row.
fn places(hash: u64) -> impl Iterator<Item = u32> {
    (0..ROWS).map(move |row| {
        let column = u32::try_from((hash >> (12 * row)) % u64::from(WIDTH)).unwrap_or_default(); // below 4,096
        row * WIDTH + column
    })
}

impl CountMin {
    fn count(&mut self, place: u32, times: u32) {
        let count = match &mut self.counters {
            Counters::Few(few) => few.entry(place).or_default(),
            Counters::All(all) => match all.get_mut(place as usize) {
                Some(count) => count,
                None => return,
            },
        };
        *count = count.saturating_add(times);
        if let Counters::Few(few) = &self.counters
            && few.len() > FEW
        {
            let mut all = vec![0; ALL];
            for (place, count) in few {
                all[*place as usize % ALL] = *count;
            }
            self.counters = Counters::All(all);
        }
    }
}

impl Sketch for CountMin {
    fn takes(kind: &DataType) -> bool {
        has_text(kind)
    }

    fn add(&mut self, values: &ArrayRef) -> Result<()> {
        for hash in hashes(values)?.into_iter().flatten() {
            self.values = self.values.saturating_add(1);
            places(hash).for_each(|place| self.count(place, 1));
        }
        Ok(())
    }

    fn merge(&mut self, bytes: &[u8]) -> Option<()> {
        let other = Read::of(bytes)?;
        self.values = self.values.saturating_add(other.values);
        match other.counters {
            Lying::Few(few) => {
                for entry in few {
                    self.count(u32_at(entry, 0)? % (ROWS * WIDTH), u32_at(entry, 4)?);
                }
            }
            Lying::All(all) => {
                for (place, count) in (0..).zip(all).filter(|(_, count)| **count != [0; 4]) {
                    self.count(place, u32::from_le_bytes(*count));
                }
            }
        }
        Some(())
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.push(if matches!(self.counters, Counters::Few(_)) { TAG_FEW } else { TAG_ALL });
        bytes.extend(self.values.to_le_bytes());
        match &self.counters {
            Counters::Few(few) => few.iter().for_each(|(place, count)| {
                bytes.extend(place.to_le_bytes());
                bytes.extend(count.to_le_bytes());
            }),
            Counters::All(all) => all.iter().for_each(|count| bytes.extend(count.to_le_bytes())),
        }
        bytes
    }

    fn size(&self) -> usize {
        match &self.counters {
            Counters::Few(few) => few.len() * 2 * 8,
            Counters::All(all) => all.len() * 4,
        }
    }
}

enum Lying<'a> {
    Few(&'a [[u8; 8]]),
    All(&'a [[u8; 4]]),
}

/// A sketch, read where its bytes lie.
struct Read<'a> {
    values: u64,
    counters: Lying<'a>,
}

impl<'a> Read<'a> {
    /// `None`: it is something else.
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let rest = bytes.get(HEAD..)?;
        let counters = match bytes[0] {
            TAG_FEW => Some(rest.as_chunks()).filter(|(_, rest)| rest.is_empty()).map(|(few, _)| Lying::Few(few)),
            TAG_ALL => Some(rest.as_chunks().0).filter(|all| rest.len() == 4 * ALL && all.len() == ALL).map(Lying::All),
            _ => None,
        };
        Some(Self { values: u64_at(bytes, 1)?, counters: counters? })
    }

    fn estimate(&self, hash: u64) -> u32 {
        let counter = |place: u32| match self.counters {
            Lying::Few(few) => {
                let at = few.binary_search_by_key(&place, |entry| u32_at(entry, 0).unwrap_or_default());
                at.ok().and_then(|at| u32_at(&few[at], 4)).unwrap_or_default()
            }
            Lying::All(all) => all.get(place as usize).map_or(0, |count| u32::from_le_bytes(*count)),
        };
        places(hash).map(counter).min().unwrap_or_default()
    }
}

/// What the values of a theta sketch weigh: see `rarity`.
#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn weigh(values: &theta::Read, counts: &Read) -> f64 {
    let all = counts.values as f64 + 2.0;
    let bits = |hash| -((f64::from(counts.estimate(hash)) + 1.0) / all).log2();
    let (kept, sum) = values.hashes().fold((0.0, 0.0), |(kept, sum), hash| (kept + 1.0, sum + bits(hash)));
    if kept > 0.0 { sum / kept * values.distinct() } else { 0.0 }
}

pub(super) fn sketch() -> AggregateUDF {
    let documentation = Documentation::builder(
        DOC_SECTION_APPROXIMATE,
        "How often each value came, in 4 rows of 4,096 counters, for count_min_estimate and rarity: what a baseline keeps of a route's objects. At most 64 KiB a group, \
         16 bytes a counter in use while there are few. \
         Source: Cormode and Muthukrishnan, An Improved Data Stream Summary: the Count-Min Sketch (2005).",
        "count_min(x)",
    )
    .with_argument("x", "A text, number, time or boolean; NULL is no value")
    .with_sql_example("SELECT count_min_estimate(count_min(object), '42') FROM requests;")
    .build();
    super::aggregate::<CountMin>("count_min", documentation)
}

pub(super) fn estimate() -> ScalarUDF {
    let documentation = Documentation::builder(
        DOC_SECTION_OTHER,
        "How often a value came, by a count-min sketch: never too few, and with a probability of 98 % at most 0.07 % of all values too many (e / 4,096; 1 - e^-4). \
         Source: Cormode and Muthukrishnan (2005).",
        "count_min_estimate(counts, x)",
    )
    .with_argument("counts", "Of count_min")
    .with_argument("x", "The value; 42 and '42' are the same")
    .with_sql_example("SELECT count_min_estimate(count_min(object), '42') FROM requests;")
    .build();
    let compute = |bytes: &[u8], hash| Some(f64::from(Read::of(bytes)?.estimate(hash)));
    udf("count_min_estimate", documentation, Compute::Value(compute))
}

pub(super) fn rarity() -> ScalarUDF {
    let documentation = Documentation::builder(
        DOC_SECTION_OTHER,
        "How many different values there were, each weighed by how rare it is among others, in bits: the sum over different values of -log2 p, where p = (c + 1) / (n + 2) \
         for a value that came c times among n. A hundred objects that everybody reads weigh a few hundred bits, a hundred that nobody asked for before \
         log2(n + 2) each. With more than about 4,000 different values among the others, those that never came weigh less, since counters are shared. \
         Of more than 1,024 values a sample is weighed. Sources: Shannon (1948); the idea: Ro, Han and Im, Detection Method for Distributed \
         Web-Crawlers: A Long-Tail Threshold Model (2018).",
        "rarity(values, counts)",
    )
    .with_argument("values", "Of theta_sketch: of a client in this window")
    .with_argument("counts", "Of count_min: of everybody in earlier ones")
    .with_sql_example("SELECT rarity(theta_sketch(object), count_min(object)) FROM requests;")
    .build();
    let compute = |values: &[u8], counts: &[u8]| Some(weigh(&theta::Read::of(values)?, &Read::of(counts)?));
    udf("rarity", documentation, Compute::Two(compute))
}

#[cfg(test)]
#[allow(clippy::cast_precision_loss, reason = "few values")]
mod tests {
    use std::sync::Arc;

    use arrow::array::Int64Array;
    use proptest::prelude::*;

    use super::super::hash::hash;
    use super::super::sketch_of;
    use super::*;

    fn of(values: impl IntoIterator<Item = i64>, cut: usize) -> Vec<u8> {
        sketch_of::<CountMin>(&(Arc::new(Int64Array::from_iter_values(values)) as ArrayRef), cut)
    }

    fn estimate(sketch: &[u8], value: i64) -> u32 {
        Read::of(sketch).unwrap().estimate(hash(value.to_string().as_bytes()))
    }

    /// 20,000 values once, and one 500 times: as the source promises.
    #[test]
    fn it_errs_upwards_and_by_little() {
        let sketch = of((0..20_000).chain(std::iter::repeat_n(7, 499)), 9_000);
        assert_eq!(sketch.len(), HEAD + 4 * ALL);
        let bound = 13; // 20,499 e / 4,096
        assert!((500..=500 + bound).contains(&estimate(&sketch, 7)));
        let beyond = (0..20_000).filter(|&value| estimate(&sketch, value) > 1 + bound + 499 * u32::from(value == 7));
        assert!(beyond.count() <= 400);
        assert!((0..20_000).all(|value| estimate(&sketch, value) >= 1));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_order_and_the_parts_do_not_matter(mut values in proptest::collection::vec(0i64..6000, 0..4000), cut in any::<prop::sample::Index>()) {
            let whole = of(values.iter().copied(), 0);
            prop_assert_eq!(&of(values.iter().copied(), if values.is_empty() { 0 } else { cut.index(values.len()) }), &whole);
            values.reverse();
            prop_assert_eq!(of(values, 0), whole);
        }

        /// Against counting, where no two of few values share all counters.
        #[test]
        fn of_few_values_it_knows_all(values in proptest::collection::vec(0i64..60, 0..300), client in proptest::collection::vec(0i64..60, 0..60)) {
            let sketch = of(values.iter().copied(), 0);
            let count = |value: i64| u32::try_from(values.iter().filter(|v| **v == value).count()).unwrap();
            for value in 0..60 {
                prop_assert_eq!(estimate(&sketch, value), count(value));
            }
            let objects = sketch_of::<theta::Theta>(&(Arc::new(Int64Array::from_iter_values(client.iter().copied())) as ArrayRef), 0);
            let found = weigh(&theta::Read::of(&objects).unwrap(), &Read::of(&sketch).unwrap());
            let mut client = client;
            client.sort_unstable();
            client.dedup();
            let bits: f64 = client.iter().map(|v| -((f64::from(count(*v)) + 1.0) / (values.len() as f64 + 2.0)).log2()).sum();
            prop_assert!((found - bits).abs() < 1e-6, "{} {}", found, bits);
        }

        #[test]
        fn bytes_of_something_else_are_none_or_a_sketch(bytes in any::<Vec<u8>>(), tag in 0u8..3, word in any::<u64>()) {
            let mut bytes = bytes;
            if let Some(first) = bytes.first_mut() {
                *first = [*first, TAG_FEW, TAG_ALL][usize::from(tag)];
            }
            let _ = CountMin::default().merge(&bytes);
            let _ = Read::of(&bytes).map(|read| read.estimate(word));
        }
    }
}
