//! What a guest tells through its port: lines and lengths, as `xtask/vm/run` describes them.
//!
//! A guest can die in the middle of a line. What came whole before is taken.

use super::selection::TestName;

/// What a guest told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// What `uname -r` said.
    pub release: Option<String>,
    /// Tests that came to an end.
    pub ended: Vec<Ended>,
    /// The test that was running when the guest said no more.
    pub running: Option<TestName>,
    /// The guest came to its end.
    pub done: bool,
}

/// A test that came to an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The test.
    pub test: TestName,
    /// Its exit code.
    pub status: i32,
    /// How long it took.
    pub milliseconds: u64,
    /// What it printed.
    pub output: String,
}

/// Reads all that is whole.
#[must_use]
pub fn read(mut bytes: &[u8]) -> Told {
    let mut told = Told::default();
    while let Some(line) = next_line(&mut bytes) {
        let mut words = line.split(' ');
        match words.next() {
            Some("kernel") => told.release = words.next().map(str::to_owned),
            Some("begin") => told.running = test_name(&mut words),
            Some("end") => {
                let Some(ended) = end(&mut words, &mut bytes, told.running.clone()) else { return told };
                told.ended.push(ended);
                told.running = None;
            }
            Some("done") => told.done = true,
            _ => return told,
        }
    }
    told
}

fn next_line(bytes: &mut &[u8]) -> Option<String> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let line = String::from_utf8_lossy(&bytes[..end]).into_owned();
    *bytes = &bytes[end + 1..];
    Some(line)
}

fn test_name<'line>(words: &mut impl Iterator<Item = &'line str>) -> Option<TestName> {
    let (binary, name) = (words.next()?, words.next()?);
    Some(TestName { binary: binary.to_owned(), name: name.to_owned() })
}

fn end<'line>(
    words: &mut impl Iterator<Item = &'line str>,
    bytes: &mut &[u8],
    test: Option<TestName>,
) -> Option<Ended> {
    let (status, milliseconds) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let length: usize = words.next()?.parse().ok()?;
    let output = bytes.get(..length)?;
    *bytes = bytes.get(length + 1..)?;
    Some(Ended { test: test?, status, milliseconds, output: String::from_utf8_lossy(output).into_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "kernel 6.1.0\nbegin wire a\nend 0 1500 12\nend 1 2\nend!\nbegin wire b\n\
                         end 101 7 0\n\ndone\n";

    fn test(name: &str) -> TestName {
        TestName { binary: "wire".into(), name: name.into() }
    }

    #[test]
    fn what_a_whole_run_tells_is_read() {
        let told = read(WHOLE.as_bytes());
        let first = Ended { test: test("a"), status: 0, milliseconds: 1500, output: "end 1 2\nend!".into() };
        let second = Ended { test: test("b"), status: 101, milliseconds: 7, output: String::new() };
        assert_eq!(told.ended, [first, second]);
        assert_eq!((told.release.as_deref(), told.running, told.done), (Some("6.1.0"), None, true));
    }

    #[test]
    fn a_run_that_broke_off_anywhere_is_read_as_far_as_it_came() {
        let whole = read(WHOLE.as_bytes());
        for cut in 0..WHOLE.len() {
            let told = read(&WHOLE.as_bytes()[..cut]);
            assert!(!told.done, "{cut}");
            assert_eq!(told.ended, whole.ended[..told.ended.len()], "{cut}");
        }
        let broken = read(&WHOLE.as_bytes()[..45]);
        assert_eq!((broken.ended.len(), broken.running), (0, Some(test("a"))));
    }
}
