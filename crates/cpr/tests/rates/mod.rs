//! How many of all ten-digit values pass, counted without the crate: from the calendar, the table of seventh digits, and
//! the weights of modulus 11.
#![allow(dead_code, reason = "each user needs its own part")]

/// Years whose 1 January has numbers without a check digit (cpr.dk, 10-05-2023).
const LISTED_YEARS: [i64; 26] = [
    1960, 1962, 1964, 1965, 1966, 1967, 1969, 1970, 1974, 1975, 1978, 1980, 1981, 1982, 1983, 1984, 1985,
    1986, 1987, 1988, 1989, 1990, 1991, 1992, 1994, 1995,
];

/// Last four digits of MedCom's test numbers.
const TEST_SERIALS: [u32; 4] = [9989, 9990, 9995, 9996];

/// All values of ten digits.
pub const ALL: u64 = 10_000_000_000;

/// Values of ten digits that meet one condition after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passing {
    /// A day of the calendar, in the century that the seventh digit names.
    pub date: u64,
    /// Not in the future.
    pub past: u64,
    /// Of a person of 110 years at most.
    pub living: u64,
    /// And modulus 11 holds, or a test serial: at least medium as all of a path segment or query value.
    pub in_url: u64,
    /// Or the date is listed: passes for its field.
    pub in_field: u64,
}

impl Passing {
    /// Counts all values of ten digits, as of this day.
    pub fn of_all(today: (i64, u32, u32)) -> Self {
        let (mut passing, serials) = (Self::default(), Serials::new());
        for year_digits in 0..100 {
            for (month, day) in (1..=12).flat_map(|month| (1..=31).map(move |day| (month, day))) {
                for seventh in 0..10 {
                    passing.add([day, month, year_digits], seventh, &serials, today);
                }
            }
        }
        passing
    }

    /// Counts the thousand serials that begin with a digit.
    fn add(&mut self, date: [u32; 3], seventh: u32, serials: &Serials, today: (i64, u32, u32)) {
        let [day, month, year_digits] = date;
        let year = year(year_digits, seventh);
        if day > days(year, month) {
            return;
        }
        let with_remainder = &serials.with_remainder[seventh as usize];
        let (all, passing) = (with_remainder.iter().sum::<u64>(), serials.passing(date, seventh));
        self.date += all;
        if (year, month, day) > today {
            return;
        }
        self.past += all;
        let birthday_to_come = (month, day) > (today.1, today.2);
        if today.0 - year - i64::from(birthday_to_come) > 110 {
            return;
        }
        self.living += all;
        self.in_url += passing;
        let is_listed = (month, day) == (1, 1) && LISTED_YEARS.contains(&year);
        self.in_field += if is_listed { all } else { passing };
    }
}

/// How many of the serials that begin with a digit have each remainder. There is no serial 0000.
struct Serials {
    with_remainder: [[u64; 11]; 10],
}

impl Serials {
    fn new() -> Self {
        let mut with_remainder = [[0; 11]; 10];
        for serial in 1..10_000 {
            with_remainder[serial as usize / 1000][remainder([0; 3], serial) as usize] += 1;
        }
        Self { with_remainder }
    }

    /// How many that begin with a digit pass beside a date: by modulus 11, or as a test serial.
    fn passing(&self, date: [u32; 3], seventh: u32) -> u64 {
        let missing = (11 - remainder(date, 0)) % 11;
        let is_test = |serial: &&u32| **serial / 1000 == seventh && remainder(date, **serial) != 0;
        let tests = TEST_SERIALS.iter().filter(is_test).count() as u64;
        self.with_remainder[seventh as usize][missing as usize] + tests
    }
}

/// The year by two digits and the seventh (cpr.dk, "Opbygning af CPR-nummeret").
fn year(two_digits: u32, seventh: u32) -> i64 {
    let century = match seventh {
        0..=3 => 1900,
        4 | 9 if two_digits <= 36 => 2000,
        4 | 9 => 1900,
        _ if two_digits <= 57 => 2000,
        _ => 1800,
    };
    century + i64::from(two_digits)
}

