//! Serves the pages over a store of made-up incidents, to look at them in a browser.
//!
//! `cargo run -p cprvagt-collector --example web_sample [PORT] [--empty]`; the account is `analytiker` with
//! the password `kun til eksemplet`. The data lives in a temporary folder that ends with the program.
//!
//! *Invariants*: there is no number in the sample; citizens are pseudonyms made from a counter.

use std::net::SocketAddr;

use cprvagt_collector::citizen::CitizenKey;
use cprvagt_collector::occurrence::Opened;
use cprvagt_collector::store::{AgentRecord, Arrival, Content, Role, Store, TokenUse};
use cprvagt_collector::web::{self, WebSettings, password};
use cprvagt_report::{AgentId, Moment, REPORT_ENTRIES_MAX, Report};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

type Failure = Box<dyn std::error::Error>;

/// One cause of leaks.
struct Scenario {
    host: usize,
    rule: &'static str,
    severity: &'static str,
    system: Option<(&'static str, &'static str, &'static str)>,
    program: Value,
    direction: &'static str,
    destination: Value,
    tls: Option<&'static str>,
    tap: &'static str,
    location: Value,
    decodings: &'static [&'static str],
    also_present: &'static [&'static str],
    citizens: u64,
    occurrences: u64,
    hours: i64,
}

const HOSTS: [&str; 4] = [
    "web01.tastselv.myndighed.example",
    "web02.tastselv.myndighed.example",
    "app7.sundhed.example",
    "mail.kommune.example",
];

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let port = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(8080);
    let folder = tempfile::tempdir()?;
    let store = Store::open(folder.path()).await?;
    let hash = password::hash("kun til eksemplet")?;
    store.add_account("analytiker", &hash, Role::Analyst, Moment::now()).await?;
    if !arguments.iter().any(|argument| argument == "--empty") {
        fill(&store).await?;
    }
    let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))).await?;
    println!("http://{}", listener.local_addr()?);
    let pages = web::router(store, WebSettings { tls: false, session_hours: 8 });
    axum::serve(listener, pages.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}

async fn fill(store: &Store) -> Result<(), Failure> {
    let key = CitizenKey::random()?;
    let now = Timestamp::now();
    let agents = enrol(store, now).await?;
    for (host, agent) in agents.iter().enumerate() {
        let mut entries: Vec<Value> = Vec::new();
        for (number, scenario) in scenarios().iter().enumerate().filter(|(_, it)| it.host == host) {
            entries.extend((0..scenario.occurrences).map(|index| leak(scenario, number, index, now)));
        }
        entries.extend(accounts(host, now));
        let epoch = Uuid::now_v7();
        for (sequence, chunk) in (1..).zip(entries.chunks(REPORT_ENTRIES_MAX)) {
            let report = json!({
                "schema": "cprvagt.report/1", "host": host_of(host), "made_at": moment(now), "entries": chunk,
            });
            let report: Report = serde_json::from_value(report)?;
            let content = Content::Report(Box::new(Opened::of(*agent, report, &key)));
            store.take(&[Arrival { agent: *agent, epoch, sequence, content }]).await?;
        }
    }
    let seen = [(agents[0], Moment(now)), (agents[1], Moment(now)), (agents[2], Moment(now - hours(5)))];
    store.seen(&seen).await?;
    Ok(())
}

async fn enrol(store: &Store, now: Timestamp) -> Result<Vec<AgentId>, Failure> {
    let mut agents = Vec::new();
    for (host, byte) in (0..HOSTS.len()).zip(1..) {
        let agent = AgentId(Uuid::now_v7());
        let record = AgentRecord {
            agent,
            host: serde_json::from_value(host_of(host))?,
            enrolled_at: Moment(now - hours(24 * 40)),
        };
        store.add_token(&[byte; 32], Moment(now - hours(24 * 40)), Moment(now + hours(1)), None).await?;
        let used = store.use_token(&[byte; 32], &[byte; 32], &record).await?;
        assert!(matches!(used, TokenUse::Enrolled(_)), "the token is new");
        store.note_certificate(agent, "1", Moment(now + hours(24 * 20))).await?;
        agents.push(agent);
    }
    Ok(agents)
}

