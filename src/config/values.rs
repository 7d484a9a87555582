//! The text of a value → what it means, or what is wrong with it.

use std::net::Ipv6Addr;
use std::time::Duration;

use chrono::NaiveDate;
use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;
use ureq::http::Uri;

use super::keys::{Key, Kind};
use super::problem::Shown;
use super::{Language, Proxy, Security};
use crate::message;
use crate::text::Message;

/// What is wrong with a value, and what to write instead.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub what: Message,
    pub remedy: Message,
}

type Parsed<T> = Result<T, Wrong>;

pub(super) fn any(text: &str) -> Parsed<String> {
    Ok(text.to_owned())
}

/// A host name (RFC 1123 §2.1, and underscores) or an IP address.
pub(super) fn host(text: &str) -> Parsed<String> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if bare.parse::<Ipv6Addr>().is_ok() {
        return Ok(bare.to_owned());
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    if name.len() <= 253 && name.split('.').all(label) {
        return Ok(text.to_owned());
    }
    let shown = Shown(text);
    Err(Wrong { what: message!(ConfigHost, value = shown), remedy: message!(ConfigHostRemedy) })
}

pub(super) fn port(text: &str) -> Parsed<u16> {
    text.parse().ok().filter(|&port| port != 0).ok_or_else(|| {
        let shown = Shown(text);
        Wrong { what: message!(ConfigPort, value = shown), remedy: message!(ConfigPortRemedy) }
    })
}

pub(super) fn language(text: &str) -> Parsed<Language> {
    one_of(text, &[("de", Language::German), ("en", Language::English)])
}

pub(super) fn truth(text: &str) -> Parsed<bool> {
    one_of(text, &[("true", true), ("false", false)])
}

pub(super) fn security(text: &str) -> Parsed<Security> {
    one_of(text, &[("true", Security::Tls), ("tls", Security::StartTls), ("false", Security::Plain)])
}

/// One of the words, whatever their case.
pub(super) fn one_of<T: Copy>(text: &str, words: &[(&str, T)]) -> Parsed<T> {
    words.iter().find(|(word, _)| word.eq_ignore_ascii_case(text)).map(|&(_, meaning)| meaning).ok_or_else(
        || {
            let shown = Shown(text);
            let known = words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(" | ");
            Wrong {
                what: message!(ConfigNotUnderstood, value = shown),
                remedy: message!(ConfigOneOf, values = known),
            }
        },
    )
}

/// A folder, as UM's administrator writes it.
pub(super) fn folder(text: &str) -> Parsed<String> {
    let shown = Shown(text);
    if text.split('.').any(|level| level.trim().is_empty()) {
        return Err(Wrong {
            what: message!(ConfigFolderLevel, value = shown),
            remedy: message!(ConfigFolderLevelRemedy),
        });
    }
    // The replacement character stands for what was no character.
    if let Some(odd) = text.chars().find(|&c| c.is_control() || c == char::REPLACEMENT_CHARACTER) {
        let code = u32::from(odd);
        return Err(Wrong {
            what: message!(ConfigFolderCharacter, value = shown, code = format!("{code:04X}")),
            remedy: message!(ConfigFolderCharacterRemedy),
        });
    }
    let length = text.chars().count();
    if length > FOLDER {
        return Err(Wrong {
            what: message!(ConfigFolderLength, value = shown, length = length),
            remedy: message!(ConfigFolderLengthRemedy, most = FOLDER),
        });
    }
    Ok(text.to_owned())
}

/// Characters of a folder's name: in modified UTF-7 it still fits a line of commands beside a set of UIDs (RFC 7162 §4), and a
/// line of the journal.
const FOLDER: usize = 500;

