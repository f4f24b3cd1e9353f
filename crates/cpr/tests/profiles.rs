//! Fields whose values are no numbers are proven no more often than chance would have it; fields of numbers are.
#![allow(clippy::unwrap_used, reason = "tests")]

mod people;
mod rates;

use cprvagt_cpr::citizens::Citizens;
use cprvagt_cpr::{FIELDS_MAX, FieldId, Place, Profiles, Sighting, Standing, Trial, scan};
use fastrand::Rng;
use people::{CLOCKS, MARCH_2027, NOVEMBER_2026, passing, scene};
use rates::{KINDS, civil};

const FIELD: FieldId = FieldId { program: 1, field: 1 };

/// A value as a caller shows it; the digits themselves stand for their hashes here.
fn sighting(ten: &str, now: i64) -> Sighting {
    let mut trial = Trial::Fails;
    scan(ten.as_bytes(), &scene(None, Place::Other, now), &mut |hit| trial = hit.trial);
    Sighting { value: ten.parse().unwrap(), date: ten[..6].parse().unwrap(), trial }
}

/// What a field is after each of these values.
fn standings<'t>(values: impl IntoIterator<Item = &'t str>, now: i64) -> Vec<Standing> {
    let mut profiles = Profiles::default();
    values.into_iter().map(|ten| profiles.take(FIELD, sighting(ten, now), now)).collect()
}

/// Of fields with two random values each: no more are likely than the share of passing values says, squared.
fn check_pairs(fields: usize, seed: u64) {
    for now in CLOCKS {
        for (name, draw) in KINDS {
            let random = &mut Rng::with_seed(seed);
            let (mut passes, mut likely) = (0, 0);
            let mut profiles = Profiles::default();
            for field in 0..fields as u64 {
                let id = FieldId { program: field, field };
                let mut take = || {
                    let seen = sighting(&format!("{:010}", draw(random, now)), now);
                    passes += u32::from(seen.trial == Trial::Passes);
                    profiles.take(id, seen, now)
                };
                let _first = take();
                likely += u32::from(take() >= Standing::Likely);
                assert!(profiles.len() <= FIELDS_MAX);
            }
            let share = f64::from(passes) / (2 * fields) as f64;
            let expected = share * share * fields as f64;
            // Four standard deviations of such a count, and of the share that was itself measured.
            let bound = expected + 4.0 * (expected.sqrt() + expected / f64::from(passes.max(1)).sqrt()) + 2.0;
            assert!(
                f64::from(likely) <= bound,
                "{name} as of {:?}: {likely} of {fields} fields, {expected:.1} expected",
                civil(now)
            );
            println!(
                "{:?} {name}: {likely} of {fields} fields likely, {expected:.2} by the share",
                civil(now)
            );
        }
    }
}

#[test]
fn random_pairs_are_likely_as_often_as_chance_says() {
    check_pairs(20_000, 1);
}

#[test]
#[ignore = "takes minutes: a hundred million values"]
fn a_hundred_million_values_in_pairs_are_likely_as_often_as_chance_says() {
    check_pairs(100_000_000 / (2 * CLOCKS.len() * KINDS.len()), 2);
}

/// A field of random values is demoted with its fiftieth, and then quiet for good.
#[test]
fn fields_of_other_values_are_demoted() {
    for now in CLOCKS {
        for (name, draw) in KINDS {
            let random = &mut Rng::with_seed(3);
            let (mut demoted, mut lost) = (0, 0);
            for _ in 0..100 {
                let values: Vec<String> = (0..120).map(|_| format!("{:010}", draw(random, now))).collect();
                let standings = standings(values.iter().map(String::as_str), now);
                demoted += usize::from(standings.contains(&Standing::Demoted));
                lost += standings[2..].iter().filter(|standing| **standing == Standing::Certain).count();
            }
            assert_eq!(lost, 0, "{name} is certain");
            assert!(demoted >= 95, "{name} as of {:?}: {demoted} of 100 are demoted", civil(now));
        }
    }
}

/// What counts up from anywhere shares its first digits, and so proves nothing.
#[test]
fn counters_are_never_proven() {
    let random = &mut Rng::with_seed(4);
    for now in CLOCKS {
        for _ in 0..2000 {
            let date = format!("{:02}{:02}{:02}", random.u32(1..29), random.u32(1..13), random.u32(20..99));
            let (first, step) = (random.u64(1..2000), random.u64(1..100));
            let values = (0..60).map(|count| format!("{date}{:04}", first + count * step));
            let values: Vec<String> = values.collect();
            let standings = standings(values.iter().map(String::as_str), now);
            assert!(!standings.iter().any(|standing| *standing >= Standing::Likely), "by {step}");
        }
    }
}

/// Nearly all fields of citizens are likely with the second and certain with the third; a number with a foreign check
/// digit, or one that is near now as a Unix time, takes more.
#[test]
fn fields_of_citizens_prove_themselves() {
    for (now, year) in CLOCKS.into_iter().zip([2026, 2027, 2058]) {
        let citizens: Vec<String> = Citizens::in_year(5, year)
            .take(20_000)
            .map(|number| String::from_utf8(number.digits().to_vec()).unwrap())
            .collect();
        let standings: Vec<_> =
            citizens.chunks(20).map(|field| standings(field.iter().map(String::as_str), now)).collect();
        let share = |is: fn(&Vec<Standing>) -> bool| {
            standings.iter().filter(|it| is(it)).count() as f64 / standings.len() as f64
        };
        let (second, third) = (share(|it| it[1] == Standing::Likely), share(|it| it[2] == Standing::Certain));
        let twentieth = share(|it| it[19] == Standing::Certain);
        println!(
            "{:?}: {second} likely with two, {third} certain with three, {twentieth} with 20",
            civil(now)
        );
        assert!(second > 0.75 && third > 0.65 && twentieth > 0.99, "{second} {third} {twentieth}");
    }
}

/// Unix seconds begin like numbers of people born on the 17th and 18th.
#[test]
fn one_born_on_another_day_vouches_for_those_of_the_17th_and_18th() {
    let now = NOVEMBER_2026;
    let of_trial = |date, trial| {
        (1000..3000)
            .map(|serial| passing(date, serial))
            .find(|ten| sighting(ten, now).trial == trial)
            .unwrap()
    };
    let (banded, banded_too) =
        (of_trial("170180", Trial::PassesAsTime), of_trial("180275", Trial::PassesAsTime));
    let other = of_trial("120375", Trial::Passes);
    assert_eq!(standings([&*banded, &banded_too], now), [Standing::Open; 2]);
    assert_eq!(
        standings([&*banded, &banded_too, &other], now),
        [Standing::Open, Standing::Open, Standing::Certain]
    );
    assert_eq!(standings([&*other, &banded], now), [Standing::Open, Standing::Likely]);
}

/// In March 2027 every Unix second names a birth date. A field of them is demoted, however many carry a check digit.
#[test]
fn fields_of_unix_seconds_are_demoted_when_they_all_look_like_birth_dates() {
    let random = &mut Rng::with_seed(6);
    let seconds: Vec<String> =
        (0..60).map(|_| (MARCH_2027 + random.i64(-2_000_000..2_000_000)).to_string()).collect();
    let standings = standings(seconds.iter().map(String::as_str), MARCH_2027);
    assert!(standings[..49].iter().all(|standing| *standing == Standing::Open));
    assert_eq!(standings[50], Standing::Demoted);
}