fn hours(hours: i64) -> SignedDuration {
    SignedDuration::from_hours(hours)
}

fn moment(at: Timestamp) -> String {
    Moment(at).to_string()
}

fn host_of(host: usize) -> Value {
    json!({ "name": HOSTS[host], "id": format!("{host:032x}") })
}

fn leak(scenario: &Scenario, number: usize, index: u64, now: Timestamp) -> Value {
    let share = (index * index) % scenario.occurrences.max(1);
    let seconds = scenario.hours * 3600 * share as i64 / scenario.occurrences as i64;
    let at = moment(now - SignedDuration::from_secs(seconds));
    let citizen = (number as u64) * 1500 + index % scenario.citizens;
    let mut leak = json!({
        "schema": "cprvagt.leak/1", "id": Uuid::now_v7(), "observed_at": at, "rule": scenario.rule,
        "severity": scenario.severity, "confidence": if index.is_multiple_of(97) { "medium" } else { "high" },
        "score": 31.5, "class": "cpr", "checksum": "mod11", "masked": "xxxxxx-xxxx",
        "pseudonym": format!("{citizen:032x}"), "direction": scenario.direction, "outcome": "sent",
        "host": host_of(scenario.host), "process": scenario.program, "destination": scenario.destination,
        "transport": { "protocol": "tcp", "encrypted": scenario.tls.is_some() }, "tap": scenario.tap,
        "location": scenario.location, "decodings": scenario.decodings, "also_present": scenario.also_present,
    });
    if let Some(version) = scenario.tls {
        leak["transport"]["tls_version"] = version.into();
    }
    if let Some((name, vendor, controller)) = scenario.system {
        leak["system"] = json!({ "name": name, "vendor": vendor, "controller": controller });
    }
    json!({ "leak": leak })
}

/// What each host did not see.
fn accounts(host: usize, now: Timestamp) -> Vec<Value> {
    let blind = json!([
        { "reason": "no-tap", "bytes": 48_211_904, "process": { "pid": 812, "exe": "/usr/lib/jvm/java-17/bin/java" },
          "destination": { "ip": "198.51.100.20", "port": 443, "host": "api.partner.example" } },
        { "reason": "opaque", "bytes": 1_204_011, "process": { "pid": 77, "exe": "/usr/bin/ssh" },
          "destination": { "ip": "198.51.100.9", "port": 22 } },
    ]);
    let lost = if host == 2 { json!([{ "reason": "ring-full", "bytes": 73_400 }]) } else { json!([]) };
    let lost_bytes = if host == 2 { 73_400 } else { 0 };
    let ledger = json!({
        "schema": "cprvagt.ledger/1", "wire_bytes": 2_811_402_112_u64 + 49_415_915 + lost_bytes,
        "inspected_bytes": 2_790_000_000_u64, "protocol_bytes": 21_402_112, "lost": lost, "blind": blind,
        "unexplained_bytes": 0, "flows": 41_220, "leaks": 812, "gaps": [],
        "since": moment(now - hours(24 * 20)), "until": moment(now),
    });
    let mut entries = vec![json!({ "ledger": ledger })];
    if host != 1 {
        let gap = json!({
            "from": moment(now - hours(30)), "to": moment(now - hours(29)), "reason": "unclean-start", "bytes_min": 0,
            "leaks_lost": host * 3,
        });
        entries.push(json!({ "gap": gap }));
    }
    entries
}

fn scenarios() -> Vec<Scenario> {
    [of_tax(), of_health(), of_town()].into_iter().flatten().collect()
}

fn to(ip: &str, port: u16, host: &str, proof: &str) -> Value {
    json!({ "ip": ip, "port": port, "host": host, "proof": proof })
}

