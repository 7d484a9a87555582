//! The parts of a mail, for sections, ENVELOPE and BODYSTRUCTURE.

use super::syntax::quoted;

/// An entity: a mail, or a part of one. Its children are what RFC 3501 §6.4.5 numbers.
pub(crate) struct Entity<'a> {
    pub(crate) header: &'a [u8],
    pub(crate) body: &'a [u8],
    pub(crate) children: Vec<Entity<'a>>,
    type_: String,
    subtype: String,
    parameters: Vec<(String, String)>,
}

impl<'a> Entity<'a> {
    pub(crate) fn parse(octets: &'a [u8]) -> Self {
        Self::nested(octets, 0)
    }

    fn nested(octets: &'a [u8], depth: usize) -> Self {
        let (header, body) = split_header(octets);
        let (type_, subtype, parameters) = content_type(header);
        let mut entity = Self { header, body, children: Vec::new(), type_, subtype, parameters };
        if depth < MAX_DEPTH {
            entity.children = if entity.type_ == "MULTIPART" {
                let boundary = entity.parameters.iter().find(|(name, _)| name == "BOUNDARY");
                let parts = boundary.map(|(_, boundary)| split_parts(body, boundary)).unwrap_or_default();
                parts.into_iter().map(|part| Self::nested(part, depth + 1)).collect()
            } else if entity.is_message() {
                vec![Self::nested(body, depth + 1)]
            } else {
                Vec::new()
            };
        }
        if entity.type_ == "MULTIPART" && entity.children.is_empty() {
            // A multipart without parts has no BODYSTRUCTURE; Exchange makes it text as well.
            (entity.type_, entity.subtype, entity.parameters) = plain_text();
        }
        entity
    }

    /// The part with this number, `[1, 2]` being `1.2`.
    pub(crate) fn part(&self, path: &[usize]) -> Option<&Self> {
        let Some((number, rest)) = path.split_first() else { return Some(self) };
        if self.is_message() {
            return self.children.first()?.part(path);
        }
        if self.type_ == "MULTIPART" {
            return self.children.get(number.checked_sub(1)?)?.part(rest);
        }
        if *number == 1 && rest.is_empty() { Some(self) } else { None }
    }

    /// The mail inside a `message/rfc822` part.
    pub(crate) fn message(&self) -> Option<&Self> {
        if self.is_message() { self.children.first() } else { None }
    }

    /// RFC 3501 §7.4.2 `ENVELOPE`.
    pub(crate) fn envelope(&self) -> String {
        let text = |name| nstring(self.field(name));
        let from = self.field("From");
        let or_from = |name| addresses(self.field(name).or(from));
        format!(
            "({} {} {} {} {} {} {} {} {} {})",
            text("Date"),
            text("Subject"),
            addresses(from),
            or_from("Sender"),
            or_from("Reply-To"),
            addresses(self.field("To")),
            addresses(self.field("Cc")),
            addresses(self.field("Bcc")),
            text("In-Reply-To"),
            text("Message-ID")
        )
    }

    /// RFC 3501 §7.4.2 `BODYSTRUCTURE`; without `extended` that of `BODY`.
    pub(crate) fn structure(&self, extended: bool) -> String {
        if self.type_ == "MULTIPART" {
            let parts: String = self.children.iter().map(|part| part.structure(extended)).collect();
            let extension = if extended {
                format!(" {} {} NIL", parameters(&self.parameters), self.disposition())
            } else {
                String::new()
            };
            return format!("({parts} {}{extension})", quoted(self.subtype.as_bytes()));
        }
        let encoding = self.field("Content-Transfer-Encoding");
        let encoding = encoding.map(|value| String::from_utf8_lossy(value).trim().to_ascii_uppercase());
        let mut out = format!(
            "({} {} {} {} {} {} {}",
            quoted(self.type_.as_bytes()),
            quoted(self.subtype.as_bytes()),
            parameters(&self.parameters),
            nstring(self.field("Content-ID")),
            nstring(self.field("Content-Description")),
            quoted(encoding.filter(|value| !value.is_empty()).unwrap_or("7BIT".into()).as_bytes()),
            self.body.len()
        );
        let lines = self.body.iter().filter(|byte| **byte == b'\n').count();
        if let Some(message) = self.message() {
            out.push_str(&format!(" {} {} {lines}", message.envelope(), message.structure(extended)));
        } else if self.type_ == "TEXT" {
            out.push_str(&format!(" {lines}"));
        }
        if extended {
            out.push_str(&format!(" NIL {} NIL", self.disposition()));
        }
        out.push(')');
        out
    }

    fn is_message(&self) -> bool {
        self.type_ == "MESSAGE" && self.subtype == "RFC822"
    }

