//! Dates and durations in the forms that Twilio reads and writes.

use time::OffsetDateTime;
use time::format_description::well_known::{Rfc2822, Rfc3339};

/// Milliseconds in a day.
pub(crate) const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// `2026-01-02T03:04:05Z`, as in REST resources.
pub(crate) fn seconds(ms: u64) -> String {
    i64::try_from(ms / 1000)
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .and_then(|date| date.format(&Rfc3339).ok())
        .unwrap_or_default()
}

/// `2026-01-02T03:04:05.678Z`, as in webhooks.
pub(crate) fn milliseconds(ms: u64) -> String {
    let date = seconds(ms);
    format!("{}.{:03}Z", date.trim_end_matches('Z'), ms % 1000)
}

/// `Fri, 02 Jan 2026 03:04:05 GMT`, as in headers.
pub(crate) fn http(ms: u64) -> String {
    let date =
        i64::try_from(ms / 1000).ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    let text = date.and_then(|date| date.format(&Rfc2822).ok()).unwrap_or_default();
    text.replace("+0000", "GMT")
}

/// A date of a query, in milliseconds since the epoch. A day alone is its first moment in UTC.
pub(crate) fn parse(text: &str) -> Option<u64> {
    let whole = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    let date = OffsetDateTime::parse(&whole, &Rfc3339).ok()?;
    u64::try_from(date.unix_timestamp_nanos() / 1_000_000).ok()
}

/// An ISO 8601 duration such as `PT24H` or `P1DT30M`, in milliseconds. Years and months have no fixed
/// length and are refused.
pub(crate) fn duration_ms(text: &str) -> Option<u64> {
    let body = text.strip_prefix('P')?;
    let (days, clock) = match body.split_once('T') {
        Some((_, "")) => return None,
        Some((days, clock)) => (days, clock),
        None => (body, ""),
    };
    if days.is_empty() && clock.is_empty() {
        return None;
    }
    let seconds = parts(days, &[('W', 604_800), ('D', 86_400)])?
        .checked_add(parts(clock, &[('H', 3600), ('M', 60), ('S', 1)])?)?;
    seconds.checked_mul(1000)
}

/// The sum of `<number><unit>` pairs, whose units must come in the given order.
fn parts(mut text: &str, units: &[(char, u64)]) -> Option<u64> {
    let mut sum = 0_u64;
    let mut units = units.iter();
    while !text.is_empty() {
        let end = text.find(|c: char| !c.is_ascii_digit())?;
        let (number, rest) = text.split_at(end);
        let unit = rest.chars().next()?;
        let (_, weight) = units.find(|(name, _)| *name == unit)?;
        sum = sum.checked_add(number.parse::<u64>().ok()?.checked_mul(*weight)?)?;
        text = &rest[unit.len_utf8()..];
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_carry_seconds_and_webhooks_milliseconds() {
        assert_eq!(seconds(1_767_323_045_678), "2026-01-02T03:04:05Z");
        assert_eq!(milliseconds(1_767_323_045_006), "2026-01-02T03:04:05.006Z");
    }

    #[test]
    fn a_date_may_be_a_day_or_a_moment() {
        assert_eq!(parse("2026-01-02T03:04:05Z"), Some(1_767_323_045_000));
        assert_eq!(parse("1970-01-02"), Some(86_400_000));
        assert_eq!(parse("yesterday"), None);
    }

    #[test]
    fn a_duration_is_iso_8601() {
        assert_eq!(duration_ms("PT24H"), Some(86_400_000));
        assert_eq!(duration_ms("P1DT1M1S"), Some(86_461_000));
        assert_eq!(duration_ms("P2W"), Some(1_209_600_000));
        for wrong in
            ["", "P", "PT", "24H", "P1M", "PT1D", "PT5M1H", "PTH", "PT1", "P1DT", "PT99999999999999999999S"]
        {
            assert_eq!(duration_ms(wrong), None, "{wrong}");
        }
    }
}
