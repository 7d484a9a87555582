//! A connection to a real server that can be slowed down, held up, cut or spoilt.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockRef;

/// What becomes of the octets that the server sends.
#[derive(Debug, Clone, Copy)]
pub enum Flow {
    /// All of them go through.
    Free,
    /// After so many octets of a connection nothing more comes, and nothing ends.
    StallAfter(usize),
    /// After so many octets of a connection it is cut.
    CutAfter(usize),
    /// An octet every second.
    Drip,
}

/// What happens once, at one octet.
#[derive(Debug, Clone, Copy)]
pub struct Fault {
    pub way: Way,
    /// So many octets went this way before, on all connections together.
    pub at: usize,
    pub harm: Harm,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    ToClient,
    ToServer,
}

/// What becomes of the octet and of what follows it this way on its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// The connection ends before it (FIN).
    Cut,
    /// The connection ends before it (RST), both ways.
    Reset,
    /// Nothing comes any more, and nothing ends.
    Stall,
    /// An octet every [`DRIP`].
    Drip,
    /// One of its bits is another.
    Flip,
}

/// Listens on a port of its own and passes on to one of localhost.
pub struct Relay {
    pub port: u16,
    pub connections: Arc<AtomicUsize>,
    to_client: Arc<Line>,
    to_server: Arc<Line>,
}

impl Relay {
    pub fn to(port: &str, flow: Flow) -> Self {
        Self::start(port, Duration::ZERO, None, flow)
    }

    /// Each octet arrives `latency` after it was sent, however many there are, and there is a fault.
    pub fn slow(port: &str, latency: Duration, fault: Option<Fault>) -> Self {
        Self::start(port, latency, fault, Flow::Free)
    }

    fn start(port: &str, latency: Duration, fault: Option<Fault>, flow: Flow) -> Self {
        let to: u16 = port.parse().expect("a port");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port to listen on");
        let line = |way, flow| {
            let fault = fault.filter(|fault| fault.way == way);
            let (fault, passed) = (Mutex::new(fault), AtomicUsize::new(0));
            Arc::new(Line { latency, flow: Mutex::new(flow), fault, passed })
        };
        let relay = Self {
            port: listener.local_addr().expect("an address").port(),
            connections: Arc::default(),
            to_client: line(Way::ToClient, flow),
            to_server: line(Way::ToServer, Flow::Free),
        };
        let connections = relay.connections.clone();
        let (to_client, to_server) = (relay.to_client.clone(), relay.to_server.clone());
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                connections.fetch_add(1, Ordering::SeqCst);
                let server = TcpStream::connect(("127.0.0.1", to)).expect("the server listens");
                for socket in [&client, &server] {
                    socket.set_nodelay(true).expect("a TCP socket");
                }
                let reset = Arc::new(AtomicBool::new(false));
                to_server.clone().pass(copy(&client), copy(&server), reset.clone());
                to_client.clone().pass(server, client, reset);
            }
        });
        relay
    }

    /// For what comes from now on, also on connections that are there.
    pub fn set(&self, flow: Flow) {
        *self.to_client.flow.lock().expect("nobody panics with it") = flow;
    }

    /// Whether the fault has happened.
    pub fn has_harmed(&self) -> bool {
        let waits = |line: &Line| line.fault.lock().expect("nobody panics with it").is_some();
        !waits(&self.to_client) && !waits(&self.to_server)
    }

    /// Octets that went one way.
    pub fn passed(&self, way: Way) -> usize {
        let line = if way == Way::ToClient { &self.to_client } else { &self.to_server };
        line.passed.load(Ordering::SeqCst)
    }
}

/// A port on which connections are taken and nothing is ever said.
pub fn silent_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port to listen on");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || listener.incoming().map_while(Result::ok).collect::<Vec<_>>());
    port
}

/// One way, on all connections.
struct Line {
    latency: Duration,
    flow: Mutex<Flow>,
    fault: Mutex<Option<Fault>>,
    passed: AtomicUsize,
}

/// What is under way, and when it arrives.
type Piece = (Instant, Vec<u8>);

