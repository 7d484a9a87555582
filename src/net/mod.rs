//! Deadline, cancellation, proxy and TLS → a [`Stream`].
//!
//! Everything that goes over the network goes through [`connect`]: one way to look up a name, one TLS configuration, and
//! limits that stand below TLS, at the socket, so that a peer that sends a byte now and then cannot hold a call.

mod limits;
mod name;
mod trust;
mod tunnel;

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{AlertDescription, ClientConnection, StreamOwned};

use crate::config::Proxy;
use crate::failure::{Failure, Kind, Result, Retry, Step};
use crate::message;
use crate::text::{Arg, Message, Said};

pub use limits::{Cancel, Deadline};
pub(crate) use name::Readable;
pub use trust::{Anchors, Seen, Trust};
pub use tunnel::{JvmProxy, environment_proxy, proxy_name};

use limits::Closed;
use trust::Distrust;

/// Opens a connection; with `trust` it is TLS and the handshake is done.
///
/// All of the host's addresses are tried, IPv6 and IPv4 in turn (RFC 8305 §4), sharing what is left of the deadline. The
/// look-up and the TCP connect cannot be interrupted; they run in a thread that touches nothing else and ends by its own
/// limit, while the call itself ends with the deadline or with `cancel`.
///
/// With `proxy` it is the proxy that looks the host up and connects (CONNECT, RFC 9110 §9.3.6); what goes wrong with it is a
/// failure of [`Step::Proxy`] and names the property in which the proxy stands.
///
/// The stream keeps `deadline` until [`Stream::set_deadline`]. Any other failure names no property: the caller knows which.
pub fn connect(
    host: &str,
    port: u16,
    proxy: Option<&Proxy>,
    trust: Option<&Trust>,
    deadline: Deadline,
    cancel: &Cancel,
) -> Result<Stream> {
    if let Some(trust) = trust {
        trust.client_config()?;
    }
    let socket = match proxy {
        None => dial(host, port, resolve(host, port, deadline, cancel)?, deadline, cancel)?,
        Some(proxy) => {
            let peer = peer_name(host, port);
            let through = || {
                let mut socket = resolve(&proxy.host, proxy.port, deadline, cancel)
                    .and_then(|addresses| dial(&proxy.host, proxy.port, addresses, deadline, cancel))
                    .map_err(|failure| tunnel::out_of_reach(proxy, failure))?;
                tunnel::open_tunnel(&mut socket, proxy, &peer)?;
                Ok(socket)
            };
            let socket = through().map_err(|failure: Failure| match failure.step {
                Step::Proxy => failure.key(proxy.set_by.clone()),
                _ => failure,
            })?;
            Socket { peer, ..socket }
        }
    };
    match trust {
        Some(trust) => handshake(socket, host, trust),
        None => Ok(Stream { inner: Inner::Plain(socket) }),
    }
}

/// The first part of [`connect`] alone: the host's addresses, in the order in which they are to be tried.
pub fn resolve(host: &str, port: u16, deadline: Deadline, cancel: &Cancel) -> Result<Vec<SocketAddr>> {
    let name = host.to_owned();
    let addresses = detached(deadline, cancel, move || {
        (name.as_str(), port).to_socket_addrs().map(|addresses| addresses.collect::<Vec<_>>())
    })
    .and_then(|looked_up| looked_up)
    .map_err(|error| match error.kind() {
        io::ErrorKind::TimedOut => {
            Failure::own(Step::Resolve, Kind::Timeout, message!(NetLookupTimeout, host = host))
        }
        _ => io_failure(Step::Resolve, message!(NetQuoted, host = host), &error),
    })?;
    if addresses.is_empty() {
        return Err(Failure::own(Step::Resolve, Kind::Network, message!(NetNoAddress, host = host)));
    }
    Ok(alternating(addresses))
}

