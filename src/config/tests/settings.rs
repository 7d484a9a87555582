//! UM's own effective configuration in place of its files.

use super::*;

#[test]
fn a_settings_function_gives_the_same_mailbox() {
    let home = Home::with_main(MANUAL);
    let loaded = from_settings(&settings_of(MANUAL), None).unwrap();
    let mut from_files = home.load().config;
    assert_eq!(loaded.config.work_directory, None);
    from_files.work_directory = None;
    assert_eq!(format!("{:?}", loaded.config), format!("{from_files:?}"));
}

#[test]
fn a_settings_function_is_asked_for_nothing_but_the_listed_keys() {
    for listener in [None, Some("x")] {
        let listed = keys(listener);
        let ask = |key: &str| {
            assert!(listed.iter().any(|listed| listed == key), "{key}");
            None
        };
        from_settings(&ask, listener).unwrap_err();
    }
}

#[test]
fn the_server_home_of_the_settings_gives_paths_and_the_work_directory() {
    let home = TempDir::new().unwrap();
    fs::write(home.path().join("secret"), "fr0m-a-file\n").unwrap();
    let manual = settings_of(MANUAL);
    let loaded = from_settings(
        &|key| match key {
            "cmsbs.server.home" => Some(home.path().to_str().unwrap().to_owned()),
            "cmsbs.mail.imap.oauth2.clientSecret$file" => Some("secret".into()),
            "cmsbs.mail.imap.oauth2.clientSecret" => None,
            "cmsbs.mail.imap.ssl.caFile" => Some("ca.pem".into()),
            key => manual(key),
        },
        None,
    )
    .unwrap();
    assert_eq!(loaded.config.work_directory, Some(home.path().join("cmsbs-work/um-imap-oauth2")));
    assert_eq!(loaded.config.ca_file, Some(home.path().join("ca.pem")));
    assert_eq!(secret(&loaded.config), "fr0m-a-file");
}

#[test]
fn settings_that_um_has_read_from_a_file_itself_are_not_read_again_in_vain() {
    let manual = settings_of(MANUAL);
    let loaded = from_settings(
        &|key| match key {
            "cmsbs.mail.imap.oauth2.clientSecret$file" => Some("/nowhere/secret".into()),
            key => manual(key),
        },
        None,
    )
    .unwrap();
    assert_eq!(secret(&loaded.config), "Pl4nted~s3cret.of-about-forty-characters");
    assert!(warnings(&loaded)[0].contains("/nowhere/secret"));
}
