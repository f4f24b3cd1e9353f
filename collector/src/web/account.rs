//! An incident in plain words: what happened, why a count may be too low, and what nobody knows.
//!
//! *Invariants*: nothing is said that the reports do not show. What is not known is said to be unknown.

use cprvagt_report::{Class, Confidence, Direction, Moment, Outcome, Proof};

use super::danish::{self, Time, counted};
use crate::fingerprint::{SITE_SERVER, SITE_UNKNOWN};
use crate::store::{Counted, IncidentDetail, IncidentRow};

/// What happened, in one or two sentences.
pub fn sentence(detail: &IncidentDetail) -> String {
    let row = &detail.incident;
    let numbers = match row.citizens {
        1 => "et personnummer vedrørende 1 borger".to_owned(),
        many => format!("personnumre vedrørende {} borgere", danish::number(many)),
    };
    let span = match row.occurrences {
        1 => format!("den {}", Time::of(row.last_seen.0).local),
        _ => danish::span(row.first_seen.0, row.last_seen.0),
    };
    format!("{} {} {span}. {}", who(detail), did(detail, &numbers), how(row))
}

fn who(detail: &IncidentDetail) -> String {
    let row = &detail.incident;
    let actor = match (&row.system, &detail.hosts[..]) {
        (Some(system), _) => format!("Systemet {system}"),
        (None, [host]) => format!("Et program på værten {}", host.what.name),
        (None, hosts) => format!("Programmer på {}", counted(hosts.len() as u64, "vært", "værter")),
    };
    match &row.controller {
        Some(controller) => format!("{actor}, som {controller} er dataansvarlig for,"),
        None => actor,
    }
}

fn did(detail: &IncidentDetail, numbers: &str) -> String {
    let all = |direction| detail.transports.iter().all(|it| it.what.direction == Some(direction));
    let site = &detail.incident.site;
    match () {
        () if detail.transports.is_empty() => format!("har behandlet {numbers}"),
        () if all(Direction::Response) => format!("har svaret klienter med {numbers}"),
        () if all(Direction::Request) => format!("har modtaget forespørgsler med {numbers}"),
        () if site == SITE_SERVER => format!("har udvekslet {numbers} med sine klienter"),
        () if site == SITE_UNKNOWN => format!("har sendt {numbers} til en ukendt modtager"),
        () => format!("har sendt {numbers} til {site}"),
    }
}

fn how(row: &IncidentRow) -> String {
    let place = danish::part(row.part);
    let field = row.field.as_ref().map(|field| format!(" (feltet {field})")).unwrap_or_default();
    let transport = match (row.encrypted, row.cleartext) {
        (0, 0) => "om forbindelsen var krypteret, vides ikke",
        (_, 0) => "forbindelsen var krypteret",
        (0, _) => "forbindelsen var ikke krypteret",
        _ => "kun en del af forbindelserne var krypteret",
    };
    let numbers = if row.citizens == 1 { "Personnummeret" } else { "Personnumrene" };
    format!("{numbers} stod i {place}{field}; {transport}.")
}

/// What makes the counts a lower bound.
pub fn why_lower_bound(detail: &IncidentDetail) -> String {
    let mut reasons = Vec::new();
    let gaps =
        detail.gaps.len() as u64 + detail.ledgers.iter().map(|row| row.ledger.gaps.len() as u64).sum::<u64>();
    if gaps > 0 {
        reasons.push(format!("værternes overvågning har {}", counted(gaps, "hul", "huller")));
    }
    let leaks: u64 = total(detail.gaps.iter().map(|gap| gap.leaks_lost));
    if leaks > 0 {
        reasons.push(format!("{} gik tabt, før de kunne sendes hertil", counted(leaks, "fund", "fund")));
    }
    let lost: u64 = total(detail.ledgers.iter().map(|row| row.ledger.lost_bytes()));
    if lost > 0 {
        reasons.push(format!("{} trafik kunne ikke nå at blive læst", danish::size(lost)));
    }
    format!("Der kan være flere berørte borgere: {}.", reasons.join(", og "))
}

