//! What is odd about the names in UM's files: those that nobody reads and that look like one that is read, and listeners
//! that are named without settings or have settings without being named.

use std::collections::{BTreeMap, HashSet};

use super::keys::{self, FILE_SUFFIX, Key, LISTENER_PREFIX, Listener};
use super::layers::{Layers, Value};
use super::problem::{Origin, Problem, Problems, Shown};
use crate::message;
use crate::text::Message;

/// Notes what concerns a mailbox; the primary one's is everything but what is wrong inside a listener's values.
pub(super) fn check(layers: &Layers, listener: Option<&str>, problems: &mut Problems) {
    // What is missing may stand in a file that was not read.
    if layers.problems.has_errors() {
        return;
    }
    let named = listeners(layers, problems);
    let is_named: HashSet<_> = named.iter().map(String::as_str).collect();
    let mut with_settings = BTreeMap::new();
    for (name, origin) in layers.names() {
        let owner = owner(name, &is_named);
        if let Some((owner, _)) = owner {
            with_settings.entry(owner).or_insert((name, origin));
        }
        if (listener.is_none() || owner.is_none_or(|(owner, _)| Some(owner) == listener))
            && let Some(meant) = lookalike(name, owner)
            && let Some((key, meant)) = as_written(name, meant, origin)
        {
            problems.warning(Problem {
                origin: Some(origin.clone()),
                key,
                what: message!(ConfigUnknownKey, meant = &meant),
                remedy: message!(ConfigUnknownKeyRemedy, meant = &meant),
            });
        }
    }
    if listener.is_some() {
        return;
    }
    for (owner, (name, origin)) in &with_settings {
        if !is_named.contains(owner) {
            let (shown, listeners) = (Shown(owner), keys::LISTENERS.name);
            problems.warning(Problem {
                origin: Some((*origin).clone()),
                key: (*name).to_owned(),
                what: message!(ConfigListenerNotNamed, name = shown, key = listeners),
                remedy: name_it(&named),
            });
        }
    }
    for name in &named {
        if !with_settings.contains_key(name.as_str()) && !has_settings(layers, name) {
            let shown = Shown(name);
            problems.warning(Problem {
                origin: layers
                    .value(keys::LISTENERS.name, &keys::LISTENERS, &mut Problems::default())
                    .map(|value| value.origin),
                key: keys::LISTENERS.name.to_owned(),
                what: message!(ConfigListenerWithoutSettings, name = shown),
                remedy: without_commas(&named).filter(|_| name.contains(',')).unwrap_or_else(|| {
                    message!(
                        ConfigListenerWithoutSettingsRemedy,
                        key = format!("{LISTENER_PREFIX}{name}.mail.imap.server")
                    )
                }),
            });
        }
    }
}

/// The key as it stands there, and the one that is meant as it is to be written there; `None`: it is read all the same.
fn as_written(name: &str, meant: String, origin: &Origin) -> Option<(String, String)> {
    let Origin::Environment(_) = origin else { return Some((name.to_owned(), meant)) };
    // Case does not count in the environment of Windows.
    let is_read = cfg!(windows) && name.eq_ignore_ascii_case(&meant);
    // The place is the name already.
    (!is_read).then(|| (String::new(), meant.replace('.', "__")))
}

/// The names in `cmsbs.bounce.listeners`, each once.
pub(super) fn listeners(layers: &Layers, problems: &mut Problems) -> Vec<String> {
    let value = layers.value(keys::LISTENERS.name, &keys::LISTENERS, problems);
    let text = value.as_ref().map(Value::text).unwrap_or_default();
    let mut known = HashSet::new();
    text.split_whitespace().filter(|name| known.insert(*name)).map(str::to_owned).collect()
}

/// What to do about a listener that is none of the named ones.
pub(super) fn name_it(named: &[impl AsRef<str>]) -> Message {
    let it = || message!(ConfigNameListener);
    without_commas(named).unwrap_or_else(it)
}

/// What to write where names are separated by commas, which are taken as parts of the names.
fn without_commas(named: &[impl AsRef<str>]) -> Option<Message> {
    if !named.iter().any(|name| name.as_ref().contains(',')) {
        return None;
    }
    let names = named.iter().flat_map(|name| name.as_ref().split(',')).filter(|name| !name.is_empty());
    let (listeners, names) = (keys::LISTENERS.name, names.collect::<Vec<_>>().join(" "));
    Some(message!(ConfigListenersWithoutCommas, key = listeners, names = names))
}

