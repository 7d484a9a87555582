//! A failure for people: each of its parts with a label, on lines of its own.

use super::layout::{Colour, Layout};
use super::message::{Id, Language};
use crate::failure::{Failure, Retry};
use crate::message;

/// Writes the parts of a failure, without its step. Ends with a line end.
pub fn parts(failure: &Failure, language: Language, layout: &Layout) -> String {
    let again = match failure.retry {
        Retry::Never => String::new(),
        Retry::Later => message!(RetryLater).in_language(language),
        Retry::After(time) => message!(RetryAfter, seconds = time.as_secs()).in_language(language),
    };
    let observed = layout.painted(&failure.observed, Colour::Red);
    let mut text = layout.lines(&label(Id::LabelObserved, language), &observed);
    if let Some(key) = &failure.key {
        text += &layout.lines(&label(Id::LabelProperty, language), key);
    }
    let told =
        [(Id::LabelCause, &failure.cause), (Id::LabelRemedy, &failure.remedy), (Id::LabelRetry, &again)];
    for (id, value) in told.into_iter().filter(|(_, value)| !value.is_empty()) {
        text += &layout.prose(&label(id, language), value);
    }
    let mut source = failure.source.as_deref();
    while let Some(failure) = source {
        let caused_by = format!("{}: {}", failure.step, failure.observed);
        text += &layout.lines(&label(Id::LabelCausedBy, language), &caused_by);
        source = failure.source.as_deref();
    }
    text
}

/// Returns a label with blanks up to where all texts begin.
pub fn label(id: Id, language: Language) -> String {
    format!("{:LABEL$}", format!("{}:", id.message().in_language(language)))
}

/// Columns before the text of a labelled line.
const LABEL: usize = 13;
