//! Medians, and how sure a count is.

/// The quantile of a sorted list (nearest rank); None of an empty one.
pub fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let rank = (sorted.len() as f64 * share).ceil().max(1.0) as usize;
    sorted.get(rank - 1).or(sorted.last()).copied()
}

/// So many are few enough for the exact interval.
const EXACT: u64 = 400;
/// The 97.5 % quantile of the normal law.
const Z: f64 = 1.959_964;

/// The exact 95 % interval of a Poisson mean of which `n` was seen (Garwood 1936); above [`EXACT`] by the cube root of Wilson and
/// Hilferty (1931), which is as good there.
pub fn poisson_interval(n: u64) -> (f64, f64) {
    if n > EXACT {
        let cube = |n: f64, z: f64| n * (1.0 - 1.0 / (9.0 * n) + z / (3.0 * n.sqrt())).powi(3);
        return (cube(n as f64, -Z), cube((n + 1) as f64, Z));
    }
    let low = if n == 0 { 0.0 } else { solve(|mean| 1.0 - below(n, mean), 0.025) };
    // Of none, the 95 % bound is one-sided: 3.
    let high = solve(|mean| 1.0 - below(n + 1, mean), if n == 0 { 0.95 } else { 0.975 });
    (low, high)
}

/// P(X < n) of a Poisson law.
fn below(n: u64, mean: f64) -> f64 {
    let mut term = (-mean).exp();
    let mut sum = 0.0;
    for k in 0..n {
        sum += term;
        term *= mean / (k + 1) as f64;
    }
    sum
}

/// Where a rising function reaches `goal`.
fn solve(rising: impl Fn(f64) -> f64, goal: f64) -> f64 {
    let (mut low, mut high) = (0.0, 600.0);
    for _ in 0..80 {
        let middle = f64::midpoint(low, high);
        if rising(middle) < goal { low = middle } else { high = middle }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_that_of_the_tables() {
        for (n, low, high) in [
            (0, 0.0, 2.996),
            (1, 0.025_3, 5.572),
            (10, 4.795, 18.39),
            (400, 361.757, 441.174),
            (9_317, 9_128.76, 9_508.15),
        ] {
            let found = poisson_interval(n);
            assert!((found.0 - low).abs() < 0.02 && (found.1 - high).abs() < 0.02, "{n}: {found:?}");
        }
    }

    #[test]
    fn quantiles_are_of_the_list() {
        assert_eq!(quantile(&[1.0, 2.0, 9.0], 0.5), Some(2.0));
        assert_eq!(quantile(&[1.0, 2.0, 9.0], 0.9), Some(9.0));
        assert_eq!(quantile(&[], 0.9), None);
    }
}
