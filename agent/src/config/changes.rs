//! What is different between two configurations, a line each, for the log.
//!
//! *Limits*: [`LINES_MAX`] lines, and one that says how many more there are.

use super::{Allow, Config, Inspect, Matcher, Recipient, Relay, System, Target};

/// Lines that are told.
const LINES_MAX: usize = 100;

/// The differences from `before` to `after`: `+` for what comes, `-` for what goes.
pub fn changes(before: &Config, after: &Config) -> Vec<String> {
    let mut lines = Vec::new();
    differ(&mut lines, &before.allow, &after.allow, |it| format!("[[allow]] {}", entry(it)));
    differ(&mut lines, &before.recipient, &after.recipient, |it| format!("[[recipient]] {}", recipient(it)));
    differ(&mut lines, &before.system, &after.system, |it| format!("[[system]] {}", system(it)));
    differ(&mut lines, &before.relay, &after.relay, |it| format!("[[relay]] {}", relay(it)));
    differ(&mut lines, &before.inspect, &after.inspect, |it| format!("[[inspect]]{}", scope(it)));
    let sections = [
        ("[capture]", before.capture != after.capture),
        ("[rules]", before.rules != after.rules),
        ("[report]", before.report != after.report),
        ("[pseudonym]", before.pseudonym != after.pseudonym),
        ("[spool]", before.spool != after.spool),
        ("[collector]", before.collector != after.collector),
    ];
    lines.extend(sections.iter().filter(|(_, differs)| *differs).map(|(name, _)| format!("changed: {name}")));
    let more = lines.len().saturating_sub(LINES_MAX);
    lines.truncate(LINES_MAX);
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines
}

/// Entries are compared by what is told of them: where they stand in the file makes no difference.
fn differ<T>(lines: &mut Vec<String>, before: &[T], after: &[T], told: impl Fn(&T) -> String) {
    let mut gone: Vec<String> = before.iter().map(&told).collect();
    let mut came: Vec<String> = after.iter().map(&told).collect();
    gone.sort_unstable();
    came.sort_unstable();
    let is_in = |list: &[String], line: &String| list.binary_search(line).is_ok();
    lines.extend(gone.iter().filter(|line| !is_in(&came, line)).map(|line| format!("- {line}")));
    lines.extend(came.iter().filter(|line| !is_in(&gone, line)).map(|line| format!("+ {line}")));
}

/// An entry as a person would say it.
pub fn entry(entry: &Allow) -> String {
    let mut text = match &entry.to {
        Target::Net(net) if net.prefix_len() == net.max_prefix_len() => net.addr().to_string(),
        Target::Net(net) => net.to_string(),
        Target::Name(pattern) => pattern.to_string(),
    };
    let port = |(lo, hi): &(u16, u16)| if lo == hi { lo.to_string() } else { format!("{lo}-{hi}") };
    if !entry.ports.is_empty() {
        let ports: Vec<String> = entry.ports.iter().map(port).collect();
        text += &format!(" port {}", ports.join(","));
    }
    if let Some(from) = &entry.from {
        text += &format!(" from {from}");
    }
    if let Some(date) = entry.expires {
        text += &format!(" until {date}");
    }
    text + &format!(" waives {} because {:?}", entry.waives, entry.because)
}

fn scope(it: &Inspect) -> String {
    let part = |word: &str, matcher: &Option<Matcher>| {
        matcher.as_ref().map_or_else(String::new, |matcher| format!(" {word} {matcher}"))
    };
    part("only", &it.only) + &part("except", &it.except)
}

fn recipient(it: &Recipient) -> String {
    format!("{} {} ({}, {})", it.suffix, it.owner, it.kind, it.country)
}

fn relay(it: &Relay) -> String {
    let ports: Vec<String> = it.ports.iter().map(u16::to_string).collect();
    format!("port {} match {}", ports.join(","), it.matches)
}

fn system(it: &System) -> String {
    let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let (vendor, controller) = (or_dash(&it.vendor), or_dash(&it.controller));
    let tuned = if it.rules == super::Rules::default() { String::new() } else { format!(" {:?}", it.rules) };
    let processor = or_dash(&it.processor);
    format!(
        "{} vendor {vendor} controller {controller} processor {processor} match {}{tuned}",
        it.name, it.matches
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(before: &str, after: &str) -> Vec<String> {
        changes(&Config::parse(before).unwrap(), &Config::parse(after).unwrap())
    }

    const A: &str = "[[allow]]\nto = \"192.0.2.1\"\nports = [443, \"8000-8010\"]\nbecause = \"x\"\n";
    const B: &str = "[[allow]]\nto = \"*.b.example\"\nfrom = { exe = \"/a\", user = \"u\" }\nbecause = \"y\"\n\
                     expires = 2027-01-31\nwaives = [\"cleartext\"]\n";

    #[test]
    fn what_comes_and_what_goes() {
        let a = "[[allow]] 192.0.2.1 port 443,8000-8010 waives not-allowed because \"x\"";
        let b = "[[allow]] *.b.example from exe /a, user u until 2027-01-31 waives cleartext because \"y\"";
        let system = "[[system]]\nname = \"S\"\nmatch = { unit = \"s\" }\n";
        let cases = [
            (A.to_owned(), A.to_owned(), vec![]),
            (A.to_owned() + B, B.to_owned() + A, vec![]),
            (A.to_owned(), A.to_owned() + B, vec![format!("+ {b}")]),
            (A.to_owned() + B, B.to_owned(), vec![format!("- {a}")]),
            (
                A.to_owned(),
                A.replace("8010", "8011"),
                vec![format!("- {a}"), format!("+ {}", a.replace("8010", "8011"))],
            ),
            (
                String::new(),
                system.to_owned(),
                vec!["+ [[system]] S vendor - controller - processor - match unit s".to_owned()],
            ),
            (
                String::new(),
                "[rules]\noff = [\"cleartext\"]\n".to_owned(),
                vec!["changed: [rules]".to_owned()],
            ),
            (
                String::new(),
                "[[relay]]\nports = [25, 587]\nmatch = { unit = \"p\" }\n".to_owned(),
                vec!["+ [[relay]] port 25,587 match unit p".to_owned()],
            ),
            (String::new(), "[spool]\ndays_max = 7\n".to_owned(), vec!["changed: [spool]".to_owned()]),
        ];
        for (before, after, expected) in cases {
            assert_eq!(told(&before, &after), expected, "{before} -> {after}");
        }
    }

    #[test]
    fn a_long_list_is_cut() {
        let many: String = (0..250).map(|n| A.replace("192.0.2.1", &format!("10.0.{n}.1"))).collect();
        let lines = told("", &many);
        assert_eq!(lines.len(), LINES_MAX + 1);
        assert_eq!(lines.last().unwrap(), "and 150 more");
    }
}
