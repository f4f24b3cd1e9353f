//! `serve`: all parts of the collector, started in order, ended in order.
//!
//! ```text
//! agents' listener -> agents -> ingest -> store -> outlets
//! web listener -> pages, health
//! ```
//!
//! *Invariants*: one collector for a folder. Listeners end first, then what they handed over is written, then the
//! outlets end, then the store closes; so what was acknowledged is kept.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use cprvagt_report::seal::{BadKey, PrivateKey};
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::authority::{Authority, AuthorityError};
use crate::citizen::{CITIZEN_KEY_FILE, CitizenKey, CitizenKeyError};
use crate::config::Config;
use crate::data_dir::{DataDir, DataError, Lock};
use crate::ingest::{Ingest, IngestLimits};
use crate::keys::{LostKey, kept, mark};
use crate::listener::{
    Certificate, CertificateError, Limits, ListenError, Listener, Renewal, Source, authority_in, for_agents,
    for_people,
};
use crate::metrics::{Exposition, NoMetrics};
use crate::outlets::{self, FileOutlet, OutletError, OutletSettings, Outlets, WebhookOutlet};
use crate::stop::{Stop, Stopper, stop};
use crate::store::{Store, StoreError};
use crate::web::{self, WebSettings};
use crate::{agents, health};

/// File of the key that reports are sealed to.
const SEALING_KEY: &str = "sealing.key";

/// What a collector bears; the defaults serve all but tests.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bounds {
    /// Of each listener.
    pub listener: Limits,
    /// Of the queue.
    pub ingest: IngestLimits,
    /// Of the server's certificates.
    pub renewal: Renewal,
}

