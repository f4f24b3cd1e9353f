//! The leak object against golden JSON.

use jiff::Timestamp;

use super::*;
use crate::{HelloRandom, Scrub, WireRecord};

struct AsIs;

impl Scrub for AsIs {
    fn scrub(&self, text: &[u8]) -> String {
        String::from_utf8_lossy(text).into_owned()
    }
}

fn name(text: &str) -> Scrubbed {
    Scrubbed::by(&AsIs, text)
}

fn moment(second: i64) -> Moment {
    Moment(Timestamp::new(second, 0).unwrap())
}

/// What a scan always has, and nothing more.
fn least() -> Leak {
    Leak {
        schema: LeakSchema::V1,
        id: LeakId(Uuid::from_u128(7)),
        observed_at: moment(1_700_000_000),
        rule: Rule::Found,
        also_breaks: vec![],
        severity: Severity::High,
        confidence: Confidence::High,
        score: Score::from_tenths(231),
        class: Class::Cpr,
        checksum: Checksum::Mod11,
        masked: Mask::of("251248-9996"),
        pseudonym: Pseudonym::from_keyed_hash([0x5a; 16]),
        sealed: None,
        direction: None,
        outcome: None,
        host: None,
        process: None,
        relayed: None,
        system: None,
        destination: None,
        transport: None,
        evidence: None,
        tap: None,
        location: Location { protocol: "raw".into(), part: Part::Raw, field: None, path: None },
        decodings: vec![],
        also_present: vec![],
        source: Some(Source { path: name("dump/{}.csv"), offset: 40 }),
    }
}

/// Every field that the contract names.
fn whole() -> Leak {
    Leak {
        rule: Rule::CprInUrl,
        also_breaks: vec![Rule::NotAllowed, Rule::Cleartext],
        direction: Some(Direction::Egress),
        outcome: Some(Outcome::Sent),
        host: Some(Host { name: name("web1"), id: HostId::new([1; 16]) }),
        process: Some(Process {
            pid: Some(4711),
            comm: Some(name("nginx")),
            exe: Some(name("/usr/sbin/nginx")),
            unit: Some(name("nginx.service")),
            container: Some(name("web")),
            package: Some(name("nginx")),
            package_version: Some(name("1.22.1-9")),
            started_at: Some(moment(1_600_000_000)),
        }),
        relayed: Some(Relayed {
            handover: Handover::Same,
            proof: Proof::Likely,
            from: Some(Process { comm: Some(name("curl")), ..Process::default() }),
        }),
        system: Some(System {
            name: name("TastSelv"),
            vendor: Some(name("Leverandør A/S")),
            controller: Some(name("Myndighed X")),
            processor: Some(name("Drift A/S")),
        }),
        destination: Some(Destination {
            ip: Some("2001:db8::5".parse().unwrap()),
            port: Some(443),
            host: Some(name("stats.example")),
            recipient: Some(name("Stats Inc.")),
            names: vec![
                DestinationName { name: name("stats.example"), source: NameSource::Sni },
                DestinationName { name: name("203.0.113.9:443"), source: NameSource::Socket },
            ],
            contradictory: true,
            via: Some(name("proxy.example")),
            proof: Proof::Proven,
        }),
        transport: Some(Transport {
            protocol: Protocol::Tcp,
            encrypted: true,
            tls_version: Some("1.1".into()),
            weak: true,
        }),
        evidence: Some(Evidence {
            hello_random: HelloRandom::new([0xc1; 32]),
            records: vec![WireRecord { at: 1_709, length: 317 }],
        }),
        tap: Some("openssl.SSL_write".into()),
        location: Location {
            protocol: "http/1.1".into(),
            part: Part::UrlQuery,
            field: Some(name("cpr")),
            path: Some(name("/borger/{}")),
        },
        decodings: vec!["chunked".into(), "gzip".into()],
        also_present: vec!["email".into()],
        source: None,
        ..least()
    }
}

fn check(leak: &Leak, golden: &str) {
    let golden: String = golden.lines().map(str::trim).collect();
    assert_eq!(serde_json::to_string(leak).unwrap(), golden);
    assert_eq!(&serde_json::from_str::<Leak>(&golden).unwrap(), leak);
}

#[test]
fn a_scan_says_only_what_it_knows() {
    check(
        &least(),
        r#"{"schema":"cprvagt.leak/1","id":"00000000-0000-0000-0000-000000000007",
        "observed_at":"2023-11-14T22:13:20.000000000Z","rule":"found","severity":"high",
        "confidence":"high","score":23.1,"class":"cpr","checksum":"mod11","masked":"xxxxxx-xxxx",
        "pseudonym":"5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a","location":{"protocol":"raw","part":"raw"},
        "source":{"path":"dump/{}.csv","offset":40}}"#,
    );
}

#[test]
fn every_field_has_the_name_of_the_contract() {
    check(
        &whole(),
        r#"{"schema":"cprvagt.leak/1","id":"00000000-0000-0000-0000-000000000007",
        "observed_at":"2023-11-14T22:13:20.000000000Z","rule":"cpr-in-url",
        "also_breaks":["not-allowed","cleartext"],"severity":"high","confidence":"high","score":23.1,
        "class":"cpr","checksum":"mod11","masked":"xxxxxx-xxxx",
        "pseudonym":"5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a","direction":"egress","outcome":"sent",
        "host":{"name":"web1","id":"01010101010101010101010101010101"},
        "process":{"pid":4711,"comm":"nginx","exe":"/usr/sbin/nginx","unit":"nginx.service",
        "container":"web","package":"nginx","package_version":"1.22.1-9",
        "started_at":"2020-09-13T12:26:40.000000000Z"},
        "relayed":{"handover":"same-citizen","proof":"likely","from":{"comm":"curl"}},
        "system":{"name":"TastSelv","vendor":"Leverandør A/S","controller":"Myndighed X","processor":"Drift A/S"},
        "destination":{"ip":"2001:db8::5","port":443,"host":"stats.example","recipient":"Stats Inc.",
        "names":[{"name":"stats.example","source":"sni"},{"name":"203.0.113.9:443","source":"socket"}],
        "contradictory":true,"via":"proxy.example","proof":"proven"},
        "transport":{"protocol":"tcp","encrypted":true,"tls_version":"1.1","weak":true},
        "evidence":{"hello_random":"c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1",
        "records":[{"at":1709,"length":317}]},
        "tap":"openssl.SSL_write",
        "location":{"protocol":"http/1.1","part":"url.query","field":"cpr","path":"/borger/{}"},
        "decodings":["chunked","gzip"],"also_present":["email"]}"#,
    );
}

#[test]
fn another_schema_is_refused() {
    let json = serde_json::to_string(&least()).unwrap().replace("leak/1", "leak/2");
    assert!(serde_json::from_str::<Leak>(&json).is_err());
}

#[test]
fn the_schema_constant_is_what_is_written() {
    assert_eq!(serde_json::to_string(&LeakSchema::V1).unwrap(), format!("\"{LEAK_SCHEMA}\""));
}
