//! A table of flows and hits against a policy, and the kernel's view against the agent's.

use std::{
    collections::HashSet,
    net::{IpAddr, Ipv6Addr},
};

use cprvagt_abi::{AllowKey, AllowRules};

use super::*;
use crate::config::{Allow, Config, Target};

const POLICY: &str = r#"
[[allow]]
to = "192.0.2.10"
ports = [443]
because = "agreement"

[[allow]]
to = "198.51.100.0/24"
because = "private line"
waives = ["not-allowed", "cleartext"]

[[allow]]
to = "198.51.0.0/16"
ports = ["8000-8010"]
because = "test network"
waives = ["cleartext"]

[[allow]]
to = "203.0.113.0/24"
from = { exe = "/usr/sbin/nginx" }
because = "only the proxy"

[[allow]]
to = "203.0.113.9"
ports = [25]
from = { unit = "mail*.service", user = "postfix" }
because = "only the mailer"
waives = ["not-allowed", "cleartext"]

[[allow]]
to = "2001:db8::/32"
because = "all of ours"

[[allow]]
to = "::/1"
ports = [9]
because = "half of IPv6"

[[inspect]]
only = { unit = "tastselv*.service" }

[[inspect]]
only = { exe = "/usr/bin/*" }
except = { exe = "/usr/bin/ssh" }

[[system]]
name = "TastSelv"
match = { unit = "tastselv*.service" }

[[system]]
name = "Everything else of root"
match = { user = "root" }
"#;

fn policy() -> Policy {
    Policy::new(&Config::parse(POLICY).unwrap(), 0).unwrap()
}

fn process(exe: &str, unit: &str, user: &str) -> ProcessFacts {
    let known = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    ProcessFacts { exe: known(exe), unit: known(unit), user: known(user), ..ProcessFacts::of_pid(7) }
}

fn hit(part: Part, class: Class, confidence: Confidence) -> HitFacts {
    let location = Location { protocol: "http/1.1".into(), part, field: None, path: None };
    HitFacts::at(&location, class, confidence)
}

fn cpr(part: Part) -> HitFacts {
    hit(part, Class::Cpr, Confidence::High)
}

