//! Taking in connections: how many, for how long, encrypted or not, and the HTTP on them.
//!
//! *Invariants*: no connection is waited for without an end: handshake, headers, requests, idling and
//! stopping each have a limit. Strangers cannot keep out agents by holding connections of one address.
//! *Limits*: [`Limits`].
//! *Not here*: what is answered.

mod certificate;
mod connection;
mod places;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

pub use certificate::{Certificate, CertificateError, Renewal, Source, authority_in, to_pem};
pub(crate) use places::network;
pub use tls::{for_agents, for_people};

use crate::agents::agent_named;
use crate::stop::Stop;
use connection::Connection;
use places::{Place, Places};

/// Pause after the system refused a connection, such as for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What one listener bears.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// Of these from one address, or one IPv6 network of 64 bits; agents that proved who they are do not count, since
    /// many may share one address.
    pub connections_of_address: usize,
    /// Of these of one agent, whose certificate names it.
    pub connections_of_agent: usize,
    /// Time for the TLS handshake.
    pub handshake: Duration,
    /// Time for a request's headers.
    pub request: Duration,
    /// Time for a request's body to come in and its answer to begin.
    pub answer: Duration,
    /// Time without any request after which a connection is ended.
    pub idle: Duration,
    /// Time for what is under way when the listener or a connection is ended.
    pub farewell: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            connections_of_address: 256,
            connections_of_agent: 4,
            handshake: Duration::from_secs(10),
            request: Duration::from_secs(60),
            answer: Duration::from_secs(60),
            idle: Duration::from_secs(120),
            farewell: Duration::from_secs(10),
        }
    }
}

/// Who is at the other end; an extension of each request.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Address and port.
    pub address: SocketAddr,
    /// The client certificate that the handshake accepted.
    pub certificate: Option<CertificateDer<'static>>,
}

/// The address cannot be listened at.
#[derive(Debug, thiserror::Error)]
#[error("{name} listen {address}: {cause}")]
pub struct ListenError {
    /// The section of the configuration.
    pub name: &'static str,
    /// The address.
    pub address: SocketAddr,
    /// What the system says.
    pub cause: io::Error,
}

/// An address that is listened at.
pub struct Listener {
    name: &'static str,
    tcp: TcpListener,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    places: Places,
    limits: Limits,
}

impl Listener {
    /// Listens at `address`, in clear without `tls`. `name` is how metrics and errors call it.
    ///
    /// # Errors
    /// The address is taken or not this host's, or the port needs a privilege.
    pub async fn bind(
        name: &'static str,
        address: SocketAddr,
        tls: Option<ServerConfig>,
        limits: Limits,
    ) -> Result<Self, ListenError> {
        let failed = |cause| ListenError { name, address, cause };
        let tcp = TcpListener::bind(address).await.map_err(failed)?;
        let address = tcp.local_addr().map_err(failed)?;
        let tls = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
        let Limits { connections, connections_of_address, connections_of_agent, .. } = limits;
        let places = Places::new(connections, connections_of_address, connections_of_agent);
        Ok(Self { name, tcp, address, tls, places, limits })
    }

    /// The real address, also when port 0 was asked for.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers with `router` until `stop`; then what is under way is finished, within the limit.
    pub async fn run(self, router: Router, stop: Stop) {
        let mut stopped = stop.clone();
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = stopped.asked() => break,
                Some(_) = connections.join_next() => {}
                accepted = self.tcp.accept() => match accepted {
                    Ok((tcp, address)) => {
                        if let Some(connection) = self.admit(tcp, address, &router, &stop) {
                            connections.spawn(connection);
                        }
                    }
                    Err(error) => {
                        tracing::warn!("{}: a connection was not taken: {error}", self.name);
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        while connections.join_next().await.is_some() {}
    }

    /// The life of one connection; `None` when there is no place for it.
    fn admit(
        &self,
        tcp: TcpStream,
        address: SocketAddr,
        router: &Router,
        stop: &Stop,
    ) -> Option<impl Future<Output = ()> + Send + use<>> {
        let Some(place) = self.places.take(address.ip()) else {
            refused(self.name, address);
            return None;
        };
        let (name, limits, tls) = (self.name, self.limits, self.tls.clone());
        let (router, stop) = (router.clone(), stop.clone());
        Some(async move {
            let mut counted = Counted::new(name, place);
            let (io, peer) = match tls::shake_hands(tls, tcp, address, limits.handshake).await {
                Ok(shaken) => shaken,
                Err(failure) => {
                    let reason = failure.reason();
                    metrics::counter!("handshake_failures_total", "listener" => name, "reason" => reason)
                        .increment(1);
                    return tracing::debug!("{name}: {address}: no handshake: {failure}");
                }
            };
            let agent = peer.certificate.as_ref().and_then(agent_named);
            if agent.is_some_and(|agent| !counted.place.prove(agent)) {
                return refused(name, address);
            }
            Connection::new(router, peer, limits).run(io, stop).await;
        })
    }
}

fn refused(name: &'static str, address: SocketAddr) {
    metrics::counter!("connections_refused_total", "listener" => name).increment(1);
    tracing::debug!("{name}: {address}: too many connections");
}

/// A connection in the metrics, and its place.
struct Counted {
    name: &'static str,
    place: Place,
}

impl Counted {
    fn new(name: &'static str, place: Place) -> Self {
        metrics::gauge!("connections", "listener" => name).increment(1);
        Self { name, place }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        metrics::gauge!("connections", "listener" => self.name).decrement(1);
    }
}
