//! From bytes to hits: the one pass over a text.
//!
//! Candidates wait in a short queue before they are reported, because a sequence shows itself only by the numbers
//! that follow. Hits come out in the order of their offsets.

use crate::calendar::{self, Birth, Date, pair};
use crate::grammar::{Runs, Token, tokens};
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
    let today = Date::today(scene.now_unix);
    let mut key_naming = None;
    let mut queue = Queue::new(found);
    let mut previous: Option<(usize, Naming)> = None;
    for run in Runs::new(text) {
        let Some((token, birth)) = candidate(text, run, today) else {
            continue;
        };
        let key_naming = *key_naming.get_or_insert_with(|| scene.key.map(key::of_key).unwrap_or_default());
        let inherited = previous.filter(|&(end, _)| context::continues_list(text, end, token.start));
        let label = match inherited {
            Some((_, naming)) => naming,
            None => context::naming_before(text, token.start),
        };
        previous = Some((token.end, label));
        queue.push(Pending {
            evidence: weigh(text, &token, &birth, scene, today, label.or(key_naming)),
            token,
        });
    }
    queue.flush();
}

/// The token of a digit run that stands alone and names a birth date not in the future.
fn candidate(text: &[u8], run: core::ops::Range<usize>, today: Date) -> Option<(Token, Birth)> {
    tokens(text, run).into_iter().flatten().find_map(|token| {
        let birth = calendar::birth(&token.number)?;
        (birth.date <= today && gate::stands_alone(text, &token)).then_some((token, birth))
    })
}

fn weigh(
    text: &[u8],
    token: &Token,
    birth: &Birth,
    scene: &Scene<'_>,
    today: Date,
    naming: Naming,
) -> Evidence {
    let is_whole = gate::is_whole_value(text, token, scene.place);
    Evidence {
        age_years: birth.date.age_years(today),
        class: checksum::class(&token.number, birth),
        checksum: checksum::checksum(&token.number, birth),
        shape: token.shape,
        naming,
        is_epoch_second: token.shape == Shape::Bare && is_epoch_second(&token.number, scene.now_unix),
        is_clock_time: is_clock_time(&token.number, today),
        is_foreign: foreign::check_passes(&token.number, token.shape),
        has_neighbour: false,
        is_whole_path_segment: is_whole && scene.place == Place::UrlPath,
        is_whole_query_value: is_whole && scene.place == Place::UrlQuery,
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
    token: Token,
    evidence: Evidence,
}

impl Pending {
    /// Two members of a sequence. Two numbers that both carry the check digit are rather twins.
    fn is_neighbour_of(&self, other: &Self) -> bool {
        let apart = self.token.number.value().abs_diff(other.token.number.value());
        let both_pass =
            self.evidence.checksum == Checksum::Mod11 && other.evidence.checksum == Checksum::Mod11;
        (1..=NEIGHBOUR_DISTANCE_MAX.unsigned_abs()).contains(&apart) && !both_pass
    }

    fn into_hit(self) -> Hit {
        let score = self.evidence.score();
        Hit {
            start: self.token.start,
            end: self.token.end,
            number: self.token.number,
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