/// An `https` URL; the bearer of the credential goes nowhere else.
pub(super) fn https_url(text: &str) -> Parsed<String> {
    let wrong = |what| Wrong { what, remedy: message!(ConfigTokenUriRemedy) };
    // A user and password, or a signature in the query, must not get into a message.
    let shown = Shown(if text.contains(['@', '?']) { "…" } else { text });
    let Ok(uri) = text.parse::<Uri>() else {
        return Err(wrong(message!(ConfigNoUrl, value = shown)));
    };
    let clean = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`{|}#".contains(&byte));
    let Some(host_name) = uri.host().filter(|host| !host.is_empty() && clean) else {
        return Err(wrong(message!(ConfigNoHttpsUrl, value = shown)));
    };
    if uri.scheme_str() != Some("https") {
        return Err(wrong(message!(ConfigNotHttps, value = shown)));
    }
    host(host_name)?;
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(wrong(message!(ConfigUrlWithUser)));
    }
    Ok(text.to_owned())
}

/// `http://user:password@host:port/`, which stands in `name`; user and password may be percent-encoded. Nothing of it gets into
/// a message.
pub(super) fn proxy(text: &str, name: &str) -> Parsed<Proxy> {
    let wrong = || Wrong { what: message!(ConfigProxy), remedy: message!(ConfigProxyRemedy) };
    let rest = match text.split_once("://") {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => rest,
        Some(_) => return Err(wrong()),
        None => text,
    };
    let (user, address) = match rest.rsplit_once('@') {
        Some((user, address)) => (Some(user), address),
        None => (None, rest),
    };
    let address = address.strip_suffix('/').unwrap_or(address);
    let (host_name, number) = match address.rsplit_once(':') {
        Some((host_name, number)) if !number.ends_with(']') => {
            (host_name, number.parse().ok().filter(|&port| port != 0))
        }
        _ => (address, Some(80)),
    };
    let credentials = user.map(|user| {
        let (user, password) = user.split_once(':').unwrap_or((user, ""));
        Some((percent_decoded(user)?.to_string(), SecretString::from(percent_decoded(password)?.as_str())))
    });
    let credentials = match credentials {
        Some(credentials) => Some(credentials.ok_or_else(wrong)?),
        None => None,
    };
    Ok(Proxy {
        set_by: name.to_owned(),
        host: host(host_name).map_err(|_| wrong())?,
        port: number.ok_or_else(wrong)?,
        credentials,
    })
}

/// `none` or a proxy.
pub(super) fn none_or_proxy(text: &str, name: &str) -> Parsed<Option<Proxy>> {
    if text.eq_ignore_ascii_case("none") { Ok(None) } else { proxy(text, name).map(Some) }
}

/// Octets, also in units of 1024.
pub(super) fn size(text: &str) -> Parsed<usize> {
    let upper = text.to_ascii_uppercase();
    let unit = upper.trim_start_matches(|c: char| c.is_ascii_digit());
    let factor = match unit.trim() {
        "" | "B" => Some(1usize),
        "K" | "KB" | "KIB" => Some(1 << 10),
        "M" | "MB" | "MIB" => Some(1 << 20),
        "G" | "GB" | "GIB" => Some(1 << 30),
        _ => None,
    };
    let number = upper.strip_suffix(unit).and_then(|number| number.parse::<usize>().ok());
    number
        .zip(factor)
        .and_then(|(number, factor)| number.checked_mul(factor))
        .filter(|size| (LEAST_BUFFER..=MOST_BUFFER).contains(size))
        .ok_or_else(|| {
            let shown = Shown(text);
            Wrong { what: message!(ConfigSize, value = shown), remedy: message!(ConfigSizeRemedy) }
        })
}

/// A number within the limits of its key.
pub(super) fn number(key: &Key) -> impl Fn(&str) -> Parsed<usize> {
    let (least, most) = match key.kind {
        Kind::Number(least, most) => (least, most),
        _ => (0, u32::MAX),
    };
    move |text| {
        let number = text.parse::<u32>().ok().filter(|number| (least..=most).contains(number));
        number.and_then(|number| usize::try_from(number).ok()).ok_or_else(|| {
            let shown = Shown(text);
            Wrong {
                what: message!(ConfigNotUnderstood, value = shown),
                remedy: message!(ConfigNumberRemedy, least = least, most = most),
            }
        })
    }
}

/// Seconds, minutes or hours.
pub fn duration(text: &str) -> Parsed<Duration> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let factor = match unit.trim() {
        "" | "s" => Some(1),
        "m" | "min" => Some(60),
        "h" => Some(3600),
        _ => None,
    };
    let number = text.strip_suffix(unit).and_then(|number| number.parse::<u64>().ok());
    number
        .zip(factor)
        .and_then(|(number, factor)| number.checked_mul(factor))
        .filter(|seconds| (1..=MOST_SECONDS).contains(seconds))
        .map(Duration::from_secs)
        .ok_or_else(|| {
            let shown = Shown(text);
            Wrong { what: message!(ConfigDuration, value = shown), remedy: message!(ConfigDurationRemedy) }
        })
}

/// The last day of a secret.
pub(super) fn date(text: &str) -> Parsed<NaiveDate> {
    NaiveDate::parse_from_str(text, "%Y-%m-%d").map_err(|_| {
        let shown = Shown(text);
        Wrong { what: message!(ConfigDate, value = shown), remedy: message!(ConfigDateRemedy) }
    })
}

