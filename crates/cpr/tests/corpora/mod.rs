//! Made-up traffic of five kinds, the same for the same seed: for tests, and for `cargo xtask bench matcher`.
//!
//! | | what | why |
//! |---|---|---|
//! | a | HTTP/1.1 with JSON, a number each 100 KiB | what mostly leaves a server |
//! | b | access logs and structured logs, a number each 100 KiB | full of digits |
//! | c | random bytes, and records of them with headers | what is compressed or encrypted |
//! | d | digits in every arrangement that nearly is a number | the worst for a search |
//! | e | nothing but numbers | the worst for what comes behind the search |
//!
//! Numbers have any serial: a number that is somebody's is that by chance, and none is kept.

mod traffic;

use fastrand::Rng;

use traffic::{http_message, log_line};

/// Bytes between two numbers in a and b.
const NUMBER_EVERY_BYTES: usize = 100 * 1024;
/// Bytes of one arrangement of digits in d.
const STRETCH_BYTES: usize = 64 * 1024;

/// The separators, as often as they are met.
const SEPARATORS: [&str; 30] = [
    "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "", "", "", "", "", "", " ", " ", " ", "%2D", "%2d",
    "%20", ".", "/", "_", "+", "\u{2011}", "\u{2013}", "\u{a0}", " - ",
];

/// Makes a corpus of a size.
type Maker = fn(&mut Rng, usize) -> Vec<u8>;

/// The letter of a corpus, and its bytes.
pub struct Corpus {
    pub name: char,
    pub bytes: Vec<u8>,
}

/// All five, of `size` bytes each.
pub fn all(size: usize, seed: u64) -> Vec<Corpus> {
    let make: [(char, Maker); 5] = [
        ('a', |random, size| text(random, size, http_message)),
        ('b', |random, size| text(random, size, log_line)),
        ('c', incompressible),
        ('d', adversarial),
        ('e', dense),
    ];
    let seeded = make.into_iter().zip(seed..);
    seeded.map(|((name, make), seed)| Corpus { name, bytes: make(&mut Rng::with_seed(seed), size) }).collect()
}

/// Ten digits that name a day and a month; at least half pass modulus 11.
pub fn digits_of_number(random: &mut Rng) -> String {
    const WEIGHTS: [u32; 9] = [4, 3, 2, 7, 6, 5, 4, 3, 2];
    let passes = random.bool();
    loop {
        let nine = format!(
            "{:02}{:02}{:02}{:03}",
            random.u32(1..=28),
            random.u32(1..=12),
            random.u32(0..100),
            random.u32(0..1000)
        );
        let sum: u32 =
            nine.bytes().zip(WEIGHTS).map(|(digit, weight)| u32::from(digit - b'0') * weight).sum();
        let last = if passes { (11 - sum % 11) % 11 } else { random.u32(0..10) };
        if last < 10 {
            return format!("{nine}{last}");
        }
    }
}

/// A number as it is written somewhere.
pub fn number(random: &mut Rng) -> String {
    let digits = digits_of_number(random);
    format!("{}{}{}", &digits[..6], random.choice(SEPARATORS).expect("some"), &digits[6..])
}

fn text(random: &mut Rng, size: usize, piece: fn(&mut Rng, bool) -> String) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size + STRETCH_BYTES);
    let mut next = NUMBER_EVERY_BYTES / 2;
    while bytes.len() < size {
        let with_number = bytes.len() >= next;
        if with_number {
            next += NUMBER_EVERY_BYTES;
        }
        bytes.extend_from_slice(piece(random, with_number).as_bytes());
    }
    bytes.truncate(size);
    bytes
}

fn incompressible(random: &mut Rng, size: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size + 2 * STRETCH_BYTES);
    while bytes.len() < size {
        if random.bool() {
            extend_random(&mut bytes, random, STRETCH_BYTES);
            continue;
        }
        for _ in 0..16 {
            let length = random.u16(100..4000);
            bytes.extend_from_slice(b"\x17\x03\x03");
            bytes.extend_from_slice(&length.to_be_bytes());
            extend_random(&mut bytes, random, usize::from(length));
        }
    }
    bytes.truncate(size);
    bytes
}

fn extend_random(bytes: &mut Vec<u8>, random: &mut Rng, length: usize) {
    let start = bytes.len();
    bytes.resize(start + length, 0);
    random.fill(&mut bytes[start..]);
}

fn adversarial(random: &mut Rng, size: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size + STRETCH_BYTES);
    for arrangement in (0..5).cycle() {
        if bytes.len() >= size {
            break;
        }
        let mut stretch = String::new();
        while stretch.len() < STRETCH_BYTES {
            extend_adversarial(&mut stretch, random, arrangement);
        }
        bytes.extend_from_slice(stretch.as_bytes());
    }
    bytes.truncate(size);
    bytes
}

fn extend_adversarial(text: &mut String, random: &mut Rng, arrangement: u32) {
    match arrangement {
        // One long run in each line.
        0 => {
            extend_digits(text, random, 4000);
            text.push('\n');
        }
        // Runs of ten, a byte between them.
        1 => {
            extend_digits(text, random, 10);
            text.push(one_of(random, b" ,;:-./\n"));
        }
        // Six, a separator, four.
        2 => {
            extend_digits(text, random, 6);
            text.push_str(random.choice(&SEPARATORS[10..]).expect("some"));
            extend_digits(text, random, 4);
            text.push(one_of(random, b" ,;\n"));
        }
        // Nearly the right lengths.
        3 => {
            let (first, second) =
                random.choice([(7, 4), (6, 5), (6, 3), (5, 4), (11, 0), (9, 0)]).expect("some");
            extend_digits(text, random, first);
            text.push('-');
            extend_digits(text, random, second);
            text.push(one_of(random, b" -\n"));
        }
        // Groups of six, each a beginning and an end.
        _ => {
            extend_digits(text, random, 6);
            text.push('-');
            if random.u32(0..5) == 0 {
                extend_digits(text, random, 4);
                text.push('-');
            }
            if random.u32(0..100) == 0 {
                text.push('\n');
            }
        }
    }
}

fn one_of(random: &mut Rng, characters: &[u8]) -> char {
    char::from(characters[random.usize(..characters.len())])
}

fn extend_digits(text: &mut String, random: &mut Rng, count: usize) {
    for _ in 0..count {
        text.push(char::from(random.u8(b'0'..=b'9')));
    }
}

fn dense(random: &mut Rng, size: usize) -> Vec<u8> {
    let mut text = String::with_capacity(size + 64);
    while text.len() < size {
        text.push_str(&number(random));
        text.push(one_of(random, b" ,\n\n"));
    }
    let mut bytes = text.into_bytes();
    bytes.truncate(size);
    bytes
}
