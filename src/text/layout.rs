//! Text for a terminal: wrapped at its width, and with commands on lines of their own, so that they can be copied.

use textwrap::core::Word;
use textwrap::{Options, WordSeparator, WordSplitter, WrapAlgorithm};

use super::catalogue;

/// What the output can show.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Layout {
    /// Columns of a line; `None` where lines are not wrapped: output that goes to a file or a program.
    pub width: Option<usize>,
    pub colour: bool,
}

impl Layout {
    /// Wraps `text` behind `label`; further lines begin below the text's beginning. Nothing but blanks is broken, so a word that
    /// is too long stands out. Ends with a line end.
    pub fn lines(&self, label: &str, text: &str) -> String {
        let rest = " ".repeat(textwrap::core::display_width(label));
        let mut first = label;
        let mut lines = String::new();
        for line in text.split('\n') {
            lines += &self.wrapped(first, &rest, line);
            first = &rest;
        }
        lines
    }

    /// As [`Layout::lines`], with each command and each line for a configuration file on a line of its own, indented and never
    /// broken.
    pub fn prose(&self, label: &str, text: &str) -> String {
        let rest = " ".repeat(textwrap::core::display_width(label));
        let mut lines = String::new();
        for block in text.split('\n').flat_map(blocks) {
            let begins = lines.is_empty();
            match block {
                Block::Prose(prose) => {
                    lines += &self.wrapped(if begins { label } else { &rest }, &rest, prose)
                }
                Block::Command(command) => {
                    if begins && !label.trim().is_empty() {
                        lines = format!("{}\n", label.trim_end());
                    }
                    lines += &format!("{rest}{INDENT}{command}\n");
                }
            }
        }
        lines
    }

    /// Wraps a page whose paragraphs stand between empty lines. Lines that are indented by four blanks or more are for copying,
    /// and a heading has a line of its own: they stay as they are. Further lines of a paragraph begin where its second one does.
    pub fn page(&self, text: &str) -> String {
        let mut page = String::new();
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            let is_heading = lines.peek().is_some_and(|next| is_rule(next));
            if line.is_empty() || is_verbatim(line) || is_rule(line) || is_heading {
                page += &format!("{line}\n");
                continue;
            }
            let mut paragraph = line.trim().to_owned();
            let first = indent(line);
            let mut rest = first;
            while let Some(next) = lines.next_if(|next| !next.is_empty() && !is_verbatim(next)) {
                rest = indent(next);
                paragraph += " ";
                paragraph += next.trim();
            }
            page += &self.wrapped(&" ".repeat(first), &" ".repeat(rest), &paragraph);
        }
        page
    }

    /// Colours `text` (ECMA-48 §8.3.117) where there is colour.
    pub fn painted(&self, text: &str, colour: Colour) -> String {
        if self.colour { format!("\x1b[{}m{text}\x1b[0m", colour as u8) } else { text.to_owned() }
    }

    fn wrapped(&self, first: &str, rest: &str, line: &str) -> String {
        let Some(width) = self.width else { return format!("{first}{line}").trim_end().to_owned() + "\n" };
        let options = Options::new(width.max(NARROWEST))
            .initial_indent(first)
            .subsequent_indent(rest)
            .break_words(false)
            .word_separator(WordSeparator::Custom(words))
            .word_splitter(WordSplitter::NoHyphenation)
            .wrap_algorithm(WrapAlgorithm::FirstFit);
        textwrap::wrap(line, options).iter().map(|line| format!("{}\n", line.trim_end())).collect()
    }
}

/// The number of the colour in ECMA-48.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    Bold = 1,
    Dim = 2,
    Red = 31,
    Green = 32,
    Yellow = 33,
}

/// Splits at blanks, but not within `` ` ``.
fn words(line: &str) -> Box<dyn Iterator<Item = Word<'_>> + '_> {
    let mut begin = 0;
    let mut code = false;
    let mut words = Vec::new();
    let mut before = ' ';
    for (at, char) in line.char_indices() {
        if before == ' ' && char != ' ' && !code && at > begin {
            words.push(Word::from(&line[begin..at]));
            begin = at;
        }
        code ^= char == '`';
        before = char;
    }
    words.push(Word::from(&line[begin..]));
    Box::new(words.into_iter())
}

