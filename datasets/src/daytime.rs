//! How busy the site is at each hour of the week, relative to its mean.

const DAY_US: i64 = 86_400_000_000;
/// Half the swing between night and day, relative to the day's mean: five times as busy at the peak as in the trough.
const SWING: f64 = 2.0 / 3.0;
const PEAK_HOUR: f64 = 15.0;
/// A weekend day relative to a working day.
const WEEKEND: f64 = 0.7;
const WEEK_MEAN: f64 = (5.0 + 2.0 * WEEKEND) / 7.0;

/// The greatest value of [`factor`].
pub(crate) const MAX_FACTOR: f64 = (1.0 + SWING) / WEEK_MEAN;

/// How busy the site is at a time (µs since 1970, UTC); 1 is the mean over a week.
pub(crate) fn factor(time_us: i64) -> f64 {
    let hour = time_us.rem_euclid(DAY_US) as f64 / 3_600e6;
    let day = 1.0 + SWING * ((hour - PEAK_HOUR) / 24.0 * std::f64::consts::TAU).cos();
    // 1 January 1970 was a Thursday.
    let weekend = (time_us.div_euclid(DAY_US) + 3).rem_euclid(7) >= 5;
    day * if weekend { WEEKEND } else { 1.0 } / WEEK_MEAN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_over_a_week_is_one() {
        let minutes = 7 * 24 * 60;
        let sum: f64 = (0..minutes).map(|minute| factor(minute * 60_000_000)).sum();
        assert!((sum / minutes as f64 - 1.0).abs() < 1e-9);
    }

    #[test]
    fn afternoons_are_five_times_as_busy_as_nights_and_weekends_are_quieter() {
        let monday = 4 * DAY_US; // 5 January 1970
        let (night, afternoon) = (factor(monday + 3 * 3_600_000_000), factor(monday + 15 * 3_600_000_000));
        assert!((afternoon / night - 5.0).abs() < 1e-9);
        assert!((afternoon - MAX_FACTOR).abs() < 1e-9);
        assert!((factor(monday - DAY_US) / factor(monday) - WEEKEND).abs() < 1e-9);
    }
}