    fn field(&self, name: &str) -> Option<&'a [u8]> {
        fields(self.header).find(|(field, _)| field.eq_ignore_ascii_case(name.as_bytes())).map(|(_, line)| {
            let colon = line.iter().position(|byte| *byte == b':').map_or(line.len(), |at| at + 1);
            &line[colon..]
        })
    }

    fn disposition(&self) -> String {
        let Some(value) = self.field("Content-Disposition") else { return "NIL".into() };
        let (kind, rest) = parse_parameters(&unfold(value));
        format!("({} {})", quoted(kind.to_ascii_uppercase().as_bytes()), parameters(&rest))
    }
}

/// The header fields with these names (or all but these), and the empty line.
pub(crate) fn chosen_fields(header: &[u8], names: &[String], chosen: bool) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, line) in fields(header) {
        if names.iter().any(|wanted| wanted.as_bytes().eq_ignore_ascii_case(name)) == chosen {
            out.extend_from_slice(line);
        }
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// The header's fields: the name, and the whole of it with its line ends.
pub(crate) fn fields(header: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = header;
    std::iter::from_fn(move || {
        if rest.is_empty() || rest == b"\r\n" || rest == b"\n" {
            return None;
        }
        let mut end = 0;
        loop {
            end += rest[end..].iter().position(|byte| *byte == b'\n').map_or(rest.len() - end, |at| at + 1);
            if !matches!(rest.get(end), Some(b' ' | b'\t')) {
                break;
            }
        }
        let (line, after) = rest.split_at(end);
        rest = after;
        let name = line.iter().position(|byte| *byte == b':').map_or(&line[..0], |at| &line[..at]);
        Some((name.trim_ascii_end(), line))
    })
}

/// The header with the empty line that ends it, and the rest.
fn split_header(octets: &[u8]) -> (&[u8], &[u8]) {
    let mut at = 0;
    while at < octets.len() {
        let line_end =
            octets[at..].iter().position(|byte| *byte == b'\n').map_or(octets.len(), |end| at + end + 1);
        if matches!(&octets[at..line_end], b"\r\n" | b"\n") {
            return octets.split_at(line_end);
        }
        at = line_end;
    }
    (octets, &[])
}

/// What stands between the lines with the boundary.
fn split_parts<'a>(body: &'a [u8], boundary: &str) -> Vec<&'a [u8]> {
    let delimiter = format!("--{boundary}");
    let mut parts = Vec::new();
    let mut start = None;
    let mut at = 0;
    while at < body.len() {
        let line_end =
            body[at..].iter().position(|byte| *byte == b'\n').map_or(body.len(), |end| at + end + 1);
        let line = body[at..line_end].trim_ascii_end();
        if let Some(after) = line.strip_prefix(delimiter.as_bytes())
            && (after.is_empty() || after == b"--")
        {
            if let Some(start) = start {
                let part: &[u8] = &body[start..at];
                parts.push(part.strip_suffix(b"\r\n").or(part.strip_suffix(b"\n")).unwrap_or(part));
            }
            start = after.is_empty().then_some(line_end);
            if start.is_none() {
                return parts;
            }
        }
        at = line_end;
    }
    parts.extend(start.map(|start| &body[start..]));
    parts
}

fn content_type(header: &[u8]) -> (String, String, Vec<(String, String)>) {
    let field = fields(header).find(|(name, _)| name.eq_ignore_ascii_case(b"Content-Type"));
    let Some((_, line)) = field else { return plain_text() };
    let text = unfold(line);
    let Some((_, value)) = text.split_once(':') else { return plain_text() };
    let (kind, parameters) = parse_parameters(value);
    match kind.to_ascii_uppercase().split_once('/') {
        Some((type_, subtype)) if !type_.is_empty() && !subtype.is_empty() => {
            (type_.into(), subtype.into(), parameters)
        }
        _ => plain_text(),
    }
}

fn plain_text() -> (String, String, Vec<(String, String)>) {
    ("TEXT".into(), "PLAIN".into(), vec![("CHARSET".into(), "us-ascii".into())])
}

/// `multipart/mixed; boundary="x"`: the value, and its parameters with names in upper case.
fn parse_parameters(text: &str) -> (String, Vec<(String, String)>) {
    let mut pieces = Vec::new();
    let mut piece = String::new();
    let mut in_quotes = false;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => in_quotes = !in_quotes,
            '\\' if in_quotes => piece.extend(characters.next()),
            ';' if !in_quotes => pieces.push(std::mem::take(&mut piece)),
            other => piece.push(other),
        }
    }
    pieces.push(piece);
    let mut pieces = pieces.into_iter();
    let value = pieces.next().unwrap_or_default().trim().to_owned();
    let parameters = pieces
        .filter_map(|piece| {
            let (name, value) = piece.split_once('=')?;
            Some((name.trim().to_ascii_uppercase(), value.trim().to_owned()))
        })
        .collect();
    (value, parameters)
}

