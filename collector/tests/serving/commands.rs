//! The real program: its commands beside a running collector, its exit codes, its start and end.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use cprvagt_report::{ENROL_PATH, EnrolRequest, RENEW_PATH, RenewRequest, Token};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::ConnectOptions as _;
use uuid::Uuid;

use crate::client::Dial;
use crate::rig::{Agent, Applicant, deliver, receipts, until};
use crate::sample;

/// A folder with a configuration for the program.
pub struct Program {
    pub dir: tempfile::TempDir,
}

/// A running collector. It is killed when dropped.
pub struct Serving {
    child: Child,
    /// Reads on, since a program whose pipe is full stands still; ends with all that was said.
    reader: Option<JoinHandle<String>>,
    pub agents: SocketAddr,
    pub web: SocketAddr,
}

impl Program {
    pub fn new() -> Self {
        let program = Self { dir: tempfile::tempdir().unwrap() };
        let data = program.dir.path().join("data");
        let text = format!(
            "[data]\ndir = {data:?}\n[agents]\nlisten = \"127.0.0.1:0\"\n[web]\nlisten = \"127.0.0.1:0\"\n\
             [outlets.file]\npath = {:?}\n",
            program.dir.path().join("incidents.jsonl")
        );
        std::fs::write(program.config(), text).unwrap();
        program
    }

