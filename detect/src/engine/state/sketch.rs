//! What the state of an `approx_distinct` says: up to [`SPARSE_LIMIT`] hashes of 8 bytes, or the registers of a `HyperLogLog` sketch.

use std::sync::LazyLock;

/// More distinct hashes than these become a sketch. DataFusion refuses longer lists.
pub const SPARSE_LIMIT: usize = 256;
/// Registers of a sketch are addressed by so many bits of a hash.
const PRECISION: u32 = 14;
/// Registers of a sketch, a byte each.
pub const REGISTERS: usize = 1 << PRECISION;
/// A register remembers no longer run of zeros.
const LONGEST: usize = u64::BITS as usize - PRECISION as usize + 1;

/// The values that one key has in several states.
#[derive(Debug, Default)]
pub struct Seen {
    /// Their hashes; one may come more than once.
    pub hashes: Vec<u64>,
    /// There were too many to list them.
    pub is_sketch: bool,
    /// So many rows more, not yet in any state.
    pub more: u64,
}

impl Seen {
    /// Adds a state.
    pub fn add_state(&mut self, state: &[u8]) {
        self.is_sketch |= state.len() == REGISTERS;
        if state.len() != REGISTERS {
            self.hashes.extend(state.as_chunks::<8>().0.iter().map(|hash| u64::from_le_bytes(*hash)));
        }
    }

    /// There are no more distinct values than this.
    pub fn at_most(mut self) -> u64 {
        if self.is_sketch { u64::MAX } else { distinct(&mut self.hashes) as u64 + self.more }
    }
}

/// No more distinct values than this are in a state.
pub fn at_most(state: &[u8]) -> u64 {
    if state.len() == REGISTERS { u64::MAX / 4096 } else { state.len() as u64 / 8 }
}

/// Sorts, and moves each value once to the front: how many they are.
pub fn distinct(hashes: &mut [u64]) -> usize {
    if hashes.len() < 2 {
        return hashes.len();
    }
    hashes.sort_unstable();
    let mut kept = 1;
    for i in 1..hashes.len() {
        if hashes[i] != hashes[kept - 1] {
            hashes[kept] = hashes[i];
            kept += 1;
        }
    }
    kept
}

/// A sketch's register is chosen by a hash's low bits and remembers the longest run of zeros in the others.
fn register(hash: u64) -> (u16, u8) {
    #[expect(clippy::cast_possible_truncation, reason = "14 bits, and at most 51")]
    let parts = (
        (hash & (REGISTERS as u64 - 1)) as u16,
        (((hash >> PRECISION) | (1 << (64 - PRECISION))).trailing_zeros() + 1) as u8,
    );
    parts
}

/// Adds a hash to registers.
pub fn observe(registers: &mut [u8], hash: u64) {
    let (index, zeros) = register(hash);
    let register = &mut registers[usize::from(index)];
    *register = zeros.max(*register);
}

/// The estimate from the hashes or the registers of a state, as DataFusion makes it: Otmar Ertl, "New cardinality estimation
/// algorithms for `HyperLogLog` sketches", arXiv:1702.01284.
#[derive(Debug, Default)]
pub struct Estimator {
    touched: Vec<(u16, u8)>,
}

/// [`sigma`] of the share of untouched registers, by the number of those that are touched: for lists.
static SIGMAS: LazyLock<Vec<f64>> = LazyLock::new(|| {
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let untouched = |n: usize| (REGISTERS - n) as f64 / REGISTERS as f64;
    (0..=SPARSE_LIMIT).map(|n| sigma(untouched(n))).collect()
});

impl Estimator {
    /// The number of distinct values in a state, about.
    pub fn estimate(&mut self, state: &[u8]) -> u64 {
        let mut histogram = [0u32; LONGEST + 1];
        if state.len() == REGISTERS {
            for &zeros in state {
                histogram[usize::from(zeros).min(LONGEST)] += 1;
            }
            return from_histogram(&histogram, sigma(f64::from(histogram[0]) / REGISTERS_F));
        }
        if state.is_empty() {
            return 0;
        }
        let hashes = state.as_chunks::<8>().0.iter().map(|hash| u64::from_le_bytes(*hash));
        self.touched.clear();
        self.touched.extend(hashes.map(register));
        self.touched.sort_unstable();
        let mut registers = 0;
        for (i, &(index, zeros)) in self.touched.iter().enumerate() {
            // The last of a register has its longest run.
            if self.touched.get(i + 1).is_none_or(|(next, _)| *next != index) {
                histogram[usize::from(zeros)] += 1;
                registers += 1;
            }
        }
        let sigma = SIGMAS.get(registers).copied().unwrap_or(f64::INFINITY);
        from_histogram(&histogram, sigma)
    }
}

const REGISTERS_F: f64 = 16_384.0;

fn from_histogram(histogram: &[u32; LONGEST + 1], sigma: f64) -> u64 {
    let mut z = REGISTERS_F * tau((REGISTERS_F - f64::from(histogram[LONGEST])) / REGISTERS_F);
    // (halving nothing is nothing: of few values no register has a long run)
    let last = if z > 0.0 { LONGEST - 1 } else { histogram[..LONGEST].iter().rposition(|&n| n > 0).unwrap_or(0) };
    for &registers in histogram[1..=last].iter().rev() {
        z += f64::from(registers);
        z *= 0.5;
    }
    z += REGISTERS_F * sigma;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    let estimate = (0.5 / 2_f64.ln() * REGISTERS_F * REGISTERS_F / z).round() as u64;
    estimate
}

#[expect(clippy::float_cmp, reason = "until nothing changes any more")]
fn sigma(share: f64) -> f64 {
    if share == 1.0 {
        return f64::INFINITY;
    }
    let (mut x, mut y, mut z) = (share, 1.0, share);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if before == z {
            return z;
        }
    }
}

#[expect(clippy::float_cmp, reason = "until nothing changes any more")]
fn tau(share: f64) -> f64 {
    if share == 0.0 || share == 1.0 {
        return 0.0;
    }
    let (mut x, mut y, mut z) = (share, 1.0, 1.0 - share);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x).powi(2) * y;
        if before == z {
            return z / 3.0;
        }
    }
}
