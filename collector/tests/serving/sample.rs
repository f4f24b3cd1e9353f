//! Reports as an agent makes them. Names are what the test says: its scrubber takes nothing out, so that the
//! collector's own scrubbing shows.

use cprvagt_report::{
    Checksum, Class, Confidence, Destination, Direction, Entry, Host, HostId, Leak, LeakId, LeakSchema,
    Location, Mask, Moment, Outcome, Part, Proof, Protocol, Pseudonym, Report, ReportSchema, Rule, Score,
    Scrub, Scrubbed, Severity, Transport,
};

struct AsItIs;

impl Scrub for AsItIs {
    fn scrub(&self, text: &[u8]) -> String {
        String::from_utf8_lossy(text).into_owned()
    }
}

fn name(text: &str) -> Scrubbed {
    Scrubbed::by(&AsItIs, text)
}

pub fn host() -> Host {
    host_named("web1")
}

pub fn host_named(text: &str) -> Host {
    Host { name: name(text), id: HostId::new([1; 16]) }
}

/// A leak of citizen number `citizen` to `site`.
pub fn leak(citizen: u128, site: &str) -> Leak {
    Leak {
        schema: LeakSchema::V1,
        id: LeakId::now(),
        observed_at: Moment::now(),
        rule: Rule::NotAllowed,
        also_breaks: vec![],
        severity: Severity::High,
        confidence: Confidence::High,
        score: Score::from_tenths(231),
        class: Class::Cpr,
        checksum: Checksum::Mod11,
        masked: Mask::of("xxxxxx-xxxx"),
        pseudonym: Pseudonym::from_keyed_hash(citizen.to_be_bytes()),
        sealed: None,
        direction: Some(Direction::Egress),
        outcome: Some(Outcome::Sent),
        host: None,
        process: None,
        system: None,
        destination: Some(Destination {
            ip: Some([192, 0, 2, 1].into()),
            port: Some(443),
            host: Some(name(site)),
            recipient: None,
            via: None,
            proof: Proof::Proven,
        }),
        transport: Some(Transport { protocol: Protocol::Tcp, encrypted: true, tls_version: None }),
        tap: None,
        location: Location {
            protocol: "http/1.1".into(),
            part: Part::Json,
            field: Some(name("cpr")),
            path: Some(name("/collect")),
        },
        decodings: vec![],
        also_present: vec![],
        source: None,
    }
}

/// A leak whose field and path hold `text`.
pub fn leak_naming(text: &str) -> Leak {
    let mut leak = leak(1, "tracker.example");
    leak.location.field = Some(name(text));
    leak.location.path = Some(name(&format!("/borger/{text}")));
    leak
}

pub fn report(leaks: Vec<Leak>) -> Report {
    let entries = leaks.into_iter().map(|leak| Entry::Leak(Box::new(leak))).collect();
    Report { schema: ReportSchema::V1, host: host(), made_at: Moment::now(), entries }
}
