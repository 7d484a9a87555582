//! `mailbox-list` (RFC 9051 §7.3.1, RFC 3501 §7.2.2): a folder as a server lists it.

use super::cursor::{Cursor, Literal, is_blank, lossy};

/// A folder in the answer to LIST.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// `None`: the server has no levels.
    pub separator: Option<char>,
    /// As the server writes it, in modified UTF-7, without quotes.
    pub name: String,
    /// Has neither `\Noselect` nor `\NonExistent`.
    pub selectable: bool,
    /// Has `\Junk` (RFC 6154).
    pub junk: bool,
}

/// Reads what follows the word LIST:
///
/// ```abnf
/// mailbox-list = "(" [mbx-list-flags] ")" SP (DQUOTE QUOTED-CHAR DQUOTE / nil) SP mailbox
///                [SP mbox-list-extended]
/// ```
///
/// Servers were seen to write `NIL` for the attributes, any number of blanks, names with blanks and without quotes, and
/// quotes within quotes. `None`: the folder cannot be read, or has a name that could not be sent back.
pub(super) fn parse(mut cursor: Cursor) -> Option<Listing> {
    cursor.blanks();
    let (mut selectable, mut junk) = (true, false);
    if !eat_nil(&mut cursor) {
        if !cursor.eat(b"(") {
            return None;
        }
        loop {
            cursor.blanks();
            if cursor.eat(b")") {
                break;
            }
            let attribute = cursor.word();
            if attribute.is_empty() {
                return None;
            }
            let is = |name: &[u8]| attribute.eq_ignore_ascii_case(name);
            selectable &= !is(b"\\Noselect") && !is(b"\\NonExistent");
            junk |= is(b"\\Junk");
        }
    }
    cursor.blanks();
    let separator = parse_separator(&mut cursor)?;
    cursor.blanks();
    let name = parse_name(&mut cursor)?;
    let sendable = |octet: &u8| matches!(octet, b'\t' | b' '..=b'~');
    name.iter().all(sendable).then(|| Listing { separator, name: lossy(&name), selectable, junk })
}

fn eat_nil(cursor: &mut Cursor) -> bool {
    match cursor.rest.split_at_checked(3) {
        Some((word, rest)) if word.eq_ignore_ascii_case(b"NIL") => {
            cursor.rest = rest;
            true
        }
        _ => false,
    }
}

fn parse_separator(cursor: &mut Cursor) -> Option<Option<char>> {
    if cursor.rest.first() == Some(&b'"') {
        let separator = cursor.quoted()?;
        return match separator[..] {
            [] => Some(None),
            [octet] if octet.is_ascii() => Some(Some(char::from(octet))),
            _ => None,
        };
    }
    if eat_nil(cursor) {
        return Some(None);
    }
    match cursor.rest {
        [octet @ b'!'..=b'~', next, ..] if is_blank(*next) => {
            cursor.rest = &cursor.rest[1..];
            Some(Some(char::from(*octet)))
        }
        _ => None,
    }
}

fn parse_name(cursor: &mut Cursor) -> Option<Vec<u8>> {
    match cursor.rest.first()? {
        b'"' => quoted_name(cursor),
        b'{' => match cursor.literal()? {
            Literal::Buffered { octets, whole: true } => Some(octets.clone()),
            _ => None,
        },
        _ => {
            let rest = cursor.rest;
            let end = (0..rest.len()).find(|&at| is_blank(rest[at]) && is_extension(&rest[at..]));
            Some(trim(&rest[..end.unwrap_or(rest.len())]).to_vec())
        }
    }
}

/// Reads a quoted name. One with quotes in it that are not escaped ends at the quote after which nothing else stands.
fn quoted_name(cursor: &mut Cursor) -> Option<Vec<u8>> {
    let rest = cursor.rest;
    let ends_here = |after: &[u8]| trim(after).is_empty() || is_extension(after);
    if let Some(name) = cursor.quoted()
        && ends_here(cursor.rest)
    {
        return Some(name);
    }
    let end = (1..rest.len()).find(|&at| rest[at] == b'"' && ends_here(&rest[at + 1..]))?;
    Some(rest[1..end].to_vec())
}

