//! `demo`: sets up, builds, and shows the agent finding what real programs leak, against ground truth.
//!
//! The scenario is in `cprvagt_tests::demo`; here is only what one sees of it.
//!
//! *Invariants*: with `--json` standard output carries objects alone, one a line, the verdict last.

use std::fs;
use std::io::{IsTerminal as _, Write};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use cprvagt_tests::collector::Collector;
use cprvagt_tests::demo::{self, Alarm, Event, Outcome, Settings, Verdict};
use nix::unistd::geteuid;
use serde_json::Value;

use crate::refusal::{MISSING, refuse};
use crate::{build, setup, shell};

/// The citizens of the demo are the same each time.
const SEED: u64 = 1968;
/// At most so many of what was missed or wrong are listed.
const LISTED_MAX: usize = 20;

/// How long, and for whom.
#[derive(clap::Args)]
pub struct Arguments {
    /// Leak for so many seconds: less than the whole plan, or more with further look-alikes.
    #[arg(long = "for", value_name = "SECONDS")]
    seconds: Option<u64>,
    /// Every leak object, then one `cprvagt.demo/1` object, on standard output.
    #[arg(long)]
    json: bool,
}

/// Runs the demo; fails unless every planted number was found once and nothing else.
pub fn run(arguments: &Arguments) -> Result<()> {
    if !geteuid().is_root() {
        return refuse(MISSING, "demo: root is needed, to load kernel programs and to build the lab network");
    }
    setup::run()?;
    let build::Programs { agent, collector } = build::programs(build::Profile::Release)?;
    let data = empty_folder()?;
    eprintln!("demo: building the lab network, starting collector and agent ...");
    let duration = arguments.seconds.map(Duration::from_secs);
    let settings = Settings { agent, collector, data, duration, seed: SEED };
    let mut screen = Screen { json: arguments.json, started: Instant::now() };
    let mut outcome = demo::run(&settings, &mut |event| screen.show(&event))?;
    screen.conclude(&outcome);
    show_pages(&mut outcome.collector, &settings, arguments.json)?;
    if !outcome.verdict.ok {
        bail!("demo: FAILED: what was found is not what was planted");
    }
    Ok(())
}

/// A folder for what agent and collector keep, without what an earlier demo left.
fn empty_folder() -> Result<PathBuf> {
    let folder = shell::target_folder().join("demo");
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("emptying {}", folder.display()));
        }
        _ => {}
    }
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
    made.with_context(|| format!("making {}", folder.display()))?;
    Ok(folder)
}

/// Tells where the incidents can be looked at; on a terminal the collector stays for that.
fn show_pages(collector: &mut Collector, settings: &Settings, json: bool) -> Result<()> {
    let password = password();
    collector.add_account(demo::ACCOUNT, &password)?;
    let tell = |line: String| if json { eprintln!("{line}") } else { println!("{line}") };
    tell(format!("web page: {}/  (account {}, password {password})", collector.web_url(), demo::ACCOUNT));
    if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() {
        tell("The collector runs until you press Enter.".to_owned());
        let _any_line = std::io::stdin().read_line(&mut String::new())?;
    } else {
        let (program, config) = (settings.collector.display(), collector.config());
        tell(format!("Serve it again with: {program} serve --config {}", config.display()));
    }
    collector.stop()
}

/// Letters and digits that cannot be mistaken for each other, about 80 bits.
fn password() -> String {
    const ALPHABET: &[u8] = b"abcdefghijkmnpqrstuvwxyz23456789";
    (0..16).map(|_| char::from(ALPHABET[fastrand::usize(..ALPHABET.len())])).collect()
}

/// What one sees.
struct Screen {
    json: bool,
    started: Instant,
}

impl Screen {
    fn show(&mut self, event: &Event<'_>) {
        match event {
            Event::Ready { agent, plan, collector } => {
                self.started = Instant::now();
                let messages: usize = plan.waves.iter().map(demo::Wave::messages).sum();
                let (planted, citizens) = (plan.planted.len(), plan.citizens.len());
                eprintln!("demo: collector at {}, pages at {}", collector.agents_url(), collector.web_url());
                eprintln!("demo: agent {agent} is ready; {messages} messages will be sent by real programs,");
                eprintln!(
                    "demo: {planted} of them with the number of one of {citizens} fictitious citizens\n"
                );
            }
            Event::Leak(leak) if self.json => println!("{leak}"),
            Event::Leak(leak) => println!("{}", leak_line(leak)),
            Event::Sent(messages) => {
                let seconds = self.started.elapsed().as_secs_f32();
                eprintln!("\ndemo: {messages} messages sent and answered in {seconds:.1} s");
            }
        }
        let _nobody_reads = std::io::stdout().flush();
    }

    fn conclude(&self, outcome: &Outcome) {
        let verdict = &outcome.verdict;
        if self.json {
            println!("{}", serde_json::to_string(verdict).expect("a verdict is plain data"));
            eprint!("{}\n{}", incidents(outcome), table(verdict));
        } else {
            print!("\n{}\n{}", incidents(outcome), table(verdict));
        }
        for finding in &outcome.readable {
            eprintln!("READABLE: citizen {} as {} in {}", finding.number, finding.form, finding.place);
        }
        if outcome.others > 0 {
            eprintln!(
                "demo: {} leaks were of this machine's own traffic, not sent by the demo",
                outcome.others
            );
        }
        list("MISSED", &verdict.missed_list);
        list("FALSE ALARM", &verdict.false_alarm_list);
    }
}

