//! What a FETCH asks for (RFC 3501 §6.4.5), and the data of one mail.

use crate::store::{Content, Folder, date_time};

use super::mime::{Entity, chosen_fields};
use super::syntax::{Args, Read, Unreadable};

pub(crate) enum Item {
    Uid,
    Flags,
    InternalDate,
    Size,
    Envelope,
    /// BODY or BODYSTRUCTURE.
    Structure {
        extended: bool,
    },
    Section {
        /// What the answer calls it.
        label: String,
        section: Section,
        partial: Option<(u32, u32)>,
        peek: bool,
    },
}

pub(crate) struct Section {
    path: Vec<usize>,
    text: Text,
}

enum Text {
    Whole,
    Header,
    Body,
    Mime,
    Fields(Vec<String>, bool),
}

/// The items of a FETCH; for UID FETCH the UID is always among them.
pub(crate) fn items(args: &mut Args, uid: bool) -> Read<Vec<Item>> {
    let mut items = Vec::new();
    if args.eat(b'(') {
        loop {
            item(args, &mut items)?;
            if args.eat(b')') {
                break;
            }
            args.space()?;
        }
    } else {
        item(args, &mut items)?;
    }
    args.end()?;
    if uid && !items.iter().any(|item| matches!(item, Item::Uid)) {
        items.insert(0, Item::Uid);
    }
    Ok(items)
}

impl Item {
    /// Whether it needs the mail converted.
    pub(crate) fn needs_content(&self) -> bool {
        !matches!(self, Self::Uid | Self::Flags | Self::InternalDate)
    }

    pub(crate) fn sets_seen(&self) -> bool {
        matches!(self, Self::Section { peek: false, .. })
    }
}

/// What is sent for one mail between the parentheses. The items of every other mail come in another order.
pub(crate) fn data(
    items: &[Item],
    folder: &Folder,
    uid: u32,
    number: u64,
    exact_size: bool,
    content: &Content,
) -> Vec<Vec<u8>> {
    let octets = if items.iter().any(Item::needs_content) { content.bytes() } else { (&[][..]).into() };
    let entity = std::cell::OnceCell::new();
    let entity = || entity.get_or_init(|| Entity::parse(&octets));
    let mut data: Vec<Vec<u8>> = items
        .iter()
        .map(|item| match item {
            Item::Uid => format!("UID {uid}").into_bytes(),
            Item::Flags => format!("FLAGS ({})", folder.flags(uid).join(" ")).into_bytes(),
            Item::InternalDate => {
                format!("INTERNALDATE \"{}\"", date_time(content.internal_date())).into_bytes()
            }
            Item::Size if exact_size => format!("RFC822.SIZE {}", octets.len()).into_bytes(),
            Item::Size => format!("RFC822.SIZE {}", estimate(octets.len(), uid)).into_bytes(),
            Item::Envelope => format!("ENVELOPE {}", entity().envelope()).into_bytes(),
            Item::Structure { extended: true } => {
                format!("BODYSTRUCTURE {}", entity().structure(true)).into_bytes()
            }
            Item::Structure { extended: false } => format!("BODY {}", entity().structure(false)).into_bytes(),
            Item::Section { label, section, partial, .. } => {
                let whole = section.path.is_empty() && matches!(section.text, Text::Whole);
                let found = if whole { Some(octets.to_vec()) } else { section.find(entity()) };
                with_literal(label, found, *partial)
            }
        })
        .collect();
    if number.is_multiple_of(2) {
        data.rotate_left(1);
    }
    data
}

impl Section {
    fn find(&self, mail: &Entity) -> Option<Vec<u8>> {
        let part = mail.part(&self.path)?;
        let message = if self.path.is_empty() { Some(part) } else { part.message() };
        match &self.text {
            Text::Whole => Some(part.body.to_vec()),
            Text::Mime => Some(part.header.to_vec()),
            Text::Header => message.map(|message| message.header.to_vec()),
            Text::Body => message.map(|message| message.body.to_vec()),
            Text::Fields(names, chosen) => {
                message.map(|message| chosen_fields(message.header, names, *chosen))
            }
        }
    }
}

