//! Leaks as agents tell them, and a store that takes them in.

use std::path::Path;

use cprvagt_collector::citizen::CitizenKey;
use cprvagt_collector::occurrence::Opened;
use cprvagt_collector::store::{Arrival, Content, Store};
use cprvagt_report::{AgentId, Report};
use serde_json::{Value, json};
use uuid::Uuid;

/// When the leaks were seen.
const SEEN_AT: &str = "2026-11-22T10:30:00.000000000Z";

/// A leak as an agent with nothing configured tells it.
pub fn leak(number: u32) -> Value {
    json!({
        "schema": "cprvagt.leak/1", "id": Uuid::now_v7(), "observed_at": SEEN_AT,
        "rule": "not-allowed", "severity": "high", "confidence": "high", "score": 23.1,
        "class": "cpr", "checksum": "mod11", "masked": "xxxxxx-xxxx",
        "pseudonym": format!("{number:032x}"),
        "direction": "egress", "outcome": "sent",
        "destination": { "ip": "192.0.2.7", "port": 443, "host": "api.tracker.example", "proof": "proven" },
        "transport": { "protocol": "tcp", "encrypted": true, "tls_version": "1.3" },
        "location": { "protocol": "http/1.1", "part": "json", "field": "cpr", "path": "/v1/{}" },
    })
}

/// `leak` with the attributes of `changes` in place of its own; `null` takes one away.
pub fn with(mut leak: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().expect("an object") {
        match value {
            Value::Null => drop(leak.as_object_mut().expect("an object").remove(name)),
            value => leak[name] = value.clone(),
        }
    }
    leak
}

/// An entry of a report.
pub fn entry(leak: Value) -> Value {
    json!({ "leak": leak })
}

/// A store with nothing in it.
pub async fn store(dir: &Path) -> Store {
    Store::open(dir).await.expect("a store")
}

/// Gives `store` one report.
pub async fn take(store: &Store, entries: Vec<Value>) {
    let host = json!({ "name": "web1", "id": "1234567890123456789012345678abcd" });
    let report =
        json!({ "schema": "cprvagt.report/1", "host": host, "made_at": SEEN_AT, "entries": entries });
    let report: Report = serde_json::from_value(report).expect("a report");
    let agent = AgentId(Uuid::from_u128(7));
    let key = CitizenKey::random().expect("random numbers");
    let content = Content::Report(Box::new(Opened::of(agent, report, &key)));
    let arrival = Arrival { agent, epoch: Uuid::now_v7(), sequence: 1, content };
    store.take(&[arrival]).await.expect("taken");
}
