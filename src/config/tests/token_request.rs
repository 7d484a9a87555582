//! The token request: its URL, credential, scope and proxy.

use super::*;

#[test]
fn an_access_token_never_goes_over_an_unencrypted_connection() {
    assert!(Home::new("cmsbs.mail.imap.ssl = false").refused().observed.contains("cmsbs.mail.imap.ssl"));
    let without = MANUAL.replace("cmsbs.mail.imap.ssl", "# ");
    assert!(Home::with_main(without).refused().observed.contains("cmsbs.mail.imap.ssl"));
    assert_eq!(Home::new("cmsbs.mail.imap.ssl = tls").load().config.security, Security::StartTls);
}

#[test]
fn oauth2_lines_without_the_method_are_said() {
    let main = MANUAL.replace("\"oauth2\"", "\"oauth\"").replace("password = \"\"", "password = \"x\"");
    let loaded = Home::with_main(main).load();
    assert!(matches!(loaded.config.authentication, Authentication::Password(_)));
    assert!(warnings(&loaded).iter().any(|text| text.contains("authenticationMethod")));
}

#[test]
fn a_token_url_that_was_broken_by_the_pdf_is_named() {
    for broken in [
        "cmsbs.mail.imap.oauth2.accessTokenUri =\nhttps://login.microsoftonline.com/x/oauth2/v2.0/token",
        "cmsbs.mail.imap.oauth2.accessTokenUri = https://login.microsoftonline.com/\nx/oauth2/v2.0/token",
        "cmsbs.mail.imap.oauth2.accessTokenUri = \"https://login.microsoftonline.com/x/oauth2/\nv2.0/token\"",
    ] {
        let failure = Home::new(broken).refused();
        assert!(failure.observed.contains("continues in line 18"), "{failure}");
    }
}

#[test]
fn exactly_one_credential_is_configured() {
    let failure = Home::new("cmsbs.mail.imap.oauth2.clientCertificate = client.pem").refused();
    assert!(
        failure.observed.contains("oauth2.clientSecret, cmsbs.mail.imap.oauth2.clientCertificate"),
        "{failure}"
    );
    let none = MANUAL.replace("cmsbs.mail.imap.oauth2.clientSecret", "# ");
    let home = Home::with_main(format!(
        "{none}cmsbs.mail.imap.oauth2.clientCertificate = c.pem\ncmsbs.mail.imap.oauth2.clientCertificatePassword = p"
    ));
    let loaded = home.load();
    let Credential::Certificate { file, password } = &oauth2(&loaded.config).credential else { panic!() };
    assert_eq!(*file, home.0.path().join("c.pem"));
    assert_eq!(password.as_ref().unwrap().expose_secret(), "p");
    let loaded =
        Home::with_main(format!("{none}cmsbs.mail.imap.oauth2.clientAssertionFile = /run/jwt")).load();
    assert!(matches!(&oauth2(&loaded.config).credential, Credential::AssertionFile(_)));
    Home::with_main(none).refused();
}

#[test]
fn a_secret_that_looks_like_its_id_is_said_and_not_shown() {
    let id = "0b6c1f0e-7e57-4d2a-9c55-0123456789ab";
    let loaded = Home::new(&format!("cmsbs.mail.imap.oauth2.clientSecret = {id}")).load();
    assert!(texts(&loaded.findings).contains("the ID of the secret"));
    assert!(!texts(&loaded.findings).contains(id));
}

#[test]
fn a_missing_scope_is_derived_from_the_cloud_or_the_server() {
    let main = MANUAL.replace("cmsbs.mail.imap.oauth2.scope", "# ");
    let scope = |main: &str| oauth2(&Home::with_main(main).load().config).scope.clone();
    assert_eq!(scope(&main), "https://outlook.office365.com/.default");
    let china = main.replace("login.microsoftonline.com", "login.partner.microsoftonline.cn");
    assert_eq!(scope(&china), "https://partner.outlook.cn/.default");
    let other = main
        .replace("login.microsoftonline.com", "sso.example")
        .replace("outlook.office365.com", "imap.example");
    assert_eq!(scope(&other), "https://imap.example/.default");
}

#[test]
fn the_token_request_goes_through_ums_proxy_unless_told_otherwise() {
    let route = |more: &str| oauth2(&Home::new(more).load().config).route.clone();
    let um = "cmsbs.proxy = http://u:Pl4nted@proxy:3128/\n";
    assert!(matches!(route(um), Route::Proxy(Proxy { port: 3128, .. })));
    assert!(matches!(route(&format!("{um}cmsbs.noproxy = x .microsoftonline.com")), Route::Direct));
    assert!(matches!(route(&format!("{um}cmsbs.mail.imap.oauth2.proxy = none")), Route::Direct));
    let own = format!("{um}cmsbs.mail.imap.oauth2.proxy = http://other:8080");
    assert!(matches!(route(&own), Route::Proxy(Proxy { port: 8080, .. })));
    assert!(Home::new(um).load().config.proxy.is_none());
    let loaded = Home::new("cmsbs.proxy = https://u:Pl4nted@proxy").load();
    assert_eq!(warnings(&loaded).len(), 1);
    assert!(!format!("{loaded:?}").contains("Pl4nted"));
}

