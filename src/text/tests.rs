use std::collections::HashSet;
use std::time::Duration;

use once_cell::sync::Lazy;

use super::explain::*;
use super::pattern::Pattern;
use super::*;
use crate::config::keys::Names;
use crate::failure::{Failure, Kind, Retry, Step};
use crate::message;

/// Values that a real mailbox could have.
fn value(hole: &str) -> Option<String> {
    let value = match hole {
        "server" => "outlook.office365.com",
        "port" => "993",
        "user" => "bounces@example.com",
        "security" => "true",
        "authentication" => "oauth2",
        "client_id" => "11111111-2222-3333-4444-555555555555",
        "scope" => "https://outlook.office.com/.default",
        "tenant" => "66666666-7777-8888-9999-000000000000",
        "login_host" => "login.microsoftonline.com",
        "login_port" => "443",
        "ca_file" => "/etc/ca.pem",
        "work_directory" => "/um/cmsbs-work/um-imap-oauth2",
        "tmp_directory" => "/um/tmp",
        "inbox" | "folder.inbox" => "INBOX",
        "folder.debug" => "debug",
        "folder.error" => "error",
        _ => return None,
    };
    Some(value.to_owned())
}

fn circumstances(worked_before: bool) -> Circumstances<'static> {
    static PRIMARY: Lazy<Names> = Lazy::new(Names::default);
    Circumstances { language: Language::English, names: &*PRIMARY, worked_before, values: &value }
}

fn found(failure: &Failure, circumstances: &Circumstances) -> &'static str {
    catalogue::best(failure, &Scene::of(failure, circumstances)).map_or("", |entry| &entry.id)
}

/// The kind that a room gives a failure which it knows no more about.
fn usual_kind(step: Step) -> Kind {
    match step {
        Step::Configuration => Kind::Configuration,
        Step::Resolve | Step::Connect | Step::Proxy => Kind::Network,
        Step::Tls => Kind::Tls,
        Step::Token => Kind::Token,
        Step::Greeting => Kind::Network,
        Step::Login => Kind::Login,
        Step::Folders | Step::Select | Step::Search | Step::Fetch | Step::Settle => Kind::Refused,
        Step::Storage => Kind::Storage,
        Step::Call => Kind::Protocol,
    }
}

