//! One guest from its boot to its end.
//!
//! *Limits*: [`READY_SECONDS_MAX`] until its payload starts; then it may be silent for as long as one test may take
//! and [`SILENCE_SECONDS_SPARE`] more; [`OFF_SECONDS_MAX`] from its last word until it is off.

use std::fs;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::console::READY;
use super::port;
use super::results::Ending;

/// How long a boot may take. It takes 5 s, with systemd 10 s, on a machine that does nothing else.
const READY_SECONDS_MAX: u64 = 180;
/// How much longer than a test a guest may be silent.
const SILENCE_SECONDS_SPARE: u64 = 60;
/// How long a guest that has told all may take to power off.
const OFF_SECONDS_MAX: u64 = 60;
/// QEMU's exit code when it cannot do what its command line asks for.
const REFUSED: i32 = 1;
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Runs it to its end; lines of its console that tell of tests go to standard error as they come, after `label`.
///
/// # Errors
/// When QEMU cannot start or its files cannot be read.
pub fn run(
    command: &mut Command,
    console: &Path,
    port: &Path,
    label: &str,
    test_seconds_max: u64,
) -> Result<Ending> {
    let errors = console.with_file_name("qemu.txt");
    fs::write(console, "")?;
    fs::write(port, "")?;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(&errors)?);
    let child = command.spawn().context("starting QEMU")?;
    let mut guest = Guest { child, console: Growing::default(), told: Growing::default(), ready: false };
    let ending = guest.watch(console, port, label, test_seconds_max)?;
    if ending != Ending::Whole {
        let status = guest.child.try_wait().context("waiting for QEMU")?;
        let how = status.map_or("is ended by us".to_owned(), |status| format!("ended by itself ({status})"));
        eprintln!("{label}: QEMU {how} {}", fs::read_to_string(&errors)?.trim());
        let is_refused = guest.console.read == 0 && status.and_then(|status| status.code()) == Some(REFUSED);
        ensure!(!is_refused, "vm: QEMU cannot start; what it says is above");
    }
    Ok(ending)
}

/// A running guest; ended on drop.
struct Guest {
    child: Child,
    console: Growing,
    told: Growing,
    ready: bool,
}

impl Guest {
    fn watch(&mut self, console: &Path, port: &Path, label: &str, test_seconds_max: u64) -> Result<Ending> {
        let silence_max = Duration::from_secs(test_seconds_max + SILENCE_SECONDS_SPARE);
        let mut heard = Instant::now();
        loop {
            let ended = self.child.try_wait().context("waiting for QEMU")?.is_some();
            self.follow(console, label)?;
            if !self.told.lines(port)?.is_empty() {
                self.ready = true;
                heard = Instant::now();
            }
            let limit = match (self.ready, self.told.last == "done") {
                (_, true) => Duration::from_secs(OFF_SECONDS_MAX),
                (true, false) => silence_max,
                (false, false) => Duration::from_secs(READY_SECONDS_MAX),
            };
            if ended || heard.elapsed() > limit {
                return self.ending(port, ended);
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Shows what the console says of tests.
    fn follow(&mut self, console: &Path, label: &str) -> Result<()> {
        for line in self.console.lines(console)? {
            self.ready |= line.contains(READY);
            if let Some(test) = line.strip_prefix("test ") {
                eprintln!("{label}: {test}");
            }
        }
        Ok(())
    }

    fn ending(&self, port: &Path, ended: bool) -> Result<Ending> {
        let told = port::read(&fs::read(port)?);
        Ok(match (told.done, self.ready, ended) {
            (true, _, _) => Ending::Whole,
            (false, false, _) => Ending::NeverReady,
            (false, true, true) => Ending::Died,
            (false, true, false) => Ending::Hung,
        })
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _reaped_already = self.child.wait();
    }
}

/// A file that another process appends to, read line by line.
#[derive(Default)]
struct Growing {
    read: u64,
    rest: Vec<u8>,
    last: String,
}

impl Growing {
    /// The lines that became whole since the last call, without their ends.
    fn lines(&mut self, file: &Path) -> Result<Vec<String>> {
        let reading = || format!("reading {}", file.display());
        let mut file = fs::File::open(file).with_context(reading)?;
        file.seek(SeekFrom::Start(self.read)).with_context(reading)?;
        self.read += file.read_to_end(&mut self.rest).with_context(reading)? as u64;
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else { return Ok(Vec::new()) };
        let whole: Vec<u8> = self.rest.drain(..=end).collect();
        let lines: Vec<String> =
            String::from_utf8_lossy(&whole).lines().map(|line| line.trim_end().to_owned()).collect();
        self.last = lines.last().cloned().unwrap_or_default();
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn lines_are_read_when_they_are_whole() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_owned();
        let mut growing = Growing::default();
        for (written, expected) in
            [("one\r\ntw", &["one"][..]), ("o", &[]), ("\nthree\n\n", &["two", "three", ""]), ("", &[])]
        {
            file.write_all(written.as_bytes()).unwrap();
            assert_eq!(growing.lines(&path).unwrap(), expected, "{written:?}");
        }
    }

    /// A program in the place of QEMU: what it writes and how it ends decides.
    fn check(script: &str, test_seconds_max: u64, expected: Ending) {
        let folder = tempfile::tempdir().unwrap();
        let (console, port) = (folder.path().join("console.txt"), folder.path().join("port"));
        let mut command = Command::new("sh");
        command.args(["-c", script]).current_dir(folder.path());
        assert_eq!(run(&mut command, &console, &port, "a", test_seconds_max).unwrap(), expected, "{script}");
    }

    #[test]
    fn endings_are_told_apart() {
        check("echo VM-READY >console.txt; echo done >port", 1, Ending::Whole);
        check("echo Linux >console.txt", 1, Ending::NeverReady);
        check("echo VM-READY >console.txt; echo begin a b >port", 1, Ending::Died);
    }
}
