//! A failure and what the explanation makes of it.

use super::*;
use crate::message;

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
fn an_object_id_that_a_token_has_told_stands_in_every_command() {
    let known = |hole: &str| match hole {
        OBJECT_ID => Some("c2f4e6a8-1357-4b9d-8ace-02468ace1357".to_owned()),
        hole => value(hole),
    };
    let failure = || Failure::new(Step::Login, Kind::Login, "NO AUTHENTICATE failed.");
    for (language, said) in
        [(Language::English, "is from the access token"), (Language::German, "stammt aus dem Zugriffstoken")]
    {
        let explained =
            |values| explain(failure(), &Circumstances { language, values, ..circumstances(false) });
        let remedy = explained(&known).remedy;
        assert!(remedy.contains("-ObjectId c2f4e6a8-1357-4b9d-8ace-02468ace1357"), "{remedy}");
        assert!(remedy.contains(said) && !remedy.contains("ENTERPRISE"), "{remedy}");
        assert!(explained(&value).remedy.contains("-ObjectId 'ENTERPRISE-OBJECT-ID'"));
    }
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