#[derive(Debug, PartialEq, Eq)]
enum Block<'a> {
    Prose(&'a str),
    Command(&'a str),
}

/// Splits a line into prose and what is to be copied.
fn blocks(line: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut rest = line;
    while let Some((begin, end)) = [command(rest), property(rest)].into_iter().flatten().min() {
        let before = rest[..begin].trim_end();
        if !before.is_empty() {
            blocks.push(Block::Prose(before));
        }
        blocks.push(Block::Command(rest[begin..end].trim_matches('`')));
        // The full stop of the sentence that the command ends would stand alone.
        rest = rest[end..].trim_start_matches(['.', ';', ',']).trim_start();
    }
    if !rest.is_empty() || blocks.is_empty() {
        blocks.push(Block::Prose(rest));
    }
    blocks
}

/// Finds a command of several words between `` ` ``, or one that is the whole text. One in parentheses belongs to its sentence.
fn command(text: &str) -> Option<(usize, usize)> {
    if catalogue::command(text).is_some() {
        return Some((0, text.len()));
    }
    let mut from = 0;
    loop {
        let begin = from + text[from..].find('`')?;
        let end = begin + 1 + text[begin + 1..].find('`')? + 1;
        let words = text[begin..end].split(' ').count();
        if words > 2 && !is_aside(&text[..begin]) {
            return Some((begin, end));
        }
        from = end;
    }
}

/// Finds `cmsbs.… = "…"`.
fn property(text: &str) -> Option<(usize, usize)> {
    let mut from = 0;
    loop {
        let begin = from + text[from..].find("cmsbs.")?;
        let name = text[begin..].split(' ').next().unwrap_or_default();
        let value = text[begin + name.len()..].strip_prefix(" = \"");
        let aside = is_aside(&text[..begin]) || text[..begin].ends_with('`');
        if let Some(value) = value.filter(|_| !aside) {
            let length = value.find('"')?;
            return Some((begin, begin + name.len() + " = \"".len() + length + 1));
        }
        from = begin + name.len().max(1);
    }
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

fn is_verbatim(line: &str) -> bool {
    indent(line) >= INDENT.len()
}

/// Says whether a line underlines a heading.
fn is_rule(line: &str) -> bool {
    line.len() > 3 && line.chars().all(|char| char == '-')
}

/// Says whether a parenthesis is open at the end of `before`.
fn is_aside(before: &str) -> bool {
    before.matches('(').count() > before.matches(')').count()
}

const INDENT: &str = "    ";

/// Columns below which wrapping makes nothing easier to read.
const NARROWEST: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    const NARROW: Layout = Layout { width: Some(40), colour: false };
    const UNWRAPPED: Layout = Layout { width: None, colour: false };

    #[test]
    fn lines_are_wrapped_below_the_texts_beginning() {
        assert_eq!(
            NARROW.lines("Cause: ", "one two three four five six seven eight nine\nten"),
            "Cause: one two three four five six seven\n       eight nine\n       ten\n"
        );
        let long = "one two three four five six seven eight nine";
        assert_eq!(UNWRAPPED.lines("  ", long), format!("  {long}\n"));
    }

    #[test]
    fn a_word_that_is_too_long_is_not_broken() {
        let url = "https://login.microsoftonline.com/organizations/oauth2/v2.0/token";
        assert_eq!(NARROW.lines("", &format!("See {url} for it")), format!("See\n{url}\nfor it\n"));
    }

    #[test]
    fn a_command_stands_alone_and_can_be_copied() {
        let text = "Run `Add-MailboxPermission -Identity 'a b' -User 'ENTERPRISE-OBJECT-ID'`; then wait (see `a b c`). Or `setup`.";
        let expected = "Remedy: Run
            Add-MailboxPermission -Identity 'a b' -User 'ENTERPRISE-OBJECT-ID'
        then wait (see `a b c`). Or
        `setup`.
";
        assert_eq!(NARROW.prose("Remedy: ", text), expected);
        assert_eq!(
            UNWRAPPED.prose("", "`Get-Mailbox -Identity a` first, then `Get-Mailbox -Identity b`."),
            "    Get-Mailbox -Identity a\nfirst, then\n    Get-Mailbox -Identity b\n"
        );
    }

    #[test]
    fn a_page_is_wrapped_but_for_headings_and_what_is_to_be_copied() {
        let page = "1. A heading that is longer than the line is wide\n-----------------\n\na) One two three four five six\n   \
                    seven eight nine ten.\n\n    Add-MailboxPermission -Identity 'somebody@example.com'\n";
        let wrapped = "1. A heading that is longer than the line is wide\n-----------------\n\na) One two three four five six seven\n   \
                       eight nine ten.\n\n    Add-MailboxPermission -Identity 'somebody@example.com'\n";
        assert_eq!(NARROW.page(page), wrapped);
    }

    #[test]
    fn a_line_for_the_configuration_stands_alone() {
        assert_eq!(
            UNWRAPPED.prose("", "Write cmsbs.mail.imap.ssl = \"true\" and look at cmsbs.mail.imap.port."),
            "Write\n    cmsbs.mail.imap.ssl = \"true\"\nand look at cmsbs.mail.imap.port.\n"
        );
    }
}
