//! Opening probe events for the capture process, in a process that can do nothing else.
//!
//! Capture hands over a file by its descriptor and an offset in it, and gets the event's descriptor back. So the
//! capability that opening takes need not be in the process that reads other programs' files.
//!
//! *Invariants*: a request has no path and no attribute, so nothing but a probe at an instruction can be asked for.
//! *Limits*: [`OPENINGS_MAX`] events at once, [`OPENINGS_PER_SECOND`] more in the long run.
//! *Not here*: confining the process; see `run::confine`.

use std::fs::File;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use super::uprobe::Events;
use crate::channel::{receive, receive_with_descriptors, send, send_with_descriptors};

/// Events that are opened without a pause: eight for each file that can be probed, as many as a libssl takes.
const OPENINGS_MAX: u32 = 32_768;
/// Events for which there is room again each second: files of containers that come and go.
const OPENINGS_PER_SECOND: u32 = 64;

/// Where probe events are opened.
#[derive(Debug)]
pub enum Opener {
    /// In this process, which takes CAP_SYS_ADMIN; or why it cannot be done.
    Here(io::Result<Events>),
    /// In the process at the other end, which runs [`serve`].
    Broker(UnixStream),
}

impl Opener {
    /// This process.
    #[must_use]
    pub fn here() -> Self {
        Self::Here(Events::find())
    }

    /// The process at the other end, as soon as it is ready.
    ///
    /// # Errors
    /// It is gone, or does not become ready within the time limit of `stream`.
    pub fn broker(stream: UnixStream) -> io::Result<Self> {
        match receive::<()>(&stream)? {
            Some(()) => Ok(Self::Broker(stream)),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Opens the event at `offset` bytes of `file`.
    pub(super) fn open(&self, file: &File, offset: u64) -> io::Result<OwnedFd> {
        match self {
            Self::Here(Ok(events)) => events.open(file.as_fd(), offset),
            Self::Here(Err(error)) => Err(io::Error::new(error.kind(), error.to_string())),
            Self::Broker(stream) => match ask(stream, file, offset) {
                Ok(answer) => answer,
                Err(error) => {
                    // A late answer would be taken for that of the next question. Both ends know it from this.
                    let _ = stream.shutdown(Shutdown::Both);
                    Err(error)
                }
            },
        }
    }
}

/// The kernel's answer, or why there is none.
fn ask(stream: &UnixStream, file: &File, offset: u64) -> io::Result<io::Result<OwnedFd>> {
    send_with_descriptors(stream, &offset.to_le_bytes(), &[file.as_fd()])?;
    let (number, mut events) = receive_with_descriptors(stream)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    match (i32::from_le_bytes(number), events.pop()) {
        (0, Some(event)) => Ok(Ok(event)),
        (number, None) if number > 0 => Ok(Err(io::Error::from_raw_os_error(number))),
        _ => Err(io::Error::other("the broker's answer is none")),
    }
}

/// Opens what the other side asks for, until it is gone. `confine` comes before the first request, and after the
/// last file has been read.
///
/// # Errors
/// What `confine` says, or the socket is broken.
pub fn serve<E: From<io::Error>>(
    stream: &UnixStream,
    confine: impl FnOnce() -> Result<(), E>,
) -> Result<(), E> {
    let events = Events::find();
    confine()?;
    send(stream, &())?;
    let mut budget = Budget { left: OPENINGS_MAX, since: Instant::now() };
    while let Some((offset, files)) = receive_with_descriptors(stream)? {
        let opened = match (<[OwnedFd; 1]>::try_from(files), &events) {
            (Err(_), _) => Err(libc::EINVAL),
            (Ok(_), Err(_)) => Err(libc::ENODEV),
            (Ok([file]), Ok(events)) if budget.take(Instant::now()) => {
                let opened = events.open(file.as_fd(), u64::from_le_bytes(offset));
                opened.map_err(|error| error.raw_os_error().unwrap_or(libc::EIO))
            }
            (Ok(_), Ok(_)) => Err(libc::EBUSY),
        };
        answer(stream, &opened)?;
    }
    Ok(())
}

fn answer(stream: &UnixStream, opened: &Result<OwnedFd, i32>) -> io::Result<()> {
    match opened {
        Ok(event) => send_with_descriptors(stream, &0_i32.to_le_bytes(), &[event.as_fd()]),
        Err(number) => send_with_descriptors(stream, &number.to_le_bytes(), &[]),
    }
}

/// How many events may still be opened.
struct Budget {
    left: u32,
    since: Instant,
}

impl Budget {
    fn take(&mut self, now: Instant) -> bool {
        let seconds = now.saturating_duration_since(self.since).as_secs();
        if seconds > 0 {
            let more = u32::try_from(seconds).unwrap_or(u32::MAX).saturating_mul(OPENINGS_PER_SECOND);
            self.left = self.left.saturating_add(more).min(OPENINGS_MAX);
            self.since = now;
        }
        let there = self.left > 0;
        self.left = self.left.saturating_sub(1);
        there
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_budget_ends_and_comes_back() {
        let now = Instant::now();
        let mut budget = Budget { left: 2, since: now };
        assert_eq!([budget.take(now), budget.take(now), budget.take(now)], [true, true, false]);
        let later = now + Duration::from_secs(1);
        let taken = (0..100).filter(|_| budget.take(later)).count();
        assert_eq!(taken, OPENINGS_PER_SECOND as usize);
        let much_later = later + Duration::from_secs(1 << 40);
        let taken = (0..2 * OPENINGS_MAX).filter(|_| budget.take(much_later)).count();
        assert_eq!(taken, OPENINGS_MAX as usize);
    }

    /// Whoever runs this test, privileged or not: a refusal comes back as what the kernel said, and the broker
    /// goes on.
    #[test]
    fn what_cannot_be_opened_is_answered() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let broker = thread::spawn(move || serve::<io::Error>(&theirs, || Ok(())));
        let opener = Opener::broker(ours).unwrap();
        for path in ["/dev/null", "/"] {
            let error = opener.open(&File::open(path).unwrap(), 0).unwrap_err();
            assert!(error.raw_os_error().is_some(), "{path}: {error}");
        }
        drop(opener);
        broker.join().unwrap().unwrap();
    }

    #[test]
    fn a_request_without_its_file_is_refused() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let broker = thread::spawn(move || serve::<io::Error>(&theirs, || Ok(())));
        receive::<()>(&ours).unwrap();
        send_with_descriptors(&ours, &[0; 8], &[]).unwrap();
        let (number, events) = receive_with_descriptors(&ours).unwrap().unwrap();
        assert_eq!((i32::from_le_bytes(number), events.len()), (libc::EINVAL, 0));
        drop(ours);
        broker.join().unwrap().unwrap();
    }

    #[test]
    fn a_broker_that_is_gone_is_an_error() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        send(&theirs, &()).unwrap();
        let opener = Opener::broker(ours).unwrap();
        drop(theirs);
        assert!(opener.open(&File::open("/dev/null").unwrap(), 0).is_err());
    }
}
