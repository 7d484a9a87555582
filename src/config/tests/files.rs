//! The files below UM_HOME: their order, includes and fragments, value files, the environment.

use super::*;

#[test]
fn a_home_in_the_files_that_is_not_theirs_is_a_warning() {
    let elsewhere = Home::new("cmsbs.server.home = /srv/um").load();
    let said = warnings(&elsewhere);
    assert!(said[0].contains("\"/srv/um\" is another directory than"), "{said:?}");
    let home = Home::new("");
    let itself = home.0.path().join("cmsbs-conf").join("..");
    let itself = home.load_with(&[("cmsbs.server.home", itself.to_str().unwrap())]);
    assert_eq!(warnings(&itself), [""; 0]);
    // Of the settings it is the home.
    let manual = settings_of(MANUAL);
    let settings = |key: &str| match key {
        "cmsbs.server.home" => Some("/srv/um".into()),
        key => manual(key),
    };
    assert_eq!(warnings(&from_settings(&settings, None).unwrap()), [""; 0]);
}

#[test]
fn includes_come_after_the_file_and_fragments_after_them_in_their_order() {
    let home = Home::new(
        "include.10 = b.properties\ninclude.9 = \"cmsbs-conf/a.properties\"\ncmsbs.mail.imap.folder.spam = main",
    );
    home.add("cmsbs-conf/a.properties", "cmsbs.mail.imap.folder.spam = a\ncmsbs.mail.imap.folder.error = a");
    home.add("b.properties", "cmsbs.mail.imap.folder.spam = b\ncmsbs.mail.imap.folder.debug = b");
    assert_eq!(home.load().config.folders.spam.as_deref(), Some("b"));
    assert_eq!(home.load().config.folders.error, "a");
    home.add("cmsbs-conf/conf.d/20-x.properties", "cmsbs.mail.imap.folder.spam = 20");
    home.add(
        "cmsbs-conf/conf.d/10-x.properties",
        "cmsbs.mail.imap.folder.spam = 10\ncmsbs.mail.imap.folder.debug = 10",
    );
    home.add("cmsbs-conf/conf.d/99-x.txt", "cmsbs.mail.imap.folder.spam = 99");
    let loaded = home.load();
    assert_eq!(
        (loaded.config.folders.spam.as_deref(), loaded.config.folders.debug.as_str()),
        (Some("20"), "10")
    );
    assert!(warnings(&loaded).is_empty());
}

#[test]
fn fragments_lie_where_the_configuration_says() {
    let home = Home::new("cmsbs.directory.confd = fragments");
    home.add("fragments/a.properties", "cmsbs.mail.imap.folder.spam = a");
    home.add("cmsbs-conf/conf.d/a.properties", "cmsbs.mail.imap.folder.spam = wrong");
    assert_eq!(home.load().config.folders.spam.as_deref(), Some("a"));
}

#[test]
fn a_missing_directory_of_fragments_is_refused_unless_it_is_the_default() {
    for named in ["", "cmsbs.directory.confd = \"cmsbs-conf/conf.d\""] {
        Home::new(named).load();
    }
    let failure = Home::new("cmsbs.directory.confd = nowhere").refused();
    assert_eq!(failure.key.as_deref(), Some("cmsbs.directory.confd"));
    assert!(failure.observed.contains("line 17: cmsbs.directory.confd: "), "{failure}");
    let environment = map(&[("cmsbs__directory__confd", "nowhere")]);
    let failure = from_um_home(Home::new("").0.path(), None, &environment).unwrap_err();
    assert!(failure.observed.contains("nowhere"), "{failure}");
    let home = Home::new("");
    home.add("cmsbs-conf/conf.d", "no directory");
    assert!(home.refused().observed.contains("conf.d"));
}

