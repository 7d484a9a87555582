//! A refused configuration: all errors at once, each with its place and what to write.

use super::*;

#[test]
fn all_errors_come_at_once_with_file_line_and_key() {
    let home = Home::with_main(
        "cmsbs.lang = en\ncmsbs.mail.imap.port = 99999\ncmsbs.mail.imap.ssl = yes\n\
         cmsbs.mail.imap.authenticationMethod = oauth2\n\
         cmsbs.mail.imap.oauth2.accessTokenUri = http://login.example/token\n\
         cmsbs.mail.imap.folder.debug = inbox\ncmsbs.bounce.debug = on\ncmsbs.mail.imap.protocol = pop3\n",
    );
    let failure = home.refused();
    assert_eq!((failure.step, failure.kind), (crate::failure::Step::Configuration, Kind::Configuration));
    let lines: Vec<_> = failure.observed.lines().collect();
    for (key, line) in [
        ("port", Some(2)),
        ("ssl", Some(3)),
        ("oauth2.accessTokenUri", Some(5)),
        ("folder.debug", Some(6)),
        ("protocol", Some(8)),
        ("server", None),
        ("user", None),
        ("oauth2.clientId", None),
        ("oauth2.clientSecret", None),
    ] {
        let place = line.map(|line| format!("cmsbs.properties, line {line}: ")).unwrap_or_default();
        let wanted = format!("{place}cmsbs.mail.imap.{key}: ");
        assert!(lines.iter().any(|line| line.contains(&wanted)), "{wanted} in {failure}");
    }
    assert!(failure.observed.contains("line 7: cmsbs.bounce.debug: "));
    assert_eq!(lines.len(), 10, "{failure}");
    // Where the remedy is all that is looked at, it is enough.
    let remedies: Vec<_> = failure.remedy.lines().collect();
    assert_eq!(remedies.len(), 10, "{failure}");
    assert!(remedies.contains(&"cmsbs.mail.imap.port: Enter a number from 1 to 65535."), "{failure}");
    assert!(remedies.iter().any(|remedy| remedy.starts_with("Write cmsbs.mail.imap.server = ")), "{failure}");
}

#[test]
fn a_single_error_has_its_key_and_its_remedy() {
    let failure = Home::new("cmsbs.mail.imap.protocol = pop3").refused();
    assert_eq!(failure.key.as_deref(), Some("cmsbs.mail.imap.protocol"));
    assert!(failure.remedy.contains("imap"), "{failure}");
    assert_eq!(failure.observed.lines().count(), 1);
}

#[test]
fn errors_speak_the_configured_language() {
    let home = Home::with_main("");
    assert!(home.refused().observed.contains("Der Eintrag fehlt."));
    let failure = from_um_home(home.0.path(), None, &map(&[("cmsbs__lang", "en")])).unwrap_err();
    assert!(failure.observed.contains("The entry is missing."));
    let failure = from_um_home(&home.0.path().join("nowhere"), None, &|_| None).unwrap_err();
    assert!(failure.observed.contains("cmsbs.properties") && failure.remedy.contains("UM_HOME"), "{failure}");
}

#[test]
fn another_language_is_spoken_from_the_first_failure_on_where_none_is_configured() {
    let speaks = |home: &std::path::Path, environment: &[(&str, &str)]| {
        let loaded = from_um_home_else_in(Some(Language::English), home, None, &map(environment));
        let failure = loaded.unwrap_err();
        match format!("{} {}", failure.cause, failure.remedy) {
            text if ["Write ", "Enter ", "UM_HOME is the"].iter().any(|word| text.contains(word)) => {
                Language::English
            }
            text if ["Tragen Sie", "UM_HOME ist"].iter().any(|word| text.contains(word)) => Language::German,
            text => panic!("{text}"),
        }
    };
    let home = Home::with_main(MANUAL.replace("oauth2.clientId", "x"));
    let nowhere = home.0.path().join("nowhere");
    for home in [home.0.path(), nowhere.as_path()] {
        assert_eq!(speaks(home, &[]), Language::English);
        assert_eq!(speaks(home, &[("cmsbs__lang", "de")]), Language::German);
    }
    home.add("cmsbs-conf/conf.d/lang.properties", "cmsbs.lang = de");
    assert_eq!(speaks(home.0.path(), &[]), Language::German);
    let failure = from_um_home_in(Some(Language::English), &nowhere, None, &|_| None).unwrap_err();
    assert!(failure.cause.contains("does not exist"), "{failure}");
}

#[test]
fn a_refused_configuration_is_explained_without_placeholders() {
    let wrong = keys::ALL.iter().flat_map(|key| {
        let values = ["<x>", "http://x/token", "false"];
        let lines = values.map(|value| format!("{} = \"{value}\"", key.name));
        lines.into_iter().chain([format!("{}$file = nowhere", key.name)])
    });
    let mut explained = std::collections::BTreeSet::new();
    for line in wrong.chain(["include.1 = nowhere".to_owned(), "cmsbs.mail.imap.ssl =".to_owned()]) {
        let home = Home::new(&line);
        for language in [Language::English, Language::German] {
            let loaded = from_um_home_in(Some(language), home.0.path(), None, &|_| None);
            let Err(failure) = loaded else { continue };
            let texts = [failure.cause, failure.remedy];
            assert!(crate::text::tests::texts::placeholders(&texts).is_empty(), "{line}: {texts:?}");
            explained.extend(failure.id);
        }
    }
    assert_eq!(
        explained.iter().map(String::as_str).collect::<Vec<_>>(),
        ["imap-unencrypted-oauth2", "storage-missing", "token-url-unencrypted"]
    );
}

