//! Listeners: what they take from the primary mailbox, and their names.

use super::*;

#[test]
fn a_listener_takes_from_the_primary_what_it_does_not_set() {
    let home = Home::new(
        "cmsbs.bounce.listeners = \"inbox_2 inbox_3\"\n\
         cmsbs.bounce.processAll = true\n\
         cmsbs.bouncelistener.inbox_2.mail.imap.server = imap.example.org\n\
         cmsbs.bouncelistener.inbox_2.mail.imap.user = two@example.org\n\
         cmsbs.bouncelistener.inbox_2.mail.imap.folder.error = wrong\n\
         cmsbs.bouncelistener.inbox_2.oauth2.clientId = 22222222-7777-8888-9999-000000000000\n",
    );
    let loaded = home.load_listener("inbox_2");
    let config = &loaded.config;
    assert_eq!(config.listener.as_deref(), Some("inbox_2"));
    assert_eq!((config.server.as_str(), config.port), ("imap.example.org", 993));
    assert_eq!(config.user, "two@example.org");
    assert_eq!((config.folders.error.as_str(), config.folders.debug.as_str()), ("wrong", "debug"));
    assert_eq!(
        (oauth2(config).client_id.as_str(), secret(config)),
        ("22222222-7777-8888-9999-000000000000", "Pl4nted~s3cret.of-about-forty-characters")
    );
    assert!(config.process_all);
    assert!(warnings(&loaded).is_empty(), "{:?}", loaded.findings);
    assert_eq!(home.load().config.user, "bounce@example.org");
}

#[test]
fn a_listeners_server_and_user_are_its_own() {
    let home = Home::new("cmsbs.bounce.listeners = x");
    let failure = from_um_home(home.0.path(), Some("x"), &|_| None).unwrap_err();
    assert_eq!(failure.observed.lines().count(), 2, "{failure}");
    assert!(failure.observed.contains("cmsbs.bouncelistener.x.mail.imap.server: "));
    assert!(failure.observed.contains("cmsbs.bouncelistener.x.mail.imap.user: "));
}

#[test]
fn of_both_forms_the_manuals_wins_and_a_difference_is_said() {
    let listener = "cmsbs.bounce.listeners = x\n\
         cmsbs.bouncelistener.x.mail.imap.server = imap.example.org\n\
         cmsbs.bouncelistener.x.mail.imap.user = x@example.org\n\
         cmsbs.bouncelistener.x.mail.imap.oauth2.clientId = 22222222-7777-8888-9999-000000000000\n";
    let loaded = Home::new(listener).load_listener("x");
    assert_eq!(oauth2(&loaded.config).client_id, "22222222-7777-8888-9999-000000000000");
    assert!(warnings(&loaded).is_empty());
    let loaded =
        Home::new(&format!("{listener}cmsbs.bouncelistener.x.oauth2.clientId = short")).load_listener("x");
    assert_eq!(oauth2(&loaded.config).client_id, "short");
    assert!(warnings(&loaded)[0].contains("cmsbs.bouncelistener.x.mail.imap.oauth2.clientId"));
}

#[test]
fn a_listener_with_a_password_that_inherits_oauth2_is_said() {
    let home = with_password("");
    let loaded = home.load_listener("x");
    assert!(matches!(loaded.config.authentication, Authentication::OAuth2(_)));
    assert_eq!(warnings(&loaded).len(), 1);
    assert!(!texts(&loaded.findings).contains("Pl4nted"));
    home.add("cmsbs-conf/conf.d/x.properties", "cmsbs.bouncelistener.x.authenticationMethod = password");
    let loaded = home.load_listener("x");
    assert!(matches!(loaded.config.authentication, Authentication::Password(_)));
}

#[test]
fn an_unknown_listener_is_the_first_and_only_cause_and_the_known_ones_are_listed() {
    let home = Home::new("cmsbs.bounce.listeners = \"inbox_2 inbox_3\"");
    let failure = from_um_home(home.0.path(), Some("inbox_4"), &|_| None).unwrap_err();
    assert_eq!(failure.observed.lines().count(), 1, "{failure}");
    assert!(failure.observed.contains("\"inbox_4\" is not one of these: inbox_2 inbox_3"), "{failure}");
    assert_eq!(failure.key.as_deref(), Some("cmsbs.bounce.listeners"));
    assert!(!failure.remedy.contains("mail.imap.server"), "{failure}");
}

#[test]
fn a_listener_that_nobody_names_is_read_and_said() {
    let home = Home::new(
        "cmsbs.bouncelistener.x.mail.imap.server = imap.example.org\n\
         cmsbs.bouncelistener.x.mail.imap.user = x@example.org\n",
    );
    assert!(warnings(&home.load_listener("x"))[0].contains("cmsbs.bounce.listeners"));
}

