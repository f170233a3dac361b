//! How surprising a count is: the probability of at least as many, if chance alone is at work. One file a distribution.
//!
//! Special functions are those of the crate `statrs`.

mod beta_binomial;
mod binomial;
mod gamma_poisson;
mod negative_binomial;
mod poisson;

use datafusion::logical_expr::ScalarUDF;
use statrs::function::beta::checked_beta_reg;

/// The functions, for a session to register.
pub(super) fn all() -> [ScalarUDF; 5] {
    [poisson::udf(), negative_binomial::udf(), gamma_poisson::udf(), binomial::udf(), beta_binomial::udf()]
}

/// The regularised incomplete beta function `I_x(a, b)`.
fn beta_reg(a: f64, b: f64, x: f64) -> Option<f64> {
    checked_beta_reg(a, b, x).ok().filter(|p| p.is_finite()).map(|p| p.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use statrs::function::gamma::ln_gamma;

    use super::*;

    /// The tail by adding up: 1 less all that is below, or what is from there on where that is little.
    fn sum(k: u32, most: u32, log_mass: impl Fn(f64) -> f64) -> f64 {
        (k..=most).map(|i| log_mass(f64::from(i)).exp()).sum()
    }

    fn close(a: Option<f64>, b: f64) -> bool {
        a.is_some_and(|a| (a - b).abs() <= 1e-9 + 1e-7 * b)
    }

    fn ln_choose(n: f64, k: f64) -> f64 {
        ln_gamma(n + 1.0) - ln_gamma(k + 1.0) - ln_gamma(n - k + 1.0)
    }

    fn ln_beta(a: f64, b: f64) -> f64 {
        ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b)
    }

    /// Against scipy 1.17: large counts, where the fraction that statrs works with may not have converged.
    #[test]
    fn large_counts() {
        let near = |a: Option<f64>, b: f64| assert!(a.is_some_and(|a| (a - b).abs() < 1e-6), "{a:?} {b}");
        near(binomial::tail([501_000.0, 1e6, 0.5]), 0.022_804_149_9);
        near(negative_binomial::tail([100_000.0, 90_000.0, 50.0]), 0.210_459_294_3);
        near(negative_binomial::tail([2_000_001.0, 1.9e6, 1000.0]), 0.049_871_281_6);
        near(poisson::tail([1_003_000.0, 1e6]), 0.001_358_035_3);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn tails_are_sums_of_masses(k in 0_u32..60, mean in 0.01_f64..40.0, size in 0.1_f64..20.0, rate in 0.1_f64..5.0) {
            let x = f64::from(k);
            let poisson = sum(k, 400, |i| i * mean.ln() - mean - ln_gamma(i + 1.0));
            prop_assert!(close(poisson::tail([x, mean]), poisson), "poisson {:?} {}", poisson::tail([x, mean]), poisson);
            // The mass decays by mean / (mean + size) a step: 20,000 steps are enough here.
            let negative = |mean: f64, size: f64| sum(k, 20_000, |i| {
                ln_gamma(i + size) - ln_gamma(size) - ln_gamma(i + 1.0)
                    + size * (size / (size + mean)).ln() + i * (mean / (size + mean)).ln()
            });
            prop_assert!(close(negative_binomial::tail([x, mean, size]), negative(mean, size)));
            let exposure = mean;
            prop_assert!(close(gamma_poisson::tail([x, size, rate, exposure]), negative(size / rate * exposure, size)));
        }

        #[test]
        fn tails_of_shares_are_sums_of_masses(k in 0_u32..60, n in 0_u32..60, p in 0.0_f64..=1.0, a in 0.05_f64..30.0, b in 0.05_f64..30.0) {
            let (x, whole) = (f64::from(k), f64::from(n));
            let power = |base: f64, times: f64| if times == 0.0 { 0.0 } else { times * base.ln() };
            let binomial = sum(k, n, |i| {
                ln_choose(whole, i) + power(p, i) + power(1.0 - p, whole - i)
            });
            prop_assert!(close(binomial::tail([x, whole, p]), binomial));
            let beta = sum(k, n, |i| {
                ln_choose(whole, i) + ln_beta(i + a, whole - i + b) - ln_beta(a, b)
            });
            prop_assert!(close(beta_binomial::tail([x, whole, a, b]), beta), "{:?} {}", beta_binomial::tail([x, whole, a, b]), beta);
        }

        /// Whatever stands in a log: an answer between 0 and 1, or NULL; and more is never less surprising.
        #[test]
        fn tails_are_probabilities(x in any::<[f64; 4]>(), large in any::<[u32; 4]>()) {
            for [a, b, c, d] in [x, large.map(f64::from)] {
                let tails = |k: f64| [
                    poisson::tail([k, b]),
                    negative_binomial::tail([k, b, c]),
                    gamma_poisson::tail([k, b, c, d]),
                    binomial::tail([k, b, c]),
                    beta_binomial::tail([k, b, c, d]),
                ];
                for (some, more) in tails(a).into_iter().zip(tails(a + a.abs() / 2.0 + 1.0)) {
                    prop_assert!(some.is_none_or(|p| (0.0..=1.0).contains(&p)), "{:?}", some);
                    if let (Some(some), Some(more)) = (some, more) {
                        prop_assert!(more <= some + 1e-9, "{} {}", some, more);
                    }
                }
            }
        }
    }
}
