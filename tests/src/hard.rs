//! The hard test of the join: what was sent, by whom and to whom, as the servers have seen it, against what was told.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::agent::wait_at_most;
use crate::held::Held;
use crate::lab::{Lab, Recipient};
use crate::network::Family;
use crate::{Seen, payload, scratch};

/// Addresses that the connections go to.
pub const RECIPIENTS: usize = 20;
/// What a program gets for all of its rounds.
const LIMIT: Duration = Duration::from_secs(900);

/// The recipients: all names of one length, every fourth over IPv6, every third with TLS 1.2.
///
/// # Errors
/// As [`Lab::recipient_with`].
pub fn recipients(lab: &mut Lab) -> Result<Vec<(Arc<Recipient>, &'static str)>> {
    let made = (0..RECIPIENTS).map(|index| {
        let family = if index % 4 == 3 { Family::V6 } else { Family::V4 };
        let (version, label) = match index % 3 {
            2 => (&rustls::version::TLS12, "1.2"),
            _ => (&rustls::version::TLS13, "1.3"),
        };
        let host = format!("r{index:02}.analyse.example");
        Ok((lab.recipient_with(&host, crate::lab::Service::Https, family, &[version])?, label))
    });
    made.collect()
}

/// One process of `hard_client.py`.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The kind of each connection.
    pub kinds: Vec<&'static str>,
    /// How often all of them are made anew.
    pub rounds: usize,
    /// Requests of each in a round.
    pub requests: usize,
}

impl Plan {
    /// `connections` of them: half with TLS sockets, a quarter in an event loop and a quarter with BIOs of their own.
    #[must_use]
    pub fn of(connections: usize, rounds: usize, requests: usize) -> Self {
        let kinds = ["blocking", "loop", "blocking", "bio"];
        Self { kinds: kinds.into_iter().cycle().take(connections).collect(), rounds, requests }
    }

    /// The same, all of one kind: `blocking`, `loop`, `bio`, `gnutls` or `nss`.
    #[must_use]
    pub fn all(kind: &'static str, connections: usize, rounds: usize, requests: usize) -> Self {
        Self { kinds: vec![kind; connections], rounds, requests }
    }

    /// Numbers that leave.
    #[must_use]
    pub fn leaks(&self) -> usize {
        self.kinds.len() * self.rounds * self.requests
    }

    /// Starts it, as many times at once as there are lists of numbers.
    ///
    /// # Errors
    /// A process cannot be started.
    pub fn start(
        &self,
        lab: &Lab,
        recipients: &[(Arc<Recipient>, &'static str)],
        client: &Client,
        numbers: &[Vec<String>],
    ) -> Result<Running> {
        let to = recipients.iter().map(|(recipient, version)| {
            json!({"ip": recipient.ip().to_string(), "host": recipient.host, "version": version})
        });
        let to: Vec<Value> = to.collect();
        let start = |numbers: &Vec<String>| self.start_one(lab, &to, client, numbers);
        Ok(Running(numbers.iter().map(start).collect::<Result<_>>()?))
    }

    fn start_one(
        &self,
        lab: &Lab,
        to: &[Value],
        client: &Client,
        numbers: &[String],
    ) -> Result<(Held, PathBuf)> {
        ensure!(numbers.len() == self.leaks(), "a number for each request");
        let plan = json!({
            "recipients": to, "kinds": self.kinds, "rounds": self.rounds, "requests": self.requests, "numbers": numbers,
        });
        let name = scratch::unique_name();
        let plan = lab.scratch().write(&format!("{name}.plan"), plan.to_string())?;
        let errors = lab.scratch().write(&format!("{name}.stderr"), "")?;
        let mut command = client.command();
        command.env("SSL_CERT_FILE", lab.authority().file()).arg(plan);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&errors)?);
        Ok((Held::start(&mut command)?, errors))
    }
}

/// What runs a plan.
#[derive(Clone, Debug)]
pub enum Client {
    /// `hard_client.py`.
    Python,
    /// The Go program at this path: each connection has a goroutine, whatever its kind.
    Go(PathBuf),
}

impl Client {
    fn command(&self) -> Command {
        match self {
            Self::Python => {
                let mut command = Command::new("/usr/bin/python3");
                command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/programs/hard_client.py"));
                command
            }
            Self::Go(program) => {
                let mut command = Command::new(program);
                command.arg("hard");
                command
            }
        }
    }
}

