//! A TCP proxy on loopback that keeps all bytes of both directions: what somebody on the way would see.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::Result;

/// One direction of one connection, or of all of them one after another.
#[derive(Clone, Debug, Default)]
pub struct Capture {
    /// From clients.
    pub up: Vec<u8>,
    /// To clients.
    pub down: Vec<u8>,
}

/// A running proxy. Its threads end with the connections, the last with the process.
#[derive(Debug)]
pub struct TapProxy {
    address: SocketAddr,
    captures: Arc<Mutex<Vec<Arc<Mutex<Capture>>>>>,
}

impl TapProxy {
    /// Listens on loopback and passes everything on to `target`.
    ///
    /// # Errors
    /// When it cannot listen.
    pub fn to(target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let proxy = Self { address: listener.local_addr()?, captures: Arc::default() };
        let captures = Arc::clone(&proxy.captures);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(target) else { continue };
                let capture = Arc::<Mutex<Capture>>::default();
                captures.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&capture));
                pass_on(&client, &server, Arc::clone(&capture), |capture| &mut capture.up);
                pass_on(&server, &client, capture, |capture| &mut capture.down);
            }
        });
        Ok(proxy)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What has passed so far, for each connection.
    #[must_use]
    pub fn captures(&self) -> Vec<Capture> {
        let captures = self.captures.lock().unwrap_or_else(PoisonError::into_inner);
        captures.iter().map(|it| it.lock().unwrap_or_else(PoisonError::into_inner).clone()).collect()
    }
}

/// Copies one direction in a thread of its own; each byte is kept before it goes on.
fn pass_on(
    from: &TcpStream,
    to: &TcpStream,
    capture: Arc<Mutex<Capture>>,
    side: fn(&mut Capture) -> &mut Vec<u8>,
) {
    let (Ok(mut from), Ok(mut to)) = (from.try_clone(), to.try_clone()) else { return };
    thread::spawn(move || {
        let mut bytes = vec![0; 64 << 10];
        while let Ok(count) = from.read(&mut bytes) {
            side(&mut capture.lock().unwrap_or_else(PoisonError::into_inner)).extend(&bytes[..count]);
            if count == 0 || to.write_all(&bytes[..count]).is_err() {
                break;
            }
        }
        let _gone_already = to.shutdown(Shutdown::Write);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_are_kept_as_they_passed() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = TapProxy::to(server.local_addr().unwrap()).unwrap();
        let mut client = TcpStream::connect(proxy.address()).unwrap();
        client.write_all(b"question").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let (mut accepted, _) = server.accept().unwrap();
        let mut asked = String::new();
        accepted.read_to_string(&mut asked).unwrap();
        accepted.write_all(b"answer").unwrap();
        drop(accepted);
        let mut answered = String::new();
        client.read_to_string(&mut answered).unwrap();
        assert_eq!((asked.as_str(), answered.as_str()), ("question", "answer"));
        let captures = proxy.captures();
        assert_eq!((&captures[0].up[..], &captures[0].down[..]), (&b"question"[..], &b"answer"[..]));
    }
}