/// Why a collector does not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Its folder.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Its database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its authority.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The key that reports are sealed to.
    #[error("sealing.key: {0}; restore it from a backup, or what agents hold cannot be read")]
    SealingKey(#[from] BadKey),
    /// The key that makes citizens of pseudonyms.
    #[error(transparent)]
    CitizenKey(#[from] CitizenKeyError),
    /// A key that was lost or replaced.
    #[error(transparent)]
    LostKey(#[from] LostKey),
    /// A certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// TLS cannot be set up.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// An address.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// An outlet.
    #[error(transparent)]
    Outlet(#[from] OutletError),
    /// The counters.
    #[error(transparent)]
    Metrics(#[from] NoMetrics),
}

/// A collector that serves.
pub struct Collector {
    agents: SocketAddr,
    web: SocketAddr,
    web_tls: bool,
    store: Store,
    ingest: Option<Ingest>,
    writer: JoinHandle<()>,
    outlets: Outlets,
    tasks: JoinSet<()>,
    stop: Stopper,
    again: watch::Sender<()>,
    _lock: Lock,
}

impl Collector {
    /// Starts everything that `config` says.
    ///
    /// # Errors
    /// Another collector serves from the folder, or some part cannot be started; nothing runs then.
    pub async fn start(config: &Config, bounds: Bounds) -> Result<Self, ServeError> {
        let data = DataDir::open(&config.data_dir)?;
        let lock = data.lock()?;
        let exposition = Exposition::start()?;
        let store = Store::open(data.path()).await?;
        let outlets = outlets::start(&store, &outlet_settings(config))?;
        let waker = outlets.waker();
        let (ingest, writer) = Ingest::start(store.clone(), bounds.ingest, move || waker.wake());
        let (stop, stopped) = stop();
        let (again, look_again) = watch::channel(());
        let mut parts = Parts { tasks: JoinSet::new(), stopped, look_again, bounds };

        let agents = parts.agents(config, &data, &store, &ingest).await?;
        let pages = web::router(store.clone(), web_settings(config));
        let web =
            parts.web(config, health::router(store.clone(), ingest.clone(), exposition).merge(pages)).await?;
        let (tasks, web_tls) = (parts.tasks, config.web.certificate.is_some());
        Ok(Self {
            agents,
            web,
            web_tls,
            store,
            ingest: Some(ingest),
            writer,
            outlets,
            tasks,
            stop,
            again,
            _lock: lock,
        })
    }

    /// Where agents deliver.
    pub const fn agents_address(&self) -> SocketAddr {
        self.agents
    }

    /// Both addresses in one line, for a person or a script.
    pub fn addresses(&self) -> String {
        let scheme = if self.web_tls { "https" } else { "http" };
        format!("agents=https://{} web={scheme}://{}", self.agents, self.web)
    }

    /// Makes it look at its certificate files at once.
    pub fn reload(&self) {
        self.again.send_replace(());
    }

    /// Whether reports still get through to the store.
    pub fn is_alive(&self) -> bool {
        let stuck = self.ingest.as_ref().map_or(Duration::ZERO, Ingest::stuck_for);
        !self.writer.is_finished() && stuck < health::COMMIT_MAX * 4
    }

    /// Ends it: takes in nothing more, finishes what is under way, closes the store.
    pub async fn stop(mut self) {
        self.stop.ask();
        while self.tasks.join_next().await.is_some() {}
        // The writer ends when nobody can hand it anything any more.
        drop(self.ingest.take());
        if let Err(error) = self.writer.await {
            tracing::error!("the writer ended badly: {error}");
        }
        self.outlets.stop().await;
        self.store.close().await;
    }
}

/// What is being started.
struct Parts {
    tasks: JoinSet<()>,
    stopped: Stop,
    look_again: watch::Receiver<()>,
    bounds: Bounds,
}

impl Parts {
    async fn agents(
        &mut self,
        config: &Config,
        data: &DataDir,
        store: &Store,
        ingest: &Ingest,
    ) -> Result<SocketAddr, ServeError> {
        let load = || Ok::<_, ServeError>(Authority::load_or_make(data, Timestamp::now())?);
        let authority = kept(store, data, Authority::FILES, load, Authority::marks).await?;
        let authority = Arc::new(authority);
        let load = || sealing_key(data);
        let sealing_key = kept(store, data, [SEALING_KEY], load, |key| [mark(&key.public().to_bytes())]);
        let load = || Ok::<_, ServeError>(CitizenKey::of(data.path())?);
        let citizen_key = kept(store, data, [CITIZEN_KEY_FILE], load, |key| [key.mark()]);
        let source = match &config.agents.certificate {
            Some(files) => Source::FilesWithAuthority(files.clone()),
            None => Source::Authority(authority.clone(), config.agents.names.clone()),
        };
        let certificate = Certificate::load(source, self.bounds.renewal)?;
        let tls = for_agents(certificate.resolver(), authority.certificate())?;
        let settings = agents::Settings {
            store: store.clone(),
            ingest: ingest.clone(),
            trusted: trusted(config, &authority)?,
            sealing_key: sealing_key.await?,
            citizen_key: citizen_key.await?,
            certificate_days: config.certificate_days,
            authority,
        };
        let (router, keep) = agents::router(settings, self.stopped.clone());
        let limits = Limits { answer: agents::ANSWER_TIME, ..self.bounds.listener };
        let listener = Listener::bind("agents", config.agents.listen, Some(tls), limits).await?;
        self.tasks.spawn(keep);
        self.keep(certificate);
        Ok(self.listen(listener, router))
    }

    async fn web(&mut self, config: &Config, router: Router) -> Result<SocketAddr, ServeError> {
        let files = config.web.certificate.clone();
        let certificate = files.map(|files| Certificate::load(Source::Files(files), self.bounds.renewal));
        let certificate = certificate.transpose()?;
        let tls = certificate.as_ref().map(|certificate| for_people(certificate.resolver())).transpose()?;
        let listener = Listener::bind("web", config.web.listen, tls, self.bounds.listener).await?;
        if let Some(certificate) = certificate {
            self.keep(certificate);
        }
        Ok(self.listen(listener, router))
    }

    fn keep(&mut self, certificate: Certificate) {
        self.tasks.spawn(certificate.keep(self.look_again.clone(), self.stopped.clone()));
    }

    fn listen(&mut self, listener: Listener, router: Router) -> SocketAddr {
        let address = listener.address();
        self.tasks.spawn(listener.run(router, self.stopped.clone()));
        address
    }
}

/// The certificate by which agents are to know this collector: that of a given chain's authority, else the
/// embedded one's.
///
/// # Errors
/// The given chain cannot be read, or does not end with an authority.
pub fn trusted(config: &Config, authority: &Authority) -> Result<CertificateDer<'static>, CertificateError> {
    match &config.agents.certificate {
        Some(files) => authority_in(&files.certificate),
        None => Ok(authority.certificate().clone()),
    }
}

fn sealing_key(data: &DataDir) -> Result<PrivateKey, ServeError> {
    let text = data.secret(SEALING_KEY, || PrivateKey::generate().to_hex())?;
    Ok(PrivateKey::from_hex(text.trim_end())?)
}

fn web_settings(config: &Config) -> WebSettings {
    WebSettings { tls: config.web.certificate.is_some(), session_hours: config.web.session_hours }
}

/// The outlets as they want to be told.
pub fn outlet_settings(config: &Config) -> OutletSettings {
    let webhooks = config.outlets.webhooks.iter().cloned();
    OutletSettings {
        file: config.outlets.file.clone().map(|path| FileOutlet { path }),
        webhooks: webhooks
            .map(|it| WebhookOutlet {
                name: it.name,
                url: it.url,
                secret_file: it.secret_file,
                ca_file: it.ca_file,
            })
            .collect(),
        quiet: config.outlets.quiet,
    }
}