/// The second part of [`connect`] alone: a plain connection to the first of `addresses` that answers. TLS comes with
/// [`Stream::start_tls`].
pub fn connect_to(
    host: &str,
    port: u16,
    addresses: Vec<SocketAddr>,
    deadline: Deadline,
    cancel: &Cancel,
) -> Result<Stream> {
    dial(host, port, addresses, deadline, cancel).map(|socket| Stream { inner: Inner::Plain(socket) })
}

/// The failure that an [`io::Error`] of a [`Stream`] means: a reached deadline, a cancellation, a fault of TLS or of the
/// network. `who` is the peer, as `observed` shall name it.
pub fn io_failure(step: Step, who: impl Into<Arg>, error: &io::Error) -> Failure {
    let who = who.into();
    let inner = error.get_ref();
    if inner.is_some_and(|inner| inner.is::<Closed>()) {
        return Failure::own(step, Kind::Closed, message!(MailboxWasClosed));
    }
    if let Some(error) = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return tls_failure(who, error);
    }
    let (kind, said) = match error.kind() {
        io::ErrorKind::TimedOut => (Kind::Timeout, message!(NetTimeout, peer = who)),
        io::ErrorKind::UnexpectedEof => (Kind::Network, message!(NetCut, peer = who)),
        _ => (Kind::Network, message!(NetFailed, peer = who, error = error)),
    };
    Failure::own(step, kind, said)
}

/// A connection whose every wait ends with its deadline or with the [`Cancel`] under which it was opened.
///
/// A reached deadline is an error of [`io::ErrorKind::TimedOut`]; use [`io_failure`] to tell it from others. Nothing is
/// buffered on a plain connection.
pub struct Stream {
    inner: Inner,
}

impl Stream {
    /// Encrypts a plain connection after the server agreed to STARTTLS (RFC 9051 §6.2.1). The stream's deadline becomes
    /// `deadline`.
    pub fn start_tls(self, host: &str, trust: &Trust, deadline: Deadline) -> Result<Stream> {
        match self.inner {
            Inner::Plain(mut socket) => {
                socket.deadline = deadline;
                handshake(socket, host, trust)
            }
            Inner::Tls(_) => Err(Failure::internal("STARTTLS on a connection that has TLS")),
        }
    }

    /// The end of every read and write from now on.
    pub fn set_deadline(&mut self, deadline: Deadline) {
        match &mut self.inner {
            Inner::Plain(socket) => socket.deadline = deadline,
            Inner::Tls(tls) => tls.sock.deadline = deadline,
        }
    }

    pub fn is_tls(&self) -> bool {
        matches!(self.inner, Inner::Tls(_))
    }

    /// What TLS agreed on and whose certificate it was; `None` on a plain connection.
    pub fn tls(&self) -> Option<Seen> {
        match &self.inner {
            Inner::Plain(_) => None,
            Inner::Tls(tls) => Some(Seen::of(&tls.conn)),
        }
    }

    /// The address at the other end of the TCP connection, which may be a proxy's.
    pub fn address(&self) -> io::Result<SocketAddr> {
        match &self.inner {
            Inner::Plain(socket) => socket.stream.peer_addr(),
            Inner::Tls(tls) => tls.sock.stream.peer_addr(),
        }
    }

