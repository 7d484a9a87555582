//! Dates as Entra and HTTP write them.

use time::OffsetDateTime;

/// As in the error's `timestamp`.
pub(super) fn timestamp(seconds: i64) -> String {
    let at = at(seconds);
    let (date, time) = (at.date(), at.time());
    format!("{date} {:02}:{:02}:{:02}Z", time.hour(), time.minute(), time.second())
}

pub(super) fn rfc3339(seconds: i64) -> String {
    timestamp(seconds).replace(' ', "T")
}

/// RFC 9110 §5.6.7.
pub(super) fn http_date(seconds: i64) -> String {
    let at = at(seconds);
    let (weekday, month) = (at.weekday().to_string(), at.month().to_string());
    format!(
        "{}, {:02} {} {} {:02}:{:02}:{:02} GMT",
        &weekday[..3],
        at.day(),
        &month[..3],
        at.year(),
        at.hour(),
        at.minute(),
        at.second()
    )
}

fn at(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_http_and_of_entra() {
        assert_eq!(http_date(1_767_571_200), "Mon, 05 Jan 2026 00:00:00 GMT");
        assert_eq!(timestamp(1_767_571_200), "2026-01-05 00:00:00Z");
    }
}
