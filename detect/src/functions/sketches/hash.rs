//! The hash of sketches. They are kept for days, so it must be the same in every version.

const M: u64 = 0xc6a4_a793_5bd1_e995;
const SEED: u64 = 0x5472_6970_6c69_6e65;

/// `MurmurHash64A` (Appleby 2008).
pub(super) fn hash(bytes: &[u8]) -> u64 {
    let mut h = SEED ^ (bytes.len() as u64).wrapping_mul(M);
    let (words, rest) = bytes.as_chunks();
    for word in words {
        let mut k = u64::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 47;
        h = (h ^ k.wrapping_mul(M)).wrapping_mul(M);
    }
    if !rest.is_empty() {
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        h = (h ^ u64::from_le_bytes(last)).wrapping_mul(M);
    }
    h ^= h >> 47;
    h = h.wrapping_mul(M);
    h ^ (h >> 47)
}

#[cfg(test)]
mod tests {
    use super::hash;

    #[test]
    fn it_never_changes() {
        // Worked out with a few lines of Python.
        assert_eq!(hash(b""), 0x85bf_f019_498d_f96a);
        assert_eq!(hash(b"42"), 0xabb1_1aae_2162_ab4d);
        assert_eq!(hash(b"/v1/users/1234567"), 0x59e3_8e69_d0f7_6db8);
    }
}
