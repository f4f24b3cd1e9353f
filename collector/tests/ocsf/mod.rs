//! The facts of the schema that an event must agree with, and the check itself.

pub mod published;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Name of the class that we send.
pub const CLASS: &str = "data_security_finding";

/// Classes and objects by name.
pub type Facts = BTreeMap<String, Object>;

/// What an object may and must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object {
    pub at_least_one: Vec<String>,
    pub attributes: BTreeMap<String, Attribute>,
}

/// What an attribute may be.
#[derive(Clone, Debug, PartialEq)]
pub struct Attribute {
    pub kind: String,
    pub is_list: bool,
    pub requirement: String,
    /// The attribute that repeats the caption of the number in words.
    pub sibling: Option<String>,
    /// The numbers allowed, with their captions; empty: any.
    pub numbers: BTreeMap<i64, String>,
}

/// The table of our own making.
pub fn table() -> Facts {
    let mut facts = Facts::new();
    let mut name = String::new();
    for line in include_str!("facts.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if let Some(object) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            name = object.to_owned();
            facts.insert(name.clone(), Object::default());
            continue;
        }
        let object = facts.get_mut(&name).expect("a line stands below the name of its object");
        match line.strip_prefix("at_least_one: ") {
            Some(names) => object.at_least_one = names.split(' ').map(str::to_owned).collect(),
            None => object.attributes.extend([attribute(line)]),
        }
    }
    facts
}

fn attribute(line: &str) -> (String, Attribute) {
    let mut words = line.splitn(4, ' ');
    let mut word = || words.next().expect("name, type, requirement").to_owned();
    let (name, kind, requirement) = (word(), word(), word());
    let mut rest = words.next().unwrap_or_default();
    let mut sibling = None;
    if let Some(named) = rest.strip_prefix('>') {
        let (name, numbers) = named.split_once(' ').expect("numbers behind the sibling");
        (sibling, rest) = (Some(name.to_owned()), numbers);
    }
    let numbers = rest.split('|').filter(|pair| !pair.is_empty()).map(|pair| {
        let (number, caption) = pair.split_once('=').expect("number=caption");
        (number.parse().expect("a number"), caption.to_owned())
    });
    let is_list = kind.ends_with("[]");
    let kind = kind.trim_end_matches("[]").to_owned();
    (name, Attribute { kind, is_list, requirement, sibling, numbers: numbers.collect() })
}

/// Everything that is wrong with `event`.
pub fn violations(facts: &Facts, event: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    match event {
        Value::Object(members) => check_object(facts, CLASS, members, CLASS, &mut wrong),
        _ => wrong.push("the event is no object".to_owned()),
    }
    wrong
}

fn check_object(facts: &Facts, kind: &str, members: &Map<String, Value>, at: &str, wrong: &mut Vec<String>) {
    let Some(object) = facts.get(kind) else {
        return wrong.push(format!("{at}: no facts about {kind}"));
    };
    for (name, fact) in &object.attributes {
        if fact.requirement == "required" && !members.contains_key(name) {
            wrong.push(format!("{at}.{name}: required and missing"));
        }
    }
    if !object.at_least_one.is_empty() && !object.at_least_one.iter().any(|name| members.contains_key(name)) {
        wrong.push(format!("{at}: none of {:?}", object.at_least_one));
    }
    for (name, value) in members {
        let at = format!("{at}.{name}");
        match object.attributes.get(name) {
            Some(fact) => check_attribute(facts, fact, value, members, &at, wrong),
            None => wrong.push(format!("{at}: unknown")),
        }
    }
}

fn check_attribute(
    facts: &Facts,
    fact: &Attribute,
    value: &Value,
    members: &Map<String, Value>,
    at: &str,
    wrong: &mut Vec<String>,
) {
    match (fact.is_list, value) {
        (true, Value::Array(items)) => {
            items.iter().for_each(|item| check_value(facts, &fact.kind, item, at, wrong));
        }
        (true, _) => wrong.push(format!("{at}: not a list")),
        (false, _) => check_value(facts, &fact.kind, value, at, wrong),
    }
    if fact.numbers.is_empty() {
        return;
    }
    let Some(caption) = value.as_i64().and_then(|number| fact.numbers.get(&number)) else {
        return wrong.push(format!("{at}: {value} is none of the numbers allowed"));
    };
    let told = fact.sibling.as_ref().and_then(|sibling| members.get(sibling));
    if told.is_some_and(|told| told != caption) {
        wrong.push(format!("{at}: the caption is not {caption:?}"));
    }
}

fn check_value(facts: &Facts, kind: &str, value: &Value, at: &str, wrong: &mut Vec<String>) {
    let fits = match kind {
        "boolean_t" => value.is_boolean(),
        "integer_t" => value.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
        "long_t" => value.is_i64(),
        // Between the years 2001 and 2286: seconds or nanoseconds would not fit.
        "timestamp_t" => {
            value.as_i64().is_some_and(|ms| (1_000_000_000_000..10_000_000_000_000).contains(&ms))
        }
        "port_t" => value.as_i64().is_some_and(|port| u16::try_from(port).is_ok()),
        "ip_t" => value.as_str().is_some_and(|ip| ip.parse::<std::net::IpAddr>().is_ok()),
        "string_t" | "hostname_t" | "process_name_t" | "resource_uid_t" => {
            value.as_str().is_some_and(|text| !text.is_empty())
        }
        "json_t" => !value.is_null(),
        "object" => value.is_object(),
        object => match value {
            Value::Object(members) => return check_object(facts, object, members, at, wrong),
            _ => false,
        },
    };
    if !fits {
        wrong.push(format!("{at}: not of type {kind}"));
    }
}
