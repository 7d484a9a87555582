//! Folder names: what UM's administrator writes → what the server calls it.

use base64::Engine as _;
use base64::alphabet::IMAP_MUTF7;
use base64::engine::{GeneralPurpose, general_purpose::NO_PAD};

use super::listing::Listing;

/// The folders of a mailbox, as LIST returned them.
#[derive(Debug, Clone, Default)]
pub struct Folders {
    /// `None`: the server has no levels (RFC 9051 §6.3.9).
    pub separator: Option<char>,
    /// Names that can be selected, as the server writes them.
    pub names: Vec<String>,
    /// The one that the server calls `\Junk` (RFC 6154).
    pub junk: Option<String>,
}

/// A folder as the server knows it, or would if it were created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// In modified UTF-7, not quoted.
    pub name: String,
    pub exists: bool,
}

impl Folders {
    /// Adds a folder as the server lists it.
    pub(super) fn add(&mut self, listing: Listing) {
        self.separator = self.separator.or(listing.separator);
        if !listing.selectable {
            return;
        }
        if listing.junk && self.junk.is_none() {
            self.junk = Some(listing.name.clone());
        }
        self.names.push(listing.name);
    }

    /// The folder that `configured` means. In UM's configuration `.` separates levels, whatever the server's separator is,
    /// and INBOX may be written in any case. A folder that is there with exactly this name is taken first, then one
    /// that differs only in case.
    pub fn resolve(&self, configured: &str) -> Folder {
        let as_written = encode_utf7(configured);
        if self.names.contains(&as_written) {
            return Folder { name: as_written, exists: true };
        }
        let name = match self.separator {
            Some(separator) => encode_utf7(&configured.replace('.', &separator.to_string())),
            None => as_written,
        };
        if self.names.contains(&name) {
            return Folder { name, exists: true };
        }
        let wanted = self.fold_case(&name);
        match self.names.iter().find(|existing| self.fold_case(existing) == wanted) {
            Some(existing) => Folder { name: existing.clone(), exists: true },
            None => Folder { name: self.with_inbox(name), exists: false },
        }
    }

    fn fold_case(&self, name: &str) -> String {
        decode_utf7(name).unwrap_or_else(|| name.to_owned()).to_lowercase()
    }

    /// INBOX is written in capitals in a name to be created: `inbox.debug` beside `INBOX` is not what anybody wants.
    fn with_inbox(&self, name: String) -> String {
        let first = self
            .separator
            .map_or(name.as_str(), |separator| name.split(separator).next().unwrap_or_default());
        if first.eq_ignore_ascii_case("INBOX") { format!("INBOX{}", &name[first.len()..]) } else { name }
    }
}

/// `name` as a quoted string (RFC 9051 §4.3). A modified UTF-7 name has no octet that a quoted string could not hold.
pub fn quote(name: &str) -> String {
    let mut quoted = String::with_capacity(name.len() + 2);
    quoted.push('"');
    for character in name.chars() {
        if matches!(character, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted.push('"');
    quoted
}

/// Modified UTF-7 (RFC 3501 §5.1.3).
pub fn encode_utf7(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(character) = rest.chars().next() {
        match character {
            '&' => encoded.push_str("&-"),
            ' '..='~' => encoded.push(character),
            _ => {
                let end = rest.find(is_printable).unwrap_or(rest.len());
                let octets: Vec<u8> = rest[..end].encode_utf16().flat_map(u16::to_be_bytes).collect();
                encoded.push('&');
                encoded.push_str(&UTF7.encode(octets));
                encoded.push('-');
                rest = &rest[end..];
                continue;
            }
        }
        rest = &rest[character.len_utf8()..];
    }
    encoded
}

/// The reverse; `None` where `name` is no modified UTF-7.
pub fn decode_utf7(name: &str) -> Option<String> {
    let mut decoded = String::with_capacity(name.len());
    let mut parts = name.split('&');
    decoded.push_str(parts.next()?);
    for part in parts {
        let (encoded, plain) = part.split_once('-')?;
        if encoded.is_empty() {
            decoded.push('&');
        } else {
            let octets = UTF7.decode(encoded).ok()?;
            let units: Vec<u16> = octets
                .chunks(2)
                .map(|pair| Some(u16::from_be_bytes(pair.try_into().ok()?)))
                .collect::<Option<_>>()?;
            decoded.push_str(&String::from_utf16(&units).ok()?);
        }
        decoded.push_str(plain);
    }
    Some(decoded)
}

fn is_printable(character: char) -> bool {
    matches!(character, ' '..='~')
}

const UTF7: GeneralPurpose = GeneralPurpose::new(&IMAP_MUTF7, NO_PAD);

#[cfg(test)]
mod tests {
    use super::*;

    fn folders(separator: Option<char>, names: &[&str]) -> Folders {
        Folders { separator, names: names.iter().map(|name| name.to_string()).collect(), junk: None }
    }

    fn existing(name: &str) -> Folder {
        Folder { name: name.into(), exists: true }
    }

    fn missing(name: &str) -> Folder {
        Folder { name: name.into(), exists: false }
    }

    #[test]
    fn a_dot_becomes_the_servers_separator() {
        assert_eq!(folders(Some('/'), &[]).resolve("INBOX.debug"), missing("INBOX/debug"));
        assert_eq!(folders(Some('.'), &[]).resolve("inbox.debug"), missing("INBOX.debug"));
        assert_eq!(folders(Some('/'), &[]).resolve("inboxes"), missing("inboxes"));
        assert_eq!(folders(None, &[]).resolve("a.b"), missing("a.b"));
    }

    #[test]
    fn a_folder_that_differs_only_in_case_is_taken() {
        let folders = folders(Some('/'), &["INBOX", "Error", "Inbox/Debug", "a.b", "Gel&APY-scht"]);
        assert_eq!(folders.resolve("error"), existing("Error"));
        assert_eq!(folders.resolve("INBOX.debug"), existing("Inbox/Debug"));
        assert_eq!(folders.resolve("a.b"), existing("a.b"));
        assert_eq!(folders.resolve("GELÖSCHT"), existing("Gel&APY-scht"));
        assert_eq!(folders.resolve("inbox"), existing("INBOX"));
        assert_eq!(folders.resolve("errors"), missing("errors"));
    }

    #[test]
    fn the_same_case_is_preferred() {
        assert_eq!(folders(Some('/'), &["ERROR", "error"]).resolve("error"), existing("error"));
    }

    #[test]
    fn names_are_encoded_as_the_rfc_shows() {
        // The examples of RFC 3501 §5.1.3 and RFC 2152.
        for (name, encoded) in [
            ("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
            ("Gelöschte Elemente", "Gel&APY-schte Elemente"),
            ("Fehler & Co", "Fehler &- Co"),
            ("😀", "&2D3eAA-"),
            ("tab\there", "tab&AAk-here"),
        ] {
            assert_eq!(encode_utf7(name), encoded);
            assert_eq!(decode_utf7(encoded).as_deref(), Some(name));
        }
        for broken in ["&", "&U,", "&U-", "&2D0-", "&!!!-"] {
            assert_eq!(decode_utf7(broken), None, "{broken}");
        }
    }

    #[test]
    fn a_quoted_name_cannot_end_its_command() {
        assert_eq!(quote(r#"a"b\c"#), r#""a\"b\\c""#);
        assert_eq!(quote(&encode_utf7("a\r\nb")), "\"a&AA0ACg-b\"");
    }
}