/// What the server sends, the step at which it does, whether it ever worked → the entry, and whether a retry can help
/// (`None`: as the room says).
const FIELD_GUIDE: &[(Step, &str, bool, &str, Option<Retry>)] = &[
    (
        Step::Token,
        r#"HTTP 401 {"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app 'x'. Trace ID: a Correlation ID: b Timestamp: 2025-01-01 03:00:00Z","error_codes":[7000215],"timestamp":"2025-01-01 03:00:00Z","trace_id":"a","correlation_id":"b"}"#,
        false,
        "entra-secret-wrong",
        None,
    ),
    (
        Step::Token,
        "HTTP 401 invalid_client\nAADSTS7000222: The provided client secret keys for app 'x' are expired.\r\nTrace ID: a\r\nTimestamp: b",
        true,
        "entra-secret-expired",
        None,
    ),
    (
        Step::Token,
        "AADSTS7000218: The request body must contain the following parameter: 'client_assertion' or 'client_secret'.\ninvalid_client",
        false,
        "entra-credential-missing",
        None,
    ),
    (
        Step::Token,
        "AADSTS700016: Application with identifier 'x' was not found in the directory 'y'.",
        false,
        "entra-app-not-found",
        None,
    ),
    (
        Step::Token,
        "AADSTS7000229: The client application x is missing service principal in the tenant y.",
        false,
        "entra-no-enterprise-application",
        None,
    ),
    (Step::Token, "AADSTS7000112: Application 'x' is disabled.", true, "entra-app-disabled", None),
    (Step::Token, "AADSTS90002: Tenant 'x' not found.", false, "entra-tenant-not-found", None),
    (
        Step::Token,
        "AADSTS900023: Specified tenant identifier 'x' is neither a valid DNS name, nor a valid external domain.",
        false,
        "entra-tenant-malformed",
        None,
    ),
    (
        Step::Token,
        "invalid_scope AADSTS1002012: The provided value for scope x is not valid. Client credential flows must have a scope value with /.default suffixed",
        false,
        "entra-scope",
        None,
    ),
    (Step::Token, "HTTP 400 invalid_scope AADSTS70011", false, "entra-scope", None),
    (Step::Token, "HTTP 400 invalid_resource AADSTS500011", false, "entra-resource-unknown", None),
    (
        Step::Token,
        "AADSTS700027: Client assertion contains an invalid signature. [Reason - The key was not found., Thumbprint of key used by client: 'x']",
        false,
        "entra-certificate-unknown",
        None,
    ),
    (
        Step::Token,
        "AADSTS700024: Client assertion is not within its valid time range. Current time: x",
        true,
        "entra-assertion-time",
        None,
    ),
    (
        Step::Token,
        "AADSTS53003: Access has been blocked by Conditional Access policies. The access policy does not allow token issuance.",
        true,
        "entra-conditional-access",
        None,
    ),
    (Step::Token, "HTTP 429", true, "token-throttled", Some(Retry::Later)),
    (Step::Token, "HTTP 400 AADSTS50196", true, "entra-throttled", None),
    (Step::Token, "HTTP 429 AADSTS90055", true, "entra-throttled", None),
    (Step::Token, "HTTP 503 Service Unavailable", true, "token-outage", Some(Retry::Later)),
    (Step::Token, r#"HTTP 503 {"error_codes": [90006]}"#, true, "entra-outage", None),
    (Step::Token, "AADSTS90012", true, "entra-outage", None),
    (Step::Token, "AADSTS90024", true, "entra-outage", None),
    (Step::Token, "AADSTS90033", true, "entra-outage", None),
    (Step::Token, "AADSTS50033", true, "entra-outage", None),
    (
        Step::Token,
        "the access token has no role IMAP.AccessAsApp",
        false,
        "token-without-role",
        Some(Retry::Never),
    ),
    (
        Step::Token,
        "the access token's audience is https://graph.microsoft.com",
        false,
        "token-for-graph",
        Some(Retry::Never),
    ),
    (Step::Login, "a1 NO AUTHENTICATE failed.", false, "imap-auth-failed-never-worked", Some(Retry::Never)),
    (Step::Login, "a1 NO AUTHENTICATE failed.", true, "imap-auth-failed-worked-before", Some(Retry::Later)),
    (
        Step::Login,
        r#"a1 NO AUTHENTICATE failed. Error="AuthFailed:LogonDenied-None-OAuthLog:x""#,
        false,
        "imap-service-principal-unknown",
        Some(Retry::Never),
    ),
    (
        Step::Login,
        "NO LOGIN failed. AuthFailed:LogonDenied-BasicAuthBlocked",
        false,
        "imap-basic-auth-blocked",
        Some(Retry::Never),
    ),
    (
        Step::Login,
        "OK AUTHENTICATE completed.\nBAD User is authenticated but not connected.\n* BYE Connection closed. 14",
        false,
        "imap-not-connected-never-worked",
        Some(Retry::Never),
    ),
    (
        Step::Select,
        "BAD User is authenticated but not connected.",
        true,
        "imap-not-connected-worked-before",
        Some(Retry::Later),
    ),
    (Step::Login, "* BYE Connection closed. 14", false, "imap-bye-login", Some(Retry::Later)),
    (
        Step::Fetch,
        "BAD Request is throttled. Suggested Backoff Time: 89117 milliseconds",
        true,
        "imap-throttled",
        Some(Retry::Later),
    ),
    (
        Step::Login,
        "NO Request is throttled. Suggested Backoff Time: 300000 milliseconds",
        false,
        "imap-throttled",
        Some(Retry::Later),
    ),
    (
        Step::Fetch,
        "* BYE Session invalidated - AccessTokenExpired",
        true,
        "imap-token-expired",
        Some(Retry::Later),
    ),
    (Step::Select, "a3 NO Server Unavailable. 15", false, "imap-server-unavailable", Some(Retry::Later)),
    (Step::Search, "NO Server Unavailable. 15", true, "imap-server-unavailable", Some(Retry::Later)),
    (Step::Fetch, "a7 OK FETCH completed.", true, "imap-item-not-convertible", Some(Retry::Later)),
    (Step::Settle, "a9 NO EXPUNGE failed.", true, "imap-recoverable-items-full", Some(Retry::Later)),
    (
        Step::Fetch,
        "a7 NO [CANNOT] Some of the requested messages no longer exist",
        true,
        "imap-messages-gone",
        Some(Retry::Later),
    ),
    (Step::Login, "* BAD Command Error. 12", false, "imap-command-not-understood", None),
    (Step::Settle, "BAD Command Error. 10", true, "imap-command-too-long", None),
];

#[test]
fn the_field_guides_observations_are_recognised_from_the_bytes_that_the_server_sends() {
    for (step, observed, worked_before, id, retry) in FIELD_GUIDE {
        let circumstances = circumstances(*worked_before);
        let failure = Failure::new(*step, usual_kind(*step), *observed);
        assert_eq!(found(&failure, &circumstances), *id, "{step}: {observed}");
        let before = failure.retry;
        assert_eq!(explain(failure, &circumstances).retry, retry.unwrap_or(before), "{observed}");
    }
}

#[test]
fn every_entry_is_found_by_its_examples_at_each_of_its_steps() {
    for entry in entries() {
        if entry.rank == Rank::Fallback {
            assert!(entry.examples.is_empty(), "{}: what is not known has no examples", entry.id);
            continue;
        }
        assert!(!entry.examples.is_empty(), "{}: no example", entry.id);
        // The first pattern of each value that it depends on; a catalogue that needs more than that is too clever.
        let values = |hole: &str| {
            let key = if hole == "folder.debug" { "folder" } else { hole };
            let named = entry.values.get(key).or_else(|| match hole {
                "server" | "login_host" => entry.values.get("host"),
                _ => None,
            });
            if entry.values.contains_key("beside") && hole == "server" {
                return Some("mail.example".to_owned());
            }
            let private = entry.id == "tls-unknown-issuer" && matches!(hole, "server" | "login_host");
            match named.and_then(|patterns| patterns.first()) {
                Some(pattern) => Some(pattern.written().replace('*', "x")),
                None if private => Some("mail.example".to_owned()),
                None => value(hole),
            }
        };
        let endpoint = entry.values.get("endpoint").and_then(|patterns| patterns.first());
        for (step, example) in entry.steps.iter().flat_map(|s| entry.examples.iter().map(move |e| (*s, e))) {
            // A BYE or a cut is no refusal.
            let usual = if entry.rank == Rank::Follows { Kind::Network } else { usual_kind(step) };
            let kind = entry.kinds.first().or(entry.kind.as_ref()).copied().unwrap_or(usual);
            let mut failure = Failure::new(step, kind, example.replace('…', "x"));
            failure.own = entry.own.first().and_then(|name| Id::named(name));
            if step == Step::Folders {
                failure = failure.key("cmsbs.mail.imap.folder.debug");
            } else if endpoint.is_none() && entry.id == "tls-not-tls-token" {
                failure = failure.key("cmsbs.mail.imap.oauth2.accessTokenUri");
            }
            let circumstances = Circumstances {
                language: Language::German,
                names: &Names::default(),
                worked_before: entry.worked_before.unwrap_or(false),
                values: &values,
            };
            assert_eq!(found(&failure, &circumstances), entry.id, "{step}: {example}");
        }
    }
}

#[test]
fn every_entry_has_both_languages_and_only_known_holes() {
    let mut ids = HashSet::new();
    for entry in entries() {
        assert!(ids.insert(&entry.id), "{} stands there twice", entry.id);
        assert!(!entry.source.trim().is_empty() && !entry.steps.is_empty(), "{}", entry.id);
        let key = entry.key.as_deref();
        let of_connection = [catalogue::KEY_OF_HOST, catalogue::KEY_OF_PORT];
        let known = |key| of_connection.contains(&key) || KEYS.contains(&key);
        assert!(key.is_none_or(known), "{}", entry.id);
        for own in &entry.own {
            assert!(Id::named(own).is_some(), "{}: {own}", entry.id);
        }
        for value in entry.values.keys() {
            let known = HOLES.contains(&value.as_str())
                || ["endpoint", "security", "authentication", "exchange", "beside"].contains(&value.as_str());
            assert!(known, "{}: {value}", entry.id);
        }
        let patterns = entry.any.iter().chain(&entry.all).chain(entry.values.values().flatten());
        for pattern in patterns.map(Pattern::written).filter(|pattern| *pattern != "*") {
            assert!(pattern.chars().filter(|c| c.is_alphanumeric()).count() >= 2, "{}: {pattern}", entry.id);
        }
        for text in [&entry.en, &entry.de] {
            for template in [&text.cause, &text.remedy] {
                assert!(template.chars().count() > 20, "{}: {template}", entry.id);
                assert!(template.chars().count() < 900, "{}: too long for a line in a log", entry.id);
                assert!(
                    template.trim_end_matches("{/}").ends_with(['.', '"', ')']),
                    "{}: no end of a sentence: {template}",
                    entry.id
                );
                for hole in holes(template) {
                    let known = HOLES.contains(&hole.as_str()) || KEYS.contains(&hole.as_str());
                    assert!(known, "{}: {{{hole}}}", entry.id);
                }
            }
        }
        // Who forgets a translation often copies.
        assert_ne!(entry.en.cause, entry.de.cause, "{}", entry.id);
        let hole_set = |text: &Text| -> HashSet<String> { holes(&text.remedy).into_iter().collect() };
        assert_eq!(hole_set(&entry.en), hole_set(&entry.de), "{}: the languages differ in holes", entry.id);
    }
}

#[test]
fn no_text_has_a_placeholder_that_the_configuration_fills() {
    for entry in entries() {
        for text in [&entry.en, &entry.de] {
            let filled = [&text.cause, &text.remedy].map(|template| {
                catalogue::fill(template, &|hole| value(hole).or_else(|| Some("x".to_owned())))
            });
            assert!(placeholders(&filled).is_empty(), "{}: {filled:?}", entry.id);
        }
    }
}

/// Names of holes that stand in a text in angle brackets.
pub(crate) fn placeholders(texts: &[String]) -> Vec<&'static str> {
    let stands = |hole: &&&str| texts.iter().any(|text| text.contains(&format!("<{hole}>")));
    HOLES.iter().filter(stands).copied().collect()
}

