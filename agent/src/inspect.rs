//! From bytes of one stream to findings: decode, match, and tell each number once per message.
//!
//! *Invariants*: a number leaves this module only as its keyed pseudonym; captured names leave it
//! scrubbed. A number that was seen in a specific part of a message is not told again for the raw bytes
//! behind that part, whatever confidence it had there: the specific part knows the field's name.
//! What policy does not tell does not count as told. A number that is all of a field's value is judged by what
//! that field has shown ([`crate::fields`]) as well; one that may be told once its field has proven itself becomes
//! a finding that waits.
//! *Limits*: the last [`crate::recent::TOLD_MAX`] numbers of one message are remembered, at least half of that; what was
//! told before them is told again, and counted again as a citizen of the message. Where messages interleave, that is
//! known of [`MESSAGES_MAX`] of them.

use std::{collections::VecDeque, ops::Range};

use cprvagt_cpr::{FieldId, Hit, Place, Scene, Standing, Trial, Why, scan, ten_digit_values};
use cprvagt_report::{
    Checksum, Class, Confidence, Label, Leak, LeakId, LeakSchema, Level, Location, Mask, Moment, Part,
    Pseudonym, Rule, Score, Scrubbed, SealedNumber, Severity,
};
use cprvagt_stream::{Bound, Decoder, Part as StreamPart, Window};

use crate::{
    fields::{Fields, Origin},
    join::writes::Write,
    judge::Policy,
    pipeline::waiting::Mention,
    pseudonym::{Key, Sealer},
    recent::Recent,
    scrub::Scrubber,
};

/// Messages of one stream that are not over, of which it is remembered what was told.
const MESSAGES_MAX: usize = 32;

/// Fields of one part in which a number waits at most.
const WAITING_IN_MAX: usize = 8;

/// A number in a message, without the number.
pub struct Finding {
    /// The citizen, under this host's key.
    pub pseudonym: Pseudonym,
    /// The number for the data controller, if the controller's key is known.
    pub sealed: Option<SealedNumber>,
    /// What kind of number.
    pub class: Class,
    /// What its check digit says.
    pub checksum: Checksum,
    /// The evidence.
    pub score: Score,
    /// How sure that is.
    pub confidence: Confidence,
    /// The shape as written.
    pub masked: Mask,
    /// Where it stood.
    pub location: Location,
    /// What was undone to see it.
    pub decodings: Vec<Label>,
    /// The host that the message itself names.
    pub host: Option<Scrubbed>,
    /// The stream offset up to which bytes must have left for the number to have left.
    pub needs: u64,
    /// What ties it to what waits; absent where nothing does.
    pub tie: Option<Tie>,
    /// The stream offset of its first byte; where something was undone, that of the value it is in.
    pub offset: u64,
    /// Why it has its score.
    pub why: Why,
    /// Distinct citizens that the message has told so far, this one among them if it is told at once.
    pub citizens: u32,
}

impl Finding {
    /// What it says by itself: nothing of who sent it, where to, and whether it left.
    pub fn into_leak(self, rule: Rule, severity: Severity) -> Leak {
        Leak {
            schema: LeakSchema::V1,
            id: LeakId::now(),
            observed_at: Moment::now(),
            rule,
            also_breaks: Vec::new(),
            severity,
            confidence: self.confidence,
            score: self.score,
            class: self.class,
            checksum: self.checksum,
            masked: self.masked,
            pseudonym: self.pseudonym,
            sealed: self.sealed,
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
            location: self.location,
            decodings: self.decodings,
            also_present: Vec::new(),
            source: None,
        }
    }
}

/// What ties a finding to others of its number in the same part of a message, of which one alone is told.
#[derive(Clone, Copy)]
pub struct Tie {
    /// What is told once.
    pub mention: Mention,
    /// The field that must prove itself before this one is told, and how the value fared; `None`: it is told at once.
    pub waits: Option<(FieldId, Trial)>,
}

/// What is the same for all streams at one moment, and who sends.
#[derive(Clone, Copy)]
pub struct Lens<'a> {
    /// Makes pseudonyms.
    pub key: &'a Key,
    /// Seals numbers for the data controller.
    pub sealer: Option<&'a Sealer>,
    /// Says which numbers are told at all.
    pub policy: &'a Policy,
    /// What fields have shown; absent where each number speaks for itself alone.
    pub fields: Option<&'a Fields>,
    /// From which confidence on a number counts, whatever its class, where that is not up to the policy.
    pub floor: Option<Level>,
    /// Who sends to whom.
    pub origin: Origin<'a>,
    /// Seconds since 1970, for the rules of the calendar.
    pub now_unix: i64,
}

