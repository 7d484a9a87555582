//! One connection's octets, in both directions: plain or TLS, and all the ways in which a connection can go wrong.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::shared::Shared;

/// The connection is over, for whatever reason; nothing more can be sent or read on it.
#[derive(Debug)]
pub(crate) struct Ended;

pub(crate) type Going<T = ()> = Result<T, Ended>;

pub(crate) enum Mark {
    Cut,
    Reset,
    Stall,
    Wait(Duration),
    Flip,
}

pub(crate) struct Wire {
    shared: Arc<Shared>,
    io: Io,
    input: Vec<u8>,
    output: Vec<u8>,
    captured: Option<Vec<u8>>,
    sent: u64,
    drip: Option<(usize, Duration)>,
    marks: Vec<(u64, Mark)>,
}

impl Wire {
    pub(crate) fn new(shared: Arc<Shared>, socket: TcpStream) -> Going<Self> {
        socket.set_nodelay(true).map_err(|_| Ended)?;
        socket.set_read_timeout(Some(TICK)).map_err(|_| Ended)?;
        Ok(Self {
            shared,
            io: Io::Plain(socket),
            input: Vec::new(),
            output: Vec::new(),
            captured: None,
            sent: 0,
            drip: None,
            marks: Vec::new(),
        })
    }

    /// TLS from here on. What was counted and scripted before (a drip, a cut) counts the octets inside TLS.
    pub(crate) fn start_tls(&mut self, config: &Arc<ServerConfig>) -> Going {
        self.flush()?;
        self.input.clear();
        let Io::Plain(socket) = std::mem::replace(&mut self.io, Io::Gone) else { return Err(Ended) };
        let connection = ServerConnection::new(config.clone()).map_err(|_| Ended)?;
        let mut stream = Box::new(StreamOwned::new(connection, socket));
        while stream.conn.is_handshaking() {
            match stream.conn.complete_io(&mut stream.sock) {
                Ok(_) => {}
                Err(error) if is_tick(&error) && !self.shared.stopped() => {}
                Err(_) => return Err(Ended),
            }
        }
        self.io = Io::Tls(stream);
        Ok(())
    }

    pub(crate) fn drip(&mut self, octets: usize, every: Duration) {
        self.drip = Some((octets.max(1), every));
    }

    /// Something happens after so many further octets.
    pub(crate) fn mark(&mut self, octets: u64, mark: Mark) -> Going {
        self.flush()?;
        self.marks.push((self.sent + octets, mark));
        self.marks.sort_by_key(|(at, _)| *at);
        Ok(())
    }

    /// Holds back what is sent from now on, until `captured`.
    pub(crate) fn capture(&mut self) {
        self.captured = Some(Vec::new());
    }

    pub(crate) fn captured(&mut self) -> Vec<u8> {
        self.captured.take().unwrap_or_default()
    }

    /// Sends, sooner or later.
    pub(crate) fn put(&mut self, octets: &[u8]) -> Going {
        if let Some(captured) = &mut self.captured {
            captured.extend_from_slice(octets);
            return Ok(());
        }
        self.output.extend_from_slice(octets);
        if self.output.len() >= FLUSH_AT { self.flush() } else { Ok(()) }
    }

    /// Sends a line that the client waits for before it goes on: now, captured or not.
    pub(crate) fn prompt(&mut self, line: &str) -> Going {
        let captured = self.captured.take();
        self.put(line.as_bytes())?;
        self.put(b"\r\n")?;
        self.captured = captured;
        self.flush()
    }

    /// Sends all that was put.
    pub(crate) fn flush(&mut self) -> Going {
        let output = std::mem::take(&mut self.output);
        let mut rest = output.as_slice();
        loop {
            while let Some((at, _)) = self.marks.first() {
                if *at > self.sent || (rest.is_empty() && matches!(self.marks[0].1, Mark::Flip)) {
                    break;
                }
                match self.marks.remove(0).1 {
                    Mark::Cut => return self.cut(),
                    Mark::Reset => return self.reset(),
                    Mark::Stall => return self.stall(),
                    Mark::Wait(time) => self.wait(time)?,
                    Mark::Flip => {
                        self.write(&[rest[0] ^ 1])?;
                        rest = &rest[1..];
                    }
                }
            }
            if rest.is_empty() {
                break;
            }
            let until_mark = self.marks.first().map_or(u64::MAX, |(at, _)| at - self.sent);
            let mut count = rest.len().min(usize::try_from(until_mark).unwrap_or(usize::MAX));
            if let Some((octets, every)) = self.drip {
                count = count.min(octets);
                if self.sent > 0 {
                    self.wait(every)?;
                }
            }
            self.write(&rest[..count])?;
            rest = &rest[count..];
        }
        self.output = output;
        self.output.clear();
        Ok(())
    }

