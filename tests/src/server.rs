//! The lab's servers, and the ground truth that each keeps of what it received.
//!
//! *Invariants*: a stopped server holds no socket, so the namespace it lived in can end.
//!
//! *Units*: bytes are payload bytes as the application of that layer sees them: for a TLS server
//! `wire_bytes` are those of the TCP stream, handshake included.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};
use rustls::{ServerConfig, ServerConnection, Stream};

use crate::http::{self, Request};
use crate::network::Network;

/// How long a closing connection may still take to send its last bytes.
const LINGER: Duration = Duration::from_secs(2);
/// How long a read may wait before a stopped UDP server notices.
const UDP_WAIT: Duration = Duration::from_millis(50);

/// What a server received.
#[derive(Clone, Debug, Default)]
pub struct Received {
    /// HTTP requests, in the order they were answered.
    pub requests: Vec<Request>,
    /// Bytes of the TCP stream or of UDP payloads, by peer.
    pub wire_bytes_by_peer: BTreeMap<SocketAddr, u64>,
    /// Bytes that the application read, by peer: over TLS, the plaintext.
    pub plain_bytes_by_peer: BTreeMap<SocketAddr, u64>,
    /// Content of sinks, by peer, where keeping was asked for.
    pub content_by_peer: BTreeMap<SocketAddr, Vec<u8>>,
    /// Connections and streams that did not end well, as text.
    pub errors: Vec<String>,
}

impl Received {
    /// All wire bytes together.
    #[must_use]
    pub fn wire_bytes(&self) -> u64 {
        self.wire_bytes_by_peer.values().sum()
    }

    /// All bytes that the application read.
    #[must_use]
    pub fn plain_bytes(&self) -> u64 {
        self.plain_bytes_by_peer.values().sum()
    }
}

/// What a server does with the stream of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// Reads requests and answers them.
    Http,
    /// Counts what comes.
    Sink,
    /// Counts what comes and keeps it.
    KeepingSink,
}

/// A running server; ends on drop.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
    listener: Option<TcpListener>,
}

#[derive(Debug)]
struct Shared {
    speaks: Speaks,
    tls: Option<Arc<ServerConfig>>,
    received: Mutex<Received>,
    open: Mutex<HashMap<SocketAddr, TcpStream>>,
    stopped: AtomicBool,
}

impl Server {
    /// A TCP server inside `network`, over TLS when `tls` is given.
    ///
    /// # Errors
    /// When the address is taken.
    pub fn tcp(
        network: &Network,
        address: SocketAddr,
        speaks: Speaks,
        tls: Option<Arc<ServerConfig>>,
    ) -> Result<Self> {
        let listener = network.inside(|| TcpListener::bind(address));
        let listener = listener.with_context(|| format!("listening on {address}"))?;
        let shared = Arc::new(Shared::new(speaks, tls));
        let (address, accepted, own) = (listener.local_addr()?, listener.try_clone()?, Arc::clone(&shared));
        let accepting = thread::spawn(move || accept(&accepted, &own));
        Ok(Self { address, shared, accepting: Some(accepting), listener: Some(listener) })
    }

    /// A UDP sink inside `network`.
    ///
    /// # Errors
    /// When the address is taken.
    pub fn udp(network: &Network, address: SocketAddr, speaks: Speaks) -> Result<Self> {
        let socket = network.inside(|| UdpSocket::bind(address));
        let socket = socket.with_context(|| format!("binding {address}"))?;
        socket.set_read_timeout(Some(UDP_WAIT))?;
        let shared = Arc::new(Shared::new(speaks, None));
        let (address, own) = (socket.local_addr()?, Arc::clone(&shared));
        let accepting = thread::spawn(move || receive(&socket, &own));
        Ok(Self { address, shared, accepting: Some(accepting), listener: None })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has received so far.
    ///
    /// # Panics
    /// Never: no thread panics while it holds the lock.
    pub fn received(&self) -> MutexGuard<'_, Received> {
        self.shared.received()
    }

