//! No secret in failures and logs, whatever the endpoint repeats.

use super::*;

#[test]
fn no_failure_and_no_log_shows_a_planted_secret() {
    let fixture =
        |name: &str| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/token/fixtures").join(name);
    let written = |content: &str| {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), content).unwrap();
        file
    };
    let jwt = written("aGVhZGVy.UGw0bnRlZC1jbGFpbXM.UGw0bnRlZA");
    let (no_jwt, no_pem) = (written("Pl4nted"), written("-----BEGIN PRIVATE KEY-----\nPl4nted\n"));
    let certificate =
        |file, password: &str| Credential::Certificate { file, password: Some(password.into()) };
    let credentials = [
        Credential::ClientSecret(SECRET.into()),
        certificate(fixture("encrypted.pem"), "p4ss Pl4nted ß"),
        certificate(fixture("aes.pfx"), "p4ss Pl4nted ß"),
        certificate(fixture("3des.pfx"), "wrong Pl4nted"),
        certificate(fixture("encrypted-pkcs1.pem"), "p4ss Pl4nted ß"),
        certificate(no_pem.path().into(), "Pl4nted"),
        Credential::AssertionFile(jwt.path().into()),
        Credential::AssertionFile(no_jwt.path().into()),
    ];
    thread::scope(|scope| {
        for credential in &credentials {
            for answer in ANSWERS {
                scope.spawn(move || assert_nothing_is_shown(credential, answer));
            }
        }
    });
}

/// An answer that repeats what it is given, or a planted secret.
type Answer = fn(&str) -> String;

const ANSWERS: [Answer; 11] = [
    |echo| json("401 No", &format!(r#"{{"error":"invalid_client","error_description":"{echo}"}}"#)),
    |echo| json("400 No", &format!(r#"{{"error":"{echo}","trace_id":"{echo}","timestamp":"{echo}"}}"#)),
    |echo| http("403 No", "Content-Type: text/plain\r\n", echo),
    |echo| http("500 No", "", &format!("<html><title>{echo}</title><body>{echo}")),
    |echo| json("200 OK", &format!(r#"{{"what":"{echo}"}}"#)),
    |echo| json("200 OK", &format!(r#"{{"access_token":"Pl4nted","token_type":"{echo}"}}"#)),
    |echo| {
        http("302 No", &format!("Location: https://x/{}?{echo}\r\n", echo.split(' ').next().unwrap()), echo)
    },
    |_| json("200 OK", r#"{"access_token":"Pl4nt"#) + "ed",
    |_| http("200 OK", "Content-Type: text/html\r\n", "Pl4nted"),
    |_| "Pl4nted\r\n\r\n".into(),
    |_| issued("Pl4nted", HOUR),
];

/// Asks an endpoint for a token that repeats the form that was sent, as it was sent and decoded.
fn assert_nothing_is_shown(credential: &Credential, answer: Answer) {
    let mut endpoint = Endpoint::hearing(move |_, request, peer| {
        let form = request.rsplit("\r\n").next().unwrap_or_default();
        let decoded = form_decoded(form);
        let echo = format!("{form} {decoded} {}", decoded.replace('&', "&amp;"));
        let _ = peer.write_all(answer(&echo).as_bytes());
    });
    endpoint.oauth2.credential = credential.clone();
    endpoint.oauth2.next_secret = Some("n3xt/Pl4nted".into());
    endpoint.oauth2.secret_expires = Some(now().date_naive());
    let deadline = Deadline::after(Duration::from_secs(3));
    let result = endpoint.token_by(deadline, &Cancel::default());
    let words = result.as_ref().map_or_else(ToString::to_string, |_| String::new());
    let log = endpoint.logged().join("\n");
    let said = format!("{result:?}\n{words}\n{log}\n{:?}", endpoint.oauth2);
    assert!(!said.contains("Pl4nt") && !said.contains("UGw0bnRlZ"), "{said}");
    for request in endpoint.requests.lock().unwrap().iter() {
        let assertion = request.split('&').find_map(|field| field.strip_prefix("client_assertion="));
        let signature = assertion.and_then(|assertion| assertion.rsplit('.').next());
        assert!(signature.is_none_or(|signature| !said.contains(signature)), "{said}");
    }
}

fn form_decoded(form: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = form.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            b'+' => b' ',
            byte => byte,
        });
    }
    String::from_utf8(bytes).unwrap()
}
