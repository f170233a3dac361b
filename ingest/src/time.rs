//! Timestamps of logs, by hand: a general parser would take longer than the rest of the line.

/// Microseconds in a second.
pub(crate) const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400;

/// Remembers the last timestamp and its day: lines come in order, and the calendar is the costly part.
#[derive(Debug, Default, Clone, Copy)]
pub struct TimeCache {
    /// `10/Oct/2000:13:55:36 -0700`
    text: [u8; 26],
    micros: i64,
    /// Seconds from 1970 to the beginning of the day that `text` names.
    day: i64,
    /// The last `2000-10-10`, and seconds from 1970 to its beginning.
    date: ([u8; 10], i64),
}

/// Parses `10/Oct/2000:13:55:36 -0700` (the common log format's `%d/%b/%Y:%H:%M:%S %z`) to µs UTC.
#[inline]
pub(crate) fn clf(text: &[u8; 26], cache: &mut TimeCache) -> Option<i64> {
    if *text == cache.text {
        return Some(cache.micros);
    }
    let [d0, d1, s1, m0, m1, m2, s2, y0, y1, y2, y3, c1, h0, h1, c2, i0, i1, c3, t0, t1, space, sign, z0, z1, z2, z3] =
        *text;
    if [s1, s2, c1, c2, c3, space] != *b"//::: " {
        return None;
    }
    let day = if text[..11] == cache.text[..11] {
        cache.day
    } else {
        days_from_civil(four(y0, y1, y2, y3)?, month([m0, m1, m2])?, two(d0, d1)?)? * DAY
    };
    let seconds = clock(two(h0, h1)?, two(i0, i1)?, two(t0, t1)?)?;
    let zone = zone(sign, two(z0, z1)?, two(z2, z3)?)?;
    let micros = (day + seconds - zone) * SECOND;
    *cache = TimeCache { text: *text, micros, day, ..*cache };
    Some(micros)
}

/// Parses RFC 3339 and its relatives, `2000-10-10T20:55:36.123Z`, `2000-10-10 20:55:36,5+02:00`, to µs UTC. Digits
/// after the sixth of a fraction are dropped; a time without a zone is UTC.
pub(crate) fn iso(text: &[u8]) -> Option<i64> {
    cached_iso(text, &mut TimeCache::default())
}

fn cached_iso(text: &[u8], cache: &mut TimeCache) -> Option<i64> {
    let (fixed, rest) = text.split_first_chunk::<19>()?;
    let [y0, y1, y2, y3, s1, m0, m1, s2, d0, d1, t, h0, h1, c1, i0, i1, c2, t0, t1] = *fixed;
    if [s1, s2, c1, c2] != *b"--::" || !matches!(t, b'T' | b't' | b' ') {
        return None;
    }
    let date = [y0, y1, y2, y3, s1, m0, m1, s2, d0, d1];
    if date != cache.date.0 {
        cache.date = (date, days_from_civil(four(y0, y1, y2, y3)?, two(m0, m1)?, two(d0, d1)?)? * DAY);
    }
    let seconds = clock(two(h0, h1)?, two(i0, i1)?, two(t0, t1)?)?;
    let (micros, zone) = fraction_and_zone(rest)?;
    let start = cache.date.1;
    Some((start + seconds - zone) * SECOND + micros)
}

/// `.123Z`, `,5+02:00`: µs, and seconds east of Greenwich.
fn fraction_and_zone(mut rest: &[u8]) -> Option<(i64, i64)> {
    let mut micros = 0;
    if let [b'.' | b',', fraction @ ..] = rest {
        let digits = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
        if digits == 0 {
            return None;
        }
        let mut unit = SECOND / 10;
        for digit in &fraction[..digits.min(6)] {
            micros += i64::from(digit - b'0') * unit;
            unit /= 10;
        }
        rest = &fraction[digits..];
    }
    let zone = match *rest {
        [] | [b'Z' | b'z'] => 0,
        [sign, z0, z1, b':', z2, z3] | [sign, z0, z1, z2, z3] => zone(sign, two(z0, z1)?, two(z2, z3)?)?,
        [sign, z0, z1] => zone(sign, two(z0, z1)?, 0)?,
        _ => return None,
    };
    Some((micros, zone))
}

/// Parses a decimal Unix time, `1646861401.5241024`, to µs, without the rounding of a float. How many digits stand before
/// the point tells seconds (up to 11) from milli- (14), micro- (17) and nanoseconds. `1.6e9` is not read.
pub(crate) fn unix(text: &[u8]) -> Option<i64> {
    let (whole, fraction) = match memchr::memchr(b'.', text) {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, &[][..]),
    };
    // Decimal places from the unit of `whole` to µs.
    let places = match whole.len() {
        1..=11 => 6,
        12..=14 => 3,
        15..=17 => 0,
        18..=20 => -3,
        _ => return None,
    };
    let mut micros: i64 = 0;
    for digit in whole {
        micros = micros.checked_mul(10)?.checked_add(digit_of(*digit)?.into())?;
    }
    if places < 0 {
        micros /= 1000;
    }
    let mut digits = fraction.iter();
    for _ in 0..places {
        micros = micros * 10 + i64::from(digits.next().map_or(Some(0), |digit| digit_of(*digit))?);
    }
    digits.all(u8::is_ascii_digit).then_some(micros)
}

