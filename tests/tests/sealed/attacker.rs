//! Somebody with a full copy of the collector, who knows the source of this program and tries every number.
//!
//! Guesses at how a citizen may have been made of a number: the agent's pseudonym under each key that is in the
//! copy, or under none, as it is or hashed again under the collector's key; and the number itself under that key.
//!
//! *Limits*: numbers of ten digits; dates are all that the first four digits can mean, in a hundred years.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::path::Path;
use std::thread;

use data_encoding::{BASE64, HEXLOWER};
use sha2::block_api::compress256;
use sha2::{Digest as _, Sha256};

/// What the agent hashes before the digits.
const PSEUDONYM: &[u8] = b"cprvagt/pseudonym/1\0";
/// What the collector hashes before the pseudonym.
const CITIZEN: &[u8] = b"cprvagt/citizen/1\0";
const SERIALS: u32 = 10_000;
const BLOCK: usize = 64;
/// The state that SHA-256 begins with (FIPS 180-4, section 5.3.3).
const INITIAL: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// Dates as six digits.
pub struct Dates(Vec<String>);

impl Dates {
    /// All there are: 36,525 in a hundred years, of which every fourth is a leap year.
    pub fn all() -> Self {
        let mut dates = Vec::new();
        for year in 0..100 {
            let february = if year % 4 == 0 { 29 } else { 28 };
            let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            for (month, days) in (1..).zip(months) {
                dates.extend((1..=days).map(|day| format!("{day:02}{month:02}{year:02}")));
            }
        }
        Self(dates)
    }

    /// The births of `numbers`.
    pub fn of(numbers: &BTreeSet<&str>) -> Self {
        let dates: BTreeSet<&str> = numbers.iter().map(|digits| &digits[..6]).collect();
        Self(dates.into_iter().map(str::to_owned).collect())
    }

    /// The births of `numbers`, and one in `share` of all others.
    pub fn some(numbers: &BTreeSet<&str>, share: usize) -> Self {
        let mut dates = Self::of(numbers);
        let mut random = fastrand::Rng::with_seed(1);
        dates.0.extend(Self::all().0.into_iter().filter(|_| random.usize(0..share) == 0));
        dates
    }

    /// How many numbers begin with them.
    pub fn numbers(&self) -> usize {
        self.0.len() * SERIALS as usize
    }
}

/// HMAC-SHA-256 under one key, its first block of either hash done.
#[derive(Clone)]
struct Midstates([[u32; 8]; 2]);

impl Midstates {
    fn of(key: &[u8]) -> Self {
        let short = if key.len() > BLOCK { Sha256::digest(key).to_vec() } else { key.to_vec() };
        let half = |pad: u8| {
            let mut block = [pad; BLOCK];
            block.iter_mut().zip(&short).for_each(|(byte, key)| *byte ^= key);
            let mut state = INITIAL;
            compress256(&mut state, &[block]);
            state
        };
        Self([half(0x36), half(0x5c)])
    }

    /// The first 16 bytes of the HMAC of a short message.
    fn hmac(&self, message: &Padded) -> [u8; 16] {
        let [mut inner, mut outer] = self.0;
        compress256(&mut inner, &[message.0]);
        let mut block = [0; BLOCK];
        for (at, word) in inner.into_iter().enumerate() {
            block[at * 4..at * 4 + 4].copy_from_slice(&word.to_be_bytes());
        }
        (block[32], block[62], block[63]) = (0x80, 0x03, 0x00);
        compress256(&mut outer, &[block]);
        cut(&outer)
    }
}

/// The last block of a hash: a message of at most 55 bytes, padded (FIPS 180-4, section 5.1.1).
struct Padded([u8; BLOCK]);

impl Padded {
    /// `context` and room for `length` bytes behind it, after `before` bytes that were hashed already.
    fn new(context: &[u8], length: usize, before: usize) -> Self {
        let mut block = [0; BLOCK];
        let end = context.len() + length;
        block[..context.len()].copy_from_slice(context);
        block[end] = 0x80;
        block[56..].copy_from_slice(&(((before + end) * 8) as u64).to_be_bytes());
        Self(block)
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// The first 16 bytes of its plain hash.
    fn hash(&self) -> [u8; 16] {
        let mut state = INITIAL;
        compress256(&mut state, &[self.0]);
        cut(&state)
    }
}

fn cut(state: &[u32; 8]) -> [u8; 16] {
    let mut bytes = [0; 16];
    for at in 0..4 {
        bytes[at * 4..at * 4 + 4].copy_from_slice(&state[at].to_be_bytes());
    }
    bytes
}

/// What the attacker has.
#[derive(Clone)]
pub struct Attacker {
    ids: HashSet<[u8; 16]>,
    /// By their first two bytes: most guesses are no id, and are seen not to be at once.
    sieve: Vec<bool>,
    citizen_key: Midstates,
    keys: Vec<Midstates>,
}

impl Attacker {
    /// With the folder `copy`, and the citizens' `ids` in its database.
    pub fn new(copy: &Path, ids: &[[u8; 16]]) -> Self {
        let mut sieve = vec![false; 1 << 16];
        ids.iter().for_each(|id| sieve[sieve_place(id)] = true);
        let citizen_key = Midstates::of(&fs::read(copy.join("citizen.key")).unwrap());
        let files = cprvagt_tests::plaintext::files_below(&[copy]).unwrap();
        let is_key = |name: &str, content: &[u8]| name.ends_with(".key") && !content.is_empty();
        let keys = files.iter().filter(|(name, content)| is_key(name, content));
        let keys = keys.map(|(_, content)| Midstates::of(&key_bytes(content))).collect();
        Self { ids: ids.iter().copied().collect(), sieve, citizen_key, keys }
    }