/// Settings that no file has: from the environment, or where UM is asked.
fn has_settings(layers: &Layers, listener: &str) -> bool {
    let mut names =
        keys::ALL.iter().flat_map(|key| key.names(Some(listener)).into_iter().map(move |name| (key, name)));
    names.any(|(key, name)| {
        name.starts_with(LISTENER_PREFIX) && layers.value(&name, key, &mut Problems::default()).is_some()
    })
}

/// The listener that a name belongs to, and what follows it. A listener that is named may have dots in its name.
fn owner<'a>(name: &'a str, named: &HashSet<&str>) -> Option<(&'a str, &'a str)> {
    let rest = name.strip_prefix(LISTENER_PREFIX)?;
    let splits =
        || rest.match_indices('.').filter_map(|(dot, _)| Some((rest.get(..dot)?, rest.get(dot + 1..)?)));
    let is_named = |(owner, _): &(&str, &str)| named.contains(owner);
    splits().take(MOST_LEVELS).filter(is_named).last().or_else(|| splits().next())
}

/// The key that is meant by a name that is none.
fn lookalike(name: &str, owner: Option<(&str, &str)>) -> Option<String> {
    let (name, suffix) = match name.strip_suffix(FILE_SUFFIX) {
        Some(name) => (name, FILE_SUFFIX),
        None => (name, ""),
    };
    if name.len() > LONGEST || keys::ALL.iter().any(|key| key.name == name) {
        return None;
    }
    let meant = match owner {
        Some((owner, tail)) => of_listener(name, owner, tail.strip_suffix(FILE_SUFFIX).unwrap_or(tail)),
        None => misspelt_listener(name).or_else(|| of_primary(name)),
    };
    meant.map(|meant| format!("{meant}{suffix}"))
}

fn of_listener(name: &str, listener: &str, tail: &str) -> Option<String> {
    let own = |key: &&&Key| key.listener != Listener::Shared;
    if keys::ALL.iter().filter(own).any(|key| key.names(Some(listener)).iter().any(|known| known == name)) {
        return None;
    }
    let tail = strip_long_prefix(tail);
    let similar =
        keys::ALL.iter().filter(own).find(|key| same(tail, key_tail(key)) || close(tail, key_tail(key)));
    let key = similar.copied().or_else(|| by_last_segment(tail))?;
    key.names(Some(listener)).into_iter().next()
}

fn of_primary(name: &str) -> Option<String> {
    let mailbox = |key: &&&Key| key.listener != Listener::Shared || std::ptr::eq(**key, &keys::LISTENERS);
    let without = |name: &str| {
        let name = normal(name);
        name.strip_prefix("cmsbs").map(str::to_owned).unwrap_or(name)
    };
    let same = keys::ALL.iter().find(|key| without(name) == without(key.name));
    let close = || keys::ALL.iter().filter(mailbox).find(|key| close(name, key.name));
    let ours = || OURS.iter().any(|ours| without(name).starts_with(ours));
    let key = same.or_else(close).copied().or_else(|| by_last_segment(name).filter(|_| ours()))?;
    Some(key.name.to_owned())
}

/// `cmsbs.bouncelistner.x.…`, `cmsbs.bounce.listener.x.…`, and `cmsbs.bouncelistener` in the place of `cmsbs.bounce.listeners`.
fn misspelt_listener(name: &str) -> Option<String> {
    let lower = name.to_ascii_lowercase();
    if near(&lower.replace('.', ""), &keys::LISTENERS.name.replace('.', "")) {
        return Some(keys::LISTENERS.name.to_owned());
    }
    let mut segments = name.splitn(3, '.');
    let (first, mut second, mut rest) = (segments.next()?, segments.next()?.to_owned(), segments.next()?);
    if second.eq_ignore_ascii_case("bounce") {
        let (third, after) = rest.split_once('.')?;
        second.push_str(third);
        rest = after;
    }
    let (listener, tail) = rest.split_once('.')?;
    if !same(first, "cmsbs") || !near(&second.to_ascii_lowercase(), "bouncelistener") {
        return None;
    }
    let corrected = format!("{LISTENER_PREFIX}{rest}");
    Some(of_listener(&corrected, listener, tail).unwrap_or(corrected))
}

/// A word that stands for one key wherever it stands.
fn by_last_segment(name: &str) -> Option<&'static Key> {
    let last = normal(name.rsplit('.').next()?);
    let key = |key: &&&Key| key_tail(key).rsplit('.').next().is_some_and(|word| normal(word) == last);
    let synonym = || SYNONYMS.iter().find(|(word, _)| *word == last).map(|(_, key)| *key);
    UNMISTAKABLE.iter().find(key).copied().or_else(synonym)
}

