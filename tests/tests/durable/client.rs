//! A client with an agent's enrolled certificate that delivers whatever a test makes up: curl, over mTLS.

use std::fs;
use std::process::{Command, Stdio};
use std::time::SystemTime;

use cprvagt_report::seal::PublicKey;
use cprvagt_report::{DELIVERY_TYPE, Delivery, Envelope, LeakId, REPORTS_PATH, Receipts, Report};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::World;

/// Seconds of a day.
pub const DAY: i64 = 86_400;

pub struct Client {
    enrolment: std::path::PathBuf,
    url: String,
    epoch: Uuid,
    key: PublicKey,
}

impl Client {
    pub fn new(world: &World) -> Self {
        let url = format!("{}{REPORTS_PATH}", world.collector.agents_url());
        let (enrolment, key) = (world.enrolled.enrolment.clone(), world.sealing_key().public().clone());
        Self { enrolment, url, epoch: Uuid::now_v7(), key }
    }

    /// Delivers reports under these numbers; what became of each. Sealing anew each time makes no difference:
    /// the number is the identity.
    pub fn deliver(&self, reports: &[(u64, &Report)]) -> Vec<String> {
        let envelope = |(sequence, report): &(u64, &Report)| Envelope {
            epoch: self.epoch,
            sequence: *sequence,
            sealed: report.seal(&self.key),
        };
        let delivery = Delivery { reports: reports.iter().map(envelope).collect() };
        let body = self.enrolment.with_extension("delivery");
        let answer = self.enrolment.with_extension("answer");
        fs::write(&body, delivery.encode()).unwrap();
        let file = |name: &str| self.enrolment.join(name);
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--http2", "--tlsv1.3", "--write-out", "%{http_code}"]);
        curl.arg("--cacert").arg(file("ca.crt")).arg("--cert").arg(file("agent.crt"));
        curl.arg("--key").arg(file("agent.key")).arg("--output").arg(&answer);
        curl.args(["--header", &format!("Content-Type: {DELIVERY_TYPE}")]);
        curl.arg("--data-binary").arg(format!("@{}", body.display())).arg(&self.url);
        let output = curl.stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let answer = fs::read(answer).unwrap_or_default();
        assert_eq!(output.stdout, b"200", "{said}{}", String::from_utf8_lossy(&answer));
        let receipts = Receipts::decode(&answer).unwrap().receipts;
        receipts.iter().map(|receipt| format!("{:?}", receipt.outcome)).collect()
    }
}

/// A report of these leaks.
pub fn report(leaks: &[Value]) -> Report {
    let entries: Vec<Value> = leaks.iter().map(|leak| json!({ "leak": leak })).collect();
    let host = json!({"name": "web1", "id": "11".repeat(16)});
    let made_at = rfc3339(now());
    let object = json!({"schema": "cprvagt.report/1", "host": host, "made_at": made_at, "entries": entries});
    serde_json::from_value(object).unwrap()
}

/// A leak of a new citizen to `host`, seen at this second of Unix time.
pub fn leak_at(second: i64, host: &str) -> Value {
    json!({
        "schema": "cprvagt.leak/1",
        "id": LeakId::now(),
        "observed_at": rfc3339(second),
        "rule": "not-allowed",
        "also_breaks": [],
        "severity": "high",
        "confidence": "high",
        "score": 23.1,
        "class": "cpr",
        "checksum": "mod11",
        "masked": "xxxxxx-xxxx",
        "pseudonym": format!("{:032x}", fastrand::u128(..)),
        "direction": "egress",
        "outcome": "sent",
        "destination": {"ip": "192.0.2.1", "port": 443, "host": host, "proof": "proven"},
        "transport": {"protocol": "tcp", "encrypted": true},
        "location": {"protocol": "http/1.1", "part": "json", "field": "cpr", "path": "/collect"},
        "decodings": [],
        "also_present": [],
    })
}

pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    since.as_secs().cast_signed()
}

/// The second in words, by the `date` program.
pub fn rfc3339(second: i64) -> String {
    let mut date = Command::new("date");
    let output =
        date.args(["--utc", "+%Y-%m-%dT%H:%M:%SZ", "--date", &format!("@{second}")]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