    /// The other end, as failures name it: `outlook.office365.com:993`.
    pub fn peer(&self) -> &str {
        match &self.inner {
            Inner::Plain(socket) => &socket.peer,
            Inner::Tls(tls) => &tls.sock.peer,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.inner {
            Inner::Plain(socket) => socket.read(buffer),
            Inner::Tls(tls) => tls.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.inner {
            Inner::Plain(socket) => socket.write(bytes),
            Inner::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.inner {
            Inner::Plain(socket) => socket.flush(),
            Inner::Tls(tls) => tls.flush(),
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("peer", &self.peer()).field("tls", &self.is_tls()).finish()
    }
}

enum Inner {
    Plain(Socket),
    Tls(Box<StreamOwned<ClientConnection, Socket>>),
}

fn dial(
    host: &str,
    port: u16,
    addresses: Vec<SocketAddr>,
    deadline: Deadline,
    cancel: &Cancel,
) -> Result<Socket> {
    let peer = peer_name(host, port);
    let socket = open(addresses, &peer, deadline, cancel)?;
    let socket = Socket { stream: Arc::new(socket), peer, deadline, cancel: cancel.clone(), timeout: None };
    cancel
        .watch(&socket.stream)
        .and_then(|()| socket.stream.set_nodelay(true))
        .map_err(|error| io_failure(Step::Connect, &socket.peer, &error))?;
    Ok(socket)
}

/// Every other address of the other family, beginning with the first one's: where one family leads nowhere, the second
/// attempt is on the other.
fn alternating(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut all = Vec::new();
    loop {
        let pair = [first.next(), second.next()];
        if pair == [None, None] {
            return all;
        }
        all.extend(pair.into_iter().flatten());
    }
}

fn open(addresses: Vec<SocketAddr>, peer: &str, deadline: Deadline, cancel: &Cancel) -> Result<TcpStream> {
    let tried = addresses.iter().map(|address| address.ip().to_string()).collect::<Vec<_>>().join(", ");
    let refusals = match detached(deadline, cancel, move || first_to_answer(&addresses, deadline)) {
        Ok(Ok(socket)) => return Ok(socket),
        Ok(Err(refusals)) => refusals,
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            let said = message!(NetConnectTimeout, peer = peer, addresses = tried);
            return Err(Failure::own(Step::Connect, Kind::Timeout, said));
        }
        Err(error) => return Err(io_failure(Step::Connect, peer, &error)),
    };
    let in_time = refusals.iter().any(|(_, error)| error.kind() != io::ErrorKind::TimedOut);
    let refusals = refusals.iter().map(|(address, error)| format!("{}: {error}", address.ip()));
    let refusals = refusals.collect::<Vec<_>>().join("; ");
    Err(Failure::own(
        Step::Connect,
        if in_time { Kind::Network } else { Kind::Timeout },
        message!(NetNoConnection, peer = peer, refusals = refusals),
    ))
}

type Refusals = Vec<(SocketAddr, io::Error)>;

fn first_to_answer(addresses: &[SocketAddr], deadline: Deadline) -> std::result::Result<TcpStream, Refusals> {
    let mut refusals = Refusals::new();
    for (tried, address) in addresses.iter().enumerate() {
        let shares = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        let attempt = deadline.left().and_then(|left| TcpStream::connect_timeout(address, left / shares));
        match attempt {
            Ok(socket) => return Ok(socket),
            Err(error) => refusals.push((*address, error)),
        }
    }
    Err(refusals)
}

/// Runs `work`, which cannot be interrupted, in a thread of its own, and stops waiting for it at the deadline or at
/// `cancel`; then its result is dropped in that thread.
fn detached<T: Send + 'static>(
    deadline: Deadline,
    cancel: &Cancel,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    cancel.check()?;
    deadline.left()?;
    let (sender, receiver) = mpsc::channel();
    thread::Builder::new()
        .name("um-imap-connect".into())
        .spawn(move || {
            // Nobody waits any more: then the result is of no use.
            let _ = sender.send(work());
        })
        .map_err(|error| io::Error::other(Said(no_thread(&error))))?;
    loop {
        match receiver.recv_timeout(deadline.left()?.min(CANCEL_IS_SEEN_WITHIN)) {
            Ok(result) => return Ok(result),
            Err(mpsc::RecvTimeoutError::Timeout) => cancel.check()?,
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                return Err(io::Error::other(Said(message!(NetThreadLost))));
            }
        }
    }
}

pub(crate) fn no_thread(error: &io::Error) -> Message {
    message!(NetThread, error = error)
}

fn handshake(mut socket: Socket, host: &str, trust: &Trust) -> Result<Stream> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| Failure::own(Step::Tls, Kind::Configuration, message!(NetHostInvalid, host = host)))?;
    let mut connection = ClientConnection::new(trust.client_config()?, name)
        .map_err(|error| tls_failure((&socket.peer).into(), &error))?;
    while connection.is_handshaking() {
        connection.complete_io(&mut socket).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                Failure::own(Step::Tls, Kind::Network, message!(TlsHandshakeCut, peer = &socket.peer))
            }
            io::ErrorKind::TimedOut => {
                Failure::own(Step::Tls, Kind::Timeout, message!(TlsHandshakeTimeout, peer = &socket.peer))
            }
            _ => io_failure(Step::Tls, &socket.peer, &error),
        })?;
    }
    Ok(Stream { inner: Inner::Tls(Box::new(StreamOwned::new(connection, socket))) })
}

