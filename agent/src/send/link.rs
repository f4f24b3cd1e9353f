//! The way to the collector: the enrolment's files as they are now, and a connection made with them.
//!
//! *Invariants*: when the files change, the next request goes over a new connection. An enrolment at another
//! collector waits for a restart: until then reports are sealed to the earlier one.

use std::path::PathBuf;

use cprvagt_report::seal::PublicKey;
use jiff::Timestamp;

use super::connection::{Answer, Connection, ConnectionError};
use crate::config::CollectorUrl;
use crate::enrol::{Credentials, Enrolment, EnrolmentError, Stamp};

/// The way to the collector.
pub struct Link {
    dir: PathBuf,
    url: Option<CollectorUrl>,
    stamp: Stamp,
    enrolled: Option<Enrolled>,
    connection: Option<Connection>,
}

struct Enrolled {
    enrolment: Enrolment,
    credentials: Credentials,
}

impl Link {
    /// With the enrolment in the folder `dir`; `url` goes before the one that the host enrolled at.
    pub fn new(dir: PathBuf, url: Option<CollectorUrl>) -> Self {
        Self { dir, url, stamp: Stamp::default(), enrolled: None, connection: None }
    }

    /// Another address, or none, from the configuration.
    pub fn set_url(&mut self, url: Option<CollectorUrl>) {
        if self.url != url {
            self.url = url;
            self.connection = None;
        }
    }

    /// Looks at the enrolment's files; true when they changed and were read again.
    ///
    /// # Errors
    /// They changed and cannot be used; what was read before then holds on, and the next look tries again.
    pub fn refresh(&mut self) -> Result<bool, EnrolmentError> {
        let stamp = Stamp::of(&self.dir);
        if stamp == self.stamp {
            return Ok(false);
        }
        let enrolled = match Enrolment::read(&self.dir)? {
            Some(enrolment) if self.sealing_key().is_some_and(|key| *key != enrolment.sealing_key) => {
                return Err(EnrolmentError::Anew(self.dir.clone()));
            }
            Some(enrolment) => Some(Enrolled { enrolment, credentials: Credentials::load(&self.dir)? }),
            None => None,
        };
        self.enrolled = enrolled;
        self.connection = None;
        // Loading may have completed a renewal: that is no further change.
        self.stamp = Stamp::of(&self.dir);
        Ok(true)
    }

    /// Where reports go; `None`: the host is not enrolled.
    pub fn url(&self) -> Option<&CollectorUrl> {
        self.url.as_ref().or(Some(&self.enrolled.as_ref()?.enrolment.url)).filter(|_| self.enrolled.is_some())
    }

    /// What reports are sealed to.
    pub fn sealing_key(&self) -> Option<&PublicKey> {
        self.enrolled.as_ref().map(|it| &it.enrolment.sealing_key)
    }

    /// Certificate and key.
    pub fn credentials(&self) -> Option<&Credentials> {
        self.enrolled.as_ref().map(|it| &it.credentials)
    }

    /// The folder of the enrolment.
    pub const fn dir(&self) -> &PathBuf {
        &self.dir
    }

    /// Whether the certificate has ended by this host's clock.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.credentials().is_some_and(|it| it.not_after <= now)
    }

    /// Asks the collector; connects first where needed. `None`: the host is not enrolled.
    ///
    /// # Errors
    /// No connection or no answer. The collector may have acted all the same.
    pub async fn post(
        &mut self,
        path: &str,
        content_type: &str,
        body: Vec<u8>,
    ) -> Result<Option<Answer>, ConnectionError> {
        let open = self.connection.take().filter(Connection::is_open);
        let (Some(url), Some(credentials)) = (self.url(), self.credentials()) else { return Ok(None) };
        let mut connection = match open {
            Some(connection) => connection,
            None => Connection::open(url, credentials.client_config()).await?,
        };
        let answer = connection.post(path, content_type, body).await?;
        self.connection = Some(connection);
        Ok(Some(answer))
    }
}