/// The processes of a plan; killed on drop.
#[derive(Debug)]
pub struct Running(Vec<(Held, PathBuf)>);

impl Running {
    /// Waits until all have ended.
    ///
    /// # Errors
    /// One of them fails, or takes too long.
    pub fn wait(self) -> Result<()> {
        for (mut process, errors) in self.0 {
            let status = wait_at_most(&mut process.0, LIMIT)?;
            let said = std::fs::read_to_string(errors).unwrap_or_default();
            ensure!(status.is_some_and(|it| it.success()), "a client: {status:?}: {}", said.trim());
        }
        Ok(())
    }
}

/// Different numbers, `of_each` for each of `processes`.
#[must_use]
pub fn numbers(seed: u64, processes: usize, of_each: usize) -> Vec<Vec<String>> {
    let all = payload::citizens(seed, processes * of_each);
    all.chunks(of_each).map(<[String]>::to_vec).collect()
}

/// What was told of what the servers have got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Score {
    /// Numbers that reached a server.
    pub sent: usize,
    /// Told once, with the server that got it, `proven` and `sent`.
    pub proven: usize,
    /// Told with the right server and less than that.
    pub likely: usize,
    /// Told without a server.
    pub unknown: usize,
    /// Told with a server that did not get it.
    pub wrong: usize,
    /// Not told.
    pub dropped: usize,
    /// Told more than once.
    pub doubled: usize,
    /// Told of a number that no server got.
    pub strange: usize,
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, proven, likely, unknown, wrong, dropped, doubled, strange } = self;
        let share = *proven as f64 * 100.0 / (*sent).max(1) as f64;
        write!(
            f,
            "{sent} sent, {proven} proven ({share:.2} %), {likely} likely, {unknown} unknown, {wrong} wrong, \
             {dropped} dropped, {doubled} doubled, {strange} strange"
        )
    }
}

impl Score {
    /// Compares what the agent told with what the servers have got.
    ///
    /// # Errors
    /// The same number reached two servers.
    pub fn of(seen: &Seen, recipients: &[(Arc<Recipient>, &'static str)]) -> Result<Self> {
        Self::of_those(seen, recipients, |_| true)
    }

    /// The same, where only some numbers must be told: those that an agent which came late could see. What it tells of
    /// others counts as well.
    ///
    /// # Errors
    /// As [`Self::of`].
    pub fn of_those(
        seen: &Seen,
        recipients: &[(Arc<Recipient>, &'static str)],
        must: impl Fn(&str) -> bool,
    ) -> Result<Self> {
        let mut to: BTreeMap<String, (SocketAddr, &str)> = BTreeMap::new();
        for (recipient, version) in recipients {
            for request in &recipient.server.received().requests {
                let digits: String = request.target.chars().filter(char::is_ascii_digit).collect();
                let twice = to.insert(digits, (recipient.server.address(), *version));
                ensure!(twice.is_none(), "a number reached two servers, or one twice");
            }
        }
        let mut told: HashMap<&str, Vec<&Value>> = HashMap::new();
        for leak in &seen.leaks {
            told.entry(leak["pseudonym"].as_str().unwrap_or_default()).or_default().push(leak);
        }
        let mut score = Self::default();
        for (digits, (address, version)) in &to {
            let leaks = told.remove(seen.key.pseudonym(digits).as_str()).unwrap_or_default();
            if must(digits) || !leaks.is_empty() {
                score.add(&leaks, *address, version);
            }
        }
        score.strange = told.values().map(Vec::len).sum();
        Ok(score)
    }

    fn add(&mut self, leaks: &[&Value], address: SocketAddr, version: &str) {
        self.sent += 1;
        let [leak] = leaks else {
            *(if leaks.is_empty() { &mut self.dropped } else { &mut self.doubled }) += 1;
            return;
        };
        let destination = &leak["destination"];
        let (ip, port) = (destination["ip"].as_str(), destination["port"].as_u64());
        let is_proven = destination["proof"] == "proven" && leak["outcome"] == "sent";
        let kind = match (ip, port) {
            (None, None) => &mut self.unknown,
            (ip, port) if ip != Some(&address.ip().to_string()) || port != Some(address.port().into()) => {
                &mut self.wrong
            }
            _ if is_proven && leak["transport"]["tls_version"] == version => &mut self.proven,
            _ => &mut self.likely,
        };
        *kind += 1;
    }
}