/// One row: far end, role, `tls` or `clear`, part, and the rules broken with their severity.
type Case = (&'static str, Role, &'static str, Part, &'static str);

const CASES: &[Case] = {
    use Part::{Body, Header, Json, Referer, UrlHost, UrlPath, UrlQuery};
    use Role::{Client, Server, Unknown};
    &[
        // No entry: not allowed, whatever the port or family.
        ("192.0.2.99:443", Client, "tls", Json, "high not-allowed"),
        ("192.0.2.99:443", Client, "clear", Json, "high not-allowed cleartext"),
        ("192.0.2.99:80", Unknown, "clear", Json, "high not-allowed cleartext"),
        ("10.0.0.1:443", Client, "tls", Json, "high not-allowed"),
        ("[fd00::1]:443", Client, "tls", Json, "high not-allowed"),
        ("[8000::1]:9", Client, "tls", Json, "high not-allowed"),
        // A single address on one port.
        ("192.0.2.10:443", Client, "tls", Json, ""),
        ("192.0.2.10:443", Client, "clear", Json, "high cleartext"),
        ("192.0.2.10:8443", Client, "tls", Json, "high not-allowed"),
        ("[::ffff:192.0.2.10]:443", Client, "tls", Json, ""),
        ("192.0.2.11:443", Client, "tls", Json, "high not-allowed"),
        // Both rules waived.
        ("198.51.100.0:1", Client, "clear", Json, ""),
        ("198.51.100.255:65535", Client, "tls", Json, ""),
        ("198.51.101.0:443", Client, "tls", Json, "high not-allowed"),
        // Clear text waived alone, on a range of ports; a wider prefix adds to a narrower one.
        ("198.51.7.7:8000", Client, "clear", Json, "high not-allowed"),
        ("198.51.7.7:8010", Client, "clear", Json, "high not-allowed"),
        ("198.51.7.7:8011", Client, "clear", Json, "high not-allowed cleartext"),
        ("198.51.100.7:8005", Client, "clear", Json, ""),
        // IPv6.
        ("[2001:db8::5]:443", Client, "tls", Json, ""),
        ("[2001:db8::5]:443", Client, "clear", Json, "high cleartext"),
        ("[2001:db9::5]:443", Client, "tls", Json, "high not-allowed"),
        ("[2001:db9::5]:9", Client, "tls", Json, ""),
        ("[2001:db8::5]:9", Client, "tls", Json, ""),
        // An IPv6 prefix never allows IPv4.
        ("10.0.0.1:9", Client, "tls", Json, "high not-allowed"),
        ("192.0.2.10:9", Client, "tls", Json, "high not-allowed"),
        // Local is never egress.
        ("127.0.0.1:80", Client, "clear", Json, ""),
        ("127.9.9.9:80", Client, "clear", UrlQuery, ""),
        ("[::1]:80", Client, "clear", Json, ""),
        ("[::ffff:127.0.0.1]:80", Client, "clear", Json, ""),
        // A number in a URL.
        ("192.0.2.99:443", Client, "tls", UrlQuery, "critical cpr-in-url not-allowed"),
        ("192.0.2.99:80", Client, "clear", UrlPath, "critical cpr-in-url not-allowed cleartext"),
        ("192.0.2.99:443", Client, "tls", UrlHost, "critical cpr-in-url not-allowed"),
        ("192.0.2.99:443", Client, "tls", Referer, "critical cpr-in-url not-allowed"),
        ("192.0.2.99:443", Client, "tls", Header, "high not-allowed"),
        ("192.0.2.10:443", Client, "tls", UrlQuery, ""),
        ("192.0.2.10:443", Client, "clear", UrlQuery, "high cleartext"),
        // Server: answering is no leak; clear text and URLs are.
        ("192.0.2.99:50000", Server, "tls", Json, ""),
        ("192.0.2.99:50000", Server, "clear", Body, "high cleartext"),
        ("192.0.2.99:50000", Server, "tls", UrlQuery, "high cpr-in-url"),
        ("192.0.2.99:50000", Server, "clear", Referer, "high cpr-in-url cleartext"),
        ("198.51.100.3:50000", Server, "clear", UrlPath, ""),
        // Entries with `from` do not help a process that is not known.
        ("203.0.113.9:443", Client, "tls", Json, "high not-allowed"),
    ]
};

fn shown(verdict: Option<Verdict>) -> String {
    let Some(verdict) = verdict else { return String::new() };
    let rules = [verdict.rule].into_iter().chain(verdict.also_breaks);
    rules.fold(verdict.severity.to_string(), |text, rule| format!("{text} {rule}"))
}

#[test]
fn flows_and_parts() {
    let policy = policy();
    for (remote, role, wire, part, expected) in CASES.iter().copied() {
        let remote = Some(remote.parse().unwrap());
        let flow =
            FlowFacts { remote, role, encrypted: wire == "tls", process: None, names: &FarNames::default() };
        let verdict = policy.verdict(&flow, &cpr(part));
        assert_eq!(shown(verdict), expected, "{remote:?} {role:?} {wire} {part}");
    }
}

#[test]
fn an_unknown_destination_is_not_allowed() {
    let flow = FlowFacts {
        remote: None,
        role: Role::Client,
        encrypted: true,
        process: None,
        names: &FarNames::default(),
    };
    assert_eq!(shown(policy().verdict(&flow, &cpr(Part::Json))), "high not-allowed");
}

#[test]
fn entries_for_some_processes_only() {
    let nginx = process("/usr/sbin/nginx", "nginx.service", "www-data");
    let curl = process("/usr/bin/curl", "", "root");
    let mailer = process("/usr/lib/postfix/smtp", "mail@1.service", "postfix");
    let other_user = process("/usr/lib/postfix/smtp", "mail@1.service", "root");
    let no_unit = process("/usr/lib/postfix/smtp", "", "postfix");
    let cases = [
        ("203.0.113.9:443", &nginx, true, ""),
        ("203.0.113.9:443", &nginx, false, "high cleartext"),
        ("203.0.114.9:443", &nginx, true, "high not-allowed"),
        ("203.0.113.9:443", &curl, true, "high not-allowed"),
        ("203.0.113.9:25", &mailer, false, ""),
        ("203.0.113.9:587", &mailer, true, "high not-allowed"),
        ("203.0.113.9:25", &other_user, true, "high not-allowed"),
        ("203.0.113.9:25", &no_unit, true, "high not-allowed"),
        ("192.0.2.10:443", &curl, true, ""),
    ];
    for (remote, process, encrypted, expected) in cases {
        let remote = Some(remote.parse().unwrap());
        let flow = FlowFacts {
            remote,
            role: Role::Client,
            encrypted,
            process: Some(process),
            names: &FarNames::default(),
        };
        assert_eq!(shown(policy().verdict(&flow, &cpr(Part::Json))), expected, "{remote:?} {process:?}");
    }
}

#[test]
fn class_and_confidence_weigh() {
    use Class::{Cpr, Replacement, Test};
    use Confidence::{High, Low, Medium};
    let mut config = Config::parse(POLICY).unwrap();
    config.report.classes = Class::ALL.to_vec();
    config.report.min_confidence = cprvagt_report::Level::Any;
    let policy = Policy::new(&config, 0).unwrap();
    let cases = [
        (Cpr, High, Part::Json, Severity::High),
        (Cpr, Medium, Part::Json, Severity::High),
        (Cpr, Low, Part::Json, Severity::Medium),
        (Cpr, Confidence::None, Part::Json, Severity::Low),
        (Cpr, High, Part::UrlPath, Severity::Critical),
        (Replacement, High, Part::UrlPath, Severity::High),
        (Replacement, High, Part::Json, Severity::Medium),
        (Replacement, Low, Part::Json, Severity::Low),
        (Test, High, Part::UrlPath, Severity::Low),
    ];
    for (class, confidence, part, expected) in cases {
        let remote = Some("192.0.2.99:443".parse().unwrap());
        let flow = FlowFacts {
            remote,
            role: Role::Client,
            encrypted: true,
            process: None,
            names: &FarNames::default(),
        };
        let verdict = policy.verdict(&flow, &hit(part, class, confidence)).unwrap();
        assert_eq!(verdict.severity, expected, "{class} {confidence} {part}");
    }
}

#[test]
fn what_is_not_asked_for_is_not_told() {
    let policy = policy();
    let cases = [
        (Class::Cpr, Confidence::High, true),
        (Class::Cpr, Confidence::Medium, true),
        (Class::Cpr, Confidence::Low, false),
        (Class::Replacement, Confidence::High, true),
        (Class::Test, Confidence::High, false),
    ];
    for (class, confidence, expected) in cases {
        assert_eq!(policy.tells(class, confidence), expected);
    }
}

#[test]
fn scope_of_inspection() {
    let policy = policy();
    let cases = [
        (Some(process("/opt/app", "tastselv-1.service", "")), true),
        (Some(process("/opt/app", "other.service", "")), false),
        (Some(process("/usr/bin/curl", "other.service", "")), true),
        (Some(process("/usr/bin/ssh", "", "")), false),
        (Some(process("/usr/bin/ssh", "tastselv-1.service", "")), false),
        (Some(process("", "tastselv-1.service", "")), false),
        (Some(process("", "", "")), false),
        (None, false),
    ];
    for (process, expected) in cases {
        assert_eq!(policy.in_scope(process.as_ref()), expected, "{process:?}");
    }
    let open = Policy::new(&Config::default(), 0).unwrap();
    assert!(open.in_scope(None) && !open.limits_scope() && policy.limits_scope());
}

#[test]
fn the_first_system_that_fits() {
    let policy = policy();
    let name = |it: &ProcessFacts| policy.system_of(it).map(|system| system.name.clone());
    assert_eq!(name(&process("", "tastselv.service", "root")).as_deref(), Some("TastSelv"));
    assert_eq!(name(&process("", "x.service", "root")).as_deref(), Some("Everything else of root"));
    assert_eq!(name(&process("", "x.service", "nobody")), None);
    assert_eq!(name(&process("", "", "")), None);
}

/// What the kernel's table gives for an address and port: the entry of the longest prefix, nothing else.
fn kernel_waives(table: &[(AllowKey, AllowRules)], ip: IpAddr, port: u16) -> u32 {
    let bits = address::bits(ip);
    let fits = |key: &AllowKey| {
        let shift = 128 - key.prefix_len;
        bits.checked_shr(shift).unwrap_or(0) == u128::from_be_bytes(key.addr).checked_shr(shift).unwrap_or(0)
    };
    let longest = table.iter().filter(|(key, _)| fits(key)).max_by_key(|(key, _)| key.prefix_len);
    let rules = longest.map(|(_, value)| value.rules).unwrap_or_default();
    let covering = rules.iter().filter(|rule| rule.waives != 0 && (rule.lo..=rule.hi).contains(&port));
    covering.fold(0, |waives, rule| waives | rule.waives)
}

/// What the entries say one by one: the rule that the flattened forms must agree with.
fn naive_waives(config: &Config, ip: IpAddr, port: u16) -> u32 {
    let open = config.allow.iter().filter(|entry| entry.from.is_none());
    let has =
        |entry: &&Allow| matches!(&entry.to, Target::Net(net) if net.contains(&ip)) && entry.has_port(port);
    open.filter(has).fold(0, |waives, entry| waives | entry.waives.bits())
}

#[test]
fn the_kernel_and_the_agent_say_what_the_entries_say() {
    let nested = r#"
        [[allow]]
        to = "::/0"
        ports = [7, "100-200"]
        because = "x"
        [[allow]]
        to = "10.0.0.0/8"
        ports = ["150-300"]
        because = "x"
        waives = ["cleartext"]
        [[allow]]
        to = "10.0.0.0/8"
        ports = [160]
        because = "the same prefix again"
        [[allow]]
        to = "10.1.0.0/16"
        because = "x"
        [[allow]]
        to = "10.1.2.3"
        ports = [1]
        because = "x"
        waives = ["cleartext"]
        [[allow]]
        to = "fe80::/10"
        ports = [7, 8]
        because = "x"
    "#;
    let mapped: Vec<IpAddr> = ["::1:0:0", "::fffe:ffff:ffff", "::", "fe80::9", "ffff::"]
        .map(|text| text.parse::<Ipv6Addr>().unwrap().into())
        .to_vec();
    let v4 = ["0.0.0.0", "9.255.255.255", "10.0.0.1", "10.1.0.0", "10.1.2.3", "10.1.255.255", "10.2.0.0"];
    let v4_policy = ["192.0.2.10", "198.51.100.7", "198.51.7.7", "203.0.113.9", "255.255.255.255"];
    let all = mapped.into_iter().chain(v4.iter().chain(&v4_policy).map(|text| text.parse().unwrap()));
    let all: Vec<IpAddr> = all.collect();
    for text in [nested, POLICY, &nested.replace("::/0", "0.0.0.0/0"), ""] {
        let config = Config::parse(text).unwrap();
        let policy = Policy::new(&config, 0).unwrap();
        let table = policy.allow_prefixes();
        for ip in &all {
            for port in [0, 1, 7, 8, 9, 99, 100, 149, 150, 160, 200, 201, 300, 301, 443, 8005, 65535] {
                let expected = naive_waives(&config, *ip, port);
                assert_eq!(policy.prefixes.waives(*ip, port).bits(), expected, "{ip} {port} {text}");
                assert_eq!(kernel_waives(&table, *ip, port), expected, "{ip} {port} {text}");
            }
        }
        let keys: HashSet<AllowKey> = table.iter().map(|(key, _)| *key).collect();
        assert_eq!(keys.len(), table.len(), "each prefix once");
    }
}

#[test]
fn a_table_is_turned_into_another_by_what_differs() {
    let table = |entries: &[(&str, &str)]| {
        let text = entries.iter().map(|(to, waives)| {
            format!("[[allow]]\nto = \"{to}\"\nbecause = \"x\"\nwaives = [\"{waives}\"]\n")
        });
        let config = Config::parse(&text.collect::<String>()).unwrap();
        Policy::new(&config, 0).unwrap().allow_prefixes()
    };
    let (na, clear) = ("not-allowed", "cleartext");
    let many: Vec<(String, &str)> = (0..250).map(|n| (format!("10.0.{n}.0/24"), na)).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(to, waives)| (to.as_str(), *waives)).collect();
    type Entries<'a> = &'a [(&'a str, &'a str)];
    let cases: [(Entries<'_>, Entries<'_>, usize, usize); 6] = [
        (&[], &[("192.0.2.1", na)], 0, 1),
        (&[("192.0.2.1", na)], &[], 1, 0),
        (&[("192.0.2.1", na)], &[("192.0.2.1", clear)], 0, 1),
        (&[("192.0.2.1", na)], &[("192.0.2.2", na)], 1, 1),
        (&many, &many, 0, 0),
        (&many, &many[1..], 1, 0),
    ];
    for (before, after, gone, changed) in cases {
        let (before, after) = (table(before), table(after));
        let (less, more) = turn(&before, &after);
        assert_eq!((less.len(), more.len()), (gone, changed));
        let mut turned: std::collections::HashMap<_, _> = before.into_iter().collect();
        less.iter().for_each(|(key, _)| assert!(turned.remove(key).is_some()));
        turned.extend(more);
        assert_eq!(turned, after.into_iter().collect());
    }
}

#[test]
fn entries_for_some_processes_never_reach_the_kernel() {
    let table = policy().allow_prefixes();
    assert_eq!(kernel_waives(&table, "203.0.113.9".parse().unwrap(), 25), 0);
}

#[test]
fn many_prefixes_are_flattened_in_good_time() {
    let entry = |n: u32| Allow {
        to: Target::Net(
            ipnet::IpNet::new(std::net::Ipv4Addr::from_bits(n << 8).into(), 24 + (n % 3) as u8).unwrap(),
        ),
        ports: vec![(443, 443)],
        from: None,
        because: "x".into(),
        expires: None,
        waives: Waives::NOT_ALLOWED,
        at: Default::default(),
    };
    let allow: Vec<Allow> = (0..100_000).map(entry).collect();
    assert_eq!(flatten(allow.iter()).unwrap().len(), 100_000);
}
