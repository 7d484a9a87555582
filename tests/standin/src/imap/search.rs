//! SEARCH (RFC 3501 §6.4.4), by sets where it can be.

use roaring::RoaringBitmap;
use time::OffsetDateTime;

use crate::store::{Folder, parse_date};

use super::mime::{Entity, fields};
use super::syntax::{Args, Read, Unreadable};

/// Why a SEARCH is not answered.
pub(crate) enum Refused {
    Unreadable,
    /// Exchange searches in US-ASCII only.
    Charset,
}

/// The UIDs of the mails in view that match all of the criteria.
pub(crate) fn search(
    args: &mut Args,
    folder: &Folder,
    view: &RoaringBitmap,
) -> Result<RoaringBitmap, Refused> {
    if args.0.len() > 8 && args.0[..8].eq_ignore_ascii_case(b"CHARSET ") {
        args.0 = &args.0[8..];
        let charset = args.text()?;
        args.space()?;
        if !charset.eq_ignore_ascii_case("US-ASCII") {
            return Err(Refused::Charset);
        }
    }
    if !args.0.is_ascii() {
        return Err(Refused::Charset);
    }
    let mut found = key(args, folder, view)?;
    while args.eat(b' ') {
        found &= key(args, folder, view)?;
    }
    args.end()?;
    Ok(found)
}

impl From<Unreadable> for Refused {
    fn from(_: Unreadable) -> Self {
        Self::Unreadable
    }
}

fn key(args: &mut Args, folder: &Folder, view: &RoaringBitmap) -> Read<RoaringBitmap> {
    if args.eat(b'(') {
        let mut found = key(args, folder, view)?;
        while args.eat(b' ') {
            found &= key(args, folder, view)?;
        }
        args.expect(b')')?;
        return Ok(found);
    }
    if args.peek().is_some_and(|byte| byte.is_ascii_digit() || byte == b'*') {
        return args.set()?.numbered(view);
    }
    let word = args.word()?.to_ascii_uppercase();
    let flagged = |flag: &str| folder.flagged(flag) & view;
    let found = match word.as_str() {
        "ALL" | "OLD" => view.clone(),
        "NEW" | "RECENT" => RoaringBitmap::new(),
        "SEEN" | "ANSWERED" | "DELETED" | "DRAFT" | "FLAGGED" => flagged(&format!("\\{word}")),
        "UNSEEN" | "UNANSWERED" | "UNDELETED" | "UNDRAFT" | "UNFLAGGED" => {
            view - flagged(&format!("\\{}", &word[2..]))
        }
        "KEYWORD" | "UNKEYWORD" => {
            args.space()?;
            let marked = flagged(args.atom()?);
            if word == "KEYWORD" { marked } else { view - marked }
        }
        "UID" => {
            args.space()?;
            args.set()?.uids(view)
        }
        "NOT" => {
            args.space()?;
            view - key(args, folder, view)?
        }
        "OR" => {
            args.space()?;
            let one = key(args, folder, view)?;
            args.space()?;
            one | key(args, folder, view)?
        }
        _ => return by_content(&word, args, folder, view),
    };
    Ok(found)
}

/// Reads a key for which each message is looked at.
fn by_content(word: &str, args: &mut Args, folder: &Folder, view: &RoaringBitmap) -> Read<RoaringBitmap> {
    let each =
        |wanted: &dyn Fn(u32) -> bool| view.iter().filter(|uid| wanted(*uid)).collect::<RoaringBitmap>();
    let octets = |uid| folder.content(uid).map(|content| content.bytes().into_owned()).unwrap_or_default();
    let found = match word {
        "LARGER" | "SMALLER" => {
            args.space()?;
            let limit = args.number()? as usize;
            each(&|uid| {
                let size = octets(uid).len();
                if word == "LARGER" { size > limit } else { size < limit }
            })
        }
        "BEFORE" | "ON" | "SINCE" | "SENTBEFORE" | "SENTON" | "SENTSINCE" => {
            args.space()?;
            let day = parse_date(&args.text()?).ok_or(Unreadable)?;
            each(&|uid| {
                let arrived = folder.content(uid).map_or(0, |content| content.internal_date());
                let arrived = OffsetDateTime::from_unix_timestamp(arrived).map(OffsetDateTime::date);
                arrived.is_ok_and(|arrived| match word.trim_start_matches("SENT") {
                    "BEFORE" => arrived < day,
                    "ON" => arrived == day,
                    _ => arrived >= day,
                })
            })
        }
        "FROM" | "TO" | "CC" | "BCC" | "SUBJECT" | "HEADER" => {
            args.space()?;
            let name = if word == "HEADER" {
                let name = args.text()?;
                args.space()?;
                name
            } else {
                word.to_owned()
            };
            let wanted = args.text()?;
            each(&|uid| {
                fields(Entity::parse(&octets(uid)).header).any(|(field, line)| {
                    field.eq_ignore_ascii_case(name.as_bytes()) && contains(line, &wanted)
                })
            })
        }
        "BODY" | "TEXT" => {
            args.space()?;
            let wanted = args.text()?;
            each(&|uid| {
                let octets = octets(uid);
                contains(if word == "TEXT" { &octets } else { Entity::parse(&octets).body }, &wanted)
            })
        }
        _ => return Err(Unreadable),
    };
    Ok(found)
}

fn contains(octets: &[u8], wanted: &str) -> bool {
    wanted.is_empty()
        || octets.windows(wanted.len()).any(|window| window.eq_ignore_ascii_case(wanted.as_bytes()))
}