fn days(year: i64, month: u32) -> u32 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => 28 + u32::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn remainder([day, month, year]: [u32; 3], serial: u32) -> u32 {
    let digits = [day, month, year, serial / 100, serial % 100].map(|pair| [pair / 10, pair % 10]);
    let weights = [4, 3, 2, 7, 6, 5, 4, 3, 2, 1];
    digits.as_flattened().iter().zip(weights).map(|(digit, weight)| digit * weight).sum::<u32>() % 11
}

/// Makes one value; the number is now, in Unix seconds.
pub type Draw = fn(&mut fastrand::Rng, i64) -> u64;

/// Kinds of ten-digit values that servers send, each with what makes one near `now_unix`.
pub const KINDS: [(&str, Draw); 12] = [
    ("uniform, ten digits", |random, _| random.u64(..ALL)),
    ("nine digits, padded with a zero", |random, _| random.u64(100_000_000..1_000_000_000)),
    ("31 bits (GA client id, cache buster)", |random, _| random.u64(1_000_000_000..1 << 31)),
    ("32 bits", |random, _| random.u64(1_000_000_000..1 << 32)),
    ("Unix seconds within a day of now", |random, now| near(random, now, 86_400)),
    ("Unix seconds within three years of now", |random, now| near(random, now, 3 * 365 * 86_400)),
    ("P-numbers", |random, _| random.u64(1_000_000_000..1_032_000_000)),
    ("YYMMDDHHMM of three years", |random, now| {
        let time = random.i64(now - 3 * 365 * 86_400..now);
        let (year, month, day) = civil(time);
        date_time([(year % 100) as u64, u64::from(month), u64::from(day)], time)
    }),
    ("DDMMYYHHMM of three years", |random, now| {
        let time = random.i64(now - 3 * 365 * 86_400..now);
        let (year, month, day) = civil(time);
        date_time([u64::from(day), u64::from(month), (year % 100) as u64], time)
    }),
    ("YYYYMMDDnn of three years (DNS serial)", |random, now| {
        let (year, month, day) = civil(random.i64(now - 3 * 365 * 86_400..now));
        (year as u64 * 10_000 + u64::from(month * 100 + day)) * 100 + random.u64(..100)
    }),
    ("French telephone (0 and nine digits)", |random, _| random.u64(100_000_000..800_000_000)),
    ("ISBN-10 of group 0 and 1, digits alone", |random, _| {
        loop {
            let nine = random.u64(..200_000_000);
            let sum: u64 = (0..9).map(|at| nine / 10_u64.pow(8 - at) % 10 * u64::from(10 - at)).sum();
            let check = (11 - sum % 11) % 11;
            if check < 10 {
                return nine * 10 + check;
            }
        }
    }),
];

fn near(random: &mut fastrand::Rng, now: i64, apart: i64) -> u64 {
    random.i64(now - apart..now + apart) as u64
}

fn date_time([first, second, third]: [u64; 3], time: i64) -> u64 {
    let minutes = time.rem_euclid(86_400) as u64 / 60;
    ((first * 100 + second) * 100 + third) * 10_000 + minutes / 60 * 100 + minutes % 60
}

/// The day of a Unix time.
pub fn civil(unix: i64) -> (i64, u32, u32) {
    let (mut left, mut year) = (unix.div_euclid(86_400), 1970);
    let days_of_year = |year| (1..=12).map(|month| i64::from(days(year, month))).sum::<i64>();
    while left >= days_of_year(year) {
        left -= days_of_year(year);
        year += 1;
    }
    let mut month = 1;
    while left >= i64::from(days(year, month)) {
        left -= i64::from(days(year, month));
        month += 1;
    }
    (year, month, left as u32 + 1)
}
