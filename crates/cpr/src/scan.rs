//! From bytes to hits: the one pass over a text.
//!
//! Candidates wait in a short queue before they are reported, because a sequence shows itself only by the numbers
//! that follow. Hits come out in the order of their offsets.

use crate::calendar::{self, Birth, Date, pair};
use crate::find::{Backend, Candidate, Grammar, find};
use crate::key::Naming;
use crate::score::Evidence;
use crate::{Checksum, Hit, Number, Shape, checksum, context, foreign, gate, key};

/// How many candidates back an arithmetic neighbour is looked for.
pub(crate) const NEIGHBOURS_MAX: usize = 16;

/// How far apart two members of a sequence are at most.
const NEIGHBOUR_DISTANCE_MAX: i64 = 100;

/// How near to now a time must be to be what programs send: three years.
const NEAR_NOW_S: i64 = 3 * 365 * 86_400 + 86_400;

/// What is known around a text.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// The name of the field that the text is the value of: a header, parameter, form or JSON key, column. Never the
    /// name of another field, of the message or of the document.
    pub key: Option<&'a str>,
    /// Where in its message the text stands.
    pub place: Place,
    /// Now, in Unix seconds.
    pub now_unix: i64,
}

/// The places that the rules tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// A URL's path, or one segment of it.
    UrlPath,
    /// A URL's query, or the value of one parameter.
    UrlQuery,
    /// Anywhere else.
    Other,
}

/// Reports every candidate in `text` that passes grammar, gate and calendar, with its score; the caller decides
/// from which confidence on it matters. `found` is called in rising order of `start`, after the scan has looked
/// at most sixteen candidates ahead. Time is linear in the length of `text`, memory constant.
pub fn scan(text: &[u8], scene: &Scene<'_>, found: &mut dyn FnMut(Hit)) {
    let mut reader = Reader::new(text, scene, found);
    find(text, Grammar::Full, Backend::best(), &mut |candidate| reader.take(candidate));
    reader.queue.flush();
}

/// Judges candidates one after the other.
struct Reader<'a, 'f> {
    text: &'a [u8],
    scene: &'a Scene<'a>,
    today: Date,
    /// What the name of the field says, read when it is first needed.
    key_naming: Option<Naming>,
    /// Where the last number ended, and what its label was.
    previous: Option<(usize, Naming)>,
    queue: Queue<'f>,
}

impl<'a, 'f> Reader<'a, 'f> {
    fn new(text: &'a [u8], scene: &'a Scene<'a>, found: &'f mut dyn FnMut(Hit)) -> Self {
        let today = Date::today(scene.now_unix);
        Self { text, scene, today, key_naming: None, previous: None, queue: Queue::new(found) }
    }

    /// Of two candidates that share digits the first counts.
    fn take(&mut self, candidate: Candidate) {
        let is_taken = self.previous.is_some_and(|(end, _)| candidate.start < end);
        let number = candidate.number(self.text);
        let Some(birth) = self.birth(&candidate, &number).filter(|_| !is_taken) else { return };
        let label = self.label(&candidate);
        self.previous = Some((candidate.end, label));
        let naming = label.or(self.key_naming());
        let evidence = self.weigh(&candidate, &number, &birth, naming);
        self.queue.push(Pending { start: candidate.start, end: candidate.end, number, evidence });
    }

    /// The birth date, if it is not in the future and the candidate stands alone.
    fn birth(&self, candidate: &Candidate, number: &Number) -> Option<Birth> {
        let birth = calendar::birth(number)?;
        (birth.date <= self.today && gate::stands_alone(self.text, candidate)).then_some(birth)
    }

    fn label(&self, candidate: &Candidate) -> Naming {
        match self.previous {
            Some((end, naming)) if context::continues_list(self.text, end, candidate.start) => naming,
            _ => context::naming_before(self.text, candidate.start),
        }
    }

    fn key_naming(&mut self) -> Naming {
        *self.key_naming.get_or_insert_with(|| self.scene.key.map(key::of_key).unwrap_or_default())
    }