#[test]
fn a_proxy_knows_where_it_stands() {
    let listener = "cmsbs.bounce.listeners = x\ncmsbs.bouncelistener.x.mail.imap.server = a.example\n\
                    cmsbs.bouncelistener.x.mail.imap.user = x\n";
    for (line, expected) in [
        ("cmsbs.proxy = http://proxy:1", "cmsbs.proxy"),
        ("cmsbs.mail.imap.oauth2.proxy = http://proxy:1", "cmsbs.mail.imap.oauth2.proxy"),
        ("cmsbs.bouncelistener.x.oauth2.proxy = http://proxy:1", "cmsbs.bouncelistener.x.oauth2.proxy"),
    ] {
        let home = Home::new(&format!("{listener}{line}\ncmsbs.mail.imap.proxy = http://proxy:1"));
        let config = from_um_home(home.0.path(), Some("x"), &|_| None).unwrap().config;
        let Route::Proxy(proxy) = &oauth2(&config).route else { panic!("{line}") };
        assert_eq!(proxy.set_by, expected);
        assert_eq!(config.proxy.unwrap().set_by, "cmsbs.mail.imap.proxy");
    }
}

#[test]
fn a_reminder_in_a_wrong_format_is_said_and_stops_nothing() {
    for wrong in ["31.12.2026", "<date>"] {
        let loaded = Home::new(&format!("cmsbs.mail.imap.oauth2.clientSecretExpires = {wrong}")).load();
        assert_eq!(oauth2(&loaded.config).secret_expires, None);
        let said = warnings(&loaded);
        assert!(said[0].contains("line 17: cmsbs.mail.imap.oauth2.clientSecretExpires: "), "{said:?}");
        assert!(said[0].contains(&format!("\"{wrong}\" is not a date.")), "{said:?}");
    }
}

#[test]
fn a_client_id_or_tenant_that_cannot_be_one_is_said_of_microsofts_login_hosts() {
    let text = |more: &str| warnings(&Home::new(more).load()).join("\n");
    let uri = |uri: &str| text(&format!("cmsbs.mail.imap.oauth2.accessTokenUri = {uri}\n"));
    assert!(text("cmsbs.mail.imap.oauth2.clientId = universal-messenger\n").contains("not a GUID"));
    let of = |tenant: &str| uri(&format!("https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token"));
    assert!(of("my_company").contains("\"my_company\" is neither a GUID nor a domain"));
    assert!(of("Common").contains("all tenants"));
    assert!(!of("example.onmicrosoft.com").contains("tenant"));
    let version_1 = uri("https://login.microsoftonline.com/example.org/oauth2/token");
    assert!(version_1.contains("/oauth2/v2.0/token"), "{version_1}");
    let other = "cmsbs.mail.imap.oauth2.clientId = um\n\
                 cmsbs.mail.imap.oauth2.scope = mail\n\
                 cmsbs.mail.imap.oauth2.accessTokenUri = https://sso.example/realms/x/token\n";
    for said in ["GUID", "tenant", "scope"] {
        assert!(!text(other).contains(&format!("{said} ")), "{}", text(other));
    }
}

#[test]
fn a_scope_that_cannot_work_is_said() {
    let of = |scope: &str| {
        let loaded = Home::new(&format!("cmsbs.mail.imap.oauth2.scope = {scope}")).load();
        let texts = warnings(&loaded).iter().filter(|text| !text.contains("also set")).count();
        (texts, warnings(&loaded).join("\n"))
    };
    assert_eq!(of("https://outlook.office365.com/.default").0, 0);
    assert_eq!(of("https://Outlook.Office.com/.default").0, 0);
    for (scope, said) in [
        ("https://outlook.office365.com/IMAP.AccessAsApp", "/.default"),
        ("https://graph.microsoft.com/.default", "Graph"),
        ("https://partner.outlook.cn/.default", "a different cloud"),
        ("https://outlook.office365.us/.default", "a different cloud"),
    ] {
        let (count, text) = of(scope);
        assert!(count == 1 && text.contains(said), "{text}");
        assert!(text.contains("Enter https://outlook.office365.com/.default."), "{text}");
    }
}