    /// Sleeps, but not past the stand-in's end.
    pub(crate) fn wait(&self, time: Duration) -> Going {
        let until = Instant::now() + time;
        loop {
            if self.shared.stopped() {
                return Err(Ended);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(TICK));
        }
    }

    /// Ends the connection without a goodbye.
    pub(crate) fn cut<T>(&mut self) -> Going<T> {
        if let Some(socket) = self.io.socket() {
            let _ = socket.shutdown(Shutdown::Both);
        }
        Err(Ended)
    }

    /// Ends the connection with a RST: what closing a socket does whose linger time is 0.
    pub(crate) fn reset<T>(&mut self) -> Going<T> {
        if let Some(socket) = self.io.socket() {
            let _ = socket2::SockRef::from(socket).set_linger(Some(Duration::ZERO));
        }
        Err(Ended)
    }

    /// Sends what is there, says goodbye in TLS, and ends the connection.
    pub(crate) fn close<T>(&mut self) -> Going<T> {
        self.flush()?;
        if let Io::Tls(stream) = &mut self.io {
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
        // A socket that is closed with unread input sends a RST, which can overtake the last lines.
        if let Some(socket) = self.io.socket() {
            let _ = socket.shutdown(Shutdown::Write);
        }
        let until = Instant::now() + LINGER;
        while Instant::now() < until && self.more().is_ok() {
            self.input.clear();
        }
        Err(Ended)
    }

    /// Says nothing more, and waits for the client to give up.
    pub(crate) fn stall<T>(&mut self) -> Going<T> {
        loop {
            self.more()?;
            self.input.clear();
        }
    }

    /// Waits a moment for input; false when none came. Sends nothing.
    pub(crate) fn more(&mut self) -> Going<bool> {
        if self.shared.stopped() {
            return Err(Ended);
        }
        let mut buffer = [0; 16 * 1024];
        match self.io.read(&mut buffer) {
            Ok(0) => Err(Ended),
            Ok(count) => {
                self.input.extend_from_slice(&buffer[..count]);
                Ok(true)
            }
            Err(error) if is_tick(&error) => Ok(false),
            Err(_) => Err(Ended),
        }
    }

    /// What was read and not taken yet.
    pub(crate) fn input(&self) -> &[u8] {
        &self.input
    }

    pub(crate) fn take(&mut self, count: usize) -> Vec<u8> {
        let rest = self.input.split_off(count.min(self.input.len()));
        std::mem::replace(&mut self.input, rest)
    }

    pub(crate) fn is_tls(&self) -> bool {
        matches!(self.io, Io::Tls(_))
    }

    fn write(&mut self, octets: &[u8]) -> Going {
        self.io.write_all(octets).and_then(|()| self.io.flush()).map_err(|_| Ended)?;
        self.sent += octets.len() as u64;
        Ok(())
    }
}

enum Io {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
    Gone,
}

impl Io {
    fn socket(&self) -> Option<&TcpStream> {
        match self {
            Self::Plain(socket) => Some(socket),
            Self::Tls(stream) => Some(&stream.sock),
            Self::Gone => None,
        }
    }
}

impl Read for Io {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
            Self::Gone => Ok(0),
        }
    }
}

impl Write for Io {
    fn write(&mut self, octets: &[u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(octets),
            Self::Tls(stream) => stream.write(octets),
            Self::Gone => Err(ErrorKind::NotConnected.into()),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Tls(stream) => stream.flush(),
            Self::Gone => Ok(()),
        }
    }
}

fn is_tick(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// How long a read blocks before the token's end, the mailbox's news and the stand-in's end are looked at.
const TICK: Duration = Duration::from_millis(25);
/// How long an orderly end waits for the client's.
const LINGER: Duration = Duration::from_secs(2);
const FLUSH_AT: usize = 32 * 1024;
