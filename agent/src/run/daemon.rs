//! The capture process: holds the taps, minds the other three processes, and answers to the service manager.
//!
//! *Invariants*: it parses no traffic and no message of the network. When one of the four is gone, all end: the
//! service manager starts them anew, and the spool opens with a gap record.

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use cprvagt_abi::Flow;
use cprvagt_report::Moment;
use sd_notify::NotifyState;
use serde_json::{Value, json};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{MissedTickBehavior, interval, timeout_at};
use zerocopy::IntoBytes as _;

use super::config_file::ConfigFile;
use super::parts::{Heard, Part};
use super::plan::Plan;
use super::protocol::{FromInspect, InspectStatus, ToInspect};
use super::status::StatusSocket;
use super::{RunError, confine, facts};
use crate::capture::{Capture, CaptureOptions, Opener};
use crate::channel::send_descriptors;
use crate::config::changes;
use crate::judge::{Policy, turn};
use crate::send::protocol::{FromSend, SendStatus, ToSend};

/// How often newly mapped files are looked at when nothing says that there are any.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often counters, addresses and the other processes' health are looked at.
const SURVEY_EVERY: Duration = Duration::from_secs(1);
/// How long a process may be silent before the service manager is no longer told that all is well.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// How long the inspect process may take to tell what waits, the send process to be ready, the broker to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// Why a configuration with another port for the collector cannot come into force.
const OTHER_PORT: &str = "[collector] url has another port, which the send process has given up reaching; restart to \
                          change it";

/// What happens.
enum Event {
    Inspect(Heard<FromInspect>),
    Send(Heard<FromSend>),
}

/// The running daemon, as its first process sees it.
pub struct Daemon {
    plan: Plan,
    capture: Capture,
    broker: Part,
    inspect: Part,
    send: Part,
    events: UnboundedReceiver<Event>,
    signals: Signals,
    status: StatusSocket,
    since: Moment,
    /// The text of the configuration file that was looked at last; `None`: it could not be read.
    config_seen: Option<String>,
    config_since: Moment,
    /// Why the configuration in force is not what the file says.
    config_problem: Option<String>,
    inspect_said: (Instant, InspectStatus),
    ledger: Value,
    send_said: (Instant, Option<Box<SendStatus>>),
    done: bool,
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        let of = |kind: fn() -> SignalKind| signal(kind());
        Ok(Self {
            interrupt: of(SignalKind::interrupt)?,
            terminate: of(SignalKind::terminate)?,
            hangup: of(SignalKind::hangup)?,
        })
    }
}

impl Daemon {
    /// Starts the other processes, the taps, and tells the service manager.
    ///
    /// # Errors
    /// What keeps it from starting, in words for a person.
    pub async fn start(plan: Plan, verbose: u8) -> Result<Self, RunError> {
        let signals = Signals::listen()?;
        let (status, listener) = StatusSocket::open(&plan.runtime_dir)?;
        let broker = Part::start("broker", verbose, false)?;
        let inspect = Part::start("inspect", verbose, plan.json)?;
        let send = Part::start("send", verbose, false)?;
        let facts = introduce(&inspect, &send)?;
        confine::capture()?;
        send.tell(&ToSend::Start(plan.send_settings()))?;
        let own = vec![inspect.pid(), send.pid()];
        let mut capture = start_taps(&plan, own, &broker)?;
        // No thread before this: one that runs already would keep what is given up here.
        confine::capture_attached(|| capture.counters().is_ok())?;
        facts::serve(facts)?;
        status.serve(listener)?;
        let (to, mut events) = unbounded_channel();
        inspect.listen(to.clone(), Event::Inspect)?;
        send.listen(to, Event::Send)?;
        await_ready(&mut events, "send").await?;
        inspect.tell(&ToInspect::Start(Box::new(plan.inspect_settings())))?;
        send_descriptors(&inspect.control, &[capture.ring_descriptor()?.as_fd()])?;
        await_ready(&mut events, "inspect").await?;
        let now = Instant::now();
        let config_seen = Some(plan.text.clone());
        Ok(Self {
            plan,
            capture,
            broker,
            inspect,
            send,
            events,
            signals,
            status,
            since: Moment::now(),
            config_seen,
            config_since: Moment::now(),
            config_problem: None,
            inspect_said: (now, InspectStatus::default()),
            ledger: Value::Null,
            send_said: (now, None),
            done: false,
        })
    }

    /// Goes on until told to stop.
    ///
    /// # Errors
    /// One of the processes is gone, or the kernel refuses something that it should not.
    pub async fn run(mut self) -> Result<(), RunError> {
        let mut wakes = self.capture.wakes(None)?;
        let config_file = watch_config(&self.plan);
        let (mut look, mut survey) = (interval(LOOK_EVERY), interval(SURVEY_EVERY));
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        survey.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.status.say(&self.tell_status());
        notify(&[NotifyState::Ready]);
        // Nobody is left to tell when standard error is closed.
        let _ = writeln!(io::stderr(), "ready");
        loop {
            tokio::select! {
                woken = wakes.next() => woken?,
                _ = look.tick() => {}
                _ = survey.tick() => self.survey()?,
                event = self.events.recv() => self.hear(event)?,
                () = config_changed(config_file.as_ref()) => self.reload_if_changed()?,
                _ = self.signals.hangup.recv() => self.reload()?,
                _ = self.signals.interrupt.recv() => break,
                _ = self.signals.terminate.recv() => break,
            }
            wakes.after(self.capture.attach_new_libraries())?;
        }
        drop(wakes);
        self.stop().await
    }