#[test]
fn a_listeners_keys_are_written_where_they_stand() {
    let home = Home::new(
        "cmsbs.bounce.listeners = x\ncmsbs.bouncelistener.x.mail.imap.server = a.example\n\
         cmsbs.bouncelistener.x.mail.imap.user = x\ncmsbs.bouncelistener.x.mail.imap.oauth2.scope = https://a/.default",
    );
    let names = from_um_home(home.0.path(), Some("x"), &|_| None).unwrap().config.names;
    for (key, written) in [
        ("cmsbs.mail.imap.server", "cmsbs.bouncelistener.x.mail.imap.server"),
        ("cmsbs.mail.imap.oauth2.clientSecret", "cmsbs.mail.imap.oauth2.clientSecret"),
        ("cmsbs.mail.imap.oauth2.scope", "cmsbs.bouncelistener.x.mail.imap.oauth2.scope"),
        ("cmsbs.mail.imap.oauth2.clientCertificate", "cmsbs.bouncelistener.x.oauth2.clientCertificate"),
        ("https.proxyHost", "https.proxyHost"),
    ] {
        assert_eq!(names.written(key), written);
    }
    assert_eq!(Home::new("").load().config.names.written(keys::SERVER.name), "cmsbs.mail.imap.server");
}

#[test]
fn a_listener_that_inherits_oauth2_may_have_user_and_password() {
    let home = with_password("cmsbs.bouncelistener.x.authenticationMethod = password\n");
    assert!(warnings(&home.load_listener("x")).is_empty());
    home.add("cmsbs-conf/conf.d/x.properties", "cmsbs.bouncelistener.x.oauth2.scope = y");
    assert!(warnings(&home.load_listener("x"))[0].contains("cmsbs.bouncelistener.x.oauth2.scope"));
}

#[test]
fn names_that_nobody_reads_are_said_to_those_whom_they_concern() {
    let home = Home::new(
        "cmsbs.bounce.listeners = x y z\n\
         cmsbs.mail.imap.oauth2.clientsecret = Pl4nted\n\
         cmsbs.bouncelistener.x.mail.imap.server = imap.example.org\n\
         cmsbs.bouncelistener.x.mail.imap.user = x@example.org\n\
         cmsbs.bouncelistener.y.mail.imap.users = y@example.org\n\
         cmsbs.bouncelistener.w.mail.imap.server = imap.example.org\n",
    );
    let loaded = home.load();
    assert_eq!(warnings(&loaded).len(), 4, "{:?}", loaded.findings);
    let text = texts(&loaded.findings);
    for said in [
        "line 18: cmsbs.mail.imap.oauth2.clientsecret: Unknown key",
        "Write cmsbs.bouncelistener.y.mail.imap.user.",
        "line 22: cmsbs.bouncelistener.w.mail.imap.server: There are settings for the listener \"w\"",
        "line 17: cmsbs.bounce.listeners: The listener \"z\" is named, but has no settings",
    ] {
        assert!(text.contains(said), "{said} in {text}");
    }
    assert!(!text.contains("Pl4nted"));
    let of_x = home.load_listener("x");
    assert_eq!(warnings(&of_x).len(), 1, "{:?}", of_x.findings);
    let from_environment = map(&[("cmsbs__bouncelistener__z__mail__imap__server", "z.example.org")]);
    let loaded = from_um_home(home.0.path(), None, &from_environment).unwrap();
    assert!(!texts(&loaded.findings).contains("\"z\""));
}

#[test]
fn listeners_that_are_separated_by_commas_have_the_line_to_write() {
    for listeners in ["events, big", "events,big"] {
        let home = Home::new(&format!(
            "cmsbs.bounce.listeners = \"{listeners}\"\n\
             cmsbs.bouncelistener.big.mail.imap.server = imap.example.org\n\
             cmsbs.bouncelistener.big.mail.imap.user = big@example.org\n\
             cmsbs.bouncelistener.events.mail.imap.server = imap.example.org\n\
             cmsbs.bouncelistener.events.mail.imap.user = events@example.org\n"
        ));
        let said =
            r#"Names are separated by blanks, not by commas. Write cmsbs.bounce.listeners = "events big"."#;
        for loaded in [home.load(), home.load_listener("events")] {
            let text = texts(&loaded.findings);
            assert!(text.contains(said) && !text.contains("events,.mail"), "{text}");
        }
    }
    let without_settings = Home::new("cmsbs.bounce.listeners = \"events, big\"");
    let text = texts(&without_settings.load().findings);
    assert_eq!(text.matches("Names are separated by blanks").count(), 1, "{text}");
    assert!(text.contains("Set cmsbs.bouncelistener.big.mail.imap.server"), "{text}");
}

/// A listener `x` that has a password, and `more`.
fn with_password(more: &str) -> Home {
    Home::new(&format!(
        "cmsbs.bounce.listeners = x\n\
         cmsbs.bouncelistener.x.mail.imap.server = imap.example.org\n\
         cmsbs.bouncelistener.x.mail.imap.user = x@example.org\n\
         cmsbs.bouncelistener.x.mail.imap.password = Pl4nted\n{more}"
    ))
}
