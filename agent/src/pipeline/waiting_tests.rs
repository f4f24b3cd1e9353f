//! Bounds of what waits, and who makes room for whom.

use cprvagt_report::{
    Checksum, Class, Confidence, Label, LeakId, LeakSchema, Location, Mask, Moment, Rule, Score, Severity,
};

use super::*;

fn pseudonym(citizen: u64) -> Pseudonym {
    let mut hash = [0; 16];
    hash[..8].copy_from_slice(&citizen.to_ne_bytes());
    Pseudonym::from_keyed_hash(hash)
}

fn waiter(message: u64, citizen: u64, since: Instant) -> Waiter {
    let mention = Mention { message, pseudonym: pseudonym(citizen), part: Part::Json };
    let leak = Leak {
        schema: LeakSchema::V1,
        id: LeakId::now(),
        observed_at: Moment::now(),
        rule: Rule::NotAllowed,
        also_breaks: Vec::new(),
        severity: Severity::High,
        confidence: Confidence::Low,
        score: Score::from_tenths(-31),
        class: Class::Cpr,
        checksum: Checksum::Mod11,
        masked: Mask::of("xxxxxxxxxx"),
        pseudonym: mention.pseudonym,
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
        location: Location { protocol: Label::new("raw"), part: Part::Json, field: None, path: None },
        decodings: Vec::new(),
        also_present: Vec::new(),
        source: None,
    };
    Waiter { leak, mention, trial: Trial::Passes, since }
}

fn id(program: u64, field: u64) -> FieldId {
    FieldId { program, field }
}

/// The citizens of a field's leaks, which are taken out.
fn taken(waiting: &mut Waiting, field: FieldId) -> Vec<Pseudonym> {
    waiting.take(field, |_| true).iter().map(|leak| leak.pseudonym).collect()
}

#[test]
fn a_citizen_does_not_keep_out_others_and_a_field_has_a_limit() {
    let (mut waiting, now) = (Waiting::default(), Instant::now());
    for message in 0..100 {
        waiting.keep(id(1, 1), waiter(message, 0, now));
    }
    for citizen in 1..100 {
        waiting.keep(id(1, 1), waiter(100 + citizen, citizen, now));
    }
    let first = [0; OF_CITIZEN_MAX].into_iter().chain(1..).take(OF_FIELD_MAX);
    assert_eq!(taken(&mut waiting, id(1, 1)), first.map(pseudonym).collect::<Vec<_>>());
    assert_eq!(waiting.dropped_total, 199 - OF_FIELD_MAX as u64);
    assert_eq!((waiting.len, waiting.fields.len()), (0, 0));
}

#[test]
fn where_there_is_no_room_the_program_with_the_most_loses_its_oldest() {
    let (mut waiting, start) = (Waiting::default(), Instant::now());
    waiting.keep(id(2, 1), waiter(0, 0, start));
    for message in 1..=2 * WAITING_MAX as u64 {
        let since = start + Duration::from_secs(message);
        waiting.keep(id(1, message), waiter(message, message, since));
        assert!(waiting.len <= WAITING_MAX);
        assert_eq!(waiting.len, waiting.fields.values().map(VecDeque::len).sum::<usize>());
    }
    assert_eq!(taken(&mut waiting, id(2, 1)).len(), 1, "of another program");
    assert_eq!(taken(&mut waiting, id(1, 2 * WAITING_MAX as u64)).len(), 1, "the newest");
    assert_eq!(taken(&mut waiting, id(1, 1)).len(), 0, "the oldest");
    assert_eq!(waiting.dropped_total, WAITING_MAX as u64 + 1);
}

#[test]
fn what_is_not_told_goes_on_waiting() {
    let (mut waiting, now) = (Waiting::default(), Instant::now());
    for message in 0..4 {
        waiting.keep(id(1, 1), waiter(message, message, now));
    }
    let even = waiting.take(id(1, 1), |waiter| waiter.mention.message % 2 == 0);
    assert_eq!((even.len(), waiting.len), (2, 2));
    waiting.forget_old(now + WAIT_MAX - Duration::from_secs(1));
    assert_eq!(waiting.len, 2);
    waiting.forget_old(now + WAIT_MAX);
    assert_eq!((waiting.len, waiting.fields.len()), (0, 0));
}

#[test]
fn a_mention_is_told_once() {
    let (mut waiting, now) = (Waiting::default(), Instant::now());
    let mention = waiter(1, 1, now).mention;
    for field in 0..3 {
        waiting.keep(id(1, field), waiter(1, 1, now));
        waiting.keep(id(1, field), waiter(2, 2, now));
    }
    assert_eq!(taken(&mut waiting, id(1, 0)), [pseudonym(1), pseudonym(2)]);
    assert_eq!(waiting.len, 0, "the others are the same mentions");
    assert!(!waiting.settle(mention));
    let other = Mention { message: 3, ..mention };
    assert!(waiting.settle(other) && !waiting.settle(other));
    for message in 10..10 + SETTLED_MAX as u64 {
        assert!(waiting.settle(Mention { message, ..mention }));
    }
    assert_eq!(waiting.settled.len(), SETTLED_MAX);
}
