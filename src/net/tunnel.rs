//! The way through an HTTP proxy: CONNECT (RFC 9110 §9.3.6).

use std::io::{Read, Write};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};

use super::{io_failure, peer_name};
use crate::config::Proxy;
use crate::failure::{Failure, Kind, Result, Retry, Step};
use crate::message;
use crate::sanitize;
use crate::text::{Arg, Message};

/// The proxy that an environment names for `https` to `host`, as curl reads it: `HTTPS_PROXY` unless `NO_PROXY` has `*`, the
/// host or a domain that it is in; both also in lower case.
///
/// For the command line only: in a JVM the environment is another program's. Fails when the value is no `http://` address.
pub fn environment_proxy(host: &str, environment: &dyn Fn(&str) -> Option<String>) -> Result<Option<Proxy>> {
    let set = |name: &str| environment(name).filter(|value| !value.trim().is_empty());
    let either = |name: &str| set(&name.to_ascii_lowercase()).or_else(|| set(name));
    let Some(value) = either(HTTPS_PROXY) else { return Ok(None) };
    if either("NO_PROXY").is_some_and(|exceptions| is_excepted(host, &exceptions)) {
        return Ok(None);
    }
    let refused = || {
        Failure::own(Step::Configuration, Kind::Configuration, message!(ProxyVariable, name = HTTPS_PROXY))
            .key(HTTPS_PROXY)
            .advised(message!(ProxyVariableRemedy))
    };
    let parsed = ureq::Proxy::new(value.trim()).map_err(|_| refused())?;
    let host = parsed.host();
    if parsed.protocol() != ureq::ProxyProtocol::Http || host.is_empty() {
        return Err(refused());
    }
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let credentials =
        parsed.username().map(|user| (user.to_owned(), parsed.password().unwrap_or_default().into()));
    Ok(Some(Proxy { set_by: HTTPS_PROXY.into(), host: host.to_owned(), port: parsed.port(), credentials }))
}

/// The system properties of a JVM that name the proxy for `https` ("Java Networking and Proxies"): `https.proxyHost`,
/// `https.proxyPort`, `http.nonProxyHosts`.
#[derive(Debug, Clone, Default)]
pub struct JvmProxy {
    pub host: Option<String>,
    pub port: Option<String>,
    pub exceptions: Option<String>,
}

impl JvmProxy {
    /// The proxy to `host`, as the JDK's own proxy selector takes it from these.
    pub fn to(&self, host: &str) -> Option<Proxy> {
        let proxy = self.host.as_deref().map(str::trim).filter(|proxy| !proxy.is_empty())?;
        let exceptions = match self.exceptions.as_deref() {
            Some("") => String::new(),
            Some(exceptions) => format!("{exceptions}|{JVM_EXCEPTIONS}"),
            None => JVM_EXCEPTIONS.to_owned(),
        };
        if exceptions.split('|').any(|pattern| is_like(&host.to_ascii_lowercase(), pattern)) {
            return None;
        }
        let port = self.port.as_deref().and_then(|port| port.trim().parse().ok()).filter(|&port| port != 0);
        let name = proxy.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(proxy);
        Some(Proxy {
            set_by: JVM_PROXY.to_owned(),
            host: name.to_owned(),
            port: port.unwrap_or(JVM_PORT),
            credentials: None,
        })
    }
}

/// The proxy as failures and logs name it; without user and password.
pub fn proxy_name(proxy: &Proxy) -> Message {
    message!(ProxyName, address = peer_name(&proxy.host, proxy.port))
}

/// Has the proxy at the other end of `channel` connect to `target`. What comes after its answer stays unread.
pub(super) fn open_tunnel(channel: &mut (impl Read + Write), proxy: &Proxy, target: &str) -> Result<()> {
    let who = proxy_name(proxy);
    let authorization = proxy.credentials.as_ref().map(basic);
    let authorized = authorization.as_ref().map_or("", |basic| basic.as_str());
    let mut request = Zeroizing::new(String::with_capacity(2 * target.len() + authorized.len() + 100));
    for part in ["CONNECT ", target, " HTTP/1.1\r\nHost: ", target, "\r\n"] {
        request.push_str(part);
    }
    if authorization.is_some() {
        for part in ["Proxy-Authorization: Basic ", authorized, "\r\n"] {
            request.push_str(part);
        }
    }
    request.push_str("\r\n");
    let password = proxy.credentials.as_ref().map(|(_, password)| password.expose_secret());
    sanitize::remember(password.into_iter().chain([authorized]));
    let sent = channel.write_all(request.as_bytes()).and_then(|()| channel.flush());
    sent.map_err(|error| io_failure(Step::Proxy, who.clone(), &error))?;

    let head = head(channel, &who)?;
    let mut lines = head.lines();
    let status_line = lines.next().unwrap_or_default();
    let status = status_line.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)?.parse::<u16>().ok());
    match status {
        Some(200..=299) => Ok(()),
        Some(status) => {
            let reason = plain(status_line.get("HTTP/1.1 200".len()..).unwrap_or_default());
            let space = if reason.is_empty() { "" } else { " " };
            let addition = match status {
                407 => authentication(lines, authorization.is_some()),
                // tinyproxy 1.11: 'HTTP/1.0 401 Unauthorized' to a wrong password, 407 to none.
                401 if authorization.is_some() => message!(ProxyNotAccepted).into(),
                _ => Arg::Shown(String::new()),
            };
            let status_line = format!("HTTP {status}{space}{reason}");
            let said = message!(
                ProxyRefused,
                proxy = who,
                target = target,
                status = status_line,
                addition = addition
            );
            let failure = Failure::own(Step::Proxy, Kind::Network, said);
            Err(failure.retry(if matches!(status, 408 | 429 | 500..) { Retry::Later } else { Retry::Never }))
        }
        None => {
            let said = message!(ProxyNotHttp, proxy = who, line = plain(status_line));
            Err(Failure::own(Step::Proxy, Kind::Protocol, said))
        }
    }
}

