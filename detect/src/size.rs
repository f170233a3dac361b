//! Sizes as people write them: `50GB`, `500 MiB`, `4096`.

use serde::Deserialize;

/// Bytes in `text`. `kB`, `MB`, `GB`, `TB` are powers of 1000, `KiB` to `TiB` of 1024; without a unit it is bytes.
pub fn parse(text: &str) -> Result<u64, String> {
    let wrong =
        || format!("{text:?} is not a size: write a number and a unit, as in \"50GB\", \"500 MiB\" or \"1.5TB\"");
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let unit: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return Err(wrong()),
    };
    let number: f64 = number.parse().map_err(|_| wrong())?;
    #[expect(clippy::cast_precision_loss, reason = "a unit is a small number of digits or a power of two")]
    let bytes = (number * unit as f64).round();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be in range just before")]
    if (1.0..1.0e18).contains(&bytes) { Ok(bytes as u64) } else { Err(wrong()) }
}

/// [`parse`] for a key of a config; a bare number is bytes.
pub fn deserialize<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Number(u64),
        Text(String),
    }
    let text = match Written::deserialize(deserializer)? {
        Written::Number(bytes) => bytes.to_string(),
        Written::Text(text) => text,
    };
    parse(&text).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn reads_what_people_write() {
        assert_eq!(parse("50GB"), Ok(50_000_000_000));
        assert_eq!(parse("500 MiB"), Ok(500 << 20));
        assert_eq!(parse("1.5kB"), Ok(1500));
        assert_eq!(parse("4096"), Ok(4096));
        for bad in ["", "GB", "0", "-1GB", "5 parsecs", "1.2.3MB", "9e99"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
