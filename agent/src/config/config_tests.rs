//! Configurations that are right, and what is said about those that are not.

use cprvagt_report::{Class, Level, Rule, Severity};

use super::*;
use crate::judge::{NamePattern, Waives};

#[test]
fn the_shipped_example_is_the_defaults_and_says_so() {
    let shipped = include_str!("../../../config/agent.toml");
    assert_eq!(Config::parse(shipped), Ok(Config::default()));
}

#[test]
fn the_shipped_example_is_valid_with_every_line_turned_on() {
    let shipped = include_str!("../../../config/agent.toml");
    let on: Vec<&str> = shipped.lines().map(|line| line.strip_prefix("#> ").unwrap_or(line)).collect();
    let config = Config::parse(&on.join("\n")).unwrap();
    assert!(!config.allow.is_empty() && !config.inspect.is_empty() && !config.system.is_empty());
    assert!(config.collector.url.is_some() && !config.relay.is_empty());
}

#[test]
fn an_empty_file_is_the_defaults() {
    assert_eq!(Config::parse(""), Ok(Config::default()));
}

#[test]
fn every_section_is_read() {
    let config = Config::parse(
        r#"
        [capture]
        ring_bytes = "1 MiB"
        probe_site = "entry"
        [[inspect]]
        only = { unit = "a*.service" }
        [[allow]]
        to = "2001:db8::/32"
        ports = [443, "8000-8010", "25"]
        from = { exe = "/usr/sbin/nginx", user = "www-data" }
        because = "agreement 7"
        waives = ["cleartext", "not-allowed"]
        [[allow]]
        to = "::ffff:192.0.2.0/120"
        because = "agreement 8"
        [[system]]
        name = "TastSelv"
        vendor = "Leverandør A/S"
        match = { unit = "a*.service" }
        [report]
        min_confidence = "any"
        classes = ["test"]
        [pseudonym]
        key_file = "/etc/cprvagt/tenant.key"
        [spool]
        dir = "/var/spool/x"
        bytes_max = "2 GiB"
        days_max = 7
        [collector]
        url = "https://collector.example:8443"
        enrolment = "/var/x"
        "#,
    )
    .unwrap();
    assert_eq!(config.capture.ring_bytes, 1 << 20);
    assert_eq!(config.capture.probe_site, ProbeSites::Entry);
    assert_eq!(config.inspect[0].only.as_ref().unwrap().unit.as_ref().unwrap().as_str(), "a*.service");
    let [first, second] = &config.allow[..] else { panic!("two entries") };
    assert_eq!(first.ports, [(443, 443), (8000, 8010), (25, 25)]);
    assert_eq!(first.waives, Waives::NOT_ALLOWED.union(Waives::CLEARTEXT));
    assert_eq!(first.at, Place { line: 7, column: 9 });
    assert_eq!(second.to, Target::Net("192.0.2.0/24".parse().unwrap()));
    assert_eq!((second.ports.len(), second.waives), (0, Waives::NOT_ALLOWED));
    assert_eq!(config.system[0].vendor.as_deref(), Some("Leverandør A/S"));
    assert_eq!(config.report, Report { min_confidence: Level::Any, classes: vec![Class::Test] });
    assert_eq!(config.pseudonym.key_file, Some("/etc/cprvagt/tenant.key".into()));
    let spool =
        Spool { dir: "/var/spool/x".into(), bytes_max: 2 << 30, age_max: Duration::from_secs(7 * 86_400) };
    assert_eq!(config.spool, spool);
    let url = "https://collector.example:8443".parse().unwrap();
    assert_eq!(config.collector, Collector { url: Some(url), enrolment: "/var/x".into() });
}

/// What says who may receive what, by names, and how rules are applied.
const POLICY: &str = r#"
        [[allow]]
        to = "*.Rødgrød.example"
        from = { container = "registry.example/*", cgroup = "/kubepods/**" }
        because = "agreement 9"
        expires = 2027-06-30
        waives = ["mail-cleartext"]
        [[recipient]]
        suffix = "Stats.Example.dk"
        owner = "Statistik A/S"
        kind = "session-replay"
        country = "DK"
        [[system]]
        name = "TastSelv"
        match = { unit = "a*.service" }
        controller = "Myndighed X"
        processor = "Drift A/S"
        rules = { off = ["cleartext"], severity = { not-allowed = "critical" }, mass_exposure_citizens = 100 }
        [rules]
        severity = { cpr-in-url = "low", mail-cleartext = "medium" }
        mass_exposure_citizens = 5
