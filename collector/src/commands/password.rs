//! A password from the terminal, unseen, or from standard input; never from the command line.

use std::io::{self, BufRead, IsTerminal as _, Write as _};

use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use super::Failure;
use crate::cli::Exit;

/// Longest line read, in bytes.
const LINE_BYTES_MAX: usize = 4096;

/// The password. A terminal is asked twice.
///
/// # Errors
/// Nothing was given, or the two differ.
pub(super) fn ask() -> Result<Zeroizing<String>, Failure> {
    let refused = |what: String| Failure::new(Exit::Config, what);
    let input = io::stdin();
    let asked = if input.is_terminal() { twice() } else { line(&mut input.lock()) };
    let password = asked.map_err(|error| refused(format!("password: {error}")))?;
    if password.is_empty() {
        return Err(refused("password: none was given; type it, or give it on standard input".to_owned()));
    }
    Ok(password)
}

fn twice() -> io::Result<Zeroizing<String>> {
    let first = unseen("Password: ")?;
    let again = unseen("The same again: ")?;
    if first == again { Ok(first) } else { Err(io::Error::other("the two differ")) }
}

fn unseen(prompt: &str) -> io::Result<Zeroizing<String>> {
    let input = io::stdin();
    write!(io::stderr(), "{prompt}")?;
    let before = tcgetattr(&input)?;
    let mut quiet = before.clone();
    quiet.local_flags.remove(LocalFlags::ECHO);
    tcsetattr(&input, SetArg::TCSAFLUSH, &quiet)?;
    let read = line(&mut input.lock());
    tcsetattr(&input, SetArg::TCSAFLUSH, &before)?;
    writeln!(io::stderr())?;
    read
}

/// The first line, without its end.
fn line(input: &mut impl BufRead) -> io::Result<Zeroizing<String>> {
    // Room for all, so that growing leaves no copies behind.
    let mut line = Zeroizing::new(String::with_capacity(LINE_BYTES_MAX));
    io::Read::take(input, LINE_BYTES_MAX as u64).read_line(&mut line)?;
    let end = line.trim_end_matches(['\r', '\n']).len();
    line.truncate(end);
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_one_line() {
        for (given, expected) in [("a b\n", "a b"), ("a\r\nb\n", "a"), ("æ", "æ"), ("\n", ""), ("", "")] {
            assert_eq!(*line(&mut given.as_bytes()).unwrap(), expected, "{given:?}");
        }
    }
}