/// Whether `cmsbs.noproxy` names the host: itself, or a `.domain` that it is in.
pub(super) fn is_excepted(host: &str, exceptions: &str) -> bool {
    let host = host.to_ascii_lowercase();
    exceptions.split([' ', '\t', ',']).filter(|word| !word.is_empty()).any(|word| {
        let word = word.to_ascii_lowercase();
        host == word || word.starts_with('.') && (host.ends_with(&word) || word.get(1..) == Some(&host))
    })
}

/// Whether somebody has forgotten to put a value in the place of a manual's word: `<tenant_id>`, `your-client-id`,
/// `${CLIENT_SECRET}`, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`.
pub fn is_placeholder(text: &str) -> bool {
    let text = text.trim();
    let angled = text.strip_prefix('<').and_then(|rest| rest.strip_suffix('>'));
    if angled.is_some_and(|inner| !inner.contains(['<', '>'])) {
        return true;
    }
    let wrapped =
        [("${", "}"), ("{{", "}}"), ("{", "}"), ("%7b", "%7d"), ("[", "]"), ("%", "%"), ("$(", ")")];
    let lower = text.to_ascii_lowercase();
    let inner = wrapped.iter().find_map(|(open, close)| lower.strip_prefix(open)?.strip_suffix(close));
    let is_word = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.chars().all(|c| c.is_alphanumeric() || "_-. ".contains(c))
    };
    if inner.is_some_and(|inner| is_word(inner) && !lower.starts_with("[")) {
        return true;
    }
    let word: String = inner.unwrap_or(&lower).chars().filter(|c| !"_-. ".contains(*c)).collect();
    let name = ["your", "my", "the", "ihre", "ihr", "deine", "dein", "enter"]
        .iter()
        .find_map(|pronoun| word.strip_prefix(pronoun).filter(|rest| !rest.is_empty()));
    let is_name = |word: &str| PLACEHOLDERS.contains(&word);
    let is_filler = |filler: char| word.len() >= 3 && word.chars().all(|c| c == filler);
    is_name(&word)
        || name.is_some_and(is_name)
        || ['x', '*', '…', '?'].into_iter().any(is_filler)
        || looks_like_guid(&lower) && is_filler('0')
        || is_filler_guid(&lower)
}

/// `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`, with whatever letter or sign.
fn is_filler_guid(text: &str) -> bool {
    let groups: Vec<_> = text.split('-').collect();
    let first = text.chars().next().filter(|c| !c.is_ascii_hexdigit());
    groups.iter().map(|group| group.chars().count()).eq([8, 4, 4, 4, 12])
        && first.is_some_and(|first| text.chars().all(|c| c == '-' || c == first))
}

/// The words of UM's, Microsoft's and our own instructions, in small letters without separators.
const PLACEHOLDERS: [&str; 25] = [
    "tenantid",
    "tenantname",
    "tenant",
    "mandant",
    "mandantenid",
    "directoryid",
    "directory(tenant)id",
    "verzeichnisid",
    "clientid",
    "applicationid",
    "application(client)id",
    "appid",
    "anwendungsid",
    "clientsecret",
    "clientsecretvalue",
    "secretvalue",
    "secretid",
    "mailboxname",
    "mailboxaddress",
    "enterpriseobjectid",
    "objectid",
    "placeholder",
    "platzhalter",
    "changeme",
    "todo",
];