/// The same failure as one of the proxy: it is not the server that cannot be reached.
pub(super) fn out_of_reach(proxy: &Proxy, failure: Failure) -> Failure {
    if failure.kind == Kind::Closed {
        return failure;
    }
    let said = message!(ProxyUnreachable, proxy = proxy_name(proxy), why = failure.told());
    Failure::own(Step::Proxy, failure.kind, said).retry(failure.retry)
}

/// RFC 7617 §2, in UTF-8.
fn basic((user, password): &(String, SecretString)) -> Zeroizing<String> {
    let password = password.expose_secret();
    let mut pair = Zeroizing::new(String::with_capacity(user.len() + password.len() + 1));
    for part in [user.as_str(), ":", password] {
        pair.push_str(part);
    }
    Zeroizing::new(BASE64_STANDARD.encode(pair.as_bytes()))
}

/// Up to the empty line and not one octet more: a server behind the proxy may speak first.
fn head(channel: &mut impl Read, who: &Message) -> Result<String> {
    let mut head = Vec::new();
    let mut octet = [0];
    while !head.ends_with(b"\r\n\r\n") && !head.ends_with(b"\n\n") {
        channel.read_exact(&mut octet).map_err(|error| io_failure(Step::Proxy, who.clone(), &error))?;
        head.extend(octet);
        // What is no HTTP may never have an empty line.
        let is_http = head.starts_with(b"HTTP/") || b"HTTP/".starts_with(head.as_slice());
        if !is_http && (octet == *b"\n" || head.len() > SHOWN) {
            break;
        }
        if head.len() > HEAD_LIMIT {
            let said = message!(ProxyHeaders, proxy = who.clone(), most = HEAD_LIMIT);
            return Err(Failure::own(Step::Proxy, Kind::Protocol, said));
        }
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// What a 407 means: which schemes the proxy has (RFC 9110 §11.7.1), of which we have Basic.
fn authentication<'a>(headers: impl Iterator<Item = &'a str>, authorized: bool) -> Arg {
    let mut schemes: Vec<String> = Vec::new();
    for header in headers {
        let Some((name, challenges)) = header.split_once(':') else { continue };
        if !name.trim().eq_ignore_ascii_case("Proxy-Authenticate") {
            continue;
        }
        // A comma separates challenges, and parameters within one: those have an equals sign.
        for challenge in challenges.split(',') {
            let scheme = challenge.split_whitespace().next().unwrap_or_default();
            let is_name =
                !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            if is_name && !schemes.iter().any(|known| known.eq_ignore_ascii_case(scheme)) {
                schemes.push(scheme.chars().take(SCHEME_SHOWN).collect());
            }
        }
    }
    schemes.truncate(SCHEMES_SHOWN);
    let offered = match &schemes[..] {
        [first @ .., last] if !first.is_empty() => {
            Arg::from(message!(NamesAnd, names = first.join(", "), last = last))
        }
        only => Arg::from(only.join(", ")),
    };
    match (schemes.iter().any(|scheme| scheme.eq_ignore_ascii_case("Basic")), authorized) {
        _ if schemes.is_empty() => Arg::Shown(String::new()),
        (false, _) => message!(ProxyOffersOnly, schemes = offered).into(),
        (true, false) => message!(ProxyOffers, schemes = offered).into(),
        (true, true) => message!(ProxyNotAccepted).into(),
    }
}

fn is_excepted(host: &str, exceptions: &str) -> bool {
    let host = host.to_ascii_lowercase();
    exceptions.split([',', ' ']).filter(|word| !word.is_empty()).any(|word| {
        let word = word.to_ascii_lowercase();
        let domain = word.trim_start_matches('.');
        word == "*" || host == domain || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
    })
}

/// Whether the JVM's pattern, which may begin or end with `*`, is like the host.
fn is_like(host: &str, pattern: &str) -> bool {
    let pattern = pattern.trim().to_ascii_lowercase();
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        _ if pattern == "*" => true,
        (Some(rest), Some(_)) => host.contains(rest.trim_end_matches('*')),
        (Some(end), None) => host.ends_with(end),
        (None, Some(start)) => host.starts_with(start),
        (None, None) => host == pattern,
    }
}

