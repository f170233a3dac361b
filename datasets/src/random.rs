//! Randomness that is a function: a hash that gives each client and each object its fixed traits, and a shuffle of
//! an id range that needs no memory. What must differ from run to run comes from the seeded generators instead.

/// Mixes the bits of `x` (the finaliser of `SplitMix64`; Steele, Lea, Flood 2014). A bijection.
pub(crate) fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Mixes two numbers into one.
pub(crate) fn mix2(x: u64, y: u64) -> u64 {
    mix(mix(x) ^ y)
}

/// A hash as a number in 0..1.
pub(crate) fn unit(hash: u64) -> f64 {
    (hash >> 11) as f64 / (1u64 << 53) as f64
}

/// A pseudo-random order of 0..n in constant memory: a Feistel network over the next power of four, applied again
/// while it lands outside (cycle walking; Black, Rogaway 2002).
#[derive(Debug, Clone)]
pub(crate) struct Permutation {
    n: u64,
    half_bits: u32,
    key: u64,
}

impl Permutation {
    /// A permutation of 0..n, n in 1..=2^62.
    pub(crate) fn new(n: u64, key: u64) -> Self {
        let bits = 64 - n.saturating_sub(1).leading_zeros();
        Self { n, half_bits: bits.div_ceil(2).max(1), key }
    }

    /// Where `index` (below n) goes.
    pub(crate) fn at(&self, index: u64) -> u64 {
        let mut x = self.round_trip(index);
        while x >= self.n {
            x = self.round_trip(x);
        }
        x
    }

    fn round_trip(&self, x: u64) -> u64 {
        let mask = (1 << self.half_bits) - 1;
        let (mut left, mut right) = (x >> self.half_bits, x & mask);
        for round in 0..4 {
            (left, right) = (right, left ^ (mix2(self.key.wrapping_add(round), right) & mask));
        }
        (left << self.half_bits) | right
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_permutation_visits_everything_once(n in 1u64..3_000, key: u64) {
            let permutation = Permutation::new(n, key);
            let mut seen: Vec<u64> = (0..n).map(|i| permutation.at(i)).collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..n).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_permutation_is_not_the_identity() {
        let permutation = Permutation::new(10_000, 1);
        let consecutive = (1..10_000).filter(|&i| permutation.at(i) == permutation.at(i - 1) + 1).count();
        assert!(consecutive < 20, "{consecutive} steps of one in a shuffle of 10,000");
    }
}