/// `0.012` as a number: what `str::parse` makes of a decimal number of up to nine digits, which nearly all durations are.
pub(crate) fn decimal(text: &str) -> Option<f64> {
    const POWERS: [f64; 10] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];
    let (mut digits, mut places, mut number) = (0_usize, None, 0_u32);
    for &byte in text.as_bytes() {
        match digit_of(byte) {
            Some(digit) if digits < 9 => {
                number = number * 10 + u32::from(digit);
                digits += 1;
            }
            None if byte == b'.' && places.is_none() && digits > 0 => places = Some(digits),
            _ => return None,
        }
    }
    // (both are exact, so that their quotient is the nearest number)
    let places = places.map_or(0, |point| digits - point);
    (digits > 0).then(|| f64::from(number) / POWERS[places])
}

/// A time in whichever of the ways that logs write one.
pub(crate) fn logged(text: &[u8], cache: &mut TimeCache) -> Option<i64> {
    let clf = text.try_into().ok().and_then(|text| clf(text, cache));
    clf.or_else(|| cached_iso(text, cache)).or_else(|| unix(text)).or_else(|| slashed(text))
}

/// `2000-10-10` and `20:55:36`, UTC, which stand in fields of their own.
pub(crate) fn date_and_clock(date: &[u8], clock: &[u8]) -> Option<i64> {
    let mut text = [b' '; 32];
    text.get_mut(..10)?.copy_from_slice(date.get(..10).filter(|_| date.len() == 10)?);
    text.get_mut(11..11 + clock.len())?.copy_from_slice(clock);
    iso(&text[..11 + clock.len()])
}

/// Relatives of [`clf`]: haproxy's `10/Oct/2000:20:55:36.123`, which has no zone and is taken for UTC, and cPanel's
/// `10/10/2000:20:55:36 -0000`, month first.
fn slashed(text: &[u8]) -> Option<i64> {
    let (day, month, year, rest) = match *text {
        [d0, d1, b'/', m0, m1, m2, b'/', y0, y1, y2, y3, b':', ref rest @ ..] => {
            (two(d0, d1)?, month([m0, m1, m2])?, four(y0, y1, y2, y3)?, rest)
        }
        [m0, m1, b'/', d0, d1, b'/', y0, y1, y2, y3, b':', ref rest @ ..] => {
            (two(d0, d1)?, two(m0, m1)?, four(y0, y1, y2, y3)?, rest)
        }
        _ => return None,
    };
    let (&[h0, h1, b':', i0, i1, b':', t0, t1], rest) = rest.split_first_chunk::<8>()? else { return None };
    let start = days_from_civil(year, month, day)? * DAY;
    let seconds = clock(two(h0, h1)?, two(i0, i1)?, two(t0, t1)?)?;
    let (micros, zone) = fraction_and_zone(rest.strip_prefix(b" ").unwrap_or(rest))?;
    Some((start + seconds - zone) * SECOND + micros)
}

/// Days from 1970-01-01 to a day of the proleptic Gregorian calendar, by Howard Hinnant's `days_from_civil`
/// (<https://howardhinnant.github.io/date_algorithms.html>), years 0 to 9999.
fn days_from_civil(year: u32, month: u32, day: u32) -> Option<i64> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let length = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if day == 0 || day > length {
        return None;
    }
    // The year begins in March, so that the leap day is its last.
    let year = i64::from(year) - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = i64::from((153 * ((month + 9) % 12) + 2) / 5 + day - 1);
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

/// Seconds since midnight; a leap second is the last of its minute.
fn clock(hour: u32, minute: u32, second: u32) -> Option<i64> {
    (hour < 24 && minute < 60 && second <= 60).then(|| i64::from(hour * 3600 + minute * 60 + second.min(59)))
}

/// Seconds east of Greenwich.
fn zone(sign: u8, hours: u32, minutes: u32) -> Option<i64> {
    let seconds = i64::from(hours * 3600 + minutes * 60);
    match sign {
        b'+' if hours < 24 && minutes < 60 => Some(seconds),
        b'-' if hours < 24 && minutes < 60 => Some(-seconds),
        _ => None,
    }
}

fn month(name: [u8; 3]) -> Option<u32> {
    Some(match &name {
        b"Jan" => 1,
        b"Feb" => 2,
        b"Mar" => 3,
        b"Apr" => 4,
        b"May" => 5,
        b"Jun" => 6,
        b"Jul" => 7,
        b"Aug" => 8,
        b"Sep" => 9,
        b"Oct" => 10,
        b"Nov" => 11,
        b"Dec" => 12,
        _ => return None,
    })
}