impl Lens<'_> {
    /// The same, for what `origin` sends.
    pub fn of<'o>(&'o self, origin: Origin<'o>) -> Lens<'o> {
        Lens { origin, ..*self }
    }

    /// The same, for what stays on this host: nothing is sealed, counted or told, so numbers of low confidence are noted.
    pub fn on_host(&self) -> Self {
        Lens { sealer: None, fields: None, floor: Some(Level::Low), ..*self }
    }

    /// Whether a number such as this counts.
    fn tells(&self, class: Class, confidence: Confidence) -> bool {
        match self.floor {
            Some(floor) => floor.admits(confidence),
            None => self.policy.tells(class, confidence),
        }
    }

    /// Counts a value of a field; returns which field, and what it is now.
    fn count(&self, window: &Window<'_>, value: &Range<usize>, trial: Trial) -> Option<(FieldId, Standing)> {
        Some(self.fields?.take(window, value, trial, &self.origin, self.now_unix))
    }
}

/// Bytes that were accounted for.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// As text or a recognised protocol.
    pub text_bytes: u64,
    /// As something that no decoder reads.
    pub opaque_bytes: u64,
    /// As something whose decoder would have to look too far back.
    pub window_bytes: u64,
    /// As something that becomes too much, or lies too deep.
    pub limit_bytes: u64,
}

impl Counted {
    fn add(&mut self, window: &Window<'_>) {
        let sum = match (window.text, window.beyond) {
            (true, _) => &mut self.text_bytes,
            (false, None) => &mut self.opaque_bytes,
            (false, Some(Bound::Window)) => &mut self.window_bytes,
            (false, Some(Bound::Limit)) => &mut self.limit_bytes,
        };
        *sum += window.counted;
    }

    /// Bytes that were not read.
    pub fn unread_bytes(&self) -> u64 {
        self.opaque_bytes + self.window_bytes + self.limit_bytes
    }
}

/// One direction of one stream.
pub struct Inspector {
    decoder: Decoder,
    messages: Messages,
}

/// What was seen of the messages that are not over yet: of one, or of several where they interleave. The last used is
/// last.
#[derive(Default)]
struct Messages(VecDeque<Told>);

/// What was seen of one message.
#[derive(Default)]
struct Told {
    message: u64,
    /// Where in the stream the specific parts with a number lie: the smallest range that covers them.
    specific: Recent<Pseudonym, Range<u64>>,
    by_part: Recent<(Pseudonym, StreamPart), ()>,
    /// In which fields a number waits.
    waiting: Recent<(Pseudonym, StreamPart), Vec<FieldId>>,
    /// Which message of all this is, once something waits.
    number: Option<u64>,
    citizens: Recent<Pseudonym, ()>,
    citizens_count: u32,
}

/// What came out of one step.
#[derive(Default)]
pub struct Inspected {
    /// The numbers.
    pub findings: Vec<Finding>,
    /// The bytes.
    pub counted: Counted,
}

impl Inspector {
    /// For a stream.
    pub fn stream() -> Self {
        Self { decoder: Decoder::stream(), messages: Messages::default() }
    }

    /// For datagrams, each a message.
    pub fn datagram() -> Self {
        Self { decoder: Decoder::datagram(), messages: Messages::default() }
    }

    /// Looks at the next bytes.
    pub fn push(&mut self, bytes: &[u8], lens: &Lens<'_>, into: &mut Inspected) {
        let Self { decoder, messages } = self;
        decoder.push(bytes, &mut |window| messages.look(&window, lens, into));
    }

    /// Looks at a TLS write, holes included.
    pub fn push_write(&mut self, write: &Write, lens: &Lens<'_>, into: &mut Inspected) {
        write.for_each(|piece| match piece {
            Ok(bytes) => self.push(bytes, lens, into),
            Err(missing) => self.gap(missing, lens, into),
        });
    }

    /// Bytes are missing here.
    pub fn gap(&mut self, bytes: u64, lens: &Lens<'_>, into: &mut Inspected) {
        let Self { decoder, messages } = self;
        decoder.gap(bytes, &mut |window| messages.look(&window, lens, into));
    }

    /// No bytes came for a while.
    pub fn quiet(&mut self, lens: &Lens<'_>, into: &mut Inspected) {
        let Self { decoder, messages } = self;
        decoder.quiet(&mut |window| messages.look(&window, lens, into));
    }

    /// No bytes will come.
    pub fn finish(&mut self, lens: &Lens<'_>, into: &mut Inspected) {
        let Self { decoder, messages } = self;
        decoder.finish(&mut |window| messages.look(&window, lens, into));
    }
}