/// One leak on one line. The agent has masked the number.
fn leak_line(leak: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let destination = &leak["destination"];
    let host = destination["host"].as_str().unwrap_or_else(|| destination["ip"].as_str().unwrap_or("?"));
    let wire = if leak["transport"]["encrypted"] == true { "TLS" } else { "in clear" };
    let field = leak["location"]["field"].as_str().map(|field| format!(" {field}")).unwrap_or_default();
    format!(
        "{} LEAK {} citizen {} -> {host} ({wire}, {}) in {}{field} from {}[{}]",
        clock(&text(&leak["observed_at"])),
        text(&leak["masked"]),
        short(&text(&leak["pseudonym"])),
        text(&destination["proof"]),
        text(&leak["location"]["part"]),
        text(&leak["process"]["comm"]),
        leak["process"]["pid"],
    )
}

fn table(verdict: &Verdict) -> String {
    let mut table = format!(
        "{:<26} {:>10}  {:<9} {:<9} {:<9} {}\n",
        "recipient", "citizens", "first", "last", "wire", "proof"
    );
    for row in &verdict.recipients {
        let citizens = format!("{}/{}", row.citizens_found, row.citizens_planted);
        let time = |seen: &Option<String>| seen.as_deref().map_or_else(|| "-".to_owned(), clock);
        let wire = if row.encrypted { "TLS" } else { "in clear" };
        let proof: Vec<String> = row.proof.iter().map(|(proof, leaks)| format!("{leaks} {proof}")).collect();
        table.push_str(&format!(
            "{:<26} {citizens:>10}  {:<9} {:<9} {wire:<9} {}\n",
            row.host,
            time(&row.first_seen),
            time(&row.last_seen),
            if proof.is_empty() { "nothing sent that is not allowed".to_owned() } else { proof.join(", ") },
        ));
    }
    table.push_str(&sums(verdict));
    table
}

/// What the collector made of it.
fn incidents(outcome: &Outcome) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let mut table = format!(
        "{:<9} {:<12} {:<22} {:<10} {:<16} {:>8} {:>6}  {}\n",
        "incident", "rule", "recipient", "part", "field", "citizens", "leaks", "in clear"
    );
    for it in &outcome.incidents {
        table.push_str(&format!(
            "{:<9} {:<12} {:<22} {:<10} {:<16} {:>8} {:>6}  {}\n",
            short(&text(&it["id"])),
            text(&it["rule"]),
            text(&it["site"]),
            text(&it["part"]),
            text(&it["field"]),
            it["citizens"].to_string(),
            it["occurrences"].to_string(),
            it["cleartext"],
        ));
    }
    let collected = &outcome.verdict.collector;
    table.push_str(&format!("\n{:<26} {:>10} {:>8}\n", "collector: recipient", "citizens", "leaks"));
    for row in &collected.sites {
        let citizens = format!("{}/{}", row.citizens, row.citizens_planted);
        table.push_str(&format!("{:<26} {citizens:>10} {:>8}\n", row.site, row.occurrences));
    }
    table.push_str(&format!("{:<26} {:>10} {:>8}\n", "in total", collected.citizens, collected.occurrences));
    table
}

fn sums(verdict: &Verdict) -> String {
    let Verdict { planted, found, missed, false_alarms, duplicates, .. } = verdict;
    let unexplained =
        verdict.unexplained_bytes.map_or_else(|| "unknown".to_owned(), |bytes| bytes.to_string());
    format!(
        "\ncitizens: {} of {} found\n\
         ground truth: {found} of {planted} planted found, {missed} missed, {false_alarms} false alarms, \
         {duplicates} duplicates\n\
         ledger: {unexplained} bytes unexplained; numbers readable in what agent and collector wrote or keep: {}\n\
         verdict: {}\n",
        verdict.citizens_found,
        verdict.citizens_planted,
        verdict.readable_numbers,
        if verdict.ok { "every planted leak was found, and nothing else" } else { "FAILED" },
    )
}

fn list(title: &str, alarms: &[Alarm]) {
    for alarm in alarms.iter().take(LISTED_MAX) {
        let Alarm { host, part, program, pseudonym, detail } = alarm;
        eprintln!("{title}: {host} {part} by {program}, citizen {} {detail}", short(pseudonym));
    }
    if alarms.len() > LISTED_MAX {
        eprintln!("{title}: and {} more", alarms.len() - LISTED_MAX);
    }
}

/// The time of day of an RFC 3339 time.
fn clock(time: &str) -> String {
    time.get(11..19).unwrap_or(time).to_owned()
}

fn short(pseudonym: &str) -> &str {
    pseudonym.get(..8).unwrap_or(pseudonym)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_leak_is_one_line_and_what_is_unknown_is_a_question_mark() {
        let leak = json!({
            "observed_at": "2026-11-22T08:01:02.000000003Z", "masked": "xxxxxx-xxxx", "pseudonym": "0123456789abcdef",
            "destination": {"ip": "198.18.0.10", "proof": "proven"}, "transport": {"encrypted": true},
            "location": {"part": "url.query", "field": "id"}, "process": {"pid": 7, "comm": "curl"},
        });
        let expected = "08:01:02 LEAK xxxxxx-xxxx citizen 01234567 -> 198.18.0.10 (TLS, proven) in url.query id from curl[7]";
        assert_eq!(leak_line(&leak), expected);
        assert_eq!(leak_line(&json!({})), "? LEAK ? citizen ? -> ? (in clear, ?) in ? from ?[null]");
    }
}
