//! Microseconds as RFC 3339 text, in UTC, with as many decimals as needed.

use jiff::Timestamp;

/// An instant as text. What no calendar shows (before year -9999, after 9999) is shown as the nearest that one does.
pub(crate) fn to_text(us: i64) -> String {
    let nearest = if us < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_microsecond(us).unwrap_or(nearest).to_string()
}

/// For `#[serde(with = ...)]` on an `i64`.
pub(crate) mod rfc3339 {
    use jiff::Timestamp;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    // The reference is serde's signature.
    #[allow(clippy::trivially_copy_pass_by_ref)]
    pub(crate) fn serialize<S: Serializer>(us: &i64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::to_text(*us))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse::<Timestamp>().map(Timestamp::as_microsecond).map_err(D::Error::custom)
    }

    /// For an `Option<i64>`.
    pub(crate) mod option {
        use serde::{Deserialize, Deserializer, Serializer};

        // The reference is serde's signature.
        #[allow(clippy::ref_option)]
        pub(crate) fn serialize<S: Serializer>(us: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
            match us {
                Some(us) => super::serialize(us, serializer),
                None => serializer.serialize_none(),
            }
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
            #[derive(Deserialize)]
            struct Text(#[serde(with = "super")] i64);
            Ok(Option::<Text>::deserialize(deserializer)?.map(|Text(us)| us))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::to_text;

    #[test]
    fn decimals_as_needed_and_no_panic_at_the_ends() {
        assert_eq!(to_text(1_700_000_000_000_000), "2023-11-14T22:13:20Z");
        assert_eq!(to_text(1_700_000_000_250_000), "2023-11-14T22:13:20.25Z");
        assert_eq!(to_text(-1), "1969-12-31T23:59:59.999999Z");
        assert!(to_text(i64::MAX).starts_with("9999-12-30"));
        assert!(to_text(i64::MIN).starts_with("-009999-01-02"));
    }
}