impl Messages {
    fn look(&mut self, window: &Window<'_>, lens: &Lens<'_>, into: &mut Inspected) {
        into.counted.add(window);
        self.of(window).look(window, lens, into);
    }

    /// What was seen of the message of a window.
    fn of(&mut self, window: &Window<'_>) -> &mut Told {
        let Self(told) = self;
        if told.back().is_none_or(|last| last.message != window.message) {
            let known = told.iter().position(|told| told.message == window.message);
            let next = known.and_then(|at| told.remove(at));
            // What is encoded in a raw stream may come before the raw bytes of the message in front of it.
            let kept_max = if window.protocol.interleaves() { MESSAGES_MAX - 1 } else { 1 };
            told.drain(..told.len().saturating_sub(kept_max));
            told.push_back(next.unwrap_or_else(|| Told { message: window.message, ..Told::default() }));
        }
        told.back_mut().expect("one was put there")
    }
}

impl Told {
    fn look(&mut self, window: &Window<'_>, lens: &Lens<'_>, into: &mut Inspected) {
        let scene = Scene { key: key_name(window), place: place(window.part), now_unix: lens.now_unix };
        let mut values = whole_values(window, scene.place);
        scan(window.bytes, &scene, &mut |hit| {
            if window.owned.contains(&hit.start) {
                let value = values.iter().position(|value| *value == (hit.start..hit.end));
                let field = value.and_then(|at| lens.count(window, &values.swap_remove(at), hit.trial));
                into.findings.extend(self.take(&hit, field, window, lens));
            }
        });
        for value in values {
            lens.count(window, &value, Trial::Fails);
        }
    }

    /// The finding of a hit, if it is to be told, now or when its field has proven itself.
    fn take(
        &mut self,
        hit: &Hit,
        field: Option<(FieldId, Standing)>,
        window: &Window<'_>,
        lens: &Lens<'_>,
    ) -> Option<Finding> {
        let pseudonym = lens.key.pseudonym(hit.number.digits());
        if self.is_shown_elsewhere(pseudonym, window) {
            return None;
        }
        let score = field.map_or(hit.score, |(_, standing)| hit.score_in(standing));
        let is_told = |confidence| lens.tells(class(hit.class), confidence);
        let tie = if is_told(confidence(score.confidence())) {
            if !self.is_first(pseudonym, window.part) {
                return None;
            }
            self.count_citizen(pseudonym);
            self.tie_of_told(pseudonym, window.part, lens)
        } else {
            let (id, _) = field.filter(|(_, standing)| *standing > Standing::Demoted)?;
            if hit.trial == Trial::Fails || !is_told(Confidence::High) {
                return None;
            }
            Some(self.tie_of_waiting(pseudonym, window.part, (id, hit.trial), lens)?)
        };
        let citizens = self.citizens_count;
        Some(Finding { citizens, ..finding(hit, pseudonym, score, tie, window, lens) })
    }

    fn count_citizen(&mut self, pseudonym: Pseudonym) {
        if self.citizens.get(&pseudonym).is_none() {
            self.citizens.insert(pseudonym, ());
            self.citizens_count = self.citizens_count.saturating_add(1);
        }
    }

    /// Whether these are the raw bytes of a specific part that had the number. Takes note of specific parts.
    fn is_shown_elsewhere(&mut self, pseudonym: Pseudonym, window: &Window<'_>) -> bool {
        let (known, source) = (self.specific.get(&pseudonym), &window.source);
        if !window.part.is_specific() {
            return known.is_some_and(|known| known.start < source.end && source.start < known.end);
        }
        let cover =
            known.map_or(source.clone(), |known| known.start.min(source.start)..known.end.max(source.end));
        self.specific.insert(pseudonym, cover);
        false
    }

    fn is_first(&mut self, pseudonym: Pseudonym, part: StreamPart) -> bool {
        let is_first = self.by_part.get(&(pseudonym, part)).is_none();
        if is_first {
            self.by_part.insert((pseudonym, part), ());
        }
        is_first
    }

    /// What ties a number that is told to those of it that wait.
    fn tie_of_told(&mut self, pseudonym: Pseudonym, part: StreamPart, lens: &Lens<'_>) -> Option<Tie> {
        self.waiting.get(&(pseudonym, part))?;
        Some(Tie { mention: self.mention(pseudonym, part, lens), waits: None })
    }

    /// What a number waits for that is not told; `None` where it was told or waits already.
    fn tie_of_waiting(
        &mut self,
        pseudonym: Pseudonym,
        part: StreamPart,
        waits: (FieldId, Trial),
        lens: &Lens<'_>,
    ) -> Option<Tie> {
        let key = (pseudonym, part);
        let mut fields = self.waiting.get(&key).cloned().unwrap_or_default();
        if self.by_part.get(&key).is_some() || fields.contains(&waits.0) || fields.len() >= WAITING_IN_MAX {
            return None;
        }
        fields.push(waits.0);
        self.waiting.insert(key, fields);
        Some(Tie { mention: self.mention(pseudonym, part, lens), waits: Some(waits) })
    }

