//! Text from outside: whatever server, endpoint, proxy, certificate and properties say, nothing that the command line prints and
//! nothing in `status.json` controls a terminal or holds a part of a secret. `UM_TEST_TEXTS=100` tries more than `make test` does.

#![cfg(unix)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection};
use serde_json::{Value, json};
use tempfile::TempDir;
use um_standin::scenario::CLIENT_ID;
use um_standin::{Scenario, Standin};
use unicode_properties::{GeneralCategory as G, UnicodeGeneralCategory};

const SECRET: &str = "Zq8~x7/Q+Kp.2&Wm_4dJ^fT9bN%vR";
const PROXY_PASSWORD: &str = "hG5-sLw0~yC3xUe7";

#[test]
fn what_a_mail_server_says() {
    for_each_text(|random| {
        type Steps = fn(&mut Random) -> Vec<Value>;
        let places: [(&str, Steps); 8] = [
            ("greeting", |random| vec![send(format!("* OK {}\r\n", random.line()))]),
            ("greeting", |random| vec![send(format!("* BYE {}\r\n", random.line())), "close".into()]),
            ("AUTHENTICATE", |random| {
                let challenge = BASE64_STANDARD.encode(random.text());
                vec![send(format!("+ {challenge}\r\n")), send(format!("{{tag}} NO {}\r\n", random.line()))]
            }),
            ("LIST", |random| {
                vec![send(format!("* LIST () \"/\" \"{}\"\r\n", random.line())), "answer".into()]
            }),
            ("EXAMINE", |random| vec![send(format!("{{tag}} NO {}\r\n", random.line()))]),
            ("UID SEARCH", |random| vec![send(format!("* NO {}\r\n", random.text())), "cut".into()]),
            ("UID FETCH", |random| vec![send(format!("{{tag}} BAD {}\r\n", random.line()))]),
            ("STATUS", |random| vec![send(format!("{} nonsense\r\n", random.line()))]),
        ];
        for (on, steps) in places {
            let fault = json!({"on": on, "times": 0, "do": steps(random)});
            Case::new(json!({"faults": [fault]})).run_all();
        }
    });
}

#[test]
fn what_a_token_endpoint_says() {
    for_each_text(|random| {
        let errors =
            json!({"error": random.text(), "error_description": random.text(), "trace_id": random.text()});
        let answers = [
            json!({"respond": {"status": 400, "body": errors}}),
            json!({"respond": {"status": 200, "body": {"access_token": SECRET, "token_type": random.text()}}}),
            json!({"respond": {"status": 502, "body": random.text()}}),
            json!({"respond": {"status": 200, "body": format!("<html><title>{}</title>", random.text())}}),
            json!({"claims": {"roles": [random.text()], "tid": random.text(), "aud": random.text()}}),
        ];
        for answer in answers {
            let steps =
                if answer.get("claims").is_some() { json!([answer, "answer"]) } else { json!([answer]) };
            Case::new(json!({"faults": [{"on": "token", "times": 0, "do": steps}]})).run_all();
        }
    });
}

#[test]
fn what_a_proxy_and_a_certificate_say() {
    for_each_text(|random| {
        random.secrets.push(PROXY_PASSWORD);
        let status = random.line();
        let proxy = serve(move |mut stream| {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(format!("HTTP/1.1 403 {status}\r\n\r\n").as_bytes());
        });
        let proxy = format!("http://somebody:{PROXY_PASSWORD}@127.0.0.1:{proxy}");
        Case::new(json!({}))
            .with("cmsbs.mail.imap.proxy", &proxy)
            .with("cmsbs.mail.imap.oauth2.proxy", &proxy)
            .run_all();

        random.secrets.pop();
        let certified = certified(&random.text());
        let server = serve(move |mut stream| {
            let mut tls = ServerConnection::new(certified.clone()).expect("TLS");
            while tls.complete_io(&mut stream).is_ok() {}
        });
        Case::new(json!({})).with("cmsbs.mail.imap.port", &server.to_string()).run_all();
    });
}