impl Line {
    /// Passes on what one connection says; `reset` is shared by both its ways.
    fn pass(self: Arc<Self>, mut from: TcpStream, to: TcpStream, reset: Arc<AtomicBool>) {
        let (sender, pieces) = mpsc::channel();
        let (near, far, end) = (copy(&from), copy(&to), reset.clone());
        thread::spawn(move || {
            deliver(pieces, to);
            for socket in [near, far] {
                if end.load(Ordering::SeqCst) {
                    // The last one who closes it sends RST; the thread that reads from it lets go of it first.
                    let _ = SockRef::from(&socket).set_linger(Some(Duration::ZERO));
                    let _ = socket.shutdown(Shutdown::Read);
                } else {
                    let _ = socket.shutdown(Shutdown::Both);
                }
            }
        });
        thread::spawn(move || self.read(&mut from, &sender, &reset));
    }

    fn read(&self, from: &mut TcpStream, sender: &Sender<Piece>, reset: &AtomicBool) {
        let mut of_connection = 0;
        let mut buffer = [0; 64 * 1024];
        loop {
            let flow = *self.flow.lock().expect("nobody panics with it");
            let most = match flow {
                Flow::Free => buffer.len(),
                Flow::StallAfter(octets) if of_connection >= octets => {
                    thread::sleep(Duration::from_millis(20));
                    continue;
                }
                Flow::CutAfter(octets) if of_connection >= octets => return,
                Flow::StallAfter(octets) | Flow::CutAfter(octets) => buffer.len().min(octets - of_connection),
                Flow::Drip => {
                    thread::sleep(Duration::from_secs(1));
                    1
                }
            };
            let read = match from.read(&mut buffer[..most]) {
                Ok(read) if read > 0 => read,
                _ => return,
            };
            of_connection += read;
            let octets = &mut buffer[..read];
            let harmed = self.harm(octets);
            let whole = harmed.map_or(read, |(at, _)| at);
            if !self.send(&octets[..whole], sender) {
                return;
            }
            match harmed.map(|(_, harm)| harm) {
                None | Some(Harm::Flip) => {}
                Some(Harm::Cut) => return,
                Some(Harm::Reset) => {
                    reset.store(true, Ordering::SeqCst);
                    return;
                }
                // Until the other way has shut the connection down.
                Some(Harm::Stall) => while from.read(&mut buffer).is_ok_and(|read| read > 0) {},
                Some(Harm::Drip) => {
                    let rest = octets[whole..].to_vec();
                    return self.drip(rest, from, sender);
                }
            }
        }
    }

    /// Counts these octets, and flips the bit if it is time. Returns another harm that is due, and where it begins.
    fn harm(&self, octets: &mut [u8]) -> Option<(usize, Harm)> {
        let before = self.passed.fetch_add(octets.len(), Ordering::SeqCst);
        let here = before..before + octets.len();
        let mut fault = self.fault.lock().expect("nobody panics with it");
        let Fault { at, harm, .. } = fault.take_if(|fault| here.contains(&fault.at))?;
        if harm == Harm::Flip {
            octets[at - before] ^= 1 << (at % 8);
            return None;
        }
        Some((at - before, harm))
    }

    /// Passes on what is left and what comes, slowly, to the end of the connection.
    fn drip(&self, mut rest: Vec<u8>, from: &mut TcpStream, sender: &Sender<Piece>) {
        let mut buffer = [0; 64 * 1024];
        loop {
            for &octet in &rest {
                thread::sleep(DRIP);
                if !self.send(&[octet], sender) {
                    return;
                }
            }
            match from.read(&mut buffer) {
                Ok(read) if read > 0 => rest = buffer[..read].to_vec(),
                _ => return,
            }
        }
    }

    /// False: nobody takes it any more.
    fn send(&self, octets: &[u8], sender: &Sender<Piece>) -> bool {
        sender.send((Instant::now() + self.latency, octets.to_vec())).is_ok()
    }
}

fn deliver(pieces: Receiver<Piece>, mut to: TcpStream) {
    for (arrival, octets) in pieces {
        thread::sleep(arrival.saturating_duration_since(Instant::now()));
        if to.write_all(&octets).is_err() {
            return;
        }
    }
}

fn copy(stream: &TcpStream) -> TcpStream {
    stream.try_clone().expect("a descriptor is free")
}

pub const DRIP: Duration = Duration::from_millis(50);