    fn weigh(&self, candidate: &Candidate, number: &Number, birth: &Birth, naming: Naming) -> Evidence {
        let place = self.scene.place;
        let is_whole = gate::is_whole_value(self.text, candidate, place);
        Evidence {
            age_years: birth.date.age_years(self.today),
            class: checksum::class(number, birth),
            checksum: checksum::checksum(number, birth),
            shape: candidate.shape,
            naming,
            is_epoch_second: candidate.shape == Shape::Bare && is_epoch_second(number, self.scene.now_unix),
            is_clock_time: is_clock_time(number, self.today),
            is_foreign: foreign::check_passes(number, candidate.shape),
            has_neighbour: false,
            is_whole_path_segment: is_whole && place == Place::UrlPath,
            is_whole_query_value: is_whole && place == Place::UrlQuery,
        }
    }
}

fn is_epoch_second(number: &Number, now_unix: i64) -> bool {
    number.value().abs_diff(now_unix) <= NEAR_NOW_S.unsigned_abs()
}

/// Whether DDMMYYHHMM is a time of this century within three years of today.
fn is_clock_time(number: &Number, today: Date) -> bool {
    let digits = number.digits();
    let year = today.year - today.year.rem_euclid(100) + i64::from(pair(digits, 4));
    let is_time = pair(digits, 6) < 24 && pair(digits, 8) < 60;
    is_time
        && Date::new(year, pair(digits, 2), pair(digits, 0)).is_some_and(|date| {
            let apart_days = date.day_number() - today.day_number();
            apart_days.unsigned_abs() * 86_400 <= NEAR_NOW_S.unsigned_abs()
        })
}

/// A candidate whose neighbours have not all been seen.
struct Pending {
    start: usize,
    end: usize,
    number: Number,
    evidence: Evidence,
}

impl Pending {
    /// Two members of a sequence. Two numbers that both carry the check digit are rather twins.
    fn is_neighbour_of(&self, other: &Self) -> bool {
        let apart = self.number.value().abs_diff(other.number.value());
        let both_pass =
            self.evidence.checksum == Checksum::Mod11 && other.evidence.checksum == Checksum::Mod11;
        (1..=NEIGHBOUR_DISTANCE_MAX.unsigned_abs()).contains(&apart) && !both_pass
    }

    fn into_hit(self) -> Hit {
        let score = self.evidence.score();
        Hit {
            start: self.start,
            end: self.end,
            number: self.number,
            class: self.evidence.class,
            checksum: self.evidence.checksum,
            score,
            confidence: score.confidence(),
            shape: self.evidence.shape,
        }
    }
}

/// The last candidates, oldest first from `next` on around the ring.
struct Queue<'f> {
    ring: [Option<Pending>; NEIGHBOURS_MAX],
    next: usize,
    found: &'f mut dyn FnMut(Hit),
}

impl<'f> Queue<'f> {
    fn new(found: &'f mut dyn FnMut(Hit)) -> Self {
        Self { ring: [const { None }; NEIGHBOURS_MAX], next: 0, found }
    }

    /// Reports the oldest candidate to make room, after marking neighbours on both sides.
    fn push(&mut self, mut new: Pending) {
        for old in self.ring.iter_mut().flatten() {
            let is_neighbour = old.is_neighbour_of(&new);
            old.evidence.has_neighbour |= is_neighbour;
            new.evidence.has_neighbour |= is_neighbour;
        }
        if let Some(oldest) = self.ring[self.next].replace(new) {
            (self.found)(oldest.into_hit());
        }
        self.next = (self.next + 1) % NEIGHBOURS_MAX;
    }

    fn flush(mut self) {
        for at in 0..NEIGHBOURS_MAX {
            if let Some(oldest) = self.ring[(self.next + at) % NEIGHBOURS_MAX].take() {
                (self.found)(oldest.into_hit());
            }
        }
    }
}
