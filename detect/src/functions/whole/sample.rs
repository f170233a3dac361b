//! A set of whole numbers in bounded memory, that keeps neighbours together.
//!
//! Numbers are kept in blocks of 1,024. When there are too many blocks, half of them are dropped, by a hash of the block:
//! what is left is a sample of *blocks*, in each of which every number is still there. So what is asked of numbers that lie near
//! each other can be answered from the sample. The set depends only on which numbers were added, not on their order or on how
//! they were split among states that were merged: a block is left if the hash of it ends in as many zeros as the fewest that
//! leave at most [`MOST_BLOCKS`] of all blocks.

use std::collections::BTreeMap;

/// Numbers a block.
pub const BLOCK: i64 = 1024;
/// Blocks that are kept; a state takes up to 2 bytes for each number of these, and 24 a block.
pub const MOST_BLOCKS: usize = 64;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sample {
    /// A block is kept if its hash ends in so many zeros.
    level: u32,
    /// By number / 1,024: the remainders, ascending.
    blocks: BTreeMap<i64, Vec<u16>>,
}

impl Sample {
    /// Adds a number.
    pub fn add(&mut self, number: i64) {
        let (block, rest) = (number.div_euclid(BLOCK), number.rem_euclid(BLOCK));
        if !self.keeps(block) {
            return;
        }
        let rest = u16::try_from(rest).unwrap_or_default(); // below 1,024
        let numbers = self.blocks.entry(block).or_default();
        if let Err(at) = numbers.binary_search(&rest) {
            numbers.insert(at, rest);
        }
        self.shrink();
    }

    /// Adds what another holds.
    pub fn merge(&mut self, other: &Self) {
        self.level = self.level.max(other.level);
        let level = self.level;
        self.blocks.retain(|block, _| zeros(*block) >= level);
        for (block, numbers) in other.blocks.iter().filter(|(block, _)| zeros(**block) >= level) {
            let mine = self.blocks.entry(*block).or_default();
            mine.extend(numbers);
            mine.sort_unstable();
            mine.dedup();
        }
        self.shrink();
    }

    /// The blocks that are kept: their numbers' remainders, ascending.
    pub fn blocks(&self) -> impl Iterator<Item = &[u16]> {
        self.blocks.values().map(Vec::as_slice)
    }

    /// How many blocks one that is kept stands for.
    pub fn factor(&self) -> f64 {
        f64::from(self.level).exp2()
    }

    /// Memory, bytes.
    pub fn size(&self) -> usize {
        self.blocks.values().map(|numbers| numbers.capacity() * 2 + 32).sum::<usize>()
    }

    /// As bytes: the level, then each block with its numbers.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.level.to_le_bytes().to_vec();
        for (block, numbers) in &self.blocks {
            bytes.extend(block.to_le_bytes());
            bytes.extend(u16::try_from(numbers.len()).unwrap_or_default().to_le_bytes()); // at most 1,024
            bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        }
        bytes
    }

    /// From what [`Self::to_bytes`] gave; `None` if it is something else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (level, mut rest) = bytes.split_first_chunk()?;
        let mut sample = Self { level: u32::from_le_bytes(*level), ..Self::default() };
        while !rest.is_empty() {
            let (block, more) = rest.split_first_chunk()?;
            let (length, more) = more.split_first_chunk()?;
            let (numbers, more) = more.split_at_checked(usize::from(u16::from_le_bytes(*length)) * 2)?;
            let numbers: Vec<u16> = numbers.as_chunks().0.iter().map(|number| u16::from_le_bytes(*number)).collect();
            if numbers.last().is_some_and(|last| i64::from(*last) >= BLOCK) || !numbers.is_sorted() {
                return None;
            }
            sample.blocks.insert(i64::from_le_bytes(*block), numbers);
            rest = more;
        }
        Some(sample)
    }

    fn keeps(&self, block: i64) -> bool {
        zeros(block) >= self.level
    }

    fn shrink(&mut self) {
        while self.blocks.len() > MOST_BLOCKS {
            self.level += 1;
            let level = self.level;
            self.blocks.retain(|block, _| zeros(*block) >= level);
        }
    }
}

/// How many zeros the hash of a block ends in. (The finalizer of `SplitMix64`: Steele, Lea and Flood 2014.)
fn zeros(block: i64) -> u32 {
    let mut x = block.cast_unsigned().wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (x ^ (x >> 31)).trailing_zeros()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn of(numbers: impl IntoIterator<Item = i64>) -> Sample {
        let mut sample = Sample::default();
        numbers.into_iter().for_each(|number| sample.add(number));
        sample
    }

    /// Near each other and far apart.
    fn numbers() -> impl Strategy<Value = Vec<i64>> {
        let number = prop_oneof![-3000i64..3000, -200_000i64..200_000, any::<i64>()];
        proptest::collection::vec(number, 0..400)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_order_and_the_parts_do_not_matter(numbers in numbers(), cut in any::<prop::sample::Index>()) {
            let whole = of(numbers.iter().copied());
            prop_assert_eq!(&of(numbers.iter().rev().copied()), &whole);
            let cut = if numbers.is_empty() { 0 } else { cut.index(numbers.len()) };
            let mut merged = of(numbers[..cut].iter().copied());
            merged.merge(&of(numbers[cut..].iter().copied()));
            prop_assert_eq!(&merged, &whole);
            prop_assert_eq!(Sample::from_bytes(&whole.to_bytes()), Some(whole));
        }

        #[test]
        fn all_is_there_or_whole_blocks_are_not(numbers in numbers()) {
            let sample = of(numbers.iter().copied());
            let all: BTreeSet<i64> = numbers.iter().copied().filter(|n| sample.keeps(n.div_euclid(BLOCK))).collect();
            let kept: BTreeSet<i64> = sample
                .blocks
                .iter()
                .flat_map(|(block, numbers)| numbers.iter().map(move |n| block * BLOCK + i64::from(*n)))
                .collect();
            prop_assert_eq!(kept, all);
            prop_assert!(sample.blocks.len() <= MOST_BLOCKS);
        }

        #[test]
        fn bytes_of_something_else_are_none_or_a_sample(bytes in any::<Vec<u8>>()) {
            let _ = Sample::from_bytes(&bytes);
        }
    }
}