#[test]
fn a_fragment_or_include_that_cannot_be_read_refuses_each_mailbox() {
    let fragment = Home::new("cmsbs.bounce.listeners = x");
    // Nobody can read it as a file, not even root.
    fragment.add("cmsbs-conf/conf.d/60-x.properties/debug", "cmsbs.bounce.debug = true");
    let failure = fragment.refused();
    assert_eq!((failure.kind, failure.key.as_deref()), (Kind::Configuration, None));
    assert!(failure.observed.contains("60-x.properties: "), "{failure}");
    assert!(failure.remedy.contains("No mailbox is read"), "{failure}");
    let failure = from_um_home(fragment.0.path(), Some("x"), &|_| None).unwrap_err();
    assert!(failure.observed.contains("60-x.properties: "), "{failure}");
    let include = Home::new("include.1 = nowhere.properties\ninclude.2 = \"\"");
    let failure = include.refused();
    assert!(failure.observed.contains("line 17: include.1: "), "{failure}");
    assert!(
        failure.observed.contains("nowhere.properties") && !failure.observed.contains("include.2"),
        "{failure}"
    );
    for home in [fragment, include] {
        let report = report(home.0.path(), None, &|_| None, None).unwrap();
        assert!(report.mailboxes.iter().all(|mailbox| !mailbox.errors.is_empty()), "{report}");
    }
}

#[test]
fn a_fragment_larger_than_what_is_read_refuses_the_mailbox() {
    let home = Home::new("");
    home.add("cmsbs-conf/conf.d/x.properties", "# x\n".repeat(5 << 20));
    assert!(home.refused().observed.contains("larger than"));
}

#[cfg(unix)]
#[test]
fn a_file_that_is_being_edited_refuses_nothing() {
    let home = Home::new("");
    home.add("cmsbs-conf/conf.d/x.properties", "cmsbs.mail.imap.folder.spam = x");
    std::os::unix::fs::symlink("me@host.1:2", home.0.path().join("cmsbs-conf/conf.d/.#x.properties"))
        .unwrap();
    assert_eq!(home.load().config.folders.spam.as_deref(), Some("x"));
}

#[test]
fn files_that_include_each_other_are_read_once_and_it_is_said() {
    let home = Home::new("include.1 = a.properties");
    home.add("a.properties", "include.1 = ./b.properties\ncmsbs.mail.imap.folder.spam = a");
    home.add("b.properties", "include.1 = a.properties\ninclude.2 = cmsbs-conf/cmsbs.properties");
    let loaded = home.load();
    assert_eq!(loaded.config.folders.spam.as_deref(), Some("a"));
    let warnings = warnings(&loaded);
    assert_eq!(warnings.len(), 2);
    assert!(warnings[0].contains("b.properties, line 1: include.1"), "{warnings:?}");
}

#[test]
fn the_environment_overrides_in_both_spellings() {
    let home = Home::new("");
    assert_eq!(home.load_with(&[("cmsbs__mail__imap__user", "a@example.org")]).config.user, "a@example.org");
    let loaded = home.load_with(&[("cmsbs.mail.imap.user", "b@example.org")]);
    assert_eq!(loaded.config.user, "b@example.org");
    assert!(warnings(&loaded)[0].contains("environment variable cmsbs.mail.imap.user"));
}

#[test]
fn a_value_file_comes_before_the_plain_value_and_after_the_environment() {
    let home = Home::new("cmsbs.mail.imap.oauth2.clientSecret$file = secret");
    home.add("secret", "fr0m-a-file-of-about-forty-characters\r\n");
    let loaded = home.load();
    assert_eq!(secret(&loaded.config), "fr0m-a-file-of-about-forty-characters");
    assert!(texts(&loaded.findings).contains("ends with a line break"));
    assert_eq!(warnings(&loaded).len(), 1);
    let variable = ("cmsbs__mail__imap__oauth2__clientSecret", "fr0m-the-environment-with-forty-characters");
    let loaded = home.load_with(&[variable]);
    assert_eq!(secret(&loaded.config), "fr0m-the-environment-with-forty-characters");
    assert_eq!(warnings(&loaded).len(), 2);
    for text in [texts(&home.load().findings), texts(&loaded.findings), format!("{loaded:?}")] {
        assert!(!text.contains("fr0m") && !text.contains("Pl4nted"), "{text}");
    }
}

