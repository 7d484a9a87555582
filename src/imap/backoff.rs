//! Answers that mean: not now.

use std::time::Duration;

use super::responses::{Code, Condition};
use crate::failure::{Failure, Kind, Retry};

/// How long the server asks to be left alone, if that is what it says in one of these lines.
///
/// Exchange Online: `BAD Request is throttled. Suggested Backoff Time: 89117 milliseconds`, as other clients logged it; NO
/// instead of BAD, and times up to 300,000, have been seen too.
pub fn backoff(text: &str) -> Option<Duration> {
    let text = text.to_ascii_lowercase();
    let time = text.split_once("backoff time:").map(|(_, rest)| {
        let digits: String = rest.trim_start().chars().take_while(char::is_ascii_digit).collect();
        // A number that is none, or too long for one.
        digits.parse().map_or(UNNAMED, Duration::from_millis)
    });
    let throttled = text.contains("request is throttled").then_some(UNNAMED);
    Some(time.or(throttled)?.clamp(SHORTEST, LONGEST))
}

/// The failure as one of kind [`Kind::Throttled`], with the time to wait, where that is what the server said.
pub fn if_throttled(failure: Failure) -> Failure {
    match backoff(&failure.observed) {
        Some(time) => Failure { kind: Kind::Throttled, ..failure }.retry(Retry::After(time)),
        None => failure,
    }
}

/// Whether the server itself is in trouble, and the command not to blame: RFC 5530 §3 (UNAVAILABLE, INUSE), and Exchange
/// Online's `NO Server Unavailable. 15`.
pub fn is_unavailable(condition: &Condition) -> bool {
    matches!(condition.code, Some(Code::Unavailable | Code::InUse)) || says_unavailable(&condition.line)
}

/// The same of a text, without a code.
pub fn says_unavailable(text: &str) -> bool {
    text.to_ascii_lowercase().contains("server unavailable")
}

/// Where the server names no time.
const UNNAMED: Duration = Duration::from_secs(30);
/// So that a server that says 0 is not asked again at once.
const SHORTEST: Duration = Duration::from_millis(100);
/// Three times the longest that has been seen.
const LONGEST: Duration = Duration::from_secs(900);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_that_the_server_names_is_found_in_any_of_its_lines() {
        let millis = |text| backoff(text).map(|time| time.as_millis());
        assert_eq!(
            millis("BAD Request is throttled. Suggested Backoff Time: 89117 milliseconds"),
            Some(89_117)
        );
        assert_eq!(millis("NO request is throttled.\n* BYE Connection closed. 14"), Some(30_000));
        assert_eq!(millis("NO Suggested Backoff Time: 0 milliseconds"), Some(100));
        assert_eq!(millis("NO Suggested Backoff Time: 99999999999999999999999 milliseconds"), Some(30_000));
        assert_eq!(millis("NO Suggested Backoff Time: 86400000 milliseconds"), Some(900_000));
        assert_eq!(millis("NO AUTHENTICATE failed."), None);
    }
}