/// What follows a listener's name in the short form.
fn key_tail(key: &Key) -> &'static str {
    key.name.strip_prefix("cmsbs.bounce.").unwrap_or_else(|| strip_long_prefix(key.name))
}

fn strip_long_prefix(name: &str) -> &str {
    let name = name.strip_prefix("cmsbs.").unwrap_or(name);
    name.strip_prefix("mail.imap.").unwrap_or(name)
}

/// The same but for case, separators and `oauth` for `oauth2`.
fn same(one: &str, other: &str) -> bool {
    normal(one) == normal(other)
}

fn normal(name: &str) -> String {
    let letters = name.chars().filter(|c| !matches!(c, '.' | '_' | '-' | ' '));
    letters.collect::<String>().to_ascii_lowercase().replace("oauth2", "oauth")
}

/// Segment by segment within a typing error.
fn close(one: &str, other: &str) -> bool {
    let (one, other) = (one.to_ascii_lowercase(), other.to_ascii_lowercase());
    one.split('.').count() == other.split('.').count()
        && one.split('.').zip(other.split('.')).all(|(one, other)| near(one, other))
}

/// Within one typing error, in a long word two. Short words differ by one letter and mean another thing.
fn near(one: &str, other: &str) -> bool {
    let allowed = match other.len() {
        0..=3 => 0,
        4..=7 => 1,
        _ => 2,
    };
    one == other || one.len().abs_diff(other.len()) <= allowed && distance(one, other) <= allowed
}

/// Insertions, deletions and substitutions of octets between two words (Levenshtein), and swaps of neighbours.
fn distance(one: &str, other: &str) -> usize {
    let other = other.as_bytes();
    let mut before_last = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    let mut previous = None;
    for (row, byte) in one.bytes().enumerate() {
        let mut current = vec![row + 1];
        for (column, &wanted) in other.iter().enumerate() {
            let at = |row: &[usize], column: usize| row.get(column).copied().unwrap_or(usize::MAX - 1);
            let substituted = at(&last, column) + usize::from(byte != wanted);
            let mut least = substituted.min(at(&last, column + 1) + 1).min(at(&current, column) + 1);
            if let Some(left) = column.checked_sub(1)
                && previous == Some(wanted)
                && other.get(left) == Some(&byte)
            {
                least = least.min(at(&before_last, left) + 1);
            }
            current.push(least);
        }
        before_last = std::mem::replace(&mut last, current);
        previous = Some(byte);
    }
    last.last().copied().unwrap_or_default()
}

/// Dots that a listener's name may have.
const MOST_LEVELS: usize = 20;
/// No key is as long; what is longer was not mistyped.
const LONGEST: usize = 200;

/// What a name begins with that is meant for the mailbox, in the form of [`normal`] and without `cmsbs.`.
const OURS: [&str; 4] = ["mailimap", "imap", "oauth", "mailoauth"];

/// Keys whose last word no other setting of UM has.
static UNMISTAKABLE: [&Key; 8] = [
    &keys::ACCESS_TOKEN_URI,
    &keys::CLIENT_ID,
    &keys::CLIENT_SECRET,
    &keys::CLIENT_SECRET_EXPIRES,
    &keys::CLIENT_CERTIFICATE,
    &keys::CLIENT_ASSERTION_FILE,
    &keys::GRANT_TYPE,
    &keys::AUTHENTICATION_METHOD,
];

