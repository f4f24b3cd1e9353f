//! Steady leaking: this process itself sends citizens' numbers in clear over connections that it keeps open.
//!
//! *Invariants*: each message carries one number in one place. What was sent is not the ground truth of a test
//! that kills the agent: it cannot know what nobody watched.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How long the recipient may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// The end of the lab servers' small answer.
const ANSWER_END: &[u8] = b"ok\n";

/// A recipient in clear.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its name, for the `Host` header.
    pub host: String,
    /// Its address; the port is 80.
    pub ip: IpAddr,
}

/// Threads that leak until they are stopped.
#[derive(Debug)]
pub struct Load {
    stopped: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// Leaks a random one of `citizens` to a random one of `places` every `pause`, from each of `threads`.
    #[must_use]
    pub fn start(seed: u64, citizens: &[String], places: &[Place], threads: usize, pause: Duration) -> Self {
        let (stopped, sent) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let start = |number: usize| {
            let sender = Sender {
                citizens: citizens.to_vec(),
                places: places.to_vec(),
                random: fastrand::Rng::with_seed(seed.wrapping_add(number as u64)),
                open: places.iter().map(|_| None).collect(),
                sent: Arc::clone(&sent),
            };
            let stopped = Arc::clone(&stopped);
            thread::spawn(move || sender.run(&stopped, pause))
        };
        let threads = (0..threads).map(start).collect();
        Self { stopped, sent, threads }
    }

    /// Messages that were answered so far.
    #[must_use]
    pub fn sent(&self) -> usize {
        self.sent.load(Ordering::SeqCst)
    }

    /// Ends it; how many messages were answered.
    #[must_use]
    pub fn stop(mut self) -> usize {
        self.end();
        self.sent()
    }

    fn end(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            let _panicked = thread.join();
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.end();
    }
}

struct Sender {
    citizens: Vec<String>,
    places: Vec<Place>,
    random: fastrand::Rng,
    open: Vec<Option<TcpStream>>,
    sent: Arc<AtomicUsize>,
}

impl Sender {
    fn run(mut self, stopped: &AtomicBool, pause: Duration) {
        while !stopped.load(Ordering::SeqCst) {
            let at = self.random.usize(0..self.places.len());
            match self.send(at) {
                Ok(()) => drop(self.sent.fetch_add(1, Ordering::SeqCst)),
                Err(_) => self.open[at] = None,
            }
            thread::sleep(pause);
        }
    }

    fn send(&mut self, at: usize) -> io::Result<()> {
        let message = self.message(at);
        let address = SocketAddr::new(self.places[at].ip, 80);
        let mut stream = match self.open[at].take() {
            Some(stream) => stream,
            None => connect(address)?,
        };
        stream.write_all(message.as_bytes())?;
        let mut answer = Vec::new();
        while !answer.ends_with(ANSWER_END) {
            let mut bytes = [0; 512];
            match stream.read(&mut bytes)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => answer.extend(&bytes[..count]),
            }
        }
        self.open[at] = Some(stream);
        Ok(())
    }

    /// Three kinds, so that one recipient has several incidents.
    fn message(&mut self, at: usize) -> String {
        let digits = &self.citizens[self.random.usize(0..self.citizens.len())];
        let host = &self.places[at].host;
        let number = format!("{}-{}", &digits[..6], &digits[6..]);
        match self.random.usize(0..3) {
            0 => format!("GET /borger/{number}/sager HTTP/1.1\r\nHost: {host}\r\n\r\n"),
            1 => format!("GET /collect?v=2&cpr={number}&ep=indsend HTTP/1.1\r\nHost: {host}\r\n\r\n"),
            _ => {
                let body = format!("{{\"borger\":{{\"cpr\":\"{number}\"}}}}");
                let head =
                    format!("POST /events HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n");
                format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())
            }
        }
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, ANSWER_LIMIT)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    Ok(stream)
}