    pub fn config(&self) -> PathBuf {
        self.dir.path().join("collector.toml")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cprvagt-collector"));
        command.args(arguments).arg("--config").arg(self.config()).env_remove("RUST_LOG");
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(arguments);
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        for _ in 0..1200 {
            if child.try_wait().unwrap().is_some() {
                return child.wait_with_output().unwrap();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        child.kill().unwrap();
        panic!("{arguments:?} does not end");
    }

    pub fn run_with_input(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = self.command(arguments);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    /// Standard output of a command that succeeds.
    pub fn told(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub fn serve(&self, log: &str) -> Serving {
        let mut command = self.command(&["serve"]);
        let mut child = command.env("RUST_LOG", log).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut told = String::new();
        while !told.ends_with("\nready\n") {
            assert_ne!(stderr.read_line(&mut told).unwrap(), 0, "it did not start: {told}");
        }
        let address = |key: &str| {
            let at = told.find(key).unwrap() + key.len();
            told[at..].split_whitespace().next().unwrap().parse().unwrap()
        };
        let (agents, web) = (address("agents=https://"), address("web=http://"));
        let reader = std::thread::spawn(move || {
            stderr.read_to_string(&mut told).unwrap();
            told
        });
        Serving { child, reader: Some(reader), agents, web }
    }

    pub async fn enrol(&self, serving: &Serving, host: &str) -> Agent {
        let token: Token = self.told(&["token", "--for", "1h"]).parse().unwrap();
        let applicant = Applicant::new();
        let host = sample::host_named(host);
        let asked = EnrolRequest { secret: token.secret(), request: applicant.request.clone(), host };
        let mut client = Dial::to(serving.agents).connect().await.unwrap();
        assert!(client.server_chain.iter().any(|certificate| token.names(certificate)));
        let body = serde_json::to_vec(&asked).unwrap();
        Agent::of(&client.post(ENROL_PATH, "application/json", body).await.unwrap(), &applicant)
    }
}

impl Serving {
    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().try_into().unwrap())
    }

    /// Ends it, and returns its exit code and all that it said.
    pub fn end(mut self, signal: Signal) -> (Option<i32>, String) {
        kill(self.pid(), signal).unwrap();
        let told = self.reader.take().expect("it is ended once").join().unwrap();
        (self.child.wait().unwrap().code(), told)
    }

    /// The answer to a GET on the web listener.
    pub fn get(&self, path: &str) -> String {
        let mut stream = std::net::TcpStream::connect(self.web).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn from_token_to_incidents() {
    let program = Program::new();
    let serving = program.serve("info");
    let agent = program.enrol(&serving, "web1").await;
    let mut client =
        Dial { shown: Some(agent.shown.clone()), ..Dial::to(serving.agents) }.connect().await.unwrap();
    let report = sample::report((0..3).map(|citizen| sample::leak(citizen, "tracker.example")).collect());
    let other = sample::report((2..4).map(|citizen| sample::leak(citizen, "cdn.example")).collect());
    let epoch = Uuid::now_v7();
    let envelopes = vec![agent.envelope(epoch, 1, &report), agent.envelope(epoch, 2, &other)];
    assert_eq!(receipts(&deliver(&mut client, envelopes).await).receipts.len(), 2);

    let listed = program.told(&["incidents"]);
    assert!(listed.contains("tracker.example") && listed.contains("cdn.example"), "{listed}");
    assert!(listed.ends_with("\ncitizens in total: 4\n"), "{listed}");
    let json = program.told(&["incidents", "--json", "--site", "cdn.example"]);
    let objects: Vec<serde_json::Value> =
        json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [incident, totals] = &objects[..] else { panic!("not two objects: {json}") };
    assert_eq!((&incident["schema"], &incident["citizens"]), (&"cprvagt.incident/1".into(), &2.into()));
    assert_eq!((&totals["schema"], &totals["site"]), (&"cprvagt.totals/1".into(), &"cdn.example".into()));
    let counts = ["incidents", "occurrences", "citizens"].map(|name| totals[name].as_u64().unwrap());
    assert_eq!((counts, totals["sites"].as_array().unwrap().len()), ([1, 2, 2], 1));
    assert!(program.told(&["incidents", "--site", "cdn.example"]).ends_with("\ncitizens in total: 2\n"));
    let none = program.told(&["incidents", "--json", "--site", "nobody.example"]);
    let none: serde_json::Value = serde_json::from_str(&none).unwrap();
    assert_eq!((&none["citizens"], &none["sites"]), (&0.into(), &serde_json::json!([])));
    let json = program.told(&["incidents", "--json"]);
    let all: serde_json::Value = serde_json::from_str(json.lines().last().unwrap()).unwrap();
    assert_eq!((&all["citizens"], all.get("site")), (&4.into(), None));
    assert_eq!(program.told(&["incidents", "--json", "--limit", "1"]).lines().count(), 2);
    let agents = program.told(&["agents"]);
    assert!(agents.contains("web1") && agents.contains(&agent.id.to_string()), "{agents}");

    let metrics = serving.get("/metrics");
    for line in [
        "ingest_reports_total{outcome=\"stored\"} 2",
        "ingest_occurrences_total 5",
        "ingest_incidents_total 2",
        "ingest_queue_reports 0",
        "connections{listener=\"agents\"} ",
        "ingest_commit_seconds_count ",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    assert!(!metrics.contains(&agent.id.to_string()) && !metrics.contains("example"), "{metrics}");
    assert!(serving.get("/healthz").starts_with("HTTP/1.1 200 "));
    assert!(serving.get("/readyz").starts_with("HTTP/1.1 200 "));
    let replay = program.told(&["replay", "--outlet", "file", "--from", "1"]);
    assert_eq!(replay, "2 events will be sent again to file\n");
    let (code, told) = serving.end(Signal::SIGTERM);
    assert_eq!(code, Some(0), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_agent_is_refused_at_its_next_request() {
    let program = Program::new();
    let serving = program.serve("warn");
    let (agent, other) = (program.enrol(&serving, "web1").await, program.enrol(&serving, "web2").await);
    let dial = |agent: &Agent| dial_to(&serving, agent);
    let mut client = dial(&agent).connect().await.unwrap();
    assert_eq!(deliver(&mut client, vec![]).await.status, 200);
    let id = agent.id.to_string();
    let told = program.told(&["agents", "revoke", &id]);
    assert_eq!(told, format!("agent {id} of host web1 is refused from its next request on\n"));

    let report = sample::report(vec![sample::leak(1, "tracker.example")]);
    let envelope = agent.envelope(Uuid::now_v7(), 1, &report);
    let refused = deliver(&mut client, vec![envelope.clone()]).await;
    assert_eq!(refused.status, 403);
    assert!(refused.refusal().contains("revoked"), "{}", refused.refusal());
    let mut again = dial(&agent).connect().await.unwrap();
    assert_eq!(deliver(&mut again, vec![envelope]).await.status, 403);
    let asked = serde_json::to_vec(&RenewRequest { request: Applicant::new().request }).unwrap();
    assert_eq!(again.post(RENEW_PATH, "application/json", asked).await.unwrap().status, 403);
    assert!(program.told(&["incidents"]).starts_with("no incidents\n"));
    let mut client = dial(&other).connect().await.unwrap();
    assert_eq!(deliver(&mut client, vec![]).await.status, 200);

    assert!(program.told(&["agents", "revoke", &id]).contains("was revoked before"));
    let unknown = program.run(&["agents", "revoke", &Uuid::now_v7().to_string()]);
    assert_eq!(unknown.status.code(), Some(2));
    let listed = program.told(&["agents"]);
    let is_revoked = |host: &str| !listed.lines().find(|line| line.starts_with(host)).unwrap().ends_with('-');
    assert!(is_revoked("web1") && !is_revoked("web2"), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn outlets_are_listed_with_what_was_held_back() {
    let program = Program::new();
    assert!(program.told(&["outlets"]).contains("file    0           -"), "{}", program.told(&["outlets"]));
    let serving = program.serve("warn");
    let agent = program.enrol(&serving, "web1").await;
    let mut client = dial_to(&serving, &agent).connect().await.unwrap();
    let epoch = Uuid::now_v7();
    let envelope =
        |sequence, site| agent.envelope(epoch, sequence, &sample::report(vec![sample::leak(1, site)]));
    deliver(&mut client, vec![envelope(1, "a.example")]).await;
    until("the event", async || program.told(&["outlets"]).contains("file    1")).await;
    assert_eq!(serving.end(Signal::SIGTERM).0, Some(0));

    let path = program.dir.path().join("data/collector.db");
    let mut database = sqlx::sqlite::SqliteConnectOptions::new().filename(path).connect().await.unwrap();
    let spoil = sqlx::query("UPDATE outbox SET event = '{}' WHERE id = 1");
    spoil.execute(&mut database).await.unwrap();
    program.told(&["replay", "--outlet", "file", "--from", "1"]);
    let serving = program.serve("off");
    until("the line", async || program.told(&["outlets"]).contains("the event's row cannot be read")).await;
    until("the gauge", async || serving.get("/metrics").contains("outlet_held_back{outlet=\"file\"} 1"))
        .await;
    let listed = program.told(&["outlets"]);
    let row: Vec<&str> = listed.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(row, ["file", "1", "0", "1", "0", "-", "-"], "{listed}");
}

fn dial_to(serving: &Serving, agent: &Agent) -> Dial {
    Dial { shown: Some(agent.shown.clone()), ..Dial::to(serving.agents) }
}

#[test]
fn one_collector_for_a_folder() {
    let program = Program::new();
    let serving = program.serve("warn");
    let second = program.run(&["serve"]);
    assert_eq!(second.status.code(), Some(5));
    assert!(String::from_utf8_lossy(&second.stderr).contains("another collector is running"));
    assert_eq!(serving.end(Signal::SIGINT).0, Some(0));
    assert_eq!(program.serve("warn").end(Signal::SIGTERM).0, Some(0));
}

#[test]
fn a_signal_to_look_again_does_not_end_it() {
    let program = Program::new();
    let serving = program.serve("warn");
    kill(serving.pid(), Signal::SIGHUP).unwrap();
    assert!(serving.get("/healthz").starts_with("HTTP/1.1 200 "));
    assert_eq!(serving.end(Signal::SIGTERM).0, Some(0));
}

#[test]
fn files_are_the_owners_alone() {
    let program = Program::new();
    let serving = program.serve("warn");
    let files = std::fs::read_dir(program.dir.path().join("data")).unwrap();
    let modes = files.map(|file| {
        let file = file.unwrap();
        (file.file_name(), file.metadata().unwrap().permissions().mode() & 0o777)
    });
    let open: Vec<_> = modes.filter(|(_, mode)| mode & 0o077 != 0).collect();
    assert!(open.is_empty(), "{open:?}");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", serving.pid())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
}

#[test]
fn accounts_have_their_password_from_standard_input() {
    let program = Program::new();
    let add = |name: &str, input: &str| program.run_with_input(&["account", "add", name], input);
    assert_eq!(add("anna", "correct horse battery\n").status.code(), Some(0));
    for (name, input) in [("anna", "correct horse battery\n"), ("bo", "short\n"), ("bo", "")] {
        assert_eq!(add(name, input).status.code(), Some(2), "{name} {input:?}");
    }
    let listed = program.told(&["account", "list"]);
    assert!(listed.contains("anna  analyst") && !listed.contains("disabled"), "{listed}");
    program.told(&["account", "disable", "anna"]);
    assert!(program.told(&["account", "list"]).contains("disabled"));
    assert_eq!(program.run(&["account", "disable", "nobody"]).status.code(), Some(2));
}

#[test]
fn mistakes_have_their_exit_codes() {
    let program = Program::new();
    let code = |arguments: &[&str]| program.run(arguments).status.code();
    assert_eq!(code(&["check"]), Some(0));
    assert_eq!(code(&["replay", "--outlet", "siem", "--from", "1"]), Some(2));
    assert_eq!(code(&["frobnicate"]), Some(2));
    std::fs::write(program.config(), "[web]\nlisten = \"192.0.2.1:80\"\n").unwrap();
    assert_eq!((code(&["check"]), code(&["serve"])), (Some(2), Some(2)));
    std::fs::remove_file(program.config()).unwrap();
    assert_eq!(code(&["check"]), Some(2));
}

#[test]
fn check_looks_at_the_files_that_are_named() {
    let program = Program::new();
    let file = |name: &str| program.dir.path().join(name);
    let write = |name: &str, text: &str, mode: u32| {
        std::fs::write(file(name), text).unwrap();
        std::fs::set_permissions(file(name), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let all_well = || {
        write("web.crt", &certificate.pem(), 0o644);
        write("web.key", &key.serialize_pem(), 0o640);
        write("secret", "correct horse battery staple", 0o600);
        write("ca.pem", &certificate.pem(), 0o644);
    };
    let text = format!(
        "[data]\ndir = {:?}\n[agents]\nlisten = \"127.0.0.1:0\"\n[web]\nlisten = \"127.0.0.1:0\"\n\
         certificate = {:?}\nkey = {:?}\n[[outlets.webhook]]\nname = \"siem\"\nurl = \"https://siem.example/\"\n\
         secret_file = {:?}\nca_file = {:?}\n",
        file("data"),
        file("web.crt"),
        file("web.key"),
        file("secret"),
        file("ca.pem")
    );
    std::fs::write(program.config(), text).unwrap();
    all_well();
    program.told(&["check"]);
    assert!(!file("data").exists(), "a check makes nothing");
    for (name, mode) in [("web.crt", 0o646), ("web.key", 0o644), ("secret", 0o640), ("ca.pem", 0o646)] {
        write(name, &std::fs::read_to_string(file(name)).unwrap(), mode);
        for command in ["check", "serve"] {
            let refused = program.run(&[command]);
            let told = String::from_utf8_lossy(&refused.stderr);
            assert_eq!(refused.status.code(), Some(2), "{command} {name}: {told}");
            assert!(told.contains(file(name).to_str().unwrap()), "{command} {name}: {told}");
            assert!(told.contains(&format!("mode {mode:04o}")), "{command} {name}: {told}");
        }
        std::fs::remove_file(file(name)).unwrap();
        assert_eq!(program.run(&["check"]).status.code(), Some(2), "without {name}");
        all_well();
    }
    write("secret", "short", 0o600);
    assert_eq!(program.run(&["check"]).status.code(), Some(2));
}