    fn hear(&mut self, event: Option<Event>) -> Result<(), RunError> {
        let now = Instant::now();
        match event {
            None | Some(Event::Inspect(Heard::Gone)) if !self.done => return Err(RunError::Gone("inspect")),
            Some(Event::Send(Heard::Gone)) if !self.done => return Err(RunError::Gone("send")),
            Some(Event::Inspect(Heard::Message(message))) => self.hear_inspect(message, now)?,
            Some(Event::Send(Heard::Message(message))) => self.hear_send(message, now)?,
            _ => {}
        }
        Ok(())
    }

    fn hear_inspect(&mut self, message: FromInspect, now: Instant) -> Result<(), RunError> {
        match message {
            FromInspect::Ready => {}
            FromInspect::Alive(status) => self.inspect_said = (now, status),
            FromInspect::Ledger(json) => self.ledger = serde_json::from_str(&json).unwrap_or_default(),
            FromInspect::RemoveSecondSite { first, second } => {
                self.capture.remove_second_attachment(first, second)
            }
            FromInspect::NeedFlows => {
                let flows = table(&self.capture.flows()?);
                self.inspect.tell(&ToInspect::Flows(flows))?;
            }
            FromInspect::Done(_) => self.done = true,
        }
        Ok(())
    }

    fn hear_send(&mut self, message: FromSend, now: Instant) -> Result<(), RunError> {
        match message {
            FromSend::Ready { .. } | FromSend::Alive => self.send_said.0 = now,
            FromSend::Status(status) => self.send_said = (now, Some(status)),
            FromSend::Failed(why) => return Err(RunError::Failed("send", why)),
        }
        Ok(())
    }

    fn survey(&mut self) -> Result<(), RunError> {
        if self.broker.has_ended()? {
            return Err(RunError::Gone("broker"));
        }
        self.inspect.tell(&ToInspect::Counters(self.capture.counters()?.to_vec()))?;
        self.send.tell(&ToSend::Status)?;
        self.expire()?;
        self.capture.refresh_addresses()?;
        self.capture.leave_unused_files();
        self.capture.flush_logs();
        self.status.say(&self.tell_status());
        let silent = |said: Instant| said.elapsed() > SILENCE_MAX;
        if !silent(self.inspect_said.0) && !silent(self.send_said.0) {
            notify(&[NotifyState::Watchdog]);
        }
        Ok(())
    }

    fn tell_status(&self) -> Value {
        let (inspect, send) = (&self.inspect_said.1, &self.send_said.1);
        json!({
            "schema": "cprvagt.status/1",
            "since": self.since,
            "processes": {
                "capture": std::process::id(), "broker": self.broker.pid(),
                "inspect": self.inspect.pid(), "send": self.send.pid(),
            },
            "config": {
                "file": self.plan.path, "in_force_since": self.config_since, "problem": self.config_problem,
            },
            "attached_files": self.capture.attached_files(),
            "inspect": {
                "open_flows": inspect.open_flows, "leaks": inspect.leaks, "queued_leaks": inspect.queued_leaks,
                "lost_leaks": inspect.lost_leaks, "bad_records": inspect.bad_records,
            },
            "ledger": self.ledger,
            "send": send,
        })
    }

    /// Takes the configuration file as it is now, whole or not at all.
    fn reload(&mut self) -> Result<(), RunError> {
        if let Ok(begun) = NotifyState::monotonic_usec_now() {
            notify(&[NotifyState::Reloading, begun]);
        }
        self.config_seen = self.plan.text_on_disk();
        let problem = match self.plan.reloaded() {
            Ok(plan) if !self.plan.reaches_as(&plan) => Some(OTHER_PORT.to_owned()),
            Ok(plan) => {
                self.adopt(plan)?;
                None
            }
            Err(error) => Some(error.to_string()),
        };
        if let Some(problem) = &problem {
            tracing::error!("the configuration stays as it was: {problem}");
        }
        self.config_problem = problem;
        self.status.say(&self.tell_status());
        notify(&[NotifyState::Ready]);
        Ok(())
    }

    /// The same when something in the file's folder has changed, if the file has.
    fn reload_if_changed(&mut self) -> Result<(), RunError> {
        if self.plan.text_on_disk() == self.config_seen { Ok(()) } else { self.reload() }
    }

    fn adopt(&mut self, plan: Plan) -> Result<(), RunError> {
        for what in self.plan.needs_restart(&plan) {
            tracing::warn!("{what} takes effect with the next start");
        }
        self.set_policy(&plan.policy, plan.text.clone())?;
        self.send.tell(&ToSend::Reload(plan.send_settings()))?;
        for change in changes(&self.plan.config, &plan.config) {
            tracing::warn!("configuration: {change}");
        }
        self.plan = plan;
        self.config_since = Moment::now();
        tracing::info!("the configuration was read again and is in force");
        Ok(())
    }