"#;

#[test]
fn names_recipients_and_rules_are_read() {
    let config = Config::parse(POLICY).unwrap();
    let entry = &config.allow[0];
    assert_eq!(entry.to, Target::Name(NamePattern::new("*.xn--rdgrd-vuad.example").unwrap()));
    let from = entry.from.as_ref().unwrap();
    assert_eq!(from.container, Some(ContainerPattern::new("registry.example/*").unwrap()));
    assert_eq!(from.cgroup.as_ref().unwrap().as_str(), "/kubepods/**");
    assert_eq!((entry.expires, entry.waives), (Some(jiff::civil::date(2027, 6, 30)), Waives::MAIL_CLEARTEXT));
    let [recipient] = &config.recipient[..] else { panic!("one recipient") };
    assert_eq!(
        (recipient.suffix.as_str(), recipient.kind),
        ("stats.example.dk", RecipientKind::SessionReplay)
    );
    assert_eq!(config.system[0].controller.as_deref(), Some("Myndighed X"));
    assert_eq!(config.system[0].processor.as_deref(), Some("Drift A/S"));
    let of_system = Rules {
        off: vec![Rule::Cleartext],
        severity: vec![(Rule::NotAllowed, Severity::Critical)],
        mass_exposure_citizens: Some(100),
    };
    assert_eq!(config.system[0].rules, of_system);
    let severity = vec![(Rule::CprInUrl, Severity::Low), (Rule::MailCleartext, Severity::Medium)];
    assert_eq!(config.rules, Rules { off: vec![], severity, mass_exposure_citizens: Some(5) });
}