/// Tells whether a name is followed by `mbox-list-extended` (RFC 9051 §9), as in `("CHILDINFO" ("SUBSCRIBED"))`, rather
/// than by more of the name.
fn is_extension(text: &[u8]) -> bool {
    let text = trim(text);
    text == b"()"
        || text.starts_with(b"(\"") && text.ends_with(b")")
        || text.starts_with(b"(") && text.ends_with(b"))")
}

fn trim(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|&octet| !is_blank(octet)).unwrap_or(text.len());
    let end = text.iter().rposition(|&octet| !is_blank(octet)).map_or(start, |at| at + 1);
    &text[start..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(text: &str) -> Option<Listing> {
        parse(Cursor::new(text.as_bytes(), &[]))
    }

    fn name(text: &str) -> String {
        listing(text).unwrap_or_else(|| panic!("{text} cannot be read")).name
    }

    #[test]
    fn names_are_read_in_every_form_that_servers_write() {
        for (text, expected) in [
            (r#" (\HasNoChildren) "/" INBOX"#, "INBOX"),
            (r#" (\HasNoChildren \AllMail) "/" "[Gmail]/All Mail""#, "[Gmail]/All Mail"),
            (r#" NIL "/" INBOX"#, "INBOX"),
            (r#" () NIL flat"#, "flat"),
            (r#"()"/"INBOX"#, "INBOX"),
            (r#"  (  \Marked  )  "/"  INBOX  "#, "INBOX"),
            (r#" () / INBOX"#, "INBOX"),
            (r#" () "/" Deleted Items"#, "Deleted Items"),
            (" () \"/\" tab\there", "tab\there"),
            (r#" () "/" "quo\"te\\d""#, r#"quo"te\d"#),
            (r#" () "/" "a "b" c""#, r#"a "b" c"#),
            (r#" () "/" "a\b""#, "ab"),
            (r#" () "/" a%b*"#, "a%b*"),
            (r#" () "/" foo (bar)"#, "foo (bar)"),
            (r#" () "/" "foo" ("CHILDINFO" ("SUBSCRIBED"))"#, "foo"),
            (r#" () "/" foo bar ("CHILDINFO" ("SUBSCRIBED"))"#, "foo bar"),
            (r#" () "/" foo (CHILDINFO ("SUBSCRIBED"))"#, "foo"),
            (r#" () "/" "a "b"" (OLDNAME ("c"))"#, r#"a "b""#),
            (r#" () "/" "" "#, ""),
        ] {
            assert_eq!(name(text), expected, "{text}");
        }
    }

    #[test]
    fn attributes_count_in_any_case_and_as_whole_words() {
        let read = |attributes: &str| listing(&format!(r#" ({attributes}) "/" x"#)).unwrap();
        for attribute in ["\\noselect", "\\NonExistent \\HasChildren"] {
            assert!(!read(attribute).selectable, "{attribute}");
        }
        assert!(read("\\JUNK").junk && read("\\Junk \\Subscribed").junk);
        for longer in ["All", "Archive", "Drafts", "Flagged", "Junk", "Sent", "Trash", "Marked", "Noselect"] {
            let read = read(&format!("\\{longer}Mail"));
            assert!(read.selectable && !read.junk, "{longer}");
        }
    }

    #[test]
    fn a_literal_is_a_name_unless_it_was_cut() {
        let literal = |whole| [Literal::Buffered { octets: br#"a b"c\"#.to_vec(), whole }];
        let text = b" () \"/\" {5}\r\n";
        assert_eq!(parse(Cursor::new(text, &literal(true))).unwrap().name, r#"a b"c\"#);
        assert_eq!(parse(Cursor::new(text, &literal(false))), None);
    }

    #[test]
    fn a_folder_that_could_not_be_asked_for_is_not_read() {
        for text in
            ["", " (\\Marked", r#" () "/""#, " () \"/\" \"a\0b\"", " () \"/\" Gel\u{f6}scht", r#" () "ab" x"#]
        {
            assert_eq!(listing(text), None, "{text}");
        }
    }
}
