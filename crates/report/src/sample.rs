//! A made-up leak for tests and measurements, and names that are what the test says.
//!
//! *Not here*: numbers. What a name holds is up to the caller.

use jiff::Timestamp;
use uuid::Uuid;

use crate::{
    Checksum, Class, Confidence, Destination, Direction, Leak, LeakId, LeakSchema, Location, Mask, Moment,
    Outcome, Part, Proof, Protocol, Pseudonym, Rule, Score, Scrub, Scrubbed, Severity, Transport,
};

/// Takes nothing out.
struct AsIs;

impl Scrub for AsIs {
    fn scrub(&self, text: &[u8]) -> String {
        String::from_utf8_lossy(text).into_owned()
    }
}

/// The name `text`, as if a scrubber had found nothing in it.
pub fn name(text: &str) -> Scrubbed {
    Scrubbed::by(&AsIs, text)
}

/// A leak of citizen number `citizen` to `host`, over TLS, in a JSON body. Always the same id and time.
pub fn leak(citizen: u128, host: &str) -> Leak {
    Leak {
        schema: LeakSchema::V1,
        id: LeakId(Uuid::from_u128(7)),
        observed_at: Moment(Timestamp::UNIX_EPOCH),
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
        relayed: None,
        system: None,
        destination: Some(Destination {
            ip: Some([192, 0, 2, 1].into()),
            port: Some(443),
            host: Some(name(host)),
            recipient: None,
            names: vec![],
            contradictory: false,
            via: None,
            proof: Proof::Proven,
        }),
        transport: Some(Transport {
            protocol: Protocol::Tcp,
            encrypted: true,
            tls_version: None,
            weak: false,
        }),
        evidence: None,
        tap: Some("openssl.SSL_write".into()),
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
