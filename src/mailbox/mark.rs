//! The hash by which a message is recognised after a reconnect.

use ring::digest::{Context, SHA256};

use crate::engine::record::Mark;

/// Hashes Message-ID and Date; the first Received line and Date if there is no Message-ID. `octets` begin with the header,
/// or are its fields alone.
///
/// Addresses and the subject are left out: whoever has the journal could confirm a guess with them. White space and control
/// characters count for nothing, since servers fold and clean lines differently.
pub(super) fn mark(octets: &[u8]) -> Mark {
    let mut fields = Fields::default();
    for (name, value) in header_fields(octets) {
        let slot = match name {
            name if name.eq_ignore_ascii_case(b"message-id") => &mut fields.message_id,
            name if name.eq_ignore_ascii_case(b"date") => &mut fields.date,
            name if name.eq_ignore_ascii_case(b"received") => &mut fields.received,
            _ => continue,
        };
        slot.get_or_insert_with(|| significant(value));
    }
    let first = fields.message_id.or(fields.received);
    if first.is_none() && fields.date.is_none() {
        return Mark::Nothing;
    }
    let mut context = Context::new(&SHA256);
    for value in [first, fields.date] {
        context.update(&value.unwrap_or_default());
        context.update(b"\n");
    }
    let digest = context.finish();
    let (octets, _) = digest.as_ref().split_first_chunk().unwrap_or((&[0; 8], &[]));
    Mark::Fields(u64::from_be_bytes(*octets))
}

#[derive(Default)]
struct Fields {
    message_id: Option<Vec<u8>>,
    date: Option<Vec<u8>>,
    received: Option<Vec<u8>>,
}

/// Iterates over the fields up to the empty line: names, and values with the lines that continue them (RFC 5322 §2.2).
fn header_fields(octets: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = octets;
    std::iter::from_fn(move || {
        loop {
            let end = field_end(rest);
            let (field, after) = rest.split_at(end);
            if field.is_empty() || matches!(field, b"\n" | b"\r\n") {
                return None;
            }
            rest = after;
            if let Some(colon) = field.iter().position(|octet| *octet == b':') {
                return Some((field[..colon].trim_ascii_end(), &field[colon + 1..]));
            }
        }
    })
}

/// Returns the length of the first field with its line ends.
fn field_end(octets: &[u8]) -> usize {
    let mut end = 0;
    while let Some(line) = memchr::memchr(b'\n', &octets[end..]) {
        end += line + 1;
        if !matches!(octets.get(end), Some(b' ' | b'\t')) || end <= 2 {
            return end;
        }
    }
    octets.len()
}

fn significant(value: &[u8]) -> Vec<u8> {
    value.iter().copied().filter(|octet| !octet.is_ascii_whitespace() && !octet.is_ascii_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIL: &[u8] = b"Received: from a\r\n by b\r\nReceived: from c\r\nMessage-ID: <1@a>\r\nDate: Mon, 1 Jan 2026\r\n\r\nDate: x";

    #[test]
    fn the_fields_alone_give_the_hash_of_the_message() {
        let fields = b"received: from a by b\r\nMESSAGE-ID:\r\n\t<1@a>\r\nDate:Mon, 1 Jan\r\n 2026\r\n\r\n";
        assert_eq!(mark(MAIL), mark(fields));
        assert!(matches!(mark(MAIL), Mark::Fields(_)));
    }

    #[test]
    fn another_message_id_or_date_gives_another_hash() {
        let other = |from: &str, to: &str| String::from_utf8_lossy(MAIL).replace(from, to).into_bytes();
        assert_ne!(mark(&other("1@a", "2@a")), mark(MAIL));
        assert_ne!(mark(&other("2026", "2027")), mark(MAIL));
        assert_eq!(mark(&other("from c", "from d")), mark(MAIL), "a message with an id is known by it");
    }

    #[test]
    fn without_an_id_the_first_received_line_counts() {
        let other = |from: &str, to: &str| {
            String::from_utf8_lossy(MAIL).replace("Message-ID: <1@a>\r\n", "").replace(from, to).into_bytes()
        };
        assert_ne!(mark(&other("by b", "by e")), mark(&other("", "")));
        assert_eq!(mark(&other("from c", "from d")), mark(&other("", "")));
    }

    #[test]
    fn a_message_without_these_fields_has_nothing_to_be_recognised_by() {
        for octets in
            [&b""[..], b"\r\n", b"\n", b"Subject: x\r\n\r\nDate: y", b"no header", b"\r\nDate: x\r\n"]
        {
            assert_eq!(mark(octets), Mark::Nothing, "{octets:?}");
        }
    }

    #[test]
    fn odd_octets_are_read_to_their_end() {
        for octets in [&b":\n \n"[..], b"Date\n:\n", b" Date: x", b"Date: \0\xff\r", b"\n \n"] {
            mark(octets);
        }
    }
}
