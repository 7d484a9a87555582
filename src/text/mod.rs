//! Every sentence that a user can see, in English and German.
//!
//! - `messages/*.toml` holds the sentences of the library and the command line: an id, and the sentence in each language.
//!   `message!(ConfigPort, value = text)` makes a [`Message`]: an id with its values. It is passed on as a value and rendered
//!   where it is shown: `message.in_language(language)`. The compiler refuses an unknown id, and a value too many or too few.
//! - `catalogue.toml` explains failures: cause and remedy. An own failure carries its [`Message`]
//!   (`Failure::own(step, kind, message!(…))`), and an entry names the ids that it explains (`own = […]`). Patterns exist only
//!   for the texts of servers, endpoints, libraries and operating systems.
//!
//! In a sentence, `{name}` stands for a value and `{name|mail|mails}` for the word that fits a number. A value may be a text, a
//! number, a date, or another message (see [`Arg`]).
//!
//! A log line of INFO and above is a message too: `log.info(message!(LogJournalWorks, user = user))`. Its id stands at the end of
//! the line.

mod catalogue;
mod document;
mod explain;
mod layout;
mod message;
mod parts;
mod pattern;

pub use catalogue::{Entry, Rank, Text, entries};
pub(crate) use catalogue::{entry_of, is_exchange_online};
pub use document::document;
pub use explain::{Circumstances, KeyNames, MOVED_TO, OBJECT_ID, explain, on_first_use};
pub use layout::{Colour, Layout};
pub use message::{Arg, Id, Language, Message, Said};
pub use parts::{label, parts};

#[cfg(test)]
pub(crate) use explain::named_keys;

#[cfg(test)]
pub(crate) mod tests;