#[test]
fn what_properties_and_names_of_files_say() {
    for_each_text(|random| {
        // A line end would end the value, and a secret in another property is no secret.
        let hostile = random.without_secrets().replace(['\n', '\r', '"', '\\', '/', '\0'], "");
        for key in ["cmsbs.mail.imap.user", "cmsbs.mail.imap.folder.error", "cmsbs.mail.imap.port"] {
            Case::new(json!({})).with(key, &hostile).run_all();
        }
        Case::new(json!({})).with("cmsbs.mail.imap.ssl.caFile", &format!("a{hostile}")).run_all();
        Case::below(&format!("a{}", hostile.chars().take(40).collect::<String>())).run_all();
    });
}

fn send(text: String) -> Value {
    json!({"send": text})
}

fn for_each_text(check: impl Fn(&mut Random)) {
    let count = std::env::var("UM_TEST_TEXTS").map_or(1, |count| count.parse().expect("a number"));
    for seed in 1..=count {
        check(&mut Random { state: 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed), secrets: vec![SECRET] });
    }
}

/// Listens on the loopback interface until the process ends.
fn serve(talk: impl Fn(TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || listener.incoming().map_while(Result::ok).for_each(talk));
    port
}

/// A certificate that nobody trusts, with this name.
fn certified(name: &str) -> Arc<ServerConfig> {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
    params.distinguished_name.push(DnType::CommonName, name);
    let certificate = params.self_signed(&key).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let config = config.expect("versions").with_no_client_auth();
    Arc::new(config.with_single_cert(vec![certificate.der().clone()], key).expect("a pair"))
}

/// A stand-in, and a UM_HOME whose properties lead to it.
struct Case {
    _standin: Standin,
    scratch: TempDir,
    um_home: std::path::PathBuf,
    properties: BTreeMap<String, String>,
}

impl Case {
    fn new(scenario: Value) -> Self {
        Self::of(scenario, "um")
    }

    /// In a directory of this name.
    fn below(directory: &str) -> Self {
        Self::of(json!({}), directory)
    }

    fn of(mut scenario: Value, directory: &str) -> Self {
        scenario["clients"] = json!([{"id": CLIENT_ID, "secrets": [SECRET]}]);
        let scenario: Scenario = serde_json::from_value(scenario).expect("a scenario");
        let standin = Standin::start(scenario).expect("a stand-in");
        let mut properties = standin.properties();
        properties.insert("cmsbs.mail.imap.oauth2.clientSecret".into(), SECRET.into());
        properties.insert("cmsbs.mail.imap.trace".into(), "true".into());
        let scratch = tempfile::tempdir().expect("a directory");
        let um_home = scratch.path().join(directory);
        Self { _standin: standin, scratch, um_home, properties }
    }

    fn with(mut self, key: &str, value: &str) -> Self {
        self.properties.insert(key.into(), value.into());
        self
    }

    /// Each command that shows something, and the file that another account may read.
    fn run_all(&self) {
        for directory in ["cmsbs-conf", "cmsbs-work"] {
            fs::create_dir_all(self.um_home.join(directory)).expect("a directory");
        }
        let lines = self.properties.iter().map(|(key, value)| format!("{key} = \"{value}\"\n"));
        let file = self.um_home.join("cmsbs-conf/cmsbs.properties");
        let text = format!("# Pinuts File Encoding: UTF-8\n{}", lines.collect::<String>());
        fs::write(&file, text).expect("properties");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("a mode");

        let to = self.scratch.path().join("out");
        let to = to.to_str().expect("UTF-8");
        for arguments in [
            &["check"][..],
            &["check", "--json"],
            &["fetch", "--to", to, "--settle", "keep", "--limit", "1"],
            &["fetch", "--to", to, "--json", "--limit", "1"],
            &["token"],
            &["token", "--json"],
            &["config"],
            &["status"],
            &["status", "--json"],
        ] {
            self.run(arguments);
        }
        statuses(&self.um_home.join("cmsbs-work"), &mut |text| harmless(&text, "status.json"));
    }

    fn run(&self, arguments: &[&str]) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_um-imap-oauth2"));
        command.args(&arguments[..1]).arg("--um-home").arg(&self.um_home).args(&arguments[1..]);
        for variable in ["LC_ALL", "LC_MESSAGES", "LANG", "HTTPS_PROXY", "https_proxy"] {
            command.env_remove(variable);
        }
        let output = command.stdin(Stdio::null()).output().expect("it can be started");
        let said = format!("{arguments:?}");
        assert!(output.status.code().is_some_and(|code| code < 100), "{said}: {output:?}");
        for text in [output.stdout, output.stderr] {
            let text = String::from_utf8(text).expect("UTF-8");
            let values: Result<Vec<Value>, _> =
                serde_json::Deserializer::from_str(&text).into_iter().collect();
            match values {
                Ok(values) => values.iter().for_each(|value| harmless_json(value, &said)),
                Err(_) => harmless(&text, &said),
            }
        }
    }
}