fn parameters(parameters: &[(String, String)]) -> String {
    if parameters.is_empty() {
        return "NIL".into();
    }
    let pairs: Vec<String> = parameters
        .iter()
        .map(|(name, value)| format!("{} {}", quoted(name.as_bytes()), nstring(Some(value.as_bytes()))))
        .collect();
    format!("({})", pairs.join(" "))
}

/// RFC 3501 §7.4.2: a list of (name route mailbox host), as far as a list split at commas goes.
fn addresses(field: Option<&[u8]>) -> String {
    let Some(field) = field else { return "NIL".into() };
    let text = unfold(field);
    let mut list = Vec::new();
    let (mut in_quotes, mut in_angle, mut start) = (false, false, 0);
    for (at, character) in text.char_indices() {
        match character {
            '"' => in_quotes = !in_quotes,
            '<' if !in_quotes => in_angle = true,
            '>' if !in_quotes => in_angle = false,
            ',' if !in_quotes && !in_angle => {
                list.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    list.push(&text[start..]);
    let list: String = list.into_iter().filter_map(address).collect();
    if list.is_empty() { "NIL".into() } else { format!("({list})") }
}

fn address(text: &str) -> Option<String> {
    let (name, address) = match text.rsplit_once('<') {
        Some((name, rest)) => (name.trim().trim_matches('"').replace("\\\"", "\""), rest.split('>').next()?),
        None => (String::new(), text),
    };
    let address = address.trim();
    let (mailbox, host) = address.rsplit_once('@').unwrap_or((address, ""));
    if mailbox.is_empty() && host.is_empty() {
        return None;
    }
    let name = if name.is_empty() { None } else { Some(name.as_bytes()) };
    Some(format!(
        "({} NIL {} {})",
        nstring(name),
        nstring(Some(mailbox.as_bytes())),
        nstring(Some(host.as_bytes()))
    ))
}

/// RFC 3501 §9 `nstring`: quoted if it can be, else a literal; without the line ends of folding.
fn nstring(value: Option<&[u8]>) -> String {
    let Some(value) = value else { return "NIL".into() };
    let text = unfold(value);
    let text = text.trim();
    if text.is_ascii() && !text.contains(['\r', '\n', '\0']) {
        quoted(text.as_bytes())
    } else {
        let text = text.replace('\0', "");
        format!("{{{}}}\r\n{text}", text.len())
    }
}

fn unfold(value: &[u8]) -> String {
    String::from_utf8_lossy(value).replace(['\r', '\n'], "").replace('\t', " ")
}

/// Deeper parts stay unparsed.
const MAX_DEPTH: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &[u8] =
        b"From: \"A, B\" <a@x.example>\r\nTo: b@y.example, C <c@z.example>\r\nSubject: s\r\n\
        Content-Type: multipart/report; boundary=\"q;q\"\r\n\r\npreamble\r\n--q;q\r\n\r\none\r\n--q;q\r\n\
        Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nbody\r\n\r\n--q;q--\r\nepilogue\r\n";

    #[test]
    fn parts_are_found_by_number() {
        let mail = Entity::parse(REPORT);
        assert_eq!(mail.part(&[1]).unwrap().body, b"one");
        assert_eq!(mail.part(&[2]).unwrap().body, b"Subject: inner\r\n\r\nbody\r\n");
        assert_eq!(mail.part(&[2]).unwrap().message().unwrap().body, b"body\r\n");
        assert_eq!(mail.part(&[2, 1]).unwrap().body, b"body\r\n");
        assert!(mail.part(&[3]).is_none());
    }

    #[test]
    fn an_envelope_knows_names_and_addresses() {
        let envelope = Entity::parse(REPORT).envelope();
        assert!(envelope.contains("((\"A, B\" NIL \"a\" \"x.example\"))"), "{envelope}");
        assert!(
            envelope.contains("((NIL NIL \"b\" \"y.example\")(\"C\" NIL \"c\" \"z.example\"))"),
            "{envelope}"
        );
    }

    #[test]
    fn chosen_fields_keep_their_octets() {
        let header = b"A: 1\r\nB: 2\r\n 3\r\nC: 4\r\n\r\n";
        assert_eq!(chosen_fields(header, &["b".into()], true), b"B: 2\r\n 3\r\n\r\n");
        assert_eq!(chosen_fields(header, &["b".into()], false), b"A: 1\r\nC: 4\r\n\r\n");
    }
}