#[test]
fn a_value_file_that_cannot_be_read_is_an_error_and_no_default_takes_its_place() {
    let home = Home::new(
        "cmsbs.mail.imap.folder.error$file = nowhere\ncmsbs.mail.imap.oauth2.clientSecret$file = .",
    );
    let failure = home.refused();
    assert!(failure.observed.contains("cmsbs.mail.imap.folder.error$file"), "{failure}");
    assert!(failure.observed.contains("cmsbs.mail.imap.oauth2.clientSecret$file"), "{failure}");
    assert!(!failure.to_string().contains("The entry is missing."), "{failure}");
}

#[test]
fn a_file_in_utf_16_is_refused_with_how_to_save_it() {
    let little: Vec<_> = format!("\u{feff}{MANUAL}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big: Vec<_> = format!("\u{feff}{MANUAL}").encode_utf16().flat_map(u16::to_be_bytes).collect();
    for main in [little.clone(), big] {
        let home = Home::with_main(main);
        let failure = from_um_home_in(Some(Language::English), home.0.path(), None, &|_| None).unwrap_err();
        assert!(
            failure
                .observed
                .ends_with("cmsbs.properties: The file is encoded as UTF-16 (\"Unicode\" in Notepad)."),
            "{failure}"
        );
        assert!(failure.remedy.contains("Save it as"), "{failure}");
    }
    let home = Home::new("cmsbs.mail.imap.oauth2.clientSecret$file = secret");
    home.add("secret", &little[..20]);
    assert!(home.refused().observed.contains("secret: The file is encoded as UTF-16"));
}

#[test]
fn every_line_that_is_no_option_is_said_without_its_text() {
    let home = Home::new(
        "cmsbs.mail.imap.password \"Pl4nted\"\ncmsbs.mail.imap.folder.spam : \"junk\"\n# a comment\n\nPl4nted",
    );
    let said = texts(&home.load().findings);
    for line in [17, 18, 21] {
        assert!(
            said.contains(&format!(
                "cmsbs.properties, line {line}: The line does not have the form name = \"value\"."
            )),
            "{said}"
        );
    }
    assert_eq!(said.lines().count(), 3, "{said}");
    assert!(!said.contains("Pl4nted"), "{said}");
    let many = Home::new("");
    many.add("cmsbs-conf/conf.d/x.properties", "x\n".repeat(1_000));
    let said = texts(&many.load().findings);
    assert!(
        said.lines().count() < 30 && said.contains("x.properties: The file has 980 more such lines."),
        "{said}"
    );
}

#[test]
fn what_may_stand_in_a_file_that_was_not_read_is_not_said_to_be_missing() {
    let home = Home::with_main("cmsbs.lang = en\ninclude.1 = nowhere\ncmsbs.bounce.listeners = x\n");
    let failure = home.refused();
    assert!(failure.observed.contains("include.1") && failure.observed.lines().count() == 1, "{failure}");
}

#[cfg(unix)]
#[test]
fn a_secret_that_every_account_can_read_is_said() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new(
        "cmsbs.mail.imap.oauth2.clientSecret$file = secret\ncmsbs.mail.imap.oauth2.clientSecret = \"\"\n",
    );
    home.add("secret", "fr0m-a-file");
    let allow = |path: &str, mode| {
        fs::set_permissions(home.0.path().join(path), fs::Permissions::from_mode(mode)).unwrap();
    };
    let said = || texts(&home.load().findings).matches("Every account").count();
    allow("secret", 0o644);
    assert_eq!(said(), 0, "nobody else gets into the directory");
    allow("", 0o755);
    assert_eq!(said(), 1);
    allow("secret", 0o640);
    assert_eq!(said(), 0);
}

#[test]
fn a_value_file_is_read_once() {
    let home = Home::new("");
    home.add("secret", "fr0m-a-file");
    let count = std::cell::Cell::new(0);
    let ask = |name: &str| match name {
        "cmsbs.mail.imap.oauth2.clientSecret$file" => {
            count.set(count.get() + 1);
            fs::write(home.0.path().join("secret"), format!("{}", count.get())).unwrap();
            Some("secret".to_owned())
        }
        _ => None,
    };
    let loaded = from_um_home(home.0.path(), None, &ask).unwrap();
    assert_eq!(secret(&loaded.config), "1");
    assert!(count.get() > 1);
}
