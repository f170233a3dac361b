//! How busy the site is at each hour of the week, relative to its mean.

const DAY_US: i64 = 86_400_000_000;
const PEAK_HOUR: f64 = 15.0;

/// How a site's week looks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Week {
    /// Half the swing between night and day, relative to the day's mean.
    swing: f64,
    /// A weekend day relative to a working day.
    weekend: f64,
    /// From this time on all happens an hour earlier (clocks were put forward), µs since 1970.
    pub(crate) summer_time_us: i64,
    /// This day, counted from 1970, is like a Sunday.
    pub(crate) holiday: i64,
}

impl Default for Week {
    /// Afternoons are five times as busy as nights, weekends have 0.7 of the traffic of other days.
    fn default() -> Self {
        Self::new(5.0, 0.7)
    }
}

impl Week {
    /// A week whose busiest hour has `day_night` times the traffic of the quietest.
    pub(crate) fn new(day_night: f64, weekend: f64) -> Self {
        Self { swing: (day_night - 1.0) / (day_night + 1.0), weekend, summer_time_us: i64::MAX, holiday: i64::MAX }
    }

    fn mean(&self) -> f64 {
        (5.0 + 2.0 * self.weekend) / 7.0
    }

    /// The greatest value of [`Self::factor`].
    pub(crate) fn max_factor(&self) -> f64 {
        (1.0 + self.swing) / self.mean()
    }

    /// How busy the site is at a time (µs since 1970, UTC); 1 is the mean over a week.
    pub(crate) fn factor(&self, time_us: i64) -> f64 {
        let shift = if time_us >= self.summer_time_us { 1.0 } else { 0.0 };
        let hour = time_us.rem_euclid(DAY_US) as f64 / 3_600e6 + shift;
        let busy = 1.0 + self.swing * ((hour - PEAK_HOUR) / 24.0 * std::f64::consts::TAU).cos();
        let day = time_us.div_euclid(DAY_US);
        // 1 January 1970 was a Thursday.
        let quiet = (day + 3).rem_euclid(7) >= 5 || day == self.holiday;
        busy * if quiet { self.weekend } else { 1.0 } / self.mean()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_over_a_week_is_one() {
        let minutes = 7 * 24 * 60;
        let week = Week::default();
        let sum: f64 = (0..minutes).map(|minute| week.factor(minute * 60_000_000)).sum();
        assert!((sum / minutes as f64 - 1.0).abs() < 1e-9);
    }

    #[test]
    fn afternoons_are_five_times_as_busy_as_nights_and_weekends_are_quieter() {
        let week = Week::default();
        let factor = |time_us| week.factor(time_us);
        let monday = 4 * DAY_US; // 5 January 1970
        let (night, afternoon) = (factor(monday + 3 * 3_600_000_000), factor(monday + 15 * 3_600_000_000));
        assert!((afternoon / night - 5.0).abs() < 1e-9);
        assert!((afternoon - week.max_factor()).abs() < 1e-9);
        assert!((factor(monday - DAY_US) / factor(monday) - 0.7).abs() < 1e-9);
    }

    #[test]
    fn summer_time_moves_the_day_and_a_holiday_is_a_sunday() {
        let monday = 4 * DAY_US;
        let week = Week { summer_time_us: monday, holiday: 5, ..Week::default() };
        let noon = monday + 12 * 3_600_000_000;
        assert!((week.factor(noon) - Week::default().factor(noon + 3_600_000_000)).abs() < 1e-9);
        assert!((week.factor(noon + DAY_US) / week.factor(noon) - 0.7).abs() < 1e-9);
    }
}
