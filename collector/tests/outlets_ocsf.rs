//! Every event against OCSF 1.8.0: always against our table of its facts, and against the published schema where
//! `CPRVAGT_OCSF_SCHEMA` names a checkout of it or a git directory.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "ocsf/incidents.rs"]
mod incidents;
#[path = "ocsf/mod.rs"]
mod ocsf;

use cprvagt_collector::outlets;
use cprvagt_collector::store::Store;
use cprvagt_report::Moment;
use incidents::{entry, leak, store, take, with};
use ocsf::published::Published;
use ocsf::{CLASS, Facts, table, violations};
use serde_json::{Value, json};

/// Events of every kind of incident, new and changed, with and without a gap.
async fn events() -> Vec<Value> {
    let mut events = Vec::new();
    for with_gap in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path()).await;
        take(&store, with_gap.then(gap).into_iter().collect()).await;
        take(&store, kinds().into_iter().map(entry).collect()).await;
        take(&store, kinds().into_iter().map(again).map(entry).collect()).await;
        store.mark_changes(Moment::now(), std::time::Duration::ZERO).await.unwrap();
        events.extend(told(&store).await);
    }
    events
}

/// One leak for each kind of incident.
fn kinds() -> Vec<Value> {
    let process = json!({ "pid": 4711, "comm": "nginx", "exe": "/usr/sbin/nginx", "unit": "nginx.service" });
    let system = json!({ "name": "TastSelv", "vendor": "Leverandør A/S", "controller": "Myndighed X" });
    let clear = json!({ "protocol": "udp", "encrypted": false });
    let rules = ["cpr-in-url", "not-allowed", "cleartext", "mass-exposure", "mail-cleartext", "found"];
    let mut kinds: Vec<Value> =
        rules.iter().zip(1..).map(|(rule, number)| with(leak(number), json!({ "rule": rule }))).collect();
    kinds.extend([
        with(leak(11), json!({ "process": process, "system": system, "transport": clear })),
        with(leak(12), json!({ "process": { "comm": "curl" }, "system": { "name": "Kun navn" } })),
        with(leak(13), json!({ "destination": { "ip": "2001:db8::5", "proof": "likely" } })),
        with(leak(14), json!({ "destination": { "proof": "unknown" }, "transport": null })),
        with(
            leak(15),
            json!({ "direction": "response", "rule": "cleartext", "destination": { "proof": "unknown" } }),
        ),
        with(leak(16), json!({ "severity": "critical", "confidence": "low", "system": { "name": "A" } })),
        with(leak(17), json!({ "severity": "low", "confidence": "medium", "system": { "name": "B" } })),
        with(leak(18), json!({ "severity": "medium", "confidence": "none", "system": { "name": "C" } })),
    ]);
    kinds
}

/// A gap around the time of the leaks.
fn gap() -> Value {
    let (from, to) = ("2026-11-22T10:29:00.000000000Z", "2026-11-22T10:31:00.000000000Z");
    json!({ "gap": { "from": from, "to": to, "reason": "ring-full", "bytes_min": 7, "leaks_lost": 1 } })
}

/// Another leak of the same incident, about another citizen.
fn again(leak: Value) -> Value {
    let pseudonym = leak["pseudonym"].as_str().unwrap().replace("00000000", "ffffffff");
    with(leak, json!({ "id": uuid::Uuid::now_v7(), "pseudonym": pseudonym }))
}

async fn told(store: &Store) -> Vec<Value> {
    let rows = store.outbox_after(0, 1000).await.unwrap();
    rows.iter().map(|row| serde_json::from_slice(&outlets::event_json(row)).unwrap()).collect()
}

fn assert_conform(facts: &Facts, events: &[Value]) {
    for event in events {
        assert_eq!(violations(facts, event), Vec::<String>::new(), "{event:#}");
    }
}