/// What others call it.
static SYNONYMS: [(&str, &Key); 13] = [
    ("host", &keys::SERVER),
    ("hostname", &keys::SERVER),
    ("username", &keys::USER),
    ("pass", &keys::PASSWORD),
    ("passwd", &keys::PASSWORD),
    ("auth", &keys::AUTHENTICATION_METHOD),
    ("authentication", &keys::AUTHENTICATION_METHOD),
    ("authmethod", &keys::AUTHENTICATION_METHOD),
    ("tenant", &keys::ACCESS_TOKEN_URI),
    ("tenantid", &keys::ACCESS_TOKEN_URI),
    ("tokenuri", &keys::ACCESS_TOKEN_URI),
    ("tokenurl", &keys::ACCESS_TOKEN_URI),
    ("tokenendpoint", &keys::ACCESS_TOKEN_URI),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn meant(name: &str) -> Option<String> {
        lookalike(name, owner(name, &HashSet::from(["my.box"])))
    }

    #[test]
    fn a_misspelt_key_is_recognised() {
        for (name, wanted) in [
            ("cmsbs.mail.imap.oauth2.clientID", "cmsbs.mail.imap.oauth2.clientId"),
            ("cmsbs.mail.imap.oauth.clientId", "cmsbs.mail.imap.oauth2.clientId"),
            ("cmsbs.mail.imap.clientId", "cmsbs.mail.imap.oauth2.clientId"),
            ("cmsbs.oauth2.client_secret$file", "cmsbs.mail.imap.oauth2.clientSecret$file"),
            ("oauth.clientId", "cmsbs.mail.imap.oauth2.clientId"),
            ("mail.imap.server", "cmsbs.mail.imap.server"),
            ("cmsbs.mail.imap.sever", "cmsbs.mail.imap.server"),
            ("cmsbs.mail.imap.host", "cmsbs.mail.imap.server"),
            ("cmsbs.mail.imap.oauth2.accesTokenUrl", "cmsbs.mail.imap.oauth2.accessTokenUri"),
            ("cmsbs.mail.imap.oauth2.tenantId", "cmsbs.mail.imap.oauth2.accessTokenUri"),
            ("cmsbs.mail.imap.folders.inbox", "cmsbs.mail.imap.folder.inbox"),
            ("cmsbs.mail.imap.folder.hard_bounce", "cmsbs.mail.imap.folder.hardbounce"),
            ("cmsbs.mial.imap.user", "cmsbs.mail.imap.user"),
            ("cmsbs.bounce.processall", "cmsbs.bounce.processAll"),
            ("CMSBS.LANG", "cmsbs.lang"),
            ("cmsbs.bouncelistner", "cmsbs.bounce.listeners"),
            ("cmsbs.bounce.listener", "cmsbs.bounce.listeners"),
            ("cmsbs.bouncelistner.x.mail.imap.user", "cmsbs.bouncelistener.x.mail.imap.user"),
            ("cmsbs.bounce.listener.x.oauth2.clientID", "cmsbs.bouncelistener.x.oauth2.clientId"),
            ("cmsbs.bounceListener.x.logfile", "cmsbs.bouncelistener.x.logfile"),
            ("cmsbs.bouncelistener.x.server", "cmsbs.bouncelistener.x.mail.imap.server"),
            ("cmsbs.bouncelistener.x.clientId", "cmsbs.bouncelistener.x.oauth2.clientId"),
            ("cmsbs.bouncelistener.my.box.oauth.scope", "cmsbs.bouncelistener.my.box.oauth2.scope"),
        ] {
            assert_eq!(meant(name).as_deref(), Some(wanted), "{name}");
        }
    }

    #[test]
    fn other_keys_of_um_are_left_alone() {
        for name in [
            "cmsbs.startbounce",
            "cmsbs.pid",
            "cmsbs.slavemode",
            "cmsbs.bounce.postmaster",
            "cmsbs.bounce.subject",
            "cmsbs.bounce.logfile",
            "cmsbs.bounce.userquery",
            "cmsbs.bounce.spam",
            "cmsbs.bounce.hardbounce",
            "cmsbs.bounce.hardbounce.max",
            "cmsbs.bounce.verp.envelopeFrom",
            "cmsbs.bounce.verp.envelopeToHeaders",
            "cmsbs.bouncelistener.x.userquery",
            "cmsbs.bouncelistener.x.logfile",
            "cmsbs.mail.smtp.server",
            "cmsbs.mail.smtp.port",
            "cmsbs.mail.smtp.user",
            "cmsbs.mail.smtp.password",
            "cmsbs.mail.smtp.oauth2.clientId",
            "cmsbs.mail.server",
            "cmsbs.mail.pop.server",
            "cmsbs.directory.conf",
            "cmsbs.db.user",
            "cmsbs.server.host",
            "",
            ".",
            "cmsbs.",
        ] {
            assert_eq!(meant(name), None, "{name}");
        }
    }

    #[test]
    fn every_key_is_itself_and_no_lookalike() {
        for listener in [None, Some("x"), Some("my.box")] {
            for name in keys::ALL.iter().flat_map(|key| key.names(listener)) {
                assert_eq!(meant(&name), None);
                assert_eq!(meant(&format!("{name}{FILE_SUFFIX}")), None);
            }
        }
    }

    #[test]
    fn a_typing_error_is_a_letter_more_less_other_or_swapped() {
        for (one, other, wanted) in [
            ("", "ab", 2),
            ("ab", "", 2),
            ("abc", "abc", 0),
            ("acb", "abc", 1),
            ("abd", "abc", 1),
            ("ab", "abc", 1),
        ] {
            assert_eq!(distance(one, other), wanted, "{one} {other}");
        }
    }
}
