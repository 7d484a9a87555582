//! How numbers are told.

use std::fmt::Display;

use crate::config::Language;

/// `1 mail`, `2 mails`: a number, and what there is one or several of.
pub fn counted<N: Display + PartialEq + From<u8>>(number: N, one: &str, several: &str) -> String {
    let what = if number == N::from(1) { one } else { several };
    format!("{number} {what}")
}

/// `today`, `tomorrow`, `in 2 days`: when a day is that is so many days ahead.
pub fn in_days(days: i64, language: Language) -> String {
    match (days, language) {
        (0, Language::English) => "today".to_owned(),
        (0, Language::German) => "heute".to_owned(),
        (1, Language::English) => "tomorrow".to_owned(),
        (1, Language::German) => "morgen".to_owned(),
        (_, Language::English) => format!("in {days} days"),
        (_, Language::German) => format!("in {days} Tagen"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular_and_no_day_is_counted_that_has_a_name() {
        let mails = |number: u64| counted(number, "mail", "mails");
        assert_eq!([0, 1, 2].map(mails), ["0 mails", "1 mail", "2 mails"]);
        let days = |language| [0, 1, 2].map(|days| in_days(days, language));
        assert_eq!(days(Language::English), ["today", "tomorrow", "in 2 days"]);
        assert_eq!(days(Language::German), ["heute", "morgen", "in 2 Tagen"]);
    }
}