#[test]
fn an_entra_code_explains_but_never_decides_about_a_retry() {
    for entry in entries().iter().filter(|entry| !entry.aadsts.is_empty()) {
        assert!(entry.retry.is_none() && entry.kind.is_none(), "{}", entry.id);
    }
    let mut codes = HashSet::new();
    assert!(entries().iter().flat_map(|entry| &entry.aadsts).all(|code| codes.insert(code)));
}

#[test]
fn what_is_not_known_says_so_at_every_step_in_both_languages() {
    for step in Step::ALL {
        for (language, words) in [(Language::English, "not known"), (Language::German, "nicht bekannt")] {
            let circumstances = Circumstances { language, ..circumstances(false) };
            // A kind that no entry explains as such.
            let explained = explain(Failure::new(step, Kind::Refused, "xyzzy"), &circumstances);
            assert!(explained.cause.contains(words), "{step}: {}", explained.cause);
            assert!(explained.remedy.len() > 40, "{step}: {}", explained.remedy);
            assert_eq!(explained.observed, "xyzzy");
        }
    }
}

#[test]
fn what_support_asks_for_is_named_where_it_is_in_the_text() {
    let observed = r#"HTTP 400 {"error":"strange","error_codes":[424242],"trace_id":"s3cr3t-1","correlation_id":"s3cr3t-2"}"#;
    let explained = explain(Failure::new(Step::Token, Kind::Token, observed), &circumstances(false));
    assert!(explained.remedy.ends_with("trace_id, correlation_id."), "{}", explained.remedy);
    assert!(!explained.to_string().replace(observed, "").contains("s3cr3t"));
    let in_text = Failure::new(Step::Token, Kind::Token, "AADSTS424242: ? Trace ID: 1\r\nTimestamp: 2");
    assert!(explain(in_text, &circumstances(false)).remedy.ends_with("trace_id, timestamp."));
}