/// What is not known, the most important first.
pub fn unknowns(detail: &IncidentDetail, watched_since: Option<Moment>) -> Vec<String> {
    let mut unknowns = Vec::new();
    unknowns.push(match watched_since {
        Some(since) => format!(
            "Om det også skete før {}. Overvågningen af værterne begyndte på det tidspunkt.",
            Time::of(since.0).local
        ),
        None => "Om det også skete, før overvågningen begyndte.".to_owned(),
    });
    unknowns.extend(about_recipient(detail));
    unknowns.extend(about_numbers(detail));
    unknowns.extend(about_unread(detail));
    if detail.incident.controller.is_none() {
        unknowns.push("Hvem der er dataansvarlig. Agentens opsætning navngiver ikke systemet.".to_owned());
    }
    unknowns.push(
        "Hvem borgerne er. De tælles under pseudonym; kun den dataansvarlige kan finde frem til dem."
            .to_owned(),
    );
    unknowns
}

fn about_recipient(detail: &IncidentDetail) -> Vec<String> {
    let mut unknowns = Vec::new();
    let unproven = sum(&detail.recipients, |it| it.proof != Proof::Proven);
    if unproven > 0 {
        unknowns
            .push(format!("Hvem der faktisk modtog {}. Modtageren er ikke bevist.", occurrences(unproven)));
    }
    let unsent = sum(&detail.transports, |it| it.outcome != Some(Outcome::Sent));
    if unsent > 0 {
        unknowns.push(format!("Om {} nåede ud på netværket.", occurrences(unsent)));
    }
    let encryption = sum(&detail.transports, |it| it.encrypted.is_none());
    if encryption > 0 {
        unknowns.push(format!("Om forbindelsen var krypteret for {}.", occurrences(encryption)));
    }
    unknowns.push("Om modtageren har gemt, brugt eller slettet personnumrene.".to_owned());
    unknowns
}

fn about_numbers(detail: &IncidentDetail) -> Vec<String> {
    let mut unknowns = Vec::new();
    let doubtful = sum(&detail.sureness, |it| it.confidence != Confidence::High);
    if doubtful > 0 {
        unknowns.push(format!(
            "Om alle fund er personnumre. For {} er sikkerheden kun middel eller lav.",
            occurrences(doubtful)
        ));
    }
    let tests = sum(&detail.sureness, |it| it.class == Class::Test);
    if tests > 0 {
        unknowns
            .push(format!("Om {} vedrører en person: nummeret er et kendt testnummer.", occurrences(tests)));
    }
    unknowns
}

fn about_unread(detail: &IncidentDetail) -> Vec<String> {
    let mut unknowns = Vec::new();
    let blind: u64 = total(detail.ledgers.iter().map(|row| row.ledger.blind_bytes()));
    if blind > 0 {
        unknowns.push(format!(
            "Hvad der stod i {} trafik fra de samme værter, som ikke kan læses. Se regnskabet nedenfor.",
            danish::size(blind)
        ));
    }
    if detail.ledgers.is_empty() {
        unknowns.push("Hvor meget af værternes trafik der blev læst. Der er intet regnskab.".to_owned());
    }
    unknowns
}

fn occurrences(count: u64) -> String {
    counted(count, "forekomst", "forekomster")
}

fn sum<T>(rows: &[Counted<T>], which: impl Fn(&T) -> bool) -> u64 {
    total(rows.iter().filter(|row| which(&row.what)).map(|row| row.counts.occurrences))
}

/// The sum, or the largest number there is: agents tell the parts, and may tell anything.
fn total(parts: impl Iterator<Item = u64>) -> u64 {
    parts.fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_sum_that_is_too_large_is_the_largest() {
        assert_eq!(super::total([u64::MAX - 1, 5, 7].into_iter()), u64::MAX);
        assert_eq!(super::total([1, 5].into_iter()), 6);
    }
}
