//! Every combination of evidence: the reasons add up to the score, and the score is what the published model says.

use std::vec::Vec;

use super::*;

const SHAPES: [Shape; 11] = [
    Shape::Bare,
    Shape::Hyphen,
    Shape::Space,
    Shape::Dash,
    Shape::SpacedHyphen,
    Shape::Dot,
    Shape::Slash,
    Shape::Underscore,
    Shape::Plus,
    Shape::SoftHyphen,
    Shape::Dated,
];

/// All evidence that there can be, ages but on both sides of the border left out.
fn for_each_evidence(mut check: impl FnMut(&Evidence)) {
    for flags in 0..1 << 10_u32 {
        let flag = |bit: u32| flags >> bit & 1 == 1;
        let naming = Naming { strong: flag(0), weak: flag(1), denied: flag(2) };
        for class in [Class::Cpr, Class::Replacement, Class::Test] {
            for checksum in [Checksum::Mod11, Checksum::ListedDate, Checksum::None] {
                for shape in SHAPES {
                    check(&Evidence {
                        age_years: if flag(3) { 111 } else { 110 },
                        class,
                        checksum,
                        shape,
                        naming,
                        is_epoch_second: flag(4),
                        is_clock_time: flag(5),
                        is_foreign: flag(6),
                        has_neighbour: flag(7),
                        is_whole_path_segment: flag(8),
                        is_whole_query_value: flag(9),
                    });
                }
            }
        }
    }
}

/// The model of the module's head, written again in one piece.
fn naive(it: &Evidence) -> i16 {
    let (lives, strong, denied) = (it.age_years <= 110, it.naming.strong, it.naming.denied);
    let passes = it.checksum == Checksum::Mod11 || it.class == Class::Test;
    let fails = !passes && it.checksum == Checksum::None && it.class == Class::Cpr;
    let separated = if it.shape == Shape::Hyphen { 100 } else { 40 };
    let weigh = |holds, tenths| if holds { tenths } else { 0 };
    let sum = -300
        + if lives { 165 } else { 60 }
        + weigh(passes, 104)
        + weigh(fails, -100)
        + weigh(it.shape != Shape::Bare, separated)
        + weigh(strong, 250)
        + weigh(!strong && denied, -200)
        + weigh(!strong && it.naming.weak, 80)
        + weigh(!strong && it.is_epoch_second, -200)
        + weigh(!strong && it.is_clock_time && !it.is_epoch_second, -150)
        + weigh(!strong && it.is_foreign, -60)
        + weigh(it.has_neighbour, -100);
    let apart = it.shape == Shape::Hyphen || it.is_whole_path_segment;
    let apart = apart || it.is_whole_query_value && !it.is_epoch_second;
    let doubted = !strong && (it.is_clock_time || it.has_neighbour || denied);
    if passes && lives && it.class != Class::Replacement && apart && !doubted { sum.max(100) } else { sum }
}

#[test]
fn reasons_add_up_to_the_score_whatever_the_evidence() {
    for_each_evidence(|evidence| {
        let reasons: Vec<_> = Why::of(*evidence).reasons().collect();
        let sum: i16 = reasons.iter().map(|reason| reason.weight.tenths()).sum();
        assert_eq!(sum, evidence.score().tenths(), "{reasons:?}");
        assert_eq!(sum, naive(evidence), "{reasons:?}");
        assert_eq!(reasons.first().map(|reason| reason.clue), Some(Clue::Prior));
    });
}

#[test]
fn floors_are_told_where_they_raise() {
    let (mut form, mut url) = (0, 0);
    for_each_evidence(|evidence| {
        for reason in Why::of(*evidence).reasons() {
            match reason.clue {
                Clue::FormFloor => form += 1,
                Clue::UrlFloor => url += 1,
                _ => continue,
            }
            assert_eq!(evidence.score().tenths(), 100);
            assert!(reason.weight.tenths() > 0);
        }
    });
    assert!(form > 0 && url > 0, "{form} {url}");
}