#[test]
fn the_last_meaningful_line_counts_not_the_bye_after_it() {
    for observed in [
        "* OK ready\nNO Server Unavailable. 15\n* BYE Connection closed. 14",
        "NO AUTHENTICATE failed.\nNO Server Unavailable. 15",
        "NO Server Unavailable. 15 / * BYE Connection closed. 14",
    ] {
        let failure = Failure::new(Step::Login, Kind::Login, observed);
        assert_eq!(found(&failure, &circumstances(false)), "imap-server-unavailable", "{observed}");
    }
}

#[test]
fn an_oauth_error_gives_way_to_the_code_in_whatever_order_they_come() {
    for observed in
        ["invalid_client\nAADSTS7000222: expired", "AADSTS7000222: expired\nHTTP 401 invalid_client"]
    {
        let failure = Failure::new(Step::Token, Kind::Token, observed);
        assert_eq!(found(&failure, &circumstances(false)), "entra-secret-expired");
    }
    let spread = "{\n\"error\": \"invalid_client\",\n\"error_codes\": [\n7000215\n]\n}";
    let failure = Failure::new(Step::Token, Kind::Token, "").observing_lines(spread.lines());
    assert_eq!(found(&failure, &circumstances(false)), "entra-secret-wrong");
}

#[test]
fn what_the_room_filled_itself_stays() {
    let own = Failure::configuration("cmsbs.mail.imap.port", "line 7: port = x", "Write a number.");
    assert_eq!(explain(own.clone(), &circumstances(false)), own);

    let failure =
        Failure::new(Step::Login, Kind::Login, "NO AUTHENTICATE failed.").key("my.key").cause("Mine.");
    let explained = explain(failure, &circumstances(false));
    assert_eq!((explained.cause.as_str(), explained.key.as_deref()), ("Mine.", Some("my.key")));
    assert!(explained.remedy.contains("New-ServicePrincipal"));
    assert_eq!(explain(explained.clone(), &circumstances(false)), explained);
}