#[test]
fn placeholders_are_refused() {
    let failure = Home::new(
        "cmsbs.mail.imap.oauth2.accessTokenUri = https://login.microsoftonline.com/<tenant_id>/oauth2/v2.0/token\n\
         cmsbs.mail.imap.user = <mailbox_name>",
    )
    .refused();
    assert_eq!(failure.observed.matches("placeholder").count(), 2, "{failure}");
}

#[test]
fn line_breaks_cannot_get_into_what_is_sent() {
    for key in ["user", "password", "folder.debug", "oauth2.clientId", "server"] {
        let home = Home::new(&format!("cmsbs.mail.imap.{key} = \"a\\u000d\\u000ab\""));
        let failure = home.refused();
        assert!(failure.observed.contains(&format!("cmsbs.mail.imap.{key}: ")), "{failure}");
    }
}

#[test]
fn no_secret_gets_into_an_error_a_finding_or_a_debug_text() {
    let keys: Vec<_> = keys::ALL.iter().filter(|key| key.secret).collect();
    for wreck in ["", "\\u0007", "\"x", " <y> ", "'z'", "\\q", "://@:/%"] {
        let planted: String = keys
            .iter()
            .map(|key| match key.kind {
                keys::Kind::Text => format!("{} = \"Pl4nted{wreck}Pl4nted\"\n", key.name),
                _ => format!("{} = \"http://u:Pl4nted{wreck}Pl4nted@proxy\"\n", key.name),
            })
            .collect();
        for main in
            [format!("{MANUAL}{planted}"), format!("{MANUAL}{planted}{planted}\ncmsbs.mail.imap.port = x")]
        {
            let home = Home::with_main(main);
            let text = match from_um_home(home.0.path(), None, &|_| None) {
                Ok(loaded) => format!("{loaded:?}"),
                Err(failure) => format!("{failure} {failure:?}"),
            };
            assert!(!text.contains("Pl4nted"), "{text}");
        }
    }
}

#[test]
fn what_is_not_set_has_the_line_to_write_and_its_file() {
    let without = |key: &str| MANUAL.replace(&format!("cmsbs.mail.imap.{key} ="), "# =");
    for (key, english, german) in [
        ("server", "The IMAP server.", "Der IMAP-Server."),
        ("user", "The mailbox's primary e-mail address.", "Die primäre E-Mail-Adresse des Postfachs."),
        ("oauth2.clientId", "The application (client) ID of", "Die Anwendungs-ID (Client) der"),
        ("oauth2.clientSecret", "The value of the client secret.", "Der Wert des Clientgeheimnisses."),
    ] {
        let home = Home::with_main(without(key));
        let file = home.0.path().join("cmsbs-conf/cmsbs.properties").display().to_string();
        let remedy =
            |language| from_um_home_in(Some(language), home.0.path(), None, &|_| None).unwrap_err().remedy;
        let line = format!("cmsbs.mail.imap.{key} = \"…\" in {file}");
        let english = format!("Write {line}: {english}");
        assert!(remedy(Language::English).starts_with(&english), "{}", remedy(Language::English));
        let german = format!("Tragen Sie {line} ein: {german}");
        assert!(remedy(Language::German).starts_with(&german), "{}", remedy(Language::German));
    }
    let failure = from_settings(&settings_of(&without("server")), None).unwrap_err();
    assert_eq!(failure.remedy, "Tragen Sie cmsbs.mail.imap.server = \"…\" ein: Der IMAP-Server.");
    let home = Home::with_main(format!("{MANUAL}cmsbs.bounce.listeners = x"));
    let failure = from_um_home_in(Some(Language::English), home.0.path(), Some("x"), &|_| None).unwrap_err();
    assert!(failure.to_string().contains("Write cmsbs.bouncelistener.x.mail.imap.server = "), "{failure}");
}

#[test]
fn an_empty_value_or_file_is_said_to_be_empty() {
    let failure = Home::new("cmsbs.mail.imap.oauth2.clientId = \"\"").refused();
    assert!(failure.observed.contains("line 17: cmsbs.mail.imap.oauth2.clientId: The value is empty."));
    for (line, remedy) in [
        ("cmsbs.mail.imap.oauth2.clientSecret$file = secret", "Write the value to "),
        // No default takes its place, which here would delete mail.
        ("cmsbs.bounce.debug$file = secret", "Write the value to the file"),
    ] {
        let home =
            Home::with_main(format!("{}cmsbs.lang = en\n{line}\n", MANUAL.replace("clientSecret =", "x =")));
        home.add("secret", "\n");
        let failure = home.refused();
        let file = home.0.path().join("secret").display().to_string();
        assert!(failure.observed.contains(&file) && failure.observed.contains("line 18"), "{failure}");
        assert!(
            failure.observed.contains("The file is empty.") && failure.to_string().contains(remedy),
            "{failure}"
        );
    }
    // A password is left empty for OAuth2.
    let home = Home::new("cmsbs.mail.imap.password$file = secret");
    home.add("secret", "");
    home.load();
}

#[test]
fn blanks_alone_are_no_value() {
    let failure = Home::new("cmsbs.mail.imap.oauth2.clientId = \" \"").refused();
    assert!(failure.observed.contains("line 17: cmsbs.mail.imap.oauth2.clientId: The value is empty."));
}