    /// How many connections are open.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.shared.open().len()
    }

    /// Waits until no connection is open, so that [`Self::received`] is complete; false after `limit`.
    #[must_use]
    pub fn settle(&self, limit: Duration) -> bool {
        let step = Duration::from_millis(10);
        let mut waited = Duration::ZERO;
        while !self.shared.open().is_empty() {
            if waited >= limit {
                return false;
            }
            thread::sleep(step);
            waited += step;
        }
        true
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        if let Some(listener) = &self.listener {
            // Wakes the thread that waits in accept().
            let _ended = nix::sys::socket::shutdown(listener.as_raw_fd(), nix::sys::socket::Shutdown::Both);
        }
        if let Some(accepting) = self.accepting.take() {
            let _panicked = accepting.join();
        }
        for stream in self.shared.open().values() {
            let _ended = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    fn new(speaks: Speaks, tls: Option<Arc<ServerConfig>>) -> Self {
        let (received, open, stopped) = Default::default();
        Self { speaks, tls, received, open, stopped }
    }

    fn received(&self) -> MutexGuard<'_, Received> {
        self.received.lock().expect("no thread panics while it holds the lock")
    }

    fn open(&self) -> MutexGuard<'_, HashMap<SocketAddr, TcpStream>> {
        self.open.lock().expect("no thread panics while it holds the lock")
    }

    fn count(&self, peer: SocketAddr, bytes: &[u8]) {
        let mut received = self.received();
        *received.wire_bytes_by_peer.entry(peer).or_default() += bytes.len() as u64;
    }

    fn keep(&self, peer: SocketAddr, bytes: &[u8]) {
        if self.speaks == Speaks::KeepingSink {
            self.received().content_by_peer.entry(peer).or_default().extend(bytes);
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while let Ok((stream, peer)) = listener.accept() {
        if shared.stopped.load(Ordering::SeqCst) {
            return;
        }
        let Ok(copy) = stream.try_clone() else { continue };
        shared.open().insert(peer, copy);
        let own = Arc::clone(shared);
        thread::spawn(move || {
            if let Err(error) = connection(stream, peer, &own) {
                own.received().errors.push(format!("{peer}: {error}"));
            }
            own.open().remove(&peer);
        });
    }
}

fn receive(socket: &UdpSocket, shared: &Shared) {
    let mut datagram = [0; 65_536];
    while !shared.stopped.load(Ordering::SeqCst) {
        if let Ok((count, peer)) = socket.recv_from(&mut datagram) {
            shared.count(peer, &datagram[..count]);
            shared.keep(peer, &datagram[..count]);
        }
    }
}

fn connection(stream: TcpStream, peer: SocketAddr, shared: &Arc<Shared>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut counted = Counted { stream, peer, shared };
    let result = match &shared.tls {
        None => speak(&mut counted, peer, shared),
        Some(config) => {
            let mut session = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
            let result = speak(&mut Stream::new(&mut session, &mut counted), peer, shared);
            session.send_close_notify();
            while session.wants_write() && session.write_tls(&mut counted).is_ok() {}
            result
        }
    };
    counted.drain();
    result
}

fn speak(stream: &mut (impl Read + Write), peer: SocketAddr, shared: &Shared) -> io::Result<()> {
    let stream = &mut Application { stream, peer, shared };
    if shared.speaks == Speaks::Http {
        return http::serve(stream, |request| shared.received().requests.push(request));
    }
    let mut chunk = vec![0; 256 * 1024];
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => return Ok(()),
            Ok(count) => shared.keep(peer, &chunk[..count]),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// Counts what the application reads.
struct Application<'stream, S> {
    stream: &'stream mut S,
    peer: SocketAddr,
    shared: &'stream Shared,
}

impl<S: Read> Read for Application<'_, S> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(out)?;
        *self.shared.received().plain_bytes_by_peer.entry(self.peer).or_default() += count as u64;
        Ok(count)
    }
}

impl<S: Write> Write for Application<'_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// Counts what is read from a connection.
struct Counted<'shared> {
    stream: TcpStream,
    peer: SocketAddr,
    shared: &'shared Shared,
}

impl Counted<'_> {
    /// Ends our direction, then reads the peer's to its end: its last bytes are counted too.
    fn drain(&mut self) {
        let _gone = self.stream.shutdown(Shutdown::Write);
        let _gone = self.stream.set_read_timeout(Some(LINGER));
        let mut rest = [0; 4096];
        while self.read(&mut rest).is_ok_and(|count| count > 0) {}
    }
}

impl Read for Counted<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(out)?;
        self.shared.count(self.peer, &out[..count]);
        Ok(count)
    }
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