#[tokio::test]
async fn events_agree_with_the_table() {
    let events = events().await;
    assert_eq!(events.len(), 4 * kinds().len());
    assert_conform(&table(), &events);
    let of = |activity| events.iter().filter(|event| event["activity_name"] == activity).count();
    assert_eq!((of("Create"), of("Update")), (2 * kinds().len(), 2 * kinds().len()));
    let bounds = events.iter().filter(|event| event["unmapped"]["counts_are_lower_bounds"] == true).count();
    assert_eq!(bounds, 2 * kinds().len());
    assert!(events.iter().all(|event| event["data_security"].get("pattern_match").is_none()));
}

#[tokio::test]
async fn an_event_tells_what_a_person_needs() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(dir.path()).await;
    let clear = json!({ "transport": { "protocol": "tcp", "encrypted": false } });
    take(&store, vec![entry(leak(1)), entry(leak(2)), entry(leak(1)), entry(with(leak(3), clear))]).await;
    let events = told(&store).await;
    let [event] = events.as_slice() else { panic!("{} events", events.len()) };
    let title = "CPR numbers sent to tracker.example, which is not allowed";
    assert_eq!(event["finding_info"]["title"], title);
    assert_eq!(event["message"], format!("{title}: 3 citizens, 4 times, 1 time unencrypted."));
    assert_eq!(event["data_security"]["total"], 3);
    assert_eq!(event["unmapped"]["citizens"], 3);
    assert_eq!(event["unmapped"]["encrypted"], false);
    assert_eq!(event["dst_endpoint"]["hostname"], "api.tracker.example");
    assert_eq!(event["dst_endpoint"]["domain"], "tracker.example");
    assert_eq!(event["dst_endpoint"]["port"], 443);
    assert_eq!(event["device"]["hostname"], "web1");
    assert_eq!(event["end_time"], 1_795_343_400_000_i64);
}

/// The check itself: each of these changes must be seen, or it proves nothing.
#[tokio::test]
async fn what_is_wrong_is_seen() {
    let event = events().await.swap_remove(6);
    let facts = table();
    let changes: [fn(&mut Value); 12] = [
        |event| drop(event.as_object_mut().unwrap().remove("severity_id")),
        |event| drop(event["metadata"].as_object_mut().unwrap().remove("product")),
        |event| drop(event["device"].as_object_mut().unwrap().remove("type_id")),
        |event| event["citizens"] = json!(3),
        |event| event["finding_info"]["citizens"] = json!(3),
        |event| event["severity_id"] = json!(7),
        |event| event["severity"] = json!("Grave"),
        |event| event["type_uid"] = json!(200_699),
        |event| event["time"] = json!(1_795_343_400),
        |event| event["dst_endpoint"] = json!({ "port": 443 }),
        |event| event["dst_endpoint"]["ip"] = json!("tracker.example"),
        |event| event["resources"] = json!({}),
    ];
    assert_eq!(violations(&facts, &event), Vec::<String>::new());
    for (number, change) in changes.into_iter().enumerate() {
        let mut changed = event.clone();
        change(&mut changed);
        assert!(!violations(&facts, &changed).is_empty(), "change {number}");
    }
}

#[tokio::test]
async fn table_and_events_agree_with_the_published_schema() {
    let Some(published) = Published::from_env() else {
        eprintln!("skipped: CPRVAGT_OCSF_SCHEMA does not name a checkout of OCSF 1.8.0 or a git directory");
        return;
    };
    let table = table();
    let facts = published.facts(table.keys());
    for (name, object) in &table {
        let real = &facts[name];
        assert_eq!(object.at_least_one, real.at_least_one, "{name}");
        for (attribute, fact) in &object.attributes {
            assert_eq!(Some(fact), real.attributes.get(attribute), "{name}.{attribute}");
        }
        let required = real.attributes.iter().filter(|(_, fact)| fact.requirement == "required");
        for (attribute, _) in required {
            assert!(object.attributes.contains_key(attribute), "{name}.{attribute} is required");
        }
    }
    assert!(facts[CLASS].attributes.len() > table[CLASS].attributes.len());
    assert_conform(&facts, &events().await);
}
