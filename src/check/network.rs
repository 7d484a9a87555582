//! The ways to the two hosts: proxy, DNS, TCP, TLS.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Connection, Name, Notes, Run};
use crate::config::mailbox_values;
use crate::config::{Authentication, MailboxConfig, Proxy, Route, Security, keys};
use crate::failure::{Failure, Result};
use crate::imap::Transport;
use crate::imap::login::{self, Opening, StartTls};
use crate::imap::tags::Tags;
use crate::message;
use crate::net::{self, Deadline, Stream, Trust, proxy_name};

/// Which hosts can be talked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reached {
    pub token: bool,
    pub imap: bool,
}

/// Each part of the way to each host; what of it a proxy does is left out.
pub(super) fn test(run: &mut Run, config: &MailboxConfig, trust: Option<&Trust>) -> Reached {
    let hosts = hosts(run, config);
    let mut ways: Vec<_> = hosts.iter().map(|_| Some(Way::Begun)).collect();
    if hosts.iter().all(|host| host.proxy.is_none()) {
        run.step(Name::Proxy, |run, notes| {
            notes.see(message!(CheckNoProxy).in_language(run.language));
            Ok(())
        });
    }
    go_through_proxies(run, &hosts, &mut ways);
    look_up(run, &hosts, &mut ways);
    connect(run, &hosts, &mut ways);
    let mut reached = Reached { token: false, imap: false };
    for (host, way) in hosts.iter().zip(ways) {
        let encrypted = encrypt(run, host, way, trust);
        match host.connection {
            Connection::Token => reached.token = encrypted,
            Connection::Imap => reached.imap = encrypted,
        }
    }
    reached
}

fn go_through_proxies(run: &mut Run, hosts: &[Host], ways: &mut [Option<Way>]) {
    for (host, way) in hosts.iter().zip(ways) {
        if let Some(proxy) = &host.proxy {
            *way = run.step_at(Name::Proxy, Some(host.connection), Some(&host.shown()), |run, notes| {
                through_proxy(run, host, proxy, notes)
            });
        }
    }
}

fn look_up(run: &mut Run, hosts: &[Host], ways: &mut [Option<Way>]) {
    for (host, way) in hosts.iter().zip(ways).filter(|(host, _)| host.proxy.is_none()) {
        *way = run.step_at(Name::Dns, Some(host.connection), Some(&host.name), |run, notes| {
            let addresses = net::resolve(&host.name, host.port, Deadline::after(LIMIT), run.cancel);
            let addresses = addresses.map_err(|failure| host.blame(failure))?;
            let mut shown: Vec<_> = addresses.iter().map(|address| address.ip().to_string()).collect();
            shown.dedup();
            notes.see(shown.join(", "));
            Ok(Way::Addresses(addresses))
        });
    }
}

fn connect(run: &mut Run, hosts: &[Host], ways: &mut [Option<Way>]) {
    for (host, way) in hosts.iter().zip(ways).filter(|(host, _)| host.proxy.is_none()) {
        let Some(Way::Addresses(addresses)) = way.take() else {
            run.not_reached_at(Name::Tcp, Some(host.connection), Some(&host.shown()));
            continue;
        };
        *way = run.step_at(Name::Tcp, Some(host.connection), Some(&host.shown()), |run, notes| {
            let (name, deadline) = (&host.name, Deadline::after(LIMIT));
            let stream = net::connect_to(name, host.port, addresses, deadline, run.cancel);
            let stream = stream.map_err(|failure| host.blame(failure))?;
            if let Ok(address) = stream.address() {
                notes.see(address.ip().to_string());
            }
            Ok(Way::Open(stream))
        });
    }
}