#[test]
fn a_time_that_the_server_named_stays() {
    let told = Retry::After(Duration::from_millis(89_117));
    let failure = Failure::new(Step::Fetch, Kind::Refused, "BAD Request is throttled.").retry(told);
    let explained = explain(failure, &circumstances(true));
    assert_eq!((explained.kind, explained.retry), (Kind::Throttled, told));
}

#[test]
fn the_refused_folder_gets_the_line_to_write() {
    let failure =
        Failure::new(Step::Folders, Kind::Refused, "NO CREATE failed").key("cmsbs.mail.imap.folder.debug");
    let explained = explain(failure, &circumstances(false));
    assert!(
        explained.remedy.contains(r#"cmsbs.mail.imap.folder.debug = "INBOX.debug""#),
        "{}",
        explained.remedy
    );

    let inside = |hole: &str| match hole {
        "folder.error" => Some("INBOX.error".to_owned()),
        hole => value(hole),
    };
    let failure =
        Failure::new(Step::Folders, Kind::Refused, "NO CREATE failed").key("cmsbs.mail.imap.folder.error");
    let explained = explain(failure, &Circumstances { values: &inside, ..circumstances(false) });
    assert!(!explained.remedy.contains("INBOX.INBOX"), "{}", explained.remedy);
}

#[test]
fn a_listeners_keys_are_written_as_the_manual_prints_them() {
    let circumstances = Circumstances { names: &Names::of(Some("inbox_2")), ..circumstances(false) };
    let secret = explain(Failure::new(Step::Token, Kind::Token, "AADSTS7000222"), &circumstances);
    assert_eq!(secret.key.as_deref(), Some("cmsbs.bouncelistener.inbox_2.oauth2.clientSecret"));
    assert!(secret.remedy.contains("cmsbs.bouncelistener.inbox_2.oauth2.clientSecret"), "{}", secret.remedy);
    let refused = Failure::new(Step::Connect, Kind::Network, "Connection refused (os error 111)");
    let key = explain(refused, &circumstances).key;
    assert_eq!(key.as_deref(), Some("cmsbs.bouncelistener.inbox_2.mail.imap.port"));
}

#[test]
fn a_proxys_refusal_names_the_host_that_it_refused() {
    let refused = |host: &str| {
        let observed = format!("the proxy p:3128 answered CONNECT {host} with HTTP 403 Forbidden");
        let failure = Failure::new(Step::Proxy, Kind::Network, observed).key("cmsbs.proxy");
        explain(failure, &circumstances(false))
    };
    let token = refused("login.microsoftonline.com:443");
    assert!(token.cause.contains("login.microsoftonline.com:443"), "{}", token.cause);
    assert_eq!(token.key.as_deref(), Some("cmsbs.proxy"));
    assert!(refused("outlook.office365.com:993").cause.contains("outlook.office365.com:993"));
}

#[test]
fn a_proxys_failure_says_where_the_proxy_stands_also_in_the_environment() {
    let refused = message!(NetNoConnection, peer = "p:3128", refusals = "192.0.2.1: Connection refused");
    let unreachable = message!(ProxyUnreachable, proxy = "p:3128", why = refused);
    let foreign = ["HTTP/1.1 407 Proxy Authentication Required", "timed out", "strange"];
    let foreign = foreign.map(|observed| Failure::new(Step::Proxy, Kind::Network, observed));
    let own = Failure::own(Step::Proxy, Kind::Network, unreachable);
    for failure in foreign.into_iter().chain([own]) {
        for language in [Language::English, Language::German] {
            let failure = failure.clone().key("HTTPS_PROXY");
            let explained = explain(failure, &Circumstances { language, ..circumstances(false) });
            assert!(explained.remedy.contains("HTTPS_PROXY"), "{}", explained.remedy);
            assert!(!explained.remedy.contains("cmsbs.mail.imap.proxy"), "{}", explained.remedy);
        }
    }
}

#[test]
fn the_two_hosts_are_told_apart() {
    let refused = "Connection refused (os error 111)";
    let mailbox = explain(Failure::new(Step::Connect, Kind::Network, refused), &circumstances(false));
    assert_eq!(mailbox.key.as_deref(), Some("cmsbs.mail.imap.port"));
    assert!(mailbox.cause.contains("outlook.office365.com"), "{}", mailbox.cause);

    let by_key =
        Failure::new(Step::Connect, Kind::Network, refused).key("cmsbs.mail.imap.oauth2.accessTokenUri");
    assert!(explain(by_key, &circumstances(false)).cause.contains("login.microsoftonline.com"));

    let named = format!("login.microsoftonline.com:443: {refused}");
    let by_name = explain(Failure::new(Step::Connect, Kind::Network, named), &circumstances(false));
    assert_eq!(by_name.key.as_deref(), Some("cmsbs.mail.imap.oauth2.accessTokenUri"));
}

#[test]
fn a_host_that_was_found_and_does_not_answer_at_the_port_has_the_port_to_look_at() {
    for (step, kind, observed) in [
        (Step::Connect, Kind::Network, "Connection refused (os error 111)"),
        (Step::Connect, Kind::Timeout, "x:9 did not answer in time"),
        (Step::Connect, Kind::Network, "strange"),
        (Step::Tls, Kind::Tls, "x:143 answered with something that is not TLS (received corrupt message)"),
        (Step::Tls, Kind::Network, "x:143 closed the connection during the TLS handshake"),
        (Step::Tls, Kind::Timeout, "x:143 did not finish the TLS handshake in time"),
    ] {
        let failure = explain(Failure::new(step, kind, observed), &circumstances(false));
        assert_eq!(failure.key.as_deref(), Some("cmsbs.mail.imap.port"), "{observed}");
        assert!(failure.remedy.contains("cmsbs.mail.imap.port"), "{}", failure.remedy);
    }
    for (step, observed) in [(Step::Resolve, "no address"), (Step::Connect, "Network is unreachable")] {
        let failure = explain(Failure::new(step, Kind::Network, observed), &circumstances(false));
        assert_eq!(failure.key.as_deref(), Some("cmsbs.mail.imap.server"), "{observed}");
    }
}

#[test]
fn an_inspecting_proxy_is_recognised_by_its_issuer() {
    for issuer in [
        "CN=Zscaler Root CA",
        "O=Fortinet, CN=FG100",
        "CN=Kaspersky Anti-Virus Personal Root",
        "ESET SSL Filter CA",
    ] {
        let observed = format!("the certificate of x:993 was issued by '{issuer}', which is not trusted");
        let failure = Failure::new(Step::Tls, Kind::Tls, observed);
        assert_eq!(found(&failure, &circumstances(true)), "tls-inspected", "{issuer}");
    }
    let other = Failure::new(Step::Tls, Kind::Tls, "was issued by 'CN=Reset CA', which is not trusted");
    assert_eq!(found(&other, &circumstances(true)), "tls-unknown-issuer-microsoft");
}

#[test]
fn a_failure_that_says_nothing_is_explained_by_what_led_to_it() {
    let inner = Failure::new(Step::Token, Kind::Token, "AADSTS7000222");
    let outer =
        Failure::new(Step::Fetch, Kind::Network, "the mailbox could not be opened again").caused_by(inner);
    let explained = explain(outer, &circumstances(true));
    assert!(explained.cause.contains("has expired"), "{}", explained.cause);
    assert_eq!(explained.retry, Retry::Never);
    let source = explained.source.expect("the source stays");
    assert!(source.cause.contains("has expired"));
}

#[test]
fn values_with_braces_and_line_ends_do_no_harm() {
    let odd = |hole: &str| match hole {
        "user" => Some("{server}{=app}\r\n{}@x".to_owned()),
        "server" => None,
        hole => value(hole),
    };
    let circumstances = Circumstances { values: &odd, ..circumstances(false) };
    let failure = Failure::new(Step::Login, Kind::Login, "NO xyzzy");
    let explained = explain(failure, &circumstances);
    assert!(explained.remedy.contains(r#"{server}{=app}\u{d}\u{a}{}@x"#), "{}", explained.remedy);
    assert!(explained.cause.starts_with("<server> was reached"), "{}", explained.cause);
}

#[test]
fn a_remedy_names_microsofts_tools_for_microsofts_hosts_only() {
    let elsewhere = |hole: &str| match hole {
        "server" => Some("imap.example.com".to_owned()),
        "login_host" => Some("login.example.com".to_owned()),
        hole => value(hole),
    };
    let with_password = |hole: &str| match hole {
        "authentication" => Some("password".to_owned()),
        "login_host" | "client_id" | "scope" | "tenant" => None,
        hole => elsewhere(hole),
    };
    let remedy = |step: Step, observed: &str, values: &dyn Fn(&str) -> Option<String>| {
        let circumstances = Circumstances { values, ..circumstances(false) };
        explain(Failure::new(step, usual_kind(step), observed), &circumstances).remedy
    };
    let others = [
        "NO xyzzy",
        "NO AUTHENTICATE failed.",
        "NO [NOPERM] Permission denied",
        "NO [OVERQUOTA] mailbox is full",
        "NO EXPUNGE failed",
        "OK [READ-ONLY] Select completed.",
        "* BYE Disconnected",
        "NO Server Unavailable. 15",
        "Connection refused (os error 111)",
        "HTTP/1.1 403 Forbidden",
        "timed out",
    ];
    for step in Step::ALL.into_iter().filter(|step| !matches!(step, Step::Configuration | Step::Token)) {
        for observed in others {
            for values in [&elsewhere as &dyn Fn(&str) -> Option<String>, &with_password] {
                let remedy = remedy(step, observed, values);
                for tool in ["Get-", "Set-", "Add-Mailbox", "Connect-Exchange", "Outlook", "admin center"] {
                    assert!(!remedy.contains(tool), "{step}: {observed}: {remedy}");
                }
            }
            let remedy = remedy(step, observed, &with_password);
            for oauth2 in ["imap.oauth2", "<login_host>", "token"] {
                assert!(!remedy.contains(oauth2), "{step}: {observed}: {remedy}");
            }
        }
    }
    assert!(remedy(Step::Login, "NO xyzzy", &value).contains("Get-ServicePrincipal"));
    assert!(remedy(Step::Folders, "NO [NOPERM] no", &value).contains("Add-MailboxPermission"));
}

#[test]
fn nothing_that_was_observed_gets_into_the_texts() {
    for step in Step::ALL {
        for kind in Kind::ALL {
            for observed in
                ["s3cr3t {server}", "NO AUTHENTICATE failed. s3cr3t", "AADSTS7000215 s3cr3t", "407 s3cr3t"]
            {
                let explained = explain(Failure::new(step, kind, observed), &circumstances(false));
                assert!(!explained.cause.contains("s3cr3t") && !explained.remedy.contains("s3cr3t"));
                assert!(!explained.cause.is_empty() && !explained.remedy.is_empty(), "{step} {kind:?}");
            }
        }
    }
}

#[test]
fn a_long_text_is_searched_in_bounded_time() {
    let began = std::time::Instant::now();
    for observed in ["a* ".repeat(400_000), "\n".repeat(1_000_000), "AADSTS".repeat(200_000)] {
        explain(Failure::new(Step::Token, Kind::Token, observed), &circumstances(false));
    }
    // It takes seconds; a search that looks back would take days.
    assert!(began.elapsed() < Duration::from_secs(1_800), "{:?}", began.elapsed());
}

fn holes(template: &str) -> Vec<String> {
    let template = catalogue::choose(template, &|condition, yes, no| {
        assert!(CONDITIONS.contains(&condition), "{condition}");
        format!("{yes}{no}")
    });
    template.split('{').skip(1).map(|rest| rest.split('}').next().unwrap_or_default().to_owned()).collect()
}

/// What parts of a text may depend on.
const CONDITIONS: &[&str] = &["exchange", "entra", "oauth2"];

/// What a text may have holes for, beside keys. Nothing secret is ever among them.
const HOLES: &[&str] = &[
    "server",
    "port",
    "user",
    "client_id",
    "scope",
    "tenant",
    "login_host",
    "ca_file",
    "work_directory",
    "tmp_directory",
    "inbox",
    "folder",
    "key",
    "keys",
    "host",
    "host_port",
    "outlook_scope",
];

/// The properties that texts may name.
const KEYS: &[&str] = &[
    "cmsbs.mail.imap.server",
    "cmsbs.mail.imap.port",
    "cmsbs.mail.imap.ssl",
    "cmsbs.mail.imap.user",
    "cmsbs.mail.imap.password",
    "cmsbs.mail.imap.authenticationMethod",
    "cmsbs.mail.imap.proxy",
    "cmsbs.mail.imap.trace",
    "cmsbs.mail.imap.ssl.caFile",
    "cmsbs.mail.imap.fetch.pipeline",
    "cmsbs.mail.imap.fetch.patience",
    "cmsbs.mail.imap.folder.inbox",
    "cmsbs.mail.imap.folder.debug",
    "cmsbs.mail.imap.folder.error",
    "cmsbs.mail.imap.oauth2.accessTokenUri",
    "cmsbs.mail.imap.oauth2.clientAssertionFile",
    "cmsbs.mail.imap.oauth2.clientCertificate",
    "cmsbs.mail.imap.oauth2.clientCertificatePassword",
    "cmsbs.mail.imap.oauth2.clientId",
    "cmsbs.mail.imap.oauth2.clientSecret",
    "cmsbs.mail.imap.oauth2.clientSecretExpires",
    "cmsbs.mail.imap.oauth2.grantType",
    "cmsbs.mail.imap.oauth2.proxy",
    "cmsbs.mail.imap.oauth2.scope",
];

#[test]
fn an_explanation_is_known_by_its_entrys_id_and_what_the_room_explained_itself_is_not() {
    let id = |failure: Failure| explain(failure, &circumstances(false)).id;
    let refused = Failure::new(Step::Connect, Kind::Network, "Connection refused (os error 111)");
    assert_eq!(id(refused.clone()).as_deref(), Some("connect-refused"));
    assert_eq!(id(refused.clone().cause("c").remedy("r")).as_deref(), Some("connect-refused"));
    let strange = Failure::new(Step::Search, Kind::Refused, "NO strange");
    assert_eq!(id(strange.clone()).as_deref(), Some("unknown-search"));
    assert_eq!(id(strange.clone().cause("c").remedy("r")), None);
    assert_eq!(id(strange.caused_by(refused)).as_deref(), Some("connect-refused"));
}

#[test]
fn the_wrappers_texts_are_in_both_languages_with_the_same_values() {
    let wrapper = concat!(env!("CARGO_MANIFEST_DIR"), "/java/src/main/");
    let read = |name: &str| {
        let file = std::fs::read_to_string(format!("{wrapper}java/um/imap/oauth2/{name}.java")).unwrap();
        let entry = |line: &str| {
            let (key, text) = line.trim().strip_prefix("{\"")?.strip_suffix("\"},")?.split_once("\", \"")?;
            Some((key.to_owned(), text.to_owned()))
        };
        file.lines().filter_map(entry).collect::<std::collections::BTreeMap<_, _>>()
    };
    let (english, german) = (read("TextsEnglish"), read("TextsGerman"));
    assert!(english.len() > 30 && english.keys().eq(german.keys()));
    let mut code = String::new();
    for file in std::fs::read_dir(format!("{wrapper}java/um/imap/oauth2")).unwrap() {
        let path = file.unwrap().path();
        if !matches!(path.file_stem().and_then(|name| name.to_str()), Some("TextsEnglish" | "TextsGerman")) {
            code += &std::fs::read_to_string(path).unwrap();
        }
    }
    for (key, text) in &english {
        let values = |text: &str| {
            let mut values = holes(text);
            values.sort();
            values
        };
        assert_eq!(values(text), values(&german[key]), "{key}");
        assert!(code.contains(&format!("\"{key}\"")), "{key} is not used");
    }
    for used in code.split("Texts.text(\"").skip(1) {
        let key = used.split('"').next().unwrap_or_default();
        assert!(english.contains_key(key), "{key} has no text");
    }
}

#[test]
fn no_sentence_stands_in_the_code_of_a_failure() {
    let mut directories = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                // Tests, and the stand-ins for servers in them, make texts of servers.
                if name != "tests" {
                    directories.push(path);
                }
                continue;
            }
            if !name.ends_with(".rs") || name.ends_with("tests.rs") {
                continue;
            }
            let code = std::fs::read_to_string(&path).unwrap();
            let code = code.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            for call in code.split("Failure::new(").skip(1) {
                let arguments = call.split([';', '?']).next().unwrap_or_default();
                let words = arguments.split('"').skip(1).step_by(2).filter(|text| text.contains(' '));
                let words: Vec<_> =
                    words.filter(|text| text.contains(|c: char| c.is_ascii_lowercase())).collect();
                assert!(words.is_empty(), "{}: {words:?}", path.display());
            }
        }
    }
}
