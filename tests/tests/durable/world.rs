//! A lab, a collector, an agent that watches the lab alone, and the agent's daemon through its lives.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use cprvagt_report::seal::PrivateKey;
use cprvagt_tests::agent::{self, Agent};
use cprvagt_tests::collector::{self, Collector, Enrolled};
use cprvagt_tests::lab::{Lab, Service};
use cprvagt_tests::load::{Load, Place};
use cprvagt_tests::network::Family;
use cprvagt_tests::pseudonym::Key;
use cprvagt_tests::scratch::{Scratch, unique_name};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// How long anything may take that is waited for.
pub const WAIT: Duration = Duration::from_secs(180);
const HOSTS: [&str; 3] = ["log.drift.example", "maal.marketing.example", "www.analyse.example"];
const SENDERS: usize = 4;
/// Sealing a number takes an unoptimised agent milliseconds; more than it can take would only lie in the ring.
const PAUSE: Duration = Duration::from_millis(100);

/// Everything but the agent's daemon, which comes and goes.
pub struct World {
    pub collector: Collector,
    pub enrolled: Enrolled,
    /// Lives as long as what leaks into it.
    _lab: Lab,
    pub scratch: Scratch,
    pub places: Vec<Place>,
}

/// One life of the daemon.
pub struct Life {
    agent: Agent,
    pids: [u32; 3],
    pub spawned_at: SystemTime,
    pub ready_at: SystemTime,
}

/// Leaks that the agent told on its standard output, and their pseudonyms.
pub type Leaks = BTreeMap<String, String>;

impl World {
    pub fn new() -> Self {
        let mut lab = Lab::new().unwrap();
        let place = |host: &str| {
            let recipient = lab.recipient(host, Service::Http, Family::V4).unwrap();
            Place { host: host.to_owned(), ip: recipient.ip() }
        };
        let places = HOSTS.map(place).to_vec();
        let scratch = Scratch::new(&unique_name()).unwrap();
        let (program, folder) = (collector::binary().unwrap(), scratch.path().join("collector"));
        let collector = Collector::start(&program, &folder, "").unwrap();
        let (url, token) = (collector.agents_url(), collector.token().unwrap());
        let (program, folder) = (agent::binary().unwrap(), scratch.path().join("agent"));
        let enrolled = Enrolled::new(&program, &folder, url, &token, &lab_alone(&lab)).unwrap();
        Self { collector, enrolled, _lab: lab, scratch, places }
    }

    /// Leaks numbers of `citizens` until it is stopped.
    pub fn leak(&self, seed: u64, citizens: &[String]) -> Load {
        Load::start(seed, citizens, &self.places, SENDERS, PAUSE)
    }

    pub fn start(&self) -> Life {
        let spawned_at = SystemTime::now();
        let agent = Agent::spawn(self.enrolled.daemon(&agent::binary().unwrap())).unwrap();
        let ready_at = SystemTime::now();
        let status = self.await_status("it tells its processes", |status| !status["processes"].is_null());
        let pid = |name: &str| u32::try_from(status["processes"][name].as_u64().unwrap()).unwrap();
        let pids = ["capture", "inspect", "send"].map(pid);
        Life { agent, pids, spawned_at, ready_at }
    }

    pub fn await_status(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let status = self.enrolled.await_status(&agent::binary().unwrap(), WAIT, is_so);
        status.unwrap_or_else(|error| panic!("{what}: {error}\n{}", self.collector.log()))
    }

    /// Ends the daemon in order and delivers what waits.
    pub fn finish(&self, life: Life, told: &mut Leaks) {
        let ended = life.agent.stop().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        ended.objects.iter().for_each(|object| note(object, told));
        self.enrolled.flush(&agent::binary().unwrap()).unwrap();
    }

    pub fn tenant_key(&self) -> Key {
        Key::read(&self.enrolled.tenant_key()).unwrap()
    }

    /// What reports are sealed to.
    pub fn sealing_key(&self) -> PrivateKey {
        let text = fs::read_to_string(self.collector.data().join("sealing.key")).unwrap();
        PrivateKey::from_hex(text.trim()).unwrap()
    }
}

impl Life {
    /// Takes what the agent told so far.
    pub fn listen(&self, told: &mut Leaks) {
        while let Some(object) = self.agent.next(Duration::ZERO) {
            note(&object, told);
        }
    }

    /// Kills one of the processes, and returns when all are gone; when that was.
    pub fn kill(self, victim: usize, told: &mut Leaks) -> SystemTime {
        kill(Pid::from_raw(self.pids[victim].cast_signed()), Signal::SIGKILL).unwrap();
        let killed_at = SystemTime::now();
        let started = Instant::now();
        while self.pids.iter().any(lives) {
            assert!(started.elapsed() < WAIT, "of {:?} one lives on", self.pids);
            thread::sleep(Duration::from_millis(5));
        }
        while let Some(object) = self.agent.next(Duration::from_millis(30)) {
            note(&object, told);
        }
        killed_at
    }
}

fn note(object: &Value, told: &mut Leaks) {
    if object["schema"] == "cprvagt.leak/1" {
        let (id, pseudonym) = identity(object);
        told.insert(id, pseudonym);
    }
}

/// Id and pseudonym of a leak, as the database spells them.
pub fn identity(leak: &Value) -> (String, String) {
    let text = |name: &str| leak[name].as_str().unwrap().replace('-', "");
    (text("id"), text("pseudonym"))
}

fn lives(pid: &u32) -> bool {
    let state = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).unwrap_or_default();
    state.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

/// Whatever else this machine sends is allowed.
fn lab_alone(lab: &Lab) -> String {
    let mut text = String::new();
    for prefix in lab.network().outside() {
        let waives = r#"waives = ["not-allowed", "cleartext"]"#;
        writeln!(text, "[[allow]]\nto = {prefix:?}\nbecause = \"not part of the lab\"\n{waives}").unwrap();
    }
    text
}
