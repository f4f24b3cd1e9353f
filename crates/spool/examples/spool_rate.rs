//! Measures how many leaks a second become durable through the spool, against raw writes of the same bytes.
//!
//! `spool_rate DIR SECONDS [PAYLOAD_BYTES]`. Rounds of both kinds take turns on the same disk, so that what else
//! the host does hits both alike. A record holds 200 leaks; four records are one commit, or one write and
//! one fdatasync.
#![forbid(unsafe_code)]

use std::error::Error;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cprvagt_spool::{Kind, Limits, Spool};
use jiff::Timestamp;

const RECORD_LEAKS: u32 = 200;
const COMMIT_RECORDS: u32 = 4;
const ROUND: Duration = Duration::from_millis(250);
/// As the spool's segments, so that both kinds grow files alike.
const FILE_BYTES_MAX: u64 = 8 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [dir, seconds, rest @ ..] = &arguments[..] else {
        return Err("usage: spool_rate DIR SECONDS [PAYLOAD_BYTES]".into());
    };
    let seconds: u64 = seconds.parse()?;
    let payload_bytes: usize = rest.first().map_or(Ok(30_000), |bytes| bytes.parse())?;
    let payload: Vec<u8> = (0..payload_bytes).map(|_| fastrand::u8(..)).collect();
    let (spooled, raw) = measure(Path::new(dir), Duration::from_secs(seconds), &payload)?;
    let (spooled, raw) = (spooled.per_second(), raw.per_second());
    let ratio = spooled / raw;
    println!(r#"{{"spool_leaks_per_s":{spooled:.0},"raw_leaks_per_s":{raw:.0},"ratio":{ratio:.3}}}"#);
    Ok(())
}

/// Leaks, and the time that they took.
#[derive(Default)]
struct Rate {
    leaks: u64,
    time: Duration,
}

impl Rate {
    fn per_second(&self) -> f64 {
        self.leaks as f64 / self.time.as_secs_f64()
    }

    fn round(&mut self, mut group: impl FnMut() -> Result<(), Box<dyn Error>>) -> Result<(), Box<dyn Error>> {
        let start = Instant::now();
        while start.elapsed() < ROUND {
            group()?;
            self.leaks += u64::from(RECORD_LEAKS * COMMIT_RECORDS);
        }
        self.time += start.elapsed();
        Ok(())
    }
}

fn measure(dir: &Path, time: Duration, payload: &[u8]) -> Result<(Rate, Rate), Box<dyn Error>> {
    let (spool_dir, raw_dir) = (dir.join("spool"), dir.join("raw"));
    fs::create_dir_all(&raw_dir)?;
    let (mut spool, _) = Spool::open(&spool_dir, Limits::default(), Timestamp::now())?;
    let mut raw = Raw::new(raw_dir.clone())?;
    let (mut spooled, mut written) = (Rate::default(), Rate::default());
    let start = Instant::now();
    while start.elapsed() < time {
        spooled.round(|| group(&mut spool, payload))?;
        written.round(|| raw.group(payload))?;
        let last = spool.commit()?;
        spool.acknowledge(last)?;
    }
    drop(spool);
    fs::remove_dir_all(spool_dir)?;
    fs::remove_dir_all(raw_dir)?;
    Ok((spooled, written))
}

fn group(spool: &mut Spool, payload: &[u8]) -> Result<(), Box<dyn Error>> {
    for _ in 0..COMMIT_RECORDS {
        spool.append(Kind::Report, RECORD_LEAKS, payload, Timestamp::now())?;
    }
    spool.commit()?;
    Ok(())
}

/// Plain files of the same length.
struct Raw {
    dir: PathBuf,
    file: File,
    bytes: u64,
}

impl Raw {
    fn new(dir: PathBuf) -> Result<Self, Box<dyn Error>> {
        let file = File::create(dir.join("raw"))?;
        Ok(Self { dir, file, bytes: 0 })
    }

    fn group(&mut self, payload: &[u8]) -> Result<(), Box<dyn Error>> {
        if self.bytes > FILE_BYTES_MAX {
            *self = Self::new(self.dir.clone())?;
        }
        let bytes = payload.repeat(COMMIT_RECORDS as usize);
        self.file.write_all(&bytes)?;
        self.file.sync_data()?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}