/// Returns whether the host was reached by TLS.
fn encrypt(run: &mut Run, host: &Host, way: Option<Way>, trust: Option<&Trust>) -> bool {
    let (Some(Way::Open(stream)), Some(trust)) = (way, trust) else {
        run.not_reached_at(Name::Tls, Some(host.connection), Some(&host.shown()));
        return false;
    };
    let encrypted = run.step_at(Name::Tls, Some(host.connection), Some(&host.shown()), |run, notes| {
        shake_hands(run, host, stream, trust, notes).map_err(|failure| host.blame(failure))
    });
    encrypted.is_some()
}

/// The other end of one of the connections.
struct Host {
    connection: Connection,
    name: String,
    port: u16,
    proxy: Option<Proxy>,
    /// The property in which host and port stand; `None`: they have one each, and which is to be looked at depends.
    key: Option<String>,
    security: Security,
}

impl Host {
    fn shown(&self) -> String {
        format!("{}:{}", self.name, self.port)
    }

    /// The failure with the property to look at.
    fn blame(&self, failure: Failure) -> Failure {
        Failure { key: failure.key.or_else(|| self.key.clone()), ..failure }
    }
}

/// How far the way to a host has led.
enum Way {
    Begun,
    Addresses(Vec<SocketAddr>),
    Open(Stream),
}

fn hosts(run: &Run, config: &MailboxConfig) -> Vec<Host> {
    let mut hosts = Vec::new();
    if let Authentication::OAuth2(oauth2) = &config.authentication {
        let values = mailbox_values(config);
        let name = values("login_host").unwrap_or_default();
        hosts.push(Host {
            connection: Connection::Token,
            // An IPv6 address stands in brackets in a URL.
            name: name.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: values("login_port").and_then(|port| port.parse().ok()).unwrap_or(HTTPS),
            proxy: match &oauth2.route {
                Route::Proxy(proxy) => Some(proxy.clone()),
                Route::Direct | Route::Unset => None,
            },
            key: Some(run.written(&keys::ACCESS_TOKEN_URI)),
            security: Security::Tls,
        });
    }
    hosts.push(Host {
        connection: Connection::Imap,
        name: config.server.clone(),
        port: config.port,
        proxy: config.proxy.clone(),
        key: None,
        security: config.security,
    });
    hosts
}

fn through_proxy(run: &Run, host: &Host, proxy: &Proxy, notes: &mut Notes) -> Result<Way> {
    let deadline = Deadline::after(LIMIT);
    let stream = net::connect(&host.name, host.port, Some(proxy), None, deadline, run.cancel);
    let stream = stream.map_err(|failure| host.blame(failure))?;
    let proxy = proxy_name(proxy);
    notes.see(message!(CheckThroughProxy, proxy = proxy).in_language(run.language));
    Ok(Way::Open(stream))
}

fn shake_hands(run: &Run, host: &Host, stream: Stream, trust: &Trust, notes: &mut Notes) -> Result<()> {
    let language = run.language;
    let deadline = Deadline::after(LIMIT);
    match host.security {
        Security::Tls => {
            let seen = stream.start_tls(&host.name, trust, deadline)?.tls();
            let Some(net::Seen { version, issuer, last_day }) = seen else {
                return Err(Failure::internal("a handshake without TLS"));
            };
            let issuer = issuer.unwrap_or_default();
            let until = last_day.map(|day| day.to_string()).unwrap_or_default();
            notes.see(
                message!(CheckTlsSeen, version = version, issuer = issuer, until = until)
                    .in_language(language),
            );
        }
        Security::StartTls => {
            let stream: Box<dyn Transport> = Box::new(stream);
            let start_tls = Some(StartTls { host: &host.name, trust });
            login::greet(stream, Opening { start_tls, deadline, tags: Tags::random()?, trace: None })?;
            notes.see("STARTTLS");
        }
        Security::Plain => notes.see(message!(CheckNoTls).in_language(language)),
    }
    Ok(())
}

const HTTPS: u16 = 443;
/// Of each part of the way. A server that takes longer to say its name is of no use to a mailbox that is polled.
const LIMIT: Duration = Duration::from_secs(20);