/// Each text and the problems told about it, joined by newlines.
const WRONG: &[(&str, &str)] = &[
    (
        "[[allow]]\nto = \"192.0.2.1\"\nbecause = \"x\"\n  becuase = \"y\"",
        "4:3: unknown key \"becuase\" in [[allow]]; did you mean \"because\"?",
    ),
    ("[[alow]]\nto = \"192.0.2.1\"", "1:3: unknown key \"alow\" in the file; did you mean \"allow\"?"),
    ("[pseudonym]\nsalt = \"x\"", "2:1: unknown key \"salt\" in [pseudonym]; valid keys: key_file"),
    ("[capture]\nring_bytes = \"16 MB\"", "2:14: \"16 MB\": sizes are in KiB, MiB or GiB"),
    (
        "[capture]\nring_bytes = \"15 MiB\"",
        "2:14: ring_bytes is 15 MiB; it must be a power of two from 64 KiB to 1 GiB (whole pages)",
    ),
    (
        "[capture]\nring_bytes = 4096",
        "2:14: ring_bytes is 4 KiB; it must be a power of two from 64 KiB to 1 GiB (whole pages)",
    ),
    (
        "[capture]\nring_bytes = \"2 GiB\"",
        "2:14: ring_bytes is 2 GiB; it must be a power of two from 64 KiB to 1 GiB (whole pages)",
    ),
    ("[capture]\nring_bytes = -1", "2:14: ring_bytes is out of range"),
    (
        "[capture]\nprobe_site = \"entri\"",
        "2:14: \"entri\" is not a value of probe_site; did you mean \"entry\"?",
    ),
    ("[capture]\nprobe_site = 0", "2:14: probe_site must be a string, not integer"),
    ("[capture]\nring_bytes = true", "2:14: ring_bytes must be a size such as \"16 MiB\""),
    ("capture = 5", "1:11: capture must be a table, not integer"),
    ("[allow]\nto = \"192.0.2.1\"", "1:1: allow is a list of tables: write [[allow]]"),
    ("[[allow]]\nto = \"192.0.2.1\"", "1:1: [[allow]] needs \"because\""),
    ("[[allow]]\nto = \"192.0.2.1\"\nbecause = \" \"", "3:11: because is empty"),
    ("[[allow]]\nbecause = \"x\"", "1:1: [[allow]] needs \"to\""),
    (
        "[[allow]]\nto = \"*.dk\"\nbecause = \"x\"",
        "2:6: \"*.dk\": anybody may have a name below the public suffix \"dk\"",
    ),
    (
        "[[allow]]\nto = \"www.*.dk\"\nbecause = \"x\"",
        "2:6: \"www.*.dk\": \"*\" stands for whole names in front: \"*.name\"",
    ),
    (
        "[[allow]]\nto = \"https://skat.example\"\nbecause = \"x\"",
        "2:6: \"https://skat.example\" is not an address or prefix",
    ),
    (
        "[[allow]]\nto = \"skat.example/x\"\nbecause = \"x\"",
        "2:6: \"skat.example/x\" is neither an address or prefix nor a host name",
    ),
    (
        "[[allow]]\nto = \"::1\"\nbecause = \"x\"\nexpires = 2027-02-30",
        "4:11: invalid date, expected day between 01 and 28",
    ),
    (
        "[[allow]]\nto = \"::1\"\nbecause = \"x\"\nexpires = 2027-02-01T00:00:00Z",
        "4:11: expires is the last day on which the entry holds, such as 2027-06-30",
    ),
    (
        "[[allow]]\nto = \"::1\"\nbecause = \"x\"\nexpires = \"1/2 2027\"",
        "4:11: expires is the last day on which the entry holds, such as 2027-06-30",
    ),
    (
        "[[allow]]\nto = \"::1\"\nbecause = \"x\"\nexpires = 5",
        "4:11: expires is the last day on which the entry holds, such as 2027-06-30",
    ),
    (
        "[[recipient]]\nsuffix = \"1.2.3.4\"\nowner = \"x\"\nkind = \"cdn\"\ncountry = \"DK\"",
        "2:10: suffix must be a host name",
    ),
    (
        "[[recipient]]\nsuffix = \"co.uk\"\nowner = \"x\"\nkind = \"cdn\"\ncountry = \"GB\"",
        "2:10: anybody may have a name below the public suffix \"co.uk\"",
    ),
    (
        "[[recipient]]\nsuffix = \"a.dk\"\nowner = \"x\"\nkind = \"cnd\"\ncountry = \"DK\"",
        "4:8: \"cnd\" is not a value of kind; did you mean \"cdn\"?",
    ),
    (
        "[[recipient]]\nsuffix = \"a.dk\"\nowner = \"x\"\nkind = \"cdn\"\ncountry = \"dk\"",
        "5:11: country is two capital letters (ISO 3166-1), such as \"DK\"",
    ),
    (
        "[[recipient]]\nsuffix = \"a.dk\"",
        "1:1: [[recipient]] needs \"owner\"\n1:1: [[recipient]] needs \"kind\"\n1:1: [[recipient]] needs \"country\"",
    ),
    (
        "[rules]\noff = [\"clear-text\"]\nmass_exposure_citizens = 0",
        "2:8: \"clear-text\" is not a value of off; did you mean \"cleartext\"?\n3:26: mass_exposure_citizens is a number from 1 to 10000",
    ),
    ("[rules]\noff = []", "2:7: off is empty: leave it out"),
    (
        "[rules]\nseverity = { cleartext = \"urgent\", cleartxt = \"low\" }",
        "2:26: \"urgent\" is not a value of cleartext; valid: critical, high, medium, low\n2:36: unknown key \"cleartxt\" in severity; did you mean \"cleartext\"?",
    ),
    (
        "[[system]]\nname = \"x\"\nmatch = { unit = \"x\" }\nrules = { of = [\"cleartext\"] }",
        "4:11: unknown key \"of\" in [[system]] rules; did you mean \"off\"?",
    ),
    ("[[allow]]\nto = \"192.0.2.256\"\nbecause = \"x\"", "2:6: \"192.0.2.256\" is not an address or prefix"),
    (
        "[[allow]]\nto = \"fe80::1%eth0\"\nbecause = \"x\"",
        "2:6: \"fe80::1%eth0\" is not an address or prefix",
    ),
    ("[[allow]]\nto = \"10.0.0.0/33\"\nbecause = \"x\"", "2:6: \"10.0.0.0/33\" is not an address or prefix"),
    (
        "[[allow]]\nto = \"10.0.0.5/8\"\nbecause = \"x\"",
        "2:6: \"10.0.0.5/8\" has bits set behind the prefix; write \"10.0.0.0/8\"",
    ),
    ("[[allow]]\nto = 5\nbecause = \"x\"", "2:6: to must be a string, not integer"),
    (
        "[[allow]]\nto = \"::1\"\nports = [0, 65536, \"9-1\", \"x\"]\nbecause = \"x\"",
        "3:10: PORT\n3:13: PORT\n3:20: PORT\n3:27: PORT",
    ),
    ("[[allow]]\nto = \"::1\"\nports = 443\nbecause = \"x\"", "3:9: ports must be a list, not integer"),
    (
        "[[allow]]\nto = \"::1\"\nports = []\nbecause = \"x\"",
        "3:9: ports is empty: leave it out to allow every port",
    ),
    (
        "[[allow]]\nto = \"::1\"\nbecause = \"x\"\nwaives = [\"not_allowed\"]",
        "4:11: \"not_allowed\" is not a value of waives; did you mean \"not-allowed\"?",
    ),
    (
        "[[allow]]\nto = \"::1\"\nbecause = \"x\"\nwaives = [\"cpr-in-url\"]",
        "4:11: \"cpr-in-url\" is not a value of waives; valid: not-allowed, cleartext, mail-cleartext",
    ),
    (
        "[[allow]]\nto = \"::1\"\nbecause = \"x\"\nwaives = []",
        "4:10: waives is empty: the entry would do nothing",
    ),
    (
        "[[allow]]\nto = \"::1\"\nbecause = \"x\"\nfrom = { container = \"a[\" }",
        "4:22: \"a[\" is not a glob: unclosed character class; missing ']'",
    ),
    (
        "[[allow]]\nto = \"::1\"\nbecause = \"x\"\nfrom = {}",
        "4:8: [[allow]] from is empty; give one of exe, unit, user, container, cgroup",
    ),
    (
        "[[allow]]\nto = \"::1\"\nbecause = \"x\"\nfrom = { exe = \"/a[\" }",
        "4:16: \"/a[\" is not a glob: unclosed character class; missing ']'",
    ),
    (
        "[[allow]]\nto = \"::1\"\nbecause = \"x\"\nfrom = { exec = \"/a\" }",
        "4:10: unknown key \"exec\" in [[allow]] from; did you mean \"exe\"?\n4:8: [[allow]] from is empty; give one of exe, unit, user, container, cgroup",
    ),
    ("[[inspect]]\n", "1:1: [[inspect]] needs \"only\" or \"except\""),
    ("[[system]]\nname = \"x\"", "1:1: [[system]] needs \"match\""),
    ("[[system]]\nmatch = { unit = \"x\" }", "1:1: [[system]] needs \"name\""),
    (
        "[report]\nmin_confidence = \"meduim\"",
        "2:18: \"meduim\" is not a value of min_confidence; did you mean \"medium\"?",
    ),
    (
        "[report]\nclasses = [\"cpr\", \"sedol\"]",
        "2:19: \"sedol\" is not a value of classes; valid: cpr, replacement, test",
    ),
    ("[report]\nclasses = []", "2:11: classes is empty: nothing would be told"),
    (
        "[spool]\nfolder = \"/x\"",
        "2:1: unknown key \"folder\" in [spool]; valid keys: dir, bytes_max, days_max",
    ),
    ("[spool]\nbytes_max = \"1 MiB\"", "2:13: bytes_max is 1 MiB; it must be from 64 MiB to 1024 GiB"),
    ("[spool]\nbytes_max = true", "2:13: bytes_max must be a size such as \"16 MiB\""),
    ("[spool]\ndays_max = 0", "2:12: days_max is a number from 1 to 3650"),
    ("[spool]\ndays_max = \"7\"", "2:12: days_max is a number from 1 to 3650"),
    ("[collector]\nurl = \"http://c.example\"", "2:7: URL"),
    ("[collector]\nurl = \"https://c.example/x\"", "2:7: URL"),
    ("[collector]\nuri = \"x\"", "2:1: unknown key \"uri\" in [collector]; did you mean \"url\"?"),
    ("[collector]\nurl = 5", "2:7: url must be a string, not integer"),
];