/// A text of the proxy's for a message: in one line, and not more of it than is of use. Masked before it is cut.
fn plain(text: &str) -> String {
    let line: String =
        sanitize::mask(text).chars().map(|c| if c.is_control() { ' ' } else { c }).take(SHOWN).collect();
    line.trim().to_owned()
}

const HTTPS_PROXY: &str = "HTTPS_PROXY";
const JVM_PROXY: &str = "https.proxyHost";
/// The JDK's default.
const JVM_PORT: u16 = 443;
/// The JDK's own exceptions (`sun.net.spi.DefaultProxySelector`): in force unless the property is set and empty.
const JVM_EXCEPTIONS: &str = "localhost|127.*|[::1]|0.0.0.0|[::0]";
/// Proxies send some hundred octets.
const HEAD_LIMIT: usize = 16 << 10;
/// Characters
const SHOWN: usize = 100;
const SCHEME_SHOWN: usize = 30;
const SCHEMES_SHOWN: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Language;

    fn in_english(proxy: &Proxy) -> String {
        proxy_name(proxy).in_language(Language::English)
    }

    fn from(host: &str, variables: &[(&str, &str)]) -> Result<Option<Proxy>> {
        environment_proxy(host, &|name| {
            variables.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_environments_proxy_is_read_as_curl_reads_it() {
        let proxy = from("a.example", &[("HTTPS_PROXY", "http://us%65r:p%40ss@proxy.example:3128/")]);
        let proxy = proxy.unwrap().unwrap();
        assert_eq!((proxy.host.as_str(), proxy.port), ("proxy.example", 3128));
        let (user, password) = proxy.credentials.unwrap();
        assert_eq!((user.as_str(), password.expose_secret()), ("user", "p@ss"));

        let proxy = from("a.example", &[("https_proxy", "[::1]:8080")]).unwrap().unwrap();
        assert_eq!(
            (in_english(&proxy).as_str(), proxy.credentials.is_none()),
            ("the proxy [::1]:8080", true)
        );
        assert!(from("a.example", &[]).unwrap().is_none());
        assert!(from("a.example", &[("HTTPS_PROXY", " ")]).unwrap().is_none());
    }

    #[test]
    fn no_proxy_excepts_hosts_and_domains() {
        for (exceptions, excepted) in [
            ("*", true),
            ("b.example, login.a.example", true),
            (".A.example", true),
            ("a.example", true),
            ("gin.a.example", false),
            ("b.example", false),
            ("", false),
        ] {
            let set = [("HTTPS_PROXY", "proxy:3128"), ("no_proxy", exceptions)];
            assert_eq!(from("login.a.example", &set).unwrap().is_none(), excepted, "{exceptions}");
        }
    }

    #[test]
    fn the_jvms_proxy_is_taken_as_the_jdk_takes_it() {
        let to = |host: &str, proxy: &str, port: &str, exceptions: Option<&str>| {
            let jvm = JvmProxy {
                host: Some(proxy.to_owned()),
                port: Some(port.to_owned()),
                exceptions: exceptions.map(str::to_owned),
            };
            jvm.to(host).map(|proxy| in_english(&proxy))
        };
        let through = Some("the proxy proxy.example:3128".to_owned());
        assert_eq!(to("login.a.example", "proxy.example", "3128", None), through);
        assert_eq!(to("localhost", "proxy.example", "3128", Some("")), through, "no exceptions at all");
        assert_eq!(to("a", "proxy.example", "", None).unwrap(), "the proxy proxy.example:443");
        assert_eq!(to("a", "[::1]", "x", None).unwrap(), "the proxy [::1]:443");
        assert_eq!(to("a", " ", "3128", None), None);
        assert!(JvmProxy::default().to("a").is_none());
        for host in ["localhost", "LOCALHOST", "127.0.0.7", "[::1]"] {
            for exceptions in [None, Some("b.example")] {
                assert_eq!(to(host, "proxy.example", "3128", exceptions), None, "{host}");
            }
        }
        for (exceptions, excepted) in [
            ("*.example.com|login.A.example", true),
            ("*.A.example", true),
            ("login.*", true),
            ("*gin.a*", true),
            ("*", true),
            ("*.login.a.example", false),
            ("a.example", false),
            ("login", false),
        ] {
            let proxy = to("login.a.example", "proxy.example", "3128", Some(exceptions));
            assert_eq!(proxy.is_none(), excepted, "{exceptions}");
        }
    }

    #[test]
    fn a_wrong_address_in_the_environment_is_refused_without_showing_it() {
        for wrong in ["socks5://Pl4nted@proxy:1", "https://Pl4nted@proxy:1", "http://", "Pl4nted@:"] {
            let failure = from("a.example", &[("HTTPS_PROXY", wrong)]).unwrap_err();
            assert_eq!(failure.key.as_deref(), Some("HTTPS_PROXY"), "{wrong}");
            assert!(!format!("{failure:?}").contains("Pl4nted"), "{failure}");
        }
    }
}