fn tls_failure(peer: Arg, error: &rustls::Error) -> Failure {
    use rustls::Error as E;
    let said = match error {
        E::InvalidCertificate(problem) => {
            let distrust = match Distrust::of(problem) {
                Some(Said(distrust)) => distrust.clone(),
                None => message!(DistrustOther, problem = problem.to_string()),
            };
            message!(TlsCertificate, peer = peer, distrust = distrust)
        }
        E::InvalidMessage(_) => message!(TlsNotTls, peer = peer, error = error.to_string()),
        E::AlertReceived(AlertDescription::ProtocolVersion) => message!(TlsVersionRefused, peer = peer),
        E::AlertReceived(alert) => message!(TlsAlert, peer = peer, alert = format!("{alert:?}")),
        _ => message!(TlsFailed, peer = peer, error = error.to_string()),
    };
    // A server in trouble, or what stands before it, can end TLS in the middle; a certificate does not mend itself.
    let retry = match error {
        E::AlertReceived(AlertDescription::InternalError | AlertDescription::UserCanceled)
        | E::DecryptError
        | E::PeerMisbehaved(_) => Retry::Later,
        _ => Retry::Never,
    };
    Failure::own(Step::Tls, Kind::Tls, said).retry(retry)
}

fn peer_name(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// The TCP connection below TLS: the one place where the library waits for a peer.
struct Socket {
    stream: Arc<TcpStream>,
    peer: String,
    deadline: Deadline,
    cancel: Cancel,
    /// Its timeout for reads, as it was set last.
    timeout: Option<Duration>,
}

impl Socket {
    /// What a system call has brought; `None`: it is to be made again.
    fn outcome(&self, result: io::Result<usize>) -> Option<io::Result<usize>> {
        match result {
            // A call with a timeout is not restarted after a signal, whatever SA_RESTART says (signal(7)), and a JVM sends
            // itself signals. A timeout may have been shorter than what is left of the deadline.
            Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {
                None
            }
            // What a shut down socket answers looks like the peer's doing.
            result @ (Ok(0) | Err(_)) => Some(self.cancel.check().and(result)),
            result => Some(result),
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let left = self.deadline.left()?;
            // Setting it costs as much as reading. One that is somewhat shorter does as well: the wait goes on after it.
            if self.timeout.is_none_or(|timeout| timeout > left || timeout < left / 2) {
                self.stream.set_read_timeout(Some(left))?;
                self.timeout = Some(left);
            }
            let result = (&*self.stream).read(buffer);
            if let Some(outcome) = self.outcome(result) {
                return outcome;
            }
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            self.stream.set_write_timeout(Some(self.deadline.left()?))?;
            let result = (&*self.stream).write(bytes);
            if let Some(outcome) = self.outcome(result) {
                return outcome;
            }
        }
    }

    /// Nothing is held back here.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A call that is waiting for a look-up or a connect ends this much after it was cancelled, at latest.
const CANCEL_IS_SEEN_WITHIN: Duration = Duration::from_millis(50);

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