#[test]
fn each_problem_has_its_place_and_its_remedy() {
    let port = "a port is a number from 1 to 65535, or a range such as \"8000-8010\"";
    let url = BadUrl.to_string();
    for (text, expected) in WRONG {
        let problems = Config::parse(text).unwrap_err();
        let told: Vec<String> = problems.iter().map(Problem::to_string).collect();
        let mut expected: Vec<String> =
            expected.lines().map(|line| line.replace("PORT", port).replace("URL", &url)).collect();
        expected.sort_by_key(|line| line.split(':').nth(1).unwrap().parse::<u32>().unwrap());
        assert_eq!(told, expected, "{text}");
    }
}

#[test]
fn relays_have_ports_and_a_condition() {
    let relay = |ports: &str| format!("[[relay]]\nports = [{ports}]\nmatch = {{ exe = \"/x\" }}\n");
    let config = Config::parse(&(relay("25, 587") + &relay("1"))).unwrap();
    let ports: Vec<_> = config.relay.iter().map(|relay| relay.ports.clone()).collect();
    assert_eq!(ports, [vec![25, 587], vec![1]]);
    let port = "a port is a number from 1 to 65535";
    let many: Vec<String> = (1..=65).map(|port| port.to_string()).collect();
    let too_many = "[[relay]] has one port too many: all together have at most 64";
    let cases = [
        ("[[relay]]\nmatch = { exe = \"/x\" }\n".to_owned(), "ports"),
        ("[[relay]]\nports = [1]\n".to_owned(), "match"),
        ("[[relay]]\nports = [1]\nmatch = { }\n".to_owned(), "is empty"),
        (relay(""), "ports is empty: nothing would be read"),
        (relay("0"), port),
        (relay("65536"), port),
        (relay("\"1-2\""), port),
        (relay(&many.join(", ")), too_many),
        (relay(&many[..40].join(", ")) + &relay(&many[..40].join(", ")), too_many),
    ];
    for (text, expected) in cases {
        let problems = Config::parse(&text).unwrap_err();
        let [problem] = &problems[..] else { panic!("{text}: {problems:?}") };
        assert!(problem.to_string().contains(expected), "{text}: {problem}");
    }
}