fn of_tax() -> [Scenario; 2] {
    let tastselv = Some(("TastSelv", "Leverandør A/S", "Myndighed X"));
    let java = json!({ "pid": 411, "comm": "java", "exe": "/usr/lib/jvm/java-17/bin/java", "unit": "tastselv.service" });
    [
        Scenario {
            host: 0,
            rule: "cpr-in-url",
            severity: "critical",
            system: tastselv,
            program: java.clone(),
            direction: "egress",
            destination: to("203.0.113.10", 443, "www.analyse.example", "proven"),
            tls: Some("1.3"),
            tap: "openssl.SSL_write",
            location: json!({ "protocol": "http/1.1", "part": "url.query", "field": "dl", "path": "/collect" }),
            decodings: &["percent"],
            also_present: &["ip", "cookie-id"],
            citizens: 3315,
            occurrences: 4735,
            hours: 24 * 19,
        },
        Scenario {
            host: 1,
            rule: "cpr-in-url",
            severity: "high",
            system: tastselv,
            program: java,
            direction: "egress",
            destination: to("203.0.113.77", 443, "maal.marketing.example", "likely"),
            tls: Some("1.2"),
            tap: "openssl.SSL_write_ex",
            location: json!({ "protocol": "http/1.1", "part": "referer", "path": "/b/ss/{}/1" }),
            decodings: &[],
            also_present: &["ip"],
            citizens: 212,
            occurrences: 260,
            hours: 24 * 11,
        },
    ]
}

fn of_health() -> [Scenario; 2] {
    let nginx = json!({ "pid": 901, "comm": "nginx", "exe": "/usr/sbin/nginx", "unit": "nginx.service",
        "package": "nginx", "package_version": "1.22.1-9" });
    let python = json!({ "pid": 77, "comm": "python3", "exe": "/usr/bin/python3.11", "unit": "journal-export.service" });
    [
        Scenario {
            host: 2,
            rule: "cleartext",
            severity: "critical",
            system: Some((
                "Journaleksport med et langt systemnavn",
                "Sundheds-it ApS",
                "Region Midt-Nordvestjyllands Sygehusfællesskab",
            )),
            program: python,
            direction: "egress",
            destination: to("192.0.2.44", 9200, "log.drift.example", "proven"),
            tls: None,
            tap: "wire",
            location: json!({ "protocol": "http/1.1", "part": "json", "field": "patient.identifier[].value",
                "path": "/journal-2026/_doc/{}/meget/lang/sti/som/skal/brydes/_update_by_query" }),
            decodings: &["chunked", "gzip", "json-escape"],
            also_present: &["name-field", "address-field", "phone"],
            citizens: 88,
            occurrences: 1204,
            hours: 40,
        },
        Scenario {
            host: 2,
            rule: "mass-exposure",
            severity: "high",
            system: None,
            program: nginx,
            direction: "response",
            destination: json!({ "proof": "proven" }),
            tls: Some("1.3"),
            tap: "openssl.SSL_write",
            location: json!({ "protocol": "http/1.1", "part": "json", "field": "cpr", "path": "/api/v1/borgere" }),
            decodings: &["gzip"],
            also_present: &[],
            citizens: 140,
            occurrences: 140,
            hours: 1,
        },
    ]
}

fn of_town() -> [Scenario; 2] {
    [
        Scenario {
            host: 3,
            rule: "not-allowed",
            severity: "medium",
            system: None,
            program: json!({ "pid": 3, "comm": "exim4" }),
            direction: "egress",
            destination: json!({ "ip": "2001:db8::25", "port": 25, "proof": "unknown" }),
            tls: None,
            tap: "wire",
            location: json!({ "protocol": "raw", "part": "raw" }),
            decodings: &[],
            also_present: &[],
            citizens: 2,
            occurrences: 2,
            hours: 3,
        },
        Scenario {
            host: 3,
            rule: "not-allowed",
            severity: "low",
            system: None,
            program: json!({}),
            direction: "egress",
            destination: to("203.0.113.200", 443, "cdn.bibliotek.example", "proven"),
            tls: Some("1.3"),
            tap: "gnutls.gnutls_record_send",
            location: json!({ "protocol": "http/1.1", "part": "form", "field": "soegetekst", "path": "/soeg" }),
            decodings: &[],
            also_present: &[],
            citizens: 1,
            occurrences: 1,
            hours: 1,
        },
    ]
}