    /// Lets go of entries that have expired.
    fn expire(&mut self) -> Result<(), RunError> {
        if let Some(policy) = self.plan.policy_if_outdated()? {
            self.set_policy(&policy, self.plan.text.clone())?;
            self.plan.policy = policy;
            tracing::warn!("an [[allow]] entry has expired and holds no more; `cprvagt check` names it");
        }
        Ok(())
    }

    /// The kernel first: what it lets pass uncopied cannot be judged later.
    fn set_policy(&mut self, policy: &Policy, text: String) -> Result<(), RunError> {
        let (gone, changed) = turn(&self.plan.policy.allow_prefixes(), &policy.allow_prefixes());
        self.capture.set_allow(&gone, &changed)?;
        self.capture.set_relays(&policy.relay_ports())?;
        Ok(self.inspect.tell(&ToInspect::Policy(text))?)
    }

    /// Taps off first, so that the ring and the flow table tell of the same bytes; then each process in the
    /// order of the line.
    async fn stop(mut self) -> Result<(), RunError> {
        notify(&[NotifyState::Stopping]);
        self.capture.detach()?;
        let counters = self.capture.counters()?.to_vec();
        let flows = table(&self.capture.flows()?);
        self.inspect.tell(&ToInspect::Finish { counters, flows })?;
        let deadline = tokio::time::Instant::now() + ANSWER_LIMIT;
        while !self.done {
            let event = timeout_at(deadline, self.events.recv()).await;
            self.hear(event.map_err(|_| RunError::Silent("inspect"))?)?;
        }
        self.inspect.end()?;
        self.send.tell(&ToSend::Stop)?;
        let ended = self.send.end()?;
        if !ended.success() {
            return Err(RunError::Failed("send", ended.to_string()));
        }
        Ok(())
    }
}

/// Watches the configuration file; without that SIGHUP still works.
fn watch_config(plan: &Plan) -> Option<ConfigFile> {
    let watched = ConfigFile::watch(&plan.path);
    let told =
        |error| tracing::warn!(%error, "changes of the configuration file are not noticed: send SIGHUP");
    watched.map_err(told).ok()
}

/// Waits until something in the file's folder has changed, for ever if that cannot be known.
async fn config_changed(file: Option<&ConfigFile>) {
    match file {
        Some(file) => file.changed().await,
        None => std::future::pending().await,
    }
}

/// Attaches the taps, with `broker` to open what probes stand on.
fn start_taps(plan: &Plan, own: Vec<u32>, broker: &Part) -> Result<Capture, RunError> {
    let opener = broker.control.try_clone()?;
    // The broker answers at once, or hangs; a kernel that sets a probe looks at each process that has the file.
    opener.set_read_timeout(Some(ANSWER_LIMIT))?;
    let opener = Opener::broker(opener).map_err(|_| RunError::Gone("broker"))?;
    let options = CaptureOptions {
        ring_bytes: plan.config.capture.ring_bytes,
        entry_sites: plan.config.capture.probe_site.is_entry(),
        allow: plan.policy.allow_prefixes(),
        relays: plan.policy.relay_ports(),
        own,
    };
    Ok(Capture::start(&options, opener)?)
}

/// Gives the two processes a stream from one to the other, and inspect one to ask about processes; returns the
/// answering end of that.
fn introduce(inspect: &Part, send: &Part) -> io::Result<UnixStream> {
    let (reports, to_send) = UnixStream::pair()?;
    let (facts, questions) = UnixStream::pair()?;
    let [reports, to_send, questions] = [reports, to_send, questions].map(OwnedFd::from);
    send_descriptors(&inspect.control, &[reports.as_fd(), questions.as_fd()])?;
    send_descriptors(&send.control, &[to_send.as_fd()])?;
    Ok(facts)
}

/// Waits until the part says that it is ready.
async fn await_ready(events: &mut UnboundedReceiver<Event>, part: &'static str) -> Result<(), RunError> {
    let deadline = tokio::time::Instant::now() + ANSWER_LIMIT;
    loop {
        let event = timeout_at(deadline, events.recv()).await.map_err(|_| RunError::Silent(part))?;
        match event {
            Some(Event::Inspect(Heard::Message(FromInspect::Ready))) if part == "inspect" => return Ok(()),
            Some(Event::Send(Heard::Message(FromSend::Ready { .. }))) if part == "send" => return Ok(()),
            Some(Event::Send(Heard::Message(FromSend::Failed(why)))) => {
                return Err(RunError::Failed("send", why));
            }
            Some(Event::Inspect(Heard::Gone)) => return Err(RunError::Gone("inspect")),
            Some(Event::Send(Heard::Gone)) | None => return Err(RunError::Gone("send")),
            Some(_) => {}
        }
    }
}

fn table(flows: &HashMap<u64, Flow>) -> Vec<u8> {
    flows.values().flat_map(|flow| flow.as_bytes().iter().copied()).collect()
}

/// Tells the service manager, if there is one.
fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager could not be told");
    }
}
