//! Durations as people write them: `90s`, `10m`, `1h 30m`, `14d`.

use jiff::{Span, SpanRelativeTo, Unit};

/// Microseconds in `text`; a day is 24 hours. Errors say what is accepted.
pub fn parse_us(text: &str) -> Result<i64, String> {
    let wrong = || {
        format!("{text:?} is not a duration: write a number and a unit, as in \"90s\", \"10m\", \"1h 30m\" or \"14d\"")
    };
    let span: Span = text.parse().map_err(|_| wrong())?;
    let us = span.total((Unit::Microsecond, SpanRelativeTo::days_are_24_hours())).map_err(|_| wrong())?;
    // 292,000 years fit into i64 microseconds; what a person means is far below f64's exact range.
    #[expect(clippy::cast_possible_truncation, reason = "checked to be in range just before")]
    if (0.0..9.0e15).contains(&us) { Ok(us.round() as i64) } else { Err(wrong()) }
}

/// [`parse_us`] for a key of a config.
pub fn deserialize_us<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let text = <String as serde::Deserialize>::deserialize(deserializer)?;
    parse_us(&text).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::parse_us;

    #[test]
    fn reads_what_people_write() {
        assert_eq!(parse_us("90s"), Ok(90_000_000));
        assert_eq!(parse_us("1h 30m"), Ok(5_400_000_000));
        assert_eq!(parse_us("14d"), Ok(14 * 86_400_000_000));
        for bad in ["", "10", "-5m", "soon", "1 month"] {
            assert!(parse_us(bad).is_err(), "{bad}");
        }
    }
}
