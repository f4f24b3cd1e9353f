//! Tests of reading `collector.toml`.

use super::*;

const SHIPPED: &str = include_str!("../../../config/collector.toml");

fn problems(text: &str) -> Vec<String> {
    match Config::parse(text) {
        Ok(_) => vec![],
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn the_shipped_file_is_the_defaults() {
    assert_eq!(Config::parse(SHIPPED), Ok(Config::default()));
    assert_eq!(Config::parse(""), Ok(Config::default()));
}

#[test]
fn the_shipped_examples_are_valid() {
    let text = SHIPPED.replace("#> ", "");
    let config = Config::parse(&text).unwrap();
    assert_eq!(config.agents.certificate.unwrap().key, Path::new("/etc/cprvagt/agents.key"));
    assert_eq!(config.web.certificate.unwrap().certificate, Path::new("/etc/cprvagt/web.crt"));
    assert_eq!(config.outlets.file.as_deref(), Some(Path::new("/var/log/cprvagt/incidents.jsonl")));
    assert_eq!(config.outlets.webhooks[0].name, "siem");
}

#[test]
fn everything_can_be_said() {
    let text = "[data]\ndir='/x'\n[agents]\nlisten='[::]:1'\nnames=['c.example','192.0.2.1','2001:db8::1']\n\
        [web]\nlisten='0.0.0.0:2'\ncertificate='c'\nkey='k'\nsession_hours=1\n[certificates]\ndays=398\n\
        [outlets]\nquiet_seconds=1\n";
    let config = Config::parse(text).unwrap();
    assert_eq!(config.data_dir, Path::new("/x"));
    assert_eq!(config.agents.listen.to_string(), "[::]:1");
    let names: Vec<_> = config.agents.names.iter().map(ServerName::to_str).collect();
    assert_eq!(names, ["c.example", "192.0.2.1", "2001:db8::1"]);
    assert_eq!((config.certificate_days, config.web.session_hours), (398, 1));
    assert_eq!(config.outlets.quiet, Duration::from_secs(1));
}

#[test]
fn mistakes_are_told_with_their_place() {
    let cases = [
        ("[agent]\n", "1:2: unknown key \"agent\" in the file; did you mean \"agents\"?"),
        ("[agents]\nlisen='x'\n", "2:1: unknown key \"lisen\" in [agents]; did you mean \"listen\"?"),
        ("[agents]\nlisten='localhost:1'\n", "2:8: listen is an address and a port"),
        ("[agents]\nnames=[]\n", "2:7: names is empty"),
        ("[agents]\nnames=['a b']\n", "2:8: a name is a DNS name or an address"),
        ("[agents]\nnames=['a:1']\n", "2:8: a name is a DNS name or an address"),
        ("[agents]\nkey='k'\n", "1:1: [agents] needs \"certificate\""),
        ("[web]\ncertificate='k'\n", "1:1: [web] needs \"key\""),
        ("[web]\nlisten='0.0.0.0:80'\n", "2:8: 0.0.0.0:80 is not loopback"),
        ("[web]\nlisten='[2001:db8::1]:80'\n", "2:8: [2001:db8::1]:80 is not loopback"),
        ("[web]\nsession_hours=0\n", "2:15: session_hours is a whole number from 1 to 168"),
        ("[certificates]\ndays=399\n", "2:6: days is a whole number from 1 to 398"),
        ("[certificates]\ndays='x'\n", "2:6: days is a whole number from 1 to 398"),
        ("[outlets.file]\n", "1:1: [outlets.file] needs \"path\""),
        ("[[outlets.webhook]]\nname='file'\nurl='https://a'\nsecret_file='s'\n", "2:6: a name has"),
        ("[[outlets.webhook]]\nname='a'\nurl='http://b.example'\nsecret_file='s'\n", "3:5: url must begin"),
        ("[[outlets.webhook]]\nname='a'\nurl='ftp://b.example'\nsecret_file='s'\n", "3:5: url must begin"),
        ("[[outlets.webhook]]\nname='a'\nurl='/x'\nsecret_file='s'\n", "3:5: url is an address"),
        (
            "[[outlets.webhook]]\nname='a'\nurl='https://b'\n",
            "1:1: [[outlets.webhook]] needs \"secret_file\"",
        ),
    ];
    for (text, expected) in cases {
        let told = problems(text);
        assert!(told.iter().any(|problem| problem.starts_with(expected)), "{text}: {told:?}");
    }
}

#[test]
fn webhooks_have_names_of_their_own() {
    let webhook = "[[outlets.webhook]]\nname='a'\nurl='http://127.0.0.1:1/'\nsecret_file='s'\n";
    assert!(problems(webhook).is_empty());
    let told = problems(&webhook.repeat(2));
    assert!(told[0].starts_with("5:1: [[outlets.webhook]] has the name \"a\" of another"), "{told:?}");
}