fn item(args: &mut Args, items: &mut Vec<Item>) -> Read {
    let word = args.word()?.to_ascii_uppercase();
    match word.as_str() {
        "ALL" => items.extend([Item::Flags, Item::InternalDate, Item::Size, Item::Envelope]),
        "FAST" => items.extend([Item::Flags, Item::InternalDate, Item::Size]),
        "FULL" => items.extend([
            Item::Flags,
            Item::InternalDate,
            Item::Size,
            Item::Envelope,
            Item::Structure { extended: false },
        ]),
        "UID" => items.push(Item::Uid),
        "FLAGS" => items.push(Item::Flags),
        "INTERNALDATE" => items.push(Item::InternalDate),
        "RFC822.SIZE" => items.push(Item::Size),
        "ENVELOPE" => items.push(Item::Envelope),
        "BODYSTRUCTURE" => items.push(Item::Structure { extended: true }),
        "RFC822" => items.push(whole("RFC822", Text::Whole, false)),
        "RFC822.HEADER" => items.push(whole("RFC822.HEADER", Text::Header, true)),
        "RFC822.TEXT" => items.push(whole("RFC822.TEXT", Text::Body, false)),
        "BODY" | "BODY.PEEK" if args.peek() == Some(b'[') => items.push(section(args, word == "BODY.PEEK")?),
        "BODY" => items.push(Item::Structure { extended: false }),
        _ => return Err(Unreadable),
    }
    Ok(())
}

fn whole(label: &str, text: Text, peek: bool) -> Item {
    Item::Section { label: label.into(), section: Section { path: Vec::new(), text }, partial: None, peek }
}

/// RFC 3501 §9 `section`, and the partial after it.
fn section(args: &mut Args, peek: bool) -> Read<Item> {
    args.expect(b'[')?;
    let mut path = Vec::new();
    let mut label = String::from("BODY[");
    let text = loop {
        if args.eat(b']') {
            break Text::Whole;
        }
        if args.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            let number = args.number()?;
            label.push_str(&number.to_string());
            path.push(number as usize);
            if args.eat(b'.') {
                label.push('.');
            }
            continue;
        }
        let word = args.word()?.to_ascii_uppercase();
        label.push_str(&word);
        let text = match word.as_str() {
            "HEADER" => Text::Header,
            "TEXT" => Text::Body,
            "MIME" if !path.is_empty() => Text::Mime,
            "HEADER.FIELDS" | "HEADER.FIELDS.NOT" => {
                args.space()?;
                args.expect(b'(')?;
                let mut names = vec![args.text()?];
                while args.eat(b' ') {
                    names.push(args.text()?);
                }
                args.expect(b')')?;
                label.push_str(&format!(" ({})", names.join(" ")));
                Text::Fields(names, word == "HEADER.FIELDS")
            }
            _ => return Err(Unreadable),
        };
        args.expect(b']')?;
        break text;
    };
    label.push(']');
    let mut partial = None;
    if args.eat(b'<') {
        let from = args.number()?;
        args.expect(b'.')?;
        let count = args.number()?;
        args.expect(b'>')?;
        label.push_str(&format!("<{from}>"));
        partial = Some((from, count));
    }
    Ok(Item::Section { label, section: Section { path, text }, partial, peek })
}

fn with_literal(label: &str, octets: Option<Vec<u8>>, partial: Option<(u32, u32)>) -> Vec<u8> {
    let Some(mut octets) = octets else { return format!("{label} NIL").into_bytes() };
    if let Some((from, count)) = partial {
        octets.drain(..octets.len().min(from as usize));
        octets.truncate(count as usize);
    }
    let mut out = format!("{label} {{{}}}\r\n", octets.len()).into_bytes();
    out.append(&mut octets);
    out
}

/// A size as Exchange gives it: near the truth, above it for some mails and below it for others.
fn estimate(size: usize, uid: u32) -> usize {
    let error = size / 40 + 11 + uid as usize % 7;
    if uid.is_multiple_of(2) { size.saturating_sub(error).max(1) } else { size + error }
}
