//! A table of flows, names, processes and hits against one policy: what is decided, and why.

use super::*;
use crate::config::Config;

/// A row for each case; the first line says what the columns are.
const TABLE: &str = include_str!("policy.txt");

/// Noon of 2026-11-28.
const NOW: i64 = 1_795_867_200;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

const POLICY: &str = r#"
    allow = [
        { to = "192.0.2.10", ports = [443], because = "x" },
        { to = "203.0.113.0/24", because = "x", waives = ["not-allowed", "cleartext"] },
        { to = "10.9.0.0/16", ports = ["8000-8010"], because = "x", waives = ["cleartext"] },
        { to = "2001:db8:7::/48", because = "x" },
        { to = "api.skat.example", ports = [443], because = "x" },
        { to = "*.borger.example", because = "x", waives = ["not-allowed", "cleartext"] },
        { to = "Rødgrød.example", because = "x" },
        { to = "allowed.hotjar.com", because = "x" },
        { to = "192.0.2.20", from = { exe = "/usr/sbin/nginx" }, because = "x" },
        { to = "192.0.2.21", ports = [25], from = { unit = "mail*.service", user = "postfix" }, because = "x",
          waives = ["not-allowed", "cleartext"] },
        { to = "192.0.2.22", from = { container = "registry.example/tastselv:*" }, because = "x" },
        { to = "192.0.2.23", from = { container = "0123456789ab" }, because = "x" },
        { to = "192.0.2.24", from = { cgroup = "/kubepods/**" }, because = "x" },
        { to = "only.nginx.example", from = { exe = "/usr/sbin/nginx" }, because = "x" },
        { to = "192.0.2.30", because = "x", expires = 2026-11-28 },
        { to = "192.0.2.31", because = "x", expires = 2026-11-27 },
        { to = "today.expiry.example", because = "x", expires = 2026-11-28 },
        { to = "yesterday.expiry.example", because = "x", expires = 2026-11-27 },
        { to = "192.0.2.32", from = { exe = "/usr/sbin/nginx" }, because = "x", expires = 2026-11-27 },
        { to = "192.0.2.33", because = "x", expires = 2026-11-27 },
        { to = "192.0.2.33", because = "y", expires = "2027-11-27" },
        { to = "192.0.2.40", because = "x", waives = ["not-allowed", "mail-cleartext"] },
        { to = "192.0.2.41", because = "x" },
        { to = "192.0.2.42", because = "x", waives = ["not-allowed", "cleartext"] },
    ]
    [[recipient]]
    suffix = "stats.example.dk"
    owner = "Statistik A/S"
    kind = "analytics"
    country = "DK"
    [[system]]
    name = "Quiet"
    match = { unit = "quiet.service" }
    rules = { off = ["cleartext"], severity = { not-allowed = "low" }, mass_exposure_citizens = 2 }
"#;

fn process(word: &str) -> Option<ProcessFacts> {
    let of = |exe: &str, unit: Option<&str>, user: &str| ProcessFacts {
        exe: Some(exe.to_owned()),
        unit: unit.map(str::to_owned),
        user: Some(user.to_owned()),
        cgroup: Some(format!("/system.slice/{}", unit.unwrap_or("x"))),
        ..ProcessFacts::of_pid(7)
    };
    let pod = |id: &str, image: Option<&str>| ProcessFacts {
        container: Some(id.to_owned()),
        image: image.map(str::to_owned),
        cgroup: Some("/kubepods/burstable/x".to_owned()),
        ..of("/app", None, "root")
    };
    let other_id = ID.replace('0', "f");
    Some(match word {
        "web" => of("/usr/bin/node", Some("web.service"), "www-data"),
        "nginx" => of("/usr/sbin/nginx", Some("nginx.service"), "www-data"),
        "client" => ProcessFacts { exe: None, ..of("", Some("nginx.service"), "www-data") },
        "mailer" => of("/usr/lib/postfix/smtp", Some("mail@1.service"), "postfix"),
        "mailer-root" => of("/usr/lib/postfix/smtp", Some("mail@1.service"), "root"),
        "mailer-unitless" => of("/usr/lib/postfix/smtp", None, "postfix"),
        "pod" => pod(ID, Some("registry.example/tastselv:7")),
        "pod-other" => pod(&other_id, Some("registry.example/other:7")),
        "pod-imageless" => pod(&other_id, None),
        "quiet" => of("/usr/bin/node", Some("quiet.service"), "www-data"),
        "nobody" => return None,
        other => panic!("{other}"),
    })
}

fn names(text: &str) -> Vec<HostName> {
    text.split_whitespace().map(|name| HostName::parse(name).unwrap()).collect()
}

/// `part`, `part:field`, each with `*citizens` behind it.
fn hit(text: &str) -> HitFacts {
    let (text, citizens) = text.split_once('*').unwrap_or((text, "1"));
    let (part, field) = text.split_once(':').map_or((text, None), |(part, field)| (part, Some(field)));
    let location = Location {
        protocol: "http/1.1".into(),
        part: Part::from_word(part).unwrap(),
        field: field.map(|field| crate::scrub::Scrubber::at(NOW).name(field)),
        path: None,
    };
    let hit = HitFacts::at(&location, Class::Cpr, Confidence::High);
    HitFacts { citizens: citizens.parse().unwrap(), ..hit }
}

fn decide(policy: &Policy, columns: &[&str]) -> String {
    let [to, own, learned, who, how, ..] = columns else { panic!("{columns:?}") };
    let names = FarNames { own: names(own), learned: names(learned) };
    let process = process(who);
    let [role, wire, part] = how.split(' ').collect::<Vec<_>>()[..] else { panic!("{how}") };
    let role = match role {
        "client" => Role::Client,
        "server" => Role::Server,
        _ => Role::Unknown,
    };
    let remote = (*to != "nowhere").then(|| to.parse().unwrap());
    let encrypted = wire == "tls";
    let flow = FlowFacts { remote, role, encrypted, process: process.as_ref(), names: &names };
    let Some(verdict) = policy.verdict(&flow, &hit(part)) else { return "-".to_owned() };
    let rules = [verdict.rule].into_iter().chain(verdict.also_breaks);
    rules.fold(verdict.severity.to_string(), |text, rule| format!("{text} {rule}"))
}

#[test]
fn each_case_is_decided_as_its_reason_says() {
    let policy = Policy::new(&Config::parse(POLICY).unwrap(), NOW).unwrap();
    let rows = TABLE.lines().skip(1).map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
    let rows: Vec<Vec<&str>> = rows.collect();
    let wrong: Vec<String> = rows
        .iter()
        .filter(|row| decide(&policy, row) != row[5])
        .map(|row| format!("{row:?}: {}", decide(&policy, row)))
        .collect();
    assert_eq!(wrong, Vec::<String>::new());
    assert!(rows.len() >= 120, "{}", rows.len());
}

#[test]
fn a_policy_knows_when_its_next_entry_expires() {
    let policy = Policy::new(&Config::parse(POLICY).unwrap(), NOW).unwrap();
    let midnight = 1_795_910_400;
    assert_eq!([midnight - 1, midnight].map(|now| policy.is_outdated(now)), [false, true]);
    let next = Policy::new(&Config::parse(POLICY).unwrap(), midnight).unwrap();
    assert!(!next.is_outdated(midnight));
    let kernel = |policy: &Policy| policy.allow_prefixes().len();
    assert_eq!(kernel(&policy), kernel(&next) + 1, "the kernel's table follows");
}
