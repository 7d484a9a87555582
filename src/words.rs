//! When a day is, in words.

use crate::message;
use crate::text::Message;

/// `today`, `tomorrow`, `in 2 days`: when a day is that is this many days ahead.
pub fn in_days(days: i64) -> Message {
    match days {
        0 => message!(WhenToday),
        1 => message!(WhenTomorrow),
        _ => message!(WhenDays, days = days.unsigned_abs()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Language;

    #[test]
    fn no_day_is_counted_that_has_a_name() {
        let days = |language| [0, 1, 2].map(|days| in_days(days).in_language(language));
        assert_eq!(days(Language::English), ["today", "tomorrow", "in 2 days"]);
        assert_eq!(days(Language::German), ["heute", "morgen", "in 2 Tagen"]);
    }
}
