//! Formats amounts for people, and parses amounts that people write.

use std::time::Duration;

use crate::domain::policy::wear::{Flash, Load};

const UNITS: [(&str, f64); 4] = [("GB", 1e9), ("MB", 1e6), ("kB", 1e3), ("B", 1.0)];

/// A number of bytes with its unit: `1.2 MB`.
pub fn bytes(count: f64) -> String {
    let unit = UNITS.iter().find(|(_, size)| count >= *size);
    match unit {
        Some((unit @ ("GB" | "MB" | "kB"), size)) => format!("{:.1} {unit}", count / size),
        _ => format!("{count:.0} B"),
    }
}

/// A number with its digits in groups: `3,000`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let grouped = digits.as_bytes().rchunks(3).rev();
    let groups: Vec<String> =
        grouped.map(|group| String::from_utf8_lossy(group).into_owned()).collect();
    groups.join(",")
}

/// An estimate with two digits, since it has no more that are certain.
pub fn rough(number: f64) -> String {
    if !number.is_finite() {
        return "∞".to_owned();
    }
    if number < 10.0 {
        return format!("{number:.1}");
    }
    let unit = 10_f64.powf(number.log10().floor() - 1.0);
    format!("{:.0}", (number / unit).round() * unit)
}

/// The wear of a flash under a load, as a sentence. `most` says that the load is an upper bound and not an
/// average.
pub fn wear(load: Load, flash: Flash, interval: Duration, commits_alone: bool) -> String {
    let per_day = load.bytes_per_day();
    let scope = if commits_alone { "without the readings themselves " } else { "" };
    let Some(years) = flash.years(per_day) else {
        return "nothing is written".to_owned();
    };
    format!(
        "{scope}{} a day with a commit each {}; {} of flash with {} cycles would last {} years",
        bytes(per_day),
        humantime::format_duration(interval),
        size(flash.bytes),
        count(u64::from(flash.cycles)),
        rough(years),
    )
}

/// The size of a flash in the unit that it is sold in: `8 GB`.
fn size(bytes: u64) -> String {
    let units = [("TB", 1_000_000_000_000), ("GB", 1_000_000_000), ("GiB", 1 << 30)];
    let whole = units.into_iter().find(|(_, unit)| bytes >= *unit && bytes % unit == 0);
    whole.map_or_else(
        || self::bytes(bytes as f64),
        |(name, unit)| format!("{} {name}", bytes / unit),
    )
}

/// Reads `8GB`, `16 GiB`, `512 MB` or a number of bytes.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.trim_start() {
        "" | "B" => 1,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return Err("write it such as 8GB or 16GiB".to_owned()),
    };
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    bytes.filter(|bytes| *bytes > 0).ok_or_else(|| "write it such as 8GB or 16GiB".to_owned())
}

/// A start time: a date, or a duration before now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    UnixMs(i64),
    Ago(Duration),
}

impl Since {
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Ok(time) = humantime::parse_rfc3339_weak(text) {
            let ms = time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default().as_millis();
            return Ok(Self::UnixMs(i64::try_from(ms).unwrap_or(i64::MAX)));
        }
        // humantime panics if a sum of seconds overflows, which cannot happen with so few digits.
        let small = text.len() <= 64
            && text.split(|c: char| !c.is_ascii_digit()).all(|digits| digits.len() <= 10);
        let ago = small.then(|| humantime::parse_duration(text).ok()).flatten();
        ago.map(Self::Ago)
            .ok_or_else(|| "write it such as 10m, 2h or 2026-01-31T12:00:00Z".to_owned())
    }

    /// The start time in Unix milliseconds, where `now_ms` is the present time.
    pub fn ms(self, now_ms: i64) -> i64 {
        match self {
            Self::UnixMs(ms) => ms,
            Self::Ago(ago) => {
                now_ms.saturating_sub(i64::try_from(ago.as_millis()).unwrap_or(i64::MAX))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_said_with_the_digits_they_deserve() {
        assert_eq!(bytes(0.0), "0 B");
        assert_eq!(bytes(999.0), "999 B");
        assert_eq!(bytes(1_234_567.0), "1.2 MB");
        assert_eq!(count(0), "0");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(rough(0.04), "0.0");
        assert_eq!(rough(9.94), "9.9");
        assert_eq!(rough(152.1), "150");
        assert_eq!(rough(76_051.0), "76000");
    }

    #[test]
    fn wear_is_one_line() {
        let line = wear(Load::of_commits(1.0), Flash::default(), Duration::from_secs(1), true);
        assert!(line.starts_with("without the readings themselves "), "{line}");
        assert!(line.contains("with a commit each 1s; 8 GB of flash with 3,000 cycles"), "{line}");
        let nothing = wear(Load::default(), Flash::default(), Duration::from_secs(1), false);
        assert_eq!(nothing, "nothing is written");
    }

    #[test]
    fn sizes_are_read_in_either_kind_of_unit() {
        assert_eq!(parse_bytes("8GB"), Ok(8_000_000_000));
        assert_eq!(parse_bytes("16 GiB"), Ok(16 << 30));
        assert_eq!(parse_bytes("512"), Ok(512));
        for wrong in ["", "GB", "0GB", "8 gigabytes", "-1", "99999999999999999999", "20000000TB"] {
            assert!(parse_bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_moment_is_a_date_or_so_long_ago() {
        let parsed = |text| Since::parse(text).expect("a moment").ms(10_000_000);
        assert_eq!(parsed("10s"), 9_990_000);
        assert_eq!(parsed("1970-01-01T00:00:01Z"), 1_000);
        assert_eq!(parsed("1970-01-01 00:00:01"), 1_000);
        for wrong in ["", "yesterday", "10", "99999999999999999999999s"] {
            assert!(Since::parse(wrong).is_err(), "{wrong}");
        }
    }
}