fn digit_of(byte: u8) -> Option<u8> {
    let digit = byte.wrapping_sub(b'0');
    (digit < 10).then_some(digit)
}

fn two(a: u8, b: u8) -> Option<u32> {
    Some(u32::from(digit_of(a)?) * 10 + u32::from(digit_of(b)?))
}

fn four(a: u8, b: u8, c: u8, d: u8) -> Option<u32> {
    Some(two(a, b)? * 100 + two(c, d)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use proptest::prelude::*;

    fn clf_of(text: &str) -> Option<i64> {
        clf(text.as_bytes().try_into().ok()?, &mut TimeCache::default())
    }

    proptest! {
        #[test]
        fn clf_agrees_with_jiff(second in -62_000_000_000_i64..250_000_000_000, offset in -14 * 60..14 * 60) {
            let zone = jiff::tz::TimeZone::fixed(jiff::tz::Offset::from_seconds(offset * 60).expect("in range"));
            let time = Timestamp::from_second(second).expect("in range").to_zoned_datetime(zone);
            prop_assert_eq!(clf_of(&time.strftime("%d/%b/%Y:%H:%M:%S %z").to_string()), Some(second * SECOND));
        }

        #[test]
        fn iso_agrees_with_jiff(micros in -62_000_000_000_000_000_i64..250_000_000_000_000_000) {
            let time = Timestamp::from_microsecond(micros).expect("in range");
            prop_assert_eq!(iso(time.to_string().as_bytes()), Some(micros));
        }

        #[test]
        fn decimal_agrees_with_parse(text in r"[0-9]{0,6}\.?[0-9]{0,6}|[-+.0-9e]{0,9}") {
            if let Some(number) = decimal(&text) {
                prop_assert_eq!(Ok(number), text.parse::<f64>());
            }
        }

        #[test]
        fn nothing_panics(text in any::<[u8; 26]>(), bytes in any::<Vec<u8>>()) {
            let _ = clf(&text, &mut TimeCache::default());
            let _ = iso(&bytes);
            let _ = unix(&bytes);
            let _ = logged(&bytes, &mut TimeCache::default());
            let _ = date_and_clock(&text, &bytes);
        }
    }

    #[test]
    fn the_cache_does_not_leak_into_another_day() {
        let mut cache = TimeCache::default();
        let mut parse = |text: &[u8; 26]| clf(text, &mut cache);
        assert_eq!(parse(b"01/Jan/1970:00:00:01 +0000"), Some(SECOND));
        assert_eq!(parse(b"01/Jan/1970:01:00:02 +0100"), Some(2 * SECOND));
        assert_eq!(parse(b"02/Jan/1970:00:00:00 +0000"), Some(DAY * SECOND));
        assert_eq!(parse(b"32/Jan/1970:00:00:00 +0000"), None);
        assert_eq!(parse(b"02/Jan/1970:24:00:00 +0000"), None);
        assert_eq!(parse(b"02/Jan/1970:00:00:00 +0000"), Some(DAY * SECOND));
    }

    #[test]
    fn what_is_not_a_timestamp() {
        for text in ["31/Feb/2024:00:00:00 +0000", "29/Feb/2023:00:00:00 +0000", "01/jan/2024:00:00:00 +0000"] {
            assert_eq!(clf_of(text), None, "{text}");
        }
        for text in ["", "2024-01-01", "2024-13-01T00:00:00Z", "2024-01-01T00:00:00.Z", "2024-01-01T00:00:00 UTC"] {
            assert_eq!(iso(text.as_bytes()), None, "{text}");
        }
        for text in ["", ".5", "1e9", "-1", "1.x", "1.0000000x", "99999999999999999999", "1234567890123456789012"] {
            assert_eq!(unix(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn relatives_of_rfc_3339() {
        let expected = Some(971_211_336 * SECOND + 500_000);
        for text in ["2000-10-10T20:55:36.5Z", "2000-10-10 22:55:36,500000999+02:00", "2000-10-10T13:55:36.5-0700"] {
            assert_eq!(iso(text.as_bytes()), expected, "{text}");
        }
        for text in ["10/Oct/2000:20:55:36.5", "10/10/2000:20:55:36.5", "10/10/2000:13:55:36.5-0700"] {
            assert_eq!(logged(text.as_bytes(), &mut TimeCache::default()), expected, "{text}");
        }
        assert_eq!(date_and_clock(b"2000-10-10", b"20:55:36.5"), expected);
        for (date, clock) in
            [("2000-10-1", "20:55:36"), ("2000-10-10", ""), ("2000-10-10", "20:55:36.5000000000000000")]
        {
            assert_eq!(date_and_clock(date.as_bytes(), clock.as_bytes()), None, "{date} {clock}");
        }
        for text in ["971211336.5", "971211336.50000099999999", "971211336500", "971211336500000", "971211336500000999"]
        {
            assert_eq!(unix(text.as_bytes()), expected, "{text}");
        }
    }
}