    /// How many keys were in the copy.
    pub fn keys(&self) -> usize {
        self.keys.len()
    }

    /// With one more key.
    pub fn with_key(mut self, key: &[u8]) -> Self {
        self.keys.push(Midstates::of(key));
        self
    }

    /// The numbers born on `dates` that are met among the ids, on all processors.
    pub fn enumerate(&self, dates: &Dates) -> Vec<String> {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let share = dates.0.len().div_ceil(threads).max(1);
        thread::scope(|scope| {
            let start = |dates: &'_ [String]| {
                let dates = dates.to_vec();
                scope.spawn(move || dates.iter().flat_map(|date| self.born_on(date)).collect::<Vec<_>>())
            };
            let running: Vec<_> = dates.0.chunks(share).map(start).collect();
            running.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        })
    }

    fn born_on(&self, date: &str) -> Vec<String> {
        let mut guess = Guess::new();
        let mut found = Vec::new();
        for serial in 0..SERIALS {
            let digits = digits(date, serial);
            if guess.meets(self, &digits) {
                found.push(String::from_utf8_lossy(&digits).into_owned());
            }
        }
        found
    }

    fn has(&self, id: &[u8; 16]) -> bool {
        self.sieve[sieve_place(id)] && self.ids.contains(id)
    }
}

/// The blocks that every guess fills anew.
struct Guess {
    bare: Padded,
    named: Padded,
    keyed_bare: Padded,
    keyed_named: Padded,
    keyed_citizen: Padded,
    again: Padded,
}

impl Guess {
    fn new() -> Self {
        Self {
            bare: Padded::new(b"", 10, 0),
            named: Padded::new(PSEUDONYM, 10, 0),
            keyed_bare: Padded::new(b"", 10, BLOCK),
            keyed_named: Padded::new(PSEUDONYM, 10, BLOCK),
            keyed_citizen: Padded::new(CITIZEN, 10, BLOCK),
            again: Padded::new(CITIZEN, 16, BLOCK),
        }
    }

    fn meets(&mut self, attacker: &Attacker, digits: &[u8; 10]) -> bool {
        self.bare.put(0, digits);
        self.named.put(PSEUDONYM.len(), digits);
        self.keyed_bare.put(0, digits);
        self.keyed_named.put(PSEUDONYM.len(), digits);
        self.keyed_citizen.put(CITIZEN.len(), digits);
        let mut met = self.pseudonym_meets(attacker, self.bare.hash());
        met |= self.pseudonym_meets(attacker, self.named.hash());
        for key in &attacker.keys {
            met |= self.pseudonym_meets(attacker, key.hmac(&self.keyed_named));
        }
        met |= attacker.has(&attacker.citizen_key.hmac(&self.keyed_bare));
        met | attacker.has(&attacker.citizen_key.hmac(&self.keyed_citizen))
    }

    /// As it is, or hashed once more as the collector does.
    fn pseudonym_meets(&mut self, attacker: &Attacker, pseudonym: [u8; 16]) -> bool {
        self.again.put(CITIZEN.len(), &pseudonym);
        attacker.has(&pseudonym) | attacker.has(&attacker.citizen_key.hmac(&self.again))
    }
}

fn sieve_place(id: &[u8; 16]) -> usize {
    usize::from(u16::from_be_bytes([id[0], id[1]]))
}

fn digits(date: &str, serial: u32) -> [u8; 10] {
    let mut digits = [b'0'; 10];
    digits[..6].copy_from_slice(date.as_bytes());
    for (at, power) in (6..).zip([1000, 100, 10, 1]) {
        digits[at] += (serial / power % 10) as u8;
    }
    digits
}

/// The bytes that a key's file means: raw, hexadecimal or PEM.
fn key_bytes(content: &[u8]) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(content) else { return content.to_vec() };
    let lines = text.lines().filter(|line| !line.starts_with("-----"));
    let inner: String = lines.collect();
    let decoded = HEXLOWER.decode(inner.trim().as_bytes()).or_else(|_| BASE64.decode(inner.as_bytes()));
    decoded.unwrap_or_else(|_| content.to_vec())
}

#[test]
fn guesses_are_what_the_definitions_say() {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    let message = [PSEUDONYM, b"0101010000"].concat();
    for key in [&[7_u8; 32][..], &[9; 100]] {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        mac.update(&message);
        let mut padded = Padded::new(PSEUDONYM, 10, BLOCK);
        padded.put(PSEUDONYM.len(), &digits("010101", 0));
        assert_eq!(Midstates::of(key).hmac(&padded), mac.finalize().into_bytes()[..16]);
    }
    let mut padded = Padded::new(b"", 10, 0);
    padded.put(0, &digits("251248", 12));
    assert_eq!(padded.hash(), Sha256::digest("2512480012")[..16]);
    assert_eq!(Dates::all().0.len(), 36_525);
}