pub(super) fn looks_like_guid(text: &str) -> bool {
    let groups: Vec<_> = text.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.iter().all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn percent_decoded(text: &str) -> Option<Zeroizing<String>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        match (byte, tail) {
            (b'%', [high, low, tail @ ..]) => {
                let digit = |digit: &u8| char::from(*digit).to_digit(16);
                bytes.push(u8::try_from(digit(high)? * 16 + digit(low)?).ok()?);
                rest = tail;
            }
            (b'%', _) => return None,
            _ => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
    let text = Zeroizing::new(std::str::from_utf8(&bytes).ok()?.to_owned());
    (!text.contains(char::is_control)).then_some(text)
}

/// Below it, a single bounce with its original attached would go through a file.
const LEAST_BUFFER: usize = 1 << 20;
const MOST_BUFFER: usize = 1 << 30;
const MOST_SECONDS: u64 = 24 * 3600;

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_and_nothing_else() {
        for good in ["outlook.office365.com", "localhost", "10.0.0.1", "2001:db8::1", "a_b.example."] {
            assert_eq!(host(good).unwrap(), good);
        }
        assert_eq!(host("[::1]").unwrap(), "::1");
        for bad in
            ["", "https://x", "x:993", "x y", "x/", ".x", "x..y", "<server>", "\"x\"", "x\r\ny", "ümlaut.de"]
        {
            assert!(host(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_folder_has_a_name_at_each_level_that_fits_a_line() {
        let long = "ü".repeat(FOLDER);
        for good in ["INBOX.debug", "Gelöschte Elemente", "a/b", "*", &long] {
            assert_eq!(folder(good).unwrap(), good);
        }
        let longer = format!("{long}x");
        for bad in ["", " ", ".", "INBOX.", "a..b", "a. .b", "a\0b", "a\r\nb", "a\u{fffd}b", &longer] {
            assert!(folder(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_token_endpoint_is_https_and_complete() {
        for good in ["https://login.microsoftonline.com/t/oauth2/v2.0/token", "https://localhost:21443/token"]
        {
            assert_eq!(https_url(good).unwrap(), good);
        }
        for bad in [
            "",
            "http://x/token",
            "x/token",
            "https://",
            "https:///t",
            "https://x/<tenant_id>/token",
            "https://x/a b",
        ] {
            assert!(https_url(bad).is_err(), "{bad}");
        }
        let wrong = https_url("https://user:pa55@x/token").unwrap_err();
        assert!(!wrong.what.in_language(Language::English).contains("pa55"));
    }

    #[test]
    fn a_proxy_may_have_user_and_password() {
        let plain = proxy("http://proxy.example:3128/", "k").unwrap();
        assert_eq!(
            (plain.host.as_str(), plain.port, plain.credentials.is_none()),
            ("proxy.example", 3128, true)
        );
        let with = proxy("http://DOM%5Cuser:p%40ss:w@[::1]:8080", "k").unwrap();
        assert_eq!((with.host.as_str(), with.port), ("::1", 8080));
        let (user, password) = with.credentials.as_ref().unwrap();
        assert_eq!((user.as_str(), password.expose_secret()), ("DOM\\user", "p@ss:w"));
        assert!(!format!("{with:?}").contains("p@ss"));
        assert_eq!(proxy("http://proxy", "k").unwrap().port, 80);
        for bad in
            ["", "http://", "socks://x:1", "http://x:0", "http://x:y", "http://u:%zz@x", "http://u%0d@x"]
        {
            assert!(proxy(bad, "k").is_err(), "{bad}");
        }
        assert!(none_or_proxy("none", "k").unwrap().is_none());
    }

    #[test]
    fn sizes_and_times_have_units_and_limits() {
        assert_eq!(size("16M").unwrap(), 16 << 20);
        assert_eq!(size("16 MiB").unwrap(), 16 << 20);
        assert_eq!(size("1048576").unwrap(), 1 << 20);
        for bad in ["", "M", "0", "1023K", "2G", "16X", "-1", "99999999999999999999G", "1.5M"] {
            assert!(size(bad).is_err(), "{bad}");
        }
        assert_eq!(duration("5m").unwrap(), Duration::from_secs(300));
        assert_eq!(duration("90").unwrap(), Duration::from_secs(90));
        for bad in ["", "0", "25h", "1d", "99999999999999999999"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn exceptions_to_the_proxy_are_hosts_and_domains() {
        assert!(is_excepted("Login.example", "localhost login.EXAMPLE"));
        assert!(is_excepted("a.b.example", ".b.example"));
        assert!(is_excepted("b.example", ".b.example"));
        assert!(!is_excepted("ab.example", ".b.example"));
        assert!(!is_excepted("a.b.example", "b.example"));
    }

    #[test]
    fn a_guid_is_recognised() {
        assert!(looks_like_guid("0b6c1f0e-7e57-4d2a-9c55-0123456789aB"));
        assert!(!looks_like_guid("0b6c1f0e-7e57-4d2a-9c55-0123456789"));
        assert!(!looks_like_guid("zb6c1f0e-7e57-4d2a-9c55-0123456789ab"));
    }

    #[test]
    fn the_words_of_instructions_are_placeholders() {
        for placeholder in [
            "<client_secret>",
            "tenant_id",
            "TENANT",
            "mailbox_name",
            "Your-Client-ID",
            "your_tenant_id",
            "${CLIENT_SECRET}",
            "{tenant}",
            "%7Btenant%7D",
            "{{client_id}}",
            "%TENANT_ID%",
            "[client_id]",
            "ENTERPRISE-OBJECT-ID",
            "ihre Mandanten-ID",
            "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx",
            "00000000-0000-0000-0000-000000000000",
            "********",
            "changeme",
        ] {
            assert!(is_placeholder(placeholder), "{placeholder}");
        }
        for meant in [
            "",
            "bounces@example.com",
            "mailbox_name@example.com",
            "0b6c1f0e-7e57-4d2a-9c55-0123456789ab",
            "contoso.onmicrosoft.com",
            "abc8Q~d<f>g.hij",
            "[ab]8Q~x",
            "theresa",
            "x",
        ] {
            assert!(!is_placeholder(meant), "{meant}");
        }
    }
}