#[test]
fn broken_toml_has_its_place() {
    for (text, place) in
        [("a = [1,\n", "1:8"), ("[capture\n", "1:9"), ("a = 1\na = 2\n", "2:1"), ("x", "1:2")]
    {
        let problems = Config::parse(text).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(problems[0].at.to_string(), place, "{text:?}: {problems:?}");
        assert!(!problems[0].what.contains('\n'), "{problems:?}");
    }
}

#[test]
fn every_problem_is_told_at_once() {
    let text = "[report]\nclases = []\n[[allow]]\nto = \"*.dk\"\n[spool]\nd = 1\n";
    let lines: Vec<u32> = Config::parse(text).unwrap_err().iter().map(|it| it.at.line).collect();
    assert_eq!(lines, [2, 3, 4, 6]);
}

#[test]
fn too_many_port_ranges_for_the_kernel_are_told() {
    let ports: Vec<String> = (1..=9).map(|n| (n * 10).to_string()).collect();
    let entry = |to: &str, ports: &[String]| {
        format!("[[allow]]\nto = \"{to}\"\nports = [{}]\nbecause = \"x\"\n", ports.join(", "))
    };
    let one = Config::parse(&entry("10.0.0.0/8", &ports)).unwrap_err();
    let expected =
        "1:1: 10.0.0.0/8 has 9 separate port ranges, those of wider prefixes included; the most is 8";
    assert_eq!(one[0].to_string(), expected);
    let nested = entry("10.0.0.0/8", &ports[..5]) + &entry("10.1.0.0/16", &ports[5..]);
    assert_eq!(Config::parse(&nested).unwrap_err()[0].at.line, 5);
    assert!(Config::parse(&entry("10.0.0.0/8", &ports[..8])).is_ok());
}

#[test]
fn files_are_told_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("agent.toml");
    let error = Config::find(Some(&path)).unwrap_err().to_string();
    assert!(error.starts_with(&format!("config: {}: ", path.display())), "{error}");
    std::fs::write(&path, "[x]\n[y]\n").unwrap();
    let error = Config::find(Some(&path)).unwrap_err().to_string();
    let name = path.display();
    let told: Vec<&str> = error.lines().collect();
    assert_eq!(told.len(), 2, "{error}");
    assert!(told[0].starts_with(&format!("config: {name}:1:2: unknown key \"x\"")), "{error}");
    assert!(told[1].starts_with(&format!("config: {name}:2:2: ")), "{error}");
    std::fs::write(&path, b"because = \"\xff\"").unwrap();
    assert!(Config::find(Some(&path)).unwrap_err().to_string().contains("UTF-8"));
}

#[test]
fn only_a_missing_default_file_is_no_error() {
    let error = Config::find(Some(Path::new("/nowhere/agent.toml"))).unwrap_err();
    assert!(matches!(error, ConfigError::Unreadable { .. }), "{error}");
}
