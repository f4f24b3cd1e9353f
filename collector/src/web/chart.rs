//! Occurrences over time as bars: an SVG without style or script.
//!
//! *Units*: lengths are those of the drawing's own box, [`WIDTH`] by [`HEIGHT`].
//! *Limits*: [`BARS_MAX`] bars; their time is as short as that allows: an hour, a day, a week or more weeks.

use jiff::Timestamp;

use super::danish::{Time, counted, number};

/// Width of the drawing.
pub const WIDTH: u64 = 960;
/// Height of the drawing.
pub const HEIGHT: u64 = 120;
/// Most bars.
const BARS_MAX: i64 = 96;
/// Widest bar, so that few do not fill the drawing.
const BAR_WIDTH_MAX: u64 = 40;
const HOUR: i64 = 3600;

/// A drawing.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    /// Width of the drawing.
    pub width: u64,
    /// Height of the drawing.
    pub height: u64,
    /// The bars that are not empty, from left to right.
    pub bars: Vec<Bar>,
    /// What the left edge stands for.
    pub from: String,
    /// What the right edge stands for.
    pub to: String,
    /// What there is to see, in words.
    pub summary: String,
}

/// One bar.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// Left edge.
    pub x: u64,
    /// Upper edge.
    pub y: u64,
    /// Width.
    pub width: u64,
    /// Height, at least 2 so that it is seen.
    pub height: u64,
    /// Its time and count.
    pub words: String,
}

/// The drawing of `counts` (the start of an hour, and occurrences in it); nothing with fewer than two hours.
pub fn draw(counts: &[(Timestamp, u64)]) -> Option<Chart> {
    let first = counts.iter().map(|(at, _)| at.as_second()).min()?.div_euclid(HOUR) * HOUR;
    let last = counts.iter().map(|(at, _)| at.as_second()).max()?;
    let step = step(last - first);
    let slots = (last - first) / step + 1;
    if last - first < HOUR {
        return None;
    }
    let mut sums = vec![0; usize::try_from(slots).ok()?];
    for (at, count) in counts {
        sums[usize::try_from((at.as_second() - first) / step).ok()?] += count;
    }
    let most = sums.iter().copied().max().filter(|most| *most > 0)?;
    let time = |slot: i64| Timestamp::from_second(first + slot * step).map(Time::of).ok();
    let width = WIDTH / slots.unsigned_abs();
    let bar = |(slot, count): (usize, &u64)| {
        let height = (count * HEIGHT / most).max(2);
        let x = slot as u64 * WIDTH / slots.unsigned_abs();
        let words = format!("{}: {}", time(slot as i64)?.local, counted(*count, "forekomst", "forekomster"));
        Some(Bar { x, y: HEIGHT - height, width: width.clamp(3, BAR_WIDTH_MAX + 2) - 2, height, words })
    };
    let summary = format!("Højst {} {}", number(most), unit(step));
    let bars = sums.iter().enumerate().filter(|(_, count)| **count > 0).filter_map(bar).collect();
    Some(Chart { width: WIDTH, height: HEIGHT, bars, from: time(0)?.local, to: time(slots)?.local, summary })
}

/// The shortest time of a bar with which `seconds` fit.
fn step(seconds: i64) -> i64 {
    const DAY: i64 = 24 * HOUR;
    const WEEK: i64 = 7 * DAY;
    let fits = |step: &i64| seconds / step < BARS_MAX;
    let weeks = seconds / (WEEK * BARS_MAX) + 1;
    [HOUR, DAY, WEEK].into_iter().find(fits).unwrap_or(weeks * WEEK)
}

fn unit(step: i64) -> String {
    match step / HOUR {
        1 => "pr. time".to_owned(),
        24 => "pr. døgn".to_owned(),
        168 => "pr. uge".to_owned(),
        hours => format!("pr. {} uger", hours / 168),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hour(hour: i64) -> Timestamp {
        Timestamp::from_second(1_767_225_600 + hour * HOUR).unwrap()
    }

    #[test]
    fn bars_stand_in_their_hour_and_are_as_high_as_their_count() {
        let chart = draw(&[(hour(3), 1), (hour(0), 4), (hour(1), 2)]).unwrap();
        let placed: Vec<_> = chart.bars.iter().map(|bar| (bar.x, bar.y, bar.height)).collect();
        assert_eq!(placed, [(0, 0, 120), (240, 60, 60), (720, 90, 30)]);
        assert_eq!(chart.bars[0].words, "1.1.2026 kl. 01.00: 4 forekomster");
        assert_eq!((chart.from.as_str(), chart.to.as_str()), ("1.1.2026 kl. 01.00", "1.1.2026 kl. 05.00"));
        assert_eq!(chart.summary, "Højst 4 pr. time");
    }

    #[test]
    fn there_is_nothing_to_draw_of_one_hour() {
        assert_eq!(draw(&[]), None);
        assert_eq!(draw(&[(hour(5), 9)]), None);
    }

    #[test]
    fn the_step_grows_so_that_bars_fit() {
        for hours in [1, 95, 96, 24 * 95, 24 * 96, 168 * 95, 168 * 96, 168 * 96 * 50] {
            let chart = draw(&[(hour(0), 1), (hour(hours), 1)]).unwrap();
            let right = chart.bars.last().unwrap();
            assert!(right.x + right.width <= WIDTH && chart.bars.len() == 2, "{hours}: {right:?}");
        }
        assert_eq!((step(95 * HOUR), step(96 * HOUR)), (HOUR, 24 * HOUR));
    }

    #[test]
    fn one_among_many_is_still_seen() {
        let chart = draw(&[(hour(0), 1), (hour(1), 1_000_000)]).unwrap();
        assert_eq!(chart.bars[0].height, 2);
    }
}
