//! Judges candidates one after the other, and remembers what the next one may need of those before it.
//!
//! A candidate is judged by the text around it: [`BEFORE_BYTES_MAX`] before its start, [`REACH_BYTES_MAX`] from its
//! start on. Who has so much of the whole may read it in parts.

use core::ops::Range;

use crate::calendar::{self, Birth, Date, pair};
use crate::context::FIELD_BYTES_MAX;
use crate::find::{Backend, Candidate, Grammar, find};
use crate::key::Naming;
use crate::neighbours::{Neighbours, Pending};
use crate::score::Evidence;
use crate::wide::Narrow;
use crate::{Hit, Number, Place, Scene, Shape, checksum, context, foreign, gate, key};

/// Bytes before a candidate that its judgement depends on at most: its field's text in UTF-16, and a little more.
pub const BEFORE_BYTES_MAX: usize = 2 * FIELD_BYTES_MAX + 8;

/// Bytes from a candidate's start on that its judgement depends on at most: a number in UTF-16 of 25, two characters
/// behind it, each escaped.
pub const REACH_BYTES_MAX: usize = 56;

/// How near to now a time must be to be what programs send: three years.
const NEAR_NOW_S: i64 = 3 * 365 * 86_400 + 86_400;

/// What is known while a text is read.
pub(crate) struct Reader<'a> {
    scene: Scene<'a>,
    today: Date,
    /// What the name of the field says, read when it is first needed.
    key_naming: Option<Naming>,
    /// Where the last number ended, and what its label was.
    previous: Option<(usize, Naming)>,
    neighbours: Neighbours,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(scene: Scene<'a>) -> Self {
        let today = Date::today(scene.now_unix);
        Self { scene, today, key_naming: None, previous: None, neighbours: Neighbours::new() }
    }

    /// Judges the candidates that start in `owned`, a range of `text`, which begins at offset `base` of the whole.
    pub(crate) fn read(&mut self, text: &[u8], base: usize, owned: Range<usize>, found: &mut dyn FnMut(Hit)) {
        find(text, Grammar::Full, Backend::best(), &mut |candidate| {
            if owned.contains(&candidate.start) {
                self.take(text, base, &candidate, found);
            }
        });
    }

    /// Reports what has waited for more.
    pub(crate) fn finish(self, found: &mut dyn FnMut(Hit)) {
        self.neighbours.flush(found);
    }

    /// Of two candidates that share digits the first counts.
    pub(crate) fn take(
        &mut self,
        text: &[u8],
        base: usize,
        candidate: &Candidate,
        found: &mut dyn FnMut(Hit),
    ) {
        if self.previous.is_some_and(|(end, _)| base + candidate.start < end) {
            return;
        }
        let inherited = self.inherited(text, base, candidate.start);
        let pending = match Narrow::around(text, candidate) {
            Some((narrow, seen)) => self.judge(narrow.bytes(), &seen, inherited),
            None => self.judge(text, candidate, inherited),
        };
        let Some((number, evidence, label)) = pending else { return };
        let (start, end) = (base + candidate.start, base + candidate.end);
        self.previous = Some((end, label));
        self.neighbours.push(Pending { start, end, number, evidence }, found);
    }

    /// The label of the number before, where this one goes on its list.
    fn inherited(&self, text: &[u8], base: usize, start: usize) -> Option<Naming> {
        let (end, label) = self.previous?;
        context::continues_list(text, end.checked_sub(base)?, start).then_some(label)
    }

    /// Number, evidence and label of a candidate in `text`, which is UTF-8, if it stands alone and names a birth date
    /// not in the future.
    fn judge(
        &mut self,
        text: &[u8],
        candidate: &Candidate,
        inherited: Option<Naming>,
    ) -> Option<(Number, Evidence, Naming)> {
        let number = candidate.number(text);
        let birth = calendar::birth(&number)?;
        if birth.date > self.today || !gate::stands_alone(text, candidate) {
            return None;
        }
        let label = inherited.unwrap_or_else(|| context::naming_before(text, candidate.start));
        let naming = label.or(self.key_naming());
        let is_whole = gate::is_whole_value(text, candidate, self.scene.place);
        let evidence = self.weigh(candidate.shape, &number, &birth, naming, is_whole);
        Some((number, evidence, label))
    }

    fn key_naming(&mut self) -> Naming {
        *self.key_naming.get_or_insert_with(|| self.scene.key.map(key::of_key).unwrap_or_default())
    }

    fn weigh(
        &self,
        shape: Shape,
        number: &Number,
        birth: &Birth,
        naming: Naming,
        is_whole: bool,
    ) -> Evidence {
        Evidence {
            age_years: birth.date.age_years(self.today),
            class: checksum::class(number, birth),
            checksum: checksum::checksum(number, birth),
            shape,
            naming,
            is_epoch_second: shape == Shape::Bare && is_epoch_second(number, self.scene.now_unix),
            is_clock_time: is_clock_time(number, self.today),
            is_foreign: foreign::check_passes(number, shape),
            has_neighbour: false,
            is_whole_path_segment: is_whole && self.scene.place == Place::UrlPath,
            is_whole_query_value: is_whole && self.scene.place == Place::UrlQuery,
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