    fn mention(&mut self, pseudonym: Pseudonym, of: StreamPart, lens: &Lens<'_>) -> Mention {
        let number = || lens.fields.map(Fields::number_message).unwrap_or_default();
        let message = *self.number.get_or_insert_with(number);
        Mention { message, pseudonym, part: part(of) }
    }
}

/// The values of a window that are ten digits, where it is all of a field's value. A piece of a longer one is none.
fn whole_values(window: &Window<'_>, place: Place) -> Vec<Range<usize>> {
    let is_whole = window.part.is_specific() && window.owned == (0..window.bytes.len());
    if is_whole { ten_digit_values(window.bytes, place).collect() } else { Vec::new() }
}

fn finding(
    hit: &Hit,
    pseudonym: Pseudonym,
    score: cprvagt_cpr::Score,
    tie: Option<Tie>,
    window: &Window<'_>,
    lens: &Lens<'_>,
) -> Finding {
    let (scrubber, needed) = (Scrubber::at(lens.now_unix), needed(hit, window));
    Finding {
        pseudonym,
        sealed: lens.sealer.map(|sealer| sealer.seal(pseudonym, hit.number.digits())),
        class: class(hit.class),
        checksum: checksum(hit.checksum),
        score: reported(score),
        confidence: confidence(score.confidence()),
        masked: Mask::of(hit.shape.as_str()),
        location: Location {
            protocol: Label::new(window.protocol.as_str()),
            part: part(window.part),
            field: window.field.map(|field| scrubber.name(field)),
            path: window.path.map(|path| scrubber.path(path)),
        },
        decodings: window.decodings.iter().map(|decoding| Label::new(decoding.as_str())).collect(),
        host: window.host.map(|host| scrubber.name(host)),
        needs: needed.end,
        tie,
        offset: needed.start,
        why: hit.why,
        citizens: 0,
    }
}

/// A score as reports have it.
pub fn reported(score: cprvagt_cpr::Score) -> Score {
    Score::from_tenths(i32::from(score.tenths()))
}

/// The bytes of the stream that a number needs: its own, or where something was undone those of the value it is in.
/// Whatever is undone makes a value shorter: one that has its length is as it stood.
fn needed(hit: &Hit, window: &Window<'_>) -> Range<u64> {
    let (source, owned) = (&window.source, &window.owned);
    if source.end - source.start != owned.len() as u64 {
        return source.clone();
    }
    let at = |place: usize| source.start + place.saturating_sub(owned.start) as u64;
    at(hit.start)..at(hit.end).min(source.end)
}

/// The name that speaks for the value: of a path of names its last step.
fn key_name<'a>(window: &Window<'a>) -> Option<&'a str> {
    let field = window.field?;
    if window.part.is_of_body() {
        return field.rsplit('.').next().map(|step| step.trim_end_matches("[]"));
    }
    Some(field)
}

fn place(part: StreamPart) -> Place {
    match part {
        StreamPart::UrlPath => Place::UrlPath,
        StreamPart::UrlQuery => Place::UrlQuery,
        _ => Place::Other,
    }
}

fn part(part: StreamPart) -> Part {
    Part::from_word(part.as_str()).unwrap_or(Part::Raw)
}

fn class(class: cprvagt_cpr::Class) -> Class {
    match class {
        cprvagt_cpr::Class::Cpr => Class::Cpr,
        cprvagt_cpr::Class::Replacement => Class::Replacement,
        cprvagt_cpr::Class::Test => Class::Test,
    }
}

fn checksum(checksum: cprvagt_cpr::Checksum) -> Checksum {
    match checksum {
        cprvagt_cpr::Checksum::Mod11 => Checksum::Mod11,
        cprvagt_cpr::Checksum::ListedDate => Checksum::ListedDate,
        cprvagt_cpr::Checksum::None => Checksum::None,
    }
}

/// A confidence as reports have it.
pub fn confidence(confidence: cprvagt_cpr::Confidence) -> Confidence {
    match confidence {
        cprvagt_cpr::Confidence::High => Confidence::High,
        cprvagt_cpr::Confidence::Medium => Confidence::Medium,
        cprvagt_cpr::Confidence::Low => Confidence::Low,
        cprvagt_cpr::Confidence::None => Confidence::None,
    }
}

#[cfg(test)]
#[path = "inspect_tests.rs"]
mod tests;
