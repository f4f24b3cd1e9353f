//! What `capture`, the main process, and `send` say to each other, over [`crate::channel`].

use std::path::PathBuf;
use std::time::Duration;

use cprvagt_report::{Host, Moment};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::config::{CollectorUrl, Config};

/// What `send` needs of the configuration.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The folder of the spool.
    pub spool_dir: PathBuf,
    /// Most that it holds, in bytes.
    pub spool_bytes_max: u64,
    /// Longest that a report waits.
    pub spool_age_max: Duration,
    /// The folder of the enrolment.
    pub enrolment: PathBuf,
    /// The collector, if it is another than the host enrolled at.
    pub url: Option<CollectorUrl>,
    /// This host.
    pub host: Host,
}

/// To `send`.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum ToSend {
    /// The first message: begin.
    Start(Settings),
    /// These hold from now on; spool and enrolment stay where they are.
    Reload(Settings),
    /// Asks for [`FromSend::Status`].
    Status,
    /// Take what still comes from `inspect`, close the spool, end.
    Stop,
}

/// From `send`.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub enum FromSend {
    /// The spool is open.
    Ready {
        /// Its epoch.
        epoch: Uuid,
    },
    /// The answer to [`ToSend::Status`].
    Status(Box<SendStatus>),
    /// It still runs; said every [`super::ALIVE_EVERY`].
    Alive,
    /// It ends, and why.
    Failed(String),
}

/// How sending goes. The names are those that `cprvagt status --json` shows.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct SendStatus {
    /// What waits.
    pub spool: SpoolStatus,
    /// Since when nothing can be written to the spool.
    pub spool_blocked_since: Option<Moment>,
    /// Where reports go; `None`: the host is not enrolled.
    pub collector: Option<CollectorUrl>,
    /// End of the certificate.
    pub certificate_expires_at: Option<Moment>,
    /// Reports that the collector acknowledged, since the start.
    pub delivered: u64,
    /// Those of them that it could not read and set aside.
    pub set_aside: u64,
    /// The last acknowledgement.
    pub last_delivery_at: Option<Moment>,
    /// What went wrong last, without numbers; `None` while all goes well.
    pub last_error: Option<String>,
    /// Seconds until the next attempt, after one that failed.
    pub next_attempt_in: Option<u64>,
}

/// The spool in figures.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct SpoolStatus {
    /// Its epoch.
    pub epoch: Uuid,
    /// Reports that wait for a receipt.
    pub records: u64,
    /// Leaks in them.
    pub leaks: u64,
    /// Bytes on the disk.
    pub bytes: u64,
    /// Files.
    pub segments: u64,
    /// When the oldest waiting report was written.
    pub oldest_at: Option<Moment>,
}

impl Settings {
    /// What `config` says, for this `host`.
    pub fn of(config: &Config, host: Host) -> Self {
        Self {
            spool_dir: config.spool.dir.clone(),
            spool_bytes_max: config.spool.bytes_max,
            spool_age_max: config.spool.age_max,
            enrolment: config.collector.enrolment.clone(),
            url: config.collector.url.clone(),
            host,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::channel;
    use crate::scrub::Scrubber;

    #[test]
    fn every_message_arrives_as_it_was() {
        let (here, there) = UnixStream::pair().unwrap();
        let mut config = Config::default();
        config.collector.url = Some("https://c.example:8443".parse().unwrap());
        let settings = Settings::of(&config, crate::host::this_host(&Scrubber::at(0)));
        for message in
            [ToSend::Start(settings.clone()), ToSend::Reload(settings), ToSend::Status, ToSend::Stop]
        {
            channel::send(&here, &message).unwrap();
            assert_eq!(channel::receive(&there).unwrap(), Some(message));
        }
        let now = Moment::now();
        let spool = SpoolStatus {
            epoch: Uuid::max(),
            records: 1,
            leaks: 2,
            bytes: 3,
            segments: 4,
            oldest_at: Some(now),
        };
        let status = SendStatus {
            spool,
            spool_blocked_since: None,
            collector: config.collector.url,
            certificate_expires_at: Some(now),
            delivered: 5,
            set_aside: 6,
            last_delivery_at: None,
            last_error: Some("x".to_owned()),
            next_attempt_in: Some(7),
        };
        let failed = FromSend::Failed("y".to_owned());
        for message in
            [FromSend::Ready { epoch: Uuid::nil() }, FromSend::Status(status.into()), FromSend::Alive, failed]
        {
            channel::send(&there, &message).unwrap();
            assert_eq!(channel::receive(&here).unwrap(), Some(message));
        }
        drop(there);
        assert_eq!(channel::receive::<FromSend>(&here).unwrap(), None);
    }
}
