//! A connection to a real server that can be slowed down, held up or cut.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

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

/// Listens on a port of its own and passes on to one of localhost.
pub struct Relay {
    pub port: u16,
    pub connections: Arc<AtomicUsize>,
    flow: Arc<Mutex<Flow>>,
}

impl Relay {
    pub fn to(port: &str, flow: Flow) -> Self {
        let to: u16 = port.parse().expect("a port");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port to listen on");
        let relay = Self {
            port: listener.local_addr().expect("an address").port(),
            connections: Arc::default(),
            flow: Arc::new(Mutex::new(flow)),
        };
        let (connections, flow) = (relay.connections.clone(), relay.flow.clone());
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                connections.fetch_add(1, Ordering::SeqCst);
                let server = TcpStream::connect(("127.0.0.1", to)).expect("the server listens");
                let (from_client, to_server) = (copy(&client), copy(&server));
                thread::spawn(move || pass(from_client, to_server));
                let flow = flow.clone();
                thread::spawn(move || pass_as(&flow, server, client));
            }
        });
        relay
    }

    /// For what comes from now on, also on connections that are there.
    pub fn set(&self, flow: Flow) {
        *self.flow.lock().expect("nobody panics with it") = flow;
    }
}

/// A port on which connections are taken and nothing is ever said.
pub fn silent_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port to listen on");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || listener.incoming().map_while(Result::ok).collect::<Vec<_>>());
    port
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Both);
}

fn pass_as(flow: &Mutex<Flow>, mut server: TcpStream, mut client: TcpStream) {
    let mut passed = 0;
    let mut buffer = [0; 4096];
    loop {
        let flow = *flow.lock().expect("nobody panics with it");
        let most = match flow {
            Flow::Free => buffer.len(),
            Flow::StallAfter(octets) if passed >= octets => {
                thread::sleep(Duration::from_millis(20));
                continue;
            }
            Flow::CutAfter(octets) if passed >= octets => break,
            Flow::StallAfter(octets) | Flow::CutAfter(octets) => buffer.len().min(octets - passed),
            Flow::Drip => {
                thread::sleep(Duration::from_secs(1));
                1
            }
        };
        match server.read(&mut buffer[..most]) {
            Ok(octets) if octets > 0 && client.write_all(&buffer[..octets]).is_ok() => passed += octets,
            _ => break,
        }
    }
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
}

fn copy(stream: &TcpStream) -> TcpStream {
    stream.try_clone().expect("a descriptor is free")
}
