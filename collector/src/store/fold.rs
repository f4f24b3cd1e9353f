//! The occurrences of one transaction, summed in memory before the database is touched.
//!
//! *Invariants*: each leak counts once. Sums do not depend on the order of the occurrences.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use cprvagt_report::Moment;
use uuid::Uuid;

use super::column::micros;
use crate::citizen::Citizen;
use crate::occurrence::Occurrence;

/// Microseconds of an hour.
const HOUR_MICROS: i64 = 3_600_000_000;

/// The new occurrences of one transaction.
pub(super) struct Fold<'a> {
    /// Each with its incident and trace, as indexes into the lists below.
    pub(super) rows: Vec<Row<'a>>,
    /// Incidents, each once.
    pub(super) incidents: Vec<Incident<'a>>,
    /// Traces, each once.
    pub(super) traces: Vec<TraceSum<'a>>,
    /// Citizens of incidents, each pair once, in order of their ids.
    pub(super) citizens: Vec<CitizenSum<'a>>,
    /// Citizens of traces, each pair once, in order of their ids.
    pub(super) sightings: Vec<Sighting>,
    /// Occurrences by (index of the incident, hour of Unix time).
    pub(super) hours: Vec<((usize, i64), u64)>,
}

/// One occurrence.
pub(super) struct Row<'a> {
    pub(super) occurrence: &'a Occurrence,
    pub(super) incident: usize,
    pub(super) trace: usize,
}

/// What an incident gains.
pub(super) struct Incident<'a> {
    /// One of its occurrences.
    pub(super) example: &'a Occurrence,
    pub(super) span: Span,
    pub(super) occurrences: u64,
    pub(super) encrypted: u64,
    pub(super) cleartext: u64,
    /// Rank of the gravest severity.
    pub(super) severity: u8,
}

/// What a trace gains.
pub(super) struct TraceSum<'a> {
    /// One of its occurrences.
    pub(super) example: &'a Occurrence,
    /// Index of its incident.
    pub(super) incident: usize,
    pub(super) span: Span,
    pub(super) occurrences: u64,
}

/// A citizen in a trace.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(super) struct Sighting {
    /// Index of the trace.
    pub(super) trace: usize,
    pub(super) citizen: Citizen,
    /// Index of the incident.
    pub(super) incident: usize,
}

/// A citizen of an incident.
pub(super) struct CitizenSum<'a> {
    /// Index of the incident.
    pub(super) incident: usize,
    /// Index of the trace of the first occurrence.
    pub(super) trace: usize,
    pub(super) citizen: Citizen,
    pub(super) span: Span,
    pub(super) sealed: Option<&'a [u8]>,
}

/// Earliest and latest, in microseconds of Unix time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Span {
    pub(super) first: i64,
    pub(super) last: i64,
}

impl Span {
    fn at(moment: Moment) -> Self {
        Self { first: micros(moment), last: micros(moment) }
    }

    fn take(&mut self, moment: Moment) {
        self.widen(Self::at(moment));
    }

    /// Takes in another.
    pub(super) fn widen(&mut self, other: Self) {
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
    }
}

/// One of each leak, the first in order, but for those `known` already.
pub(super) fn fresh<'a>(
    occurrences: impl Iterator<Item = &'a Occurrence>,
    known: &HashSet<Uuid>,
) -> Vec<&'a Occurrence> {
    let mut met = HashSet::new();
    occurrences.filter(|it| !known.contains(&it.leak.0) && met.insert(it.leak.0)).collect()
}

impl<'a> Fold<'a> {
    /// The sums of `occurrences`, each of another leak.
    pub(super) fn of(occurrences: Vec<&'a Occurrence>) -> Self {
        let mut folder = Folder::default();
        let rows = occurrences.into_iter().map(|occurrence| folder.add(occurrence)).collect();
        // Neighbours in a table share its pages.
        folder.citizens.sort_unstable_by_key(|it| (it.incident, it.citizen));
        folder.sightings.sort_unstable();
        Self {
            rows,
            incidents: folder.incidents,
            traces: folder.traces,
            citizens: folder.citizens,
            sightings: folder.sightings,
            hours: folder.hours.into_iter().collect(),
        }
    }
}

#[derive(Default)]
struct Folder<'a> {
    incidents: Vec<Incident<'a>>,
    traces: Vec<TraceSum<'a>>,
    citizens: Vec<CitizenSum<'a>>,
    sightings: Vec<Sighting>,
    hours: HashMap<(usize, i64), u64>,
    incident_at: HashMap<[u8; 16], usize>,
    trace_at: HashMap<[u8; 16], usize>,
    citizen_at: HashMap<(usize, Citizen), usize>,
    sighted: HashSet<Sighting>,
}

impl<'a> Folder<'a> {
    fn add(&mut self, occurrence: &'a Occurrence) -> Row<'a> {
        let incident = self.incident(occurrence);
        let trace = self.trace(occurrence, incident);
        self.citizen(occurrence, incident, trace);
        let sighting = Sighting { trace, citizen: occurrence.citizen, incident };
        if self.sighted.insert(sighting) {
            self.sightings.push(sighting);
        }
        let hour = micros(occurrence.observed_at).div_euclid(HOUR_MICROS);
        *self.hours.entry((incident, hour)).or_default() += 1;
        Row { occurrence, incident, trace }
    }

    fn incident(&mut self, occurrence: &'a Occurrence) -> usize {
        let index = *self.incident_at.entry(occurrence.incident.0).or_insert_with(|| {
            self.incidents.push(Incident {
                example: occurrence,
                span: Span::at(occurrence.observed_at),
                occurrences: 0,
                encrypted: 0,
                cleartext: 0,
                severity: occurrence.severity as u8,
            });
            self.incidents.len() - 1
        });
        let sum = &mut self.incidents[index];
        sum.span.take(occurrence.observed_at);
        sum.occurrences += 1;
        sum.encrypted += u64::from(occurrence.trace.encrypted == Some(true));
        sum.cleartext += u64::from(occurrence.trace.encrypted == Some(false));
        sum.severity = sum.severity.min(occurrence.severity as u8);
        index
    }

    fn trace(&mut self, occurrence: &'a Occurrence, incident: usize) -> usize {
        let index = *self.trace_at.entry(occurrence.trace_id).or_insert_with(|| {
            let span = Span::at(occurrence.observed_at);
            self.traces.push(TraceSum { example: occurrence, incident, span, occurrences: 0 });
            self.traces.len() - 1
        });
        let sum = &mut self.traces[index];
        sum.span.take(occurrence.observed_at);
        sum.occurrences += 1;
        index
    }

    fn citizen(&mut self, occurrence: &'a Occurrence, incident: usize, trace: usize) {
        let citizen = occurrence.citizen;
        let sealed = occurrence.sealed.as_deref();
        match self.citizen_at.entry((incident, citizen)) {
            Entry::Vacant(entry) => {
                entry.insert(self.citizens.len());
                let span = Span::at(occurrence.observed_at);
                self.citizens.push(CitizenSum { incident, trace, citizen, span, sealed });
            }
            Entry::Occupied(entry) => {
                let sum = &mut self.citizens[*entry.get()];
                sum.span.take(occurrence.observed_at);
                sum.sealed = sum.sealed.or(sealed);
            }
        }
    }
}