/// The text of each status.json below `directory`.
fn statuses(directory: &Path, with: &mut dyn FnMut(String)) {
    for entry in fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            statuses(&entry, with);
        } else if entry.ends_with("status.json") {
            with(fs::read_to_string(entry).expect("text"));
        }
    }
}

fn harmless_json(value: &Value, said: &str) {
    match value {
        Value::String(text) => harmless(text, said),
        Value::Array(values) => values.iter().for_each(|value| harmless_json(value, said)),
        // The name of a file is there for programs, which need it as it is.
        Value::Object(members) => {
            let members = members.iter().filter(|(name, _)| *name != "file");
            members.for_each(|(_, value)| harmless_json(value, said));
        }
        _ => {}
    }
}

/// No character that a terminal obeys but the line feed, and no eight characters of a secret, however they are written.
fn harmless(text: &str, said: &str) {
    let obeyed = |c: char| {
        c != '\n'
            && matches!(
                c.general_category(),
                G::Control | G::Format | G::LineSeparator | G::ParagraphSeparator
            )
    };
    assert!(!text.contains(obeyed), "{said}: {text:?}");
    for secret in [SECRET, PROXY_PASSWORD] {
        for start in 0..=secret.len() - 8 {
            let run = &secret[start..start + 8];
            for writing in WRITINGS {
                let written = writing(run);
                // Of base64 what does not depend on the octets beside it.
                let written = written.trim_end_matches('=');
                assert!(!text.contains(written), "{said} has {written} of {run}: {text}");
            }
        }
    }
}

const WRITINGS: [fn(&str) -> String; 7] = [
    str::to_owned,
    |text| text.bytes().map(|octet| format!("%{octet:02x}")).collect(),
    |text| {
        let some = |octet: u8| match octet {
            octet if octet.is_ascii_alphanumeric() => char::from(octet).to_string(),
            octet => format!("%{octet:02X}"),
        };
        text.bytes().map(some).collect()
    },
    |text| text.chars().map(|c| format!("&#{};", u32::from(c))).collect(),
    |text| text.replace('&', "&amp;"),
    |text| text.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect(),
    |text| BASE64_URL_SAFE_NO_PAD.encode(text),
];

/// Xorshift: any texts that are always the same will do.
struct Random {
    state: u64,
    secrets: Vec<&'static str>,
}

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state % limit as u64) as usize
    }

    fn text(&mut self) -> String {
        (0..8 + self.below(8)).map(|_| if self.below(2) == 0 { self.word() } else { self.secret() }).collect()
    }

    /// A text without a line end.
    fn line(&mut self) -> String {
        self.text().replace(['\r', '\n', '"', '{'], "\u{9b}")
    }

    fn without_secrets(&mut self) -> String {
        (0..12).map(|_| self.word()).collect()
    }

    fn word(&mut self) -> String {
        const WORDS: [&str; 16] = [
            "\u{1b}[31m",
            "\u{1b}]0;x\u{7}",
            "\r",
            "\n",
            "\r\n* OK forged",
            "\u{9b}2J",
            "\u{202e}",
            "\u{2066}",
            "\u{2028}",
            "\u{2029}",
            "\u{feff}",
            "\u{e0041}",
            "\u{7f}",
            " ordinary words ",
            "Größe",
            "\0",
        ];
        WORDS[self.below(WORDS.len())].to_owned()
    }

    /// At least eight characters of a secret, in up to two writings over each other.
    fn secret(&mut self) -> String {
        let which = self.below(self.secrets.len());
        let secret = self.secrets[which];
        let start = self.below(secret.len() - 8);
        let end = start + 8 + self.below(secret.len() - start - 7);
        let (one, other) = (WRITINGS[self.below(WRITINGS.len())], WRITINGS[self.below(WRITINGS.len())]);
        let written = one(&secret[start..end]);
        let written = if self.below(2) == 0 { other(&written) } else { written };
        format!(" {written} ")
    }
}
