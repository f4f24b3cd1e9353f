//! When there is something to do: a newly mapped file, what the thread that reads symbols has found, a changed file, or
//! records in the ring.
//!
//! Where the kernel tells of each mapping, known file or not, it could wake us a thousand times a second for nothing.
//! So after a look that found nothing new no mapping is heard of for a while.

use std::{
    io,
    os::fd::{BorrowedFd, OwnedFd},
    time::Duration,
};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use tokio::{
    io::unix::AsyncFd,
    time::{Instant, sleep_until},
};

/// How long no mapping is heard of: less than a loader takes from mapping a library to its first handshake.
const REST: Duration = Duration::from_millis(2);
/// How often mappings are looked at instead while programs start all the time: one that lives shorter than this after
/// mapping a new library may then be missed.
const LOOK_EVERY: Duration = Duration::from_millis(25);
/// Looks that may find only known files before that: those of some programs that start at once.
const VAIN_LOOKS_MAX: u32 = 50;
/// How often one more is granted.
const VAIN_LOOK_EVERY: Duration = Duration::from_millis(20);
/// When to look again for a mapping that was announced.
const SOON: Duration = Duration::from_millis(1);

/// What a look at newly mapped files has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A file that was not known.
    News,
    /// Only files that were known.
    Known,
    /// No mapping.
    Nothing,
    /// Nothing new yet: a mapping is announced.
    Announcement,
}

/// What wakes the process that has the taps.
pub struct Wakes {
    epoll: Epoll,
    /// The same.
    readable: AsyncFd<OwnedFd>,
    /// In the other but for the time of a rest: what becomes readable in it would wake us all the same.
    mappings: Epoll,
    are_heard: bool,
    rest_until: Option<Instant>,
    look_at: Option<Instant>,
    patience: Patience,
}

impl Wakes {
    /// Of mappings, and of what else becomes readable.
    pub(super) fn new<'a>(
        mappings: impl Iterator<Item = BorrowedFd<'a>>,
        others: impl Iterator<Item = BorrowedFd<'a>>,
    ) -> io::Result<Self> {
        let (epoll, listened) =
            (Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?, Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?);
        let each = others.map(|it| (&epoll, it)).chain(mappings.map(|it| (&listened, it)));
        for (epoll, descriptor) in each {
            epoll.add(descriptor, when_readable())?;
        }
        epoll.add(&listened.0, when_readable())?;
        let patience = Patience { left: VAIN_LOOKS_MAX, since: Instant::now() };
        let same = epoll.0.try_clone()?;
        // SAFETY: the descriptor is owned by the returned value and stays the same until that is dropped.
        let readable = unsafe { AsyncFd::register(same) }.map_err(io::Error::from)?;
        Ok(Self {
            epoll,
            readable,
            mappings: listened,
            are_heard: true,
            rest_until: None,
            look_at: None,
            patience,
        })
    }

    /// Waits for the next one. May be dropped while it waits.
    ///
    /// # Errors
    /// The runtime ends, or the kernel refuses to tell of mappings again.
    pub async fn next(&mut self) -> io::Result<()> {
        if let Some(until) = self.rest_until {
            tokio::select! {
                readable = self.readable.readable() => {
                    readable?.clear_ready();
                    return Ok(());
                }
                () = sleep_until(until) => {}
            }
            self.rest_until = None;
            self.hear(true)?;
        }
        let look_at = async {
            match self.look_at {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            readable = self.readable.readable() => readable?.clear_ready(),
            () = look_at => {}
        }
        Ok(())
    }

    /// What the last look found decides when the next one is.
    ///
    /// # Errors
    /// The kernel refuses to leave mappings untold.
    pub fn after(&mut self, found: Found) -> io::Result<()> {
        let now = Instant::now();
        (self.rest_until, self.look_at) = match found {
            Found::Known if self.patience.lasts(now) => (Some(now + REST), None),
            Found::Known => (None, Some(now + LOOK_EVERY)),
            Found::Announcement => (None, Some(now + SOON)),
            Found::News | Found::Nothing => (None, None),
        };
        self.hear(found != Found::Known)
    }

    fn hear(&mut self, are_heard: bool) -> io::Result<()> {
        match (self.are_heard, are_heard) {
            (false, true) => self.epoll.add(&self.mappings.0, when_readable())?,
            (true, false) => self.epoll.delete(&self.mappings.0)?,
            _ => {}
        }
        self.are_heard = are_heard;
        Ok(())
    }
}

fn when_readable() -> EpollEvent {
    EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, 0)
}

/// How many looks may still be in vain.
struct Patience {
    left: u32,
    since: Instant,
}

impl Patience {
    /// Whether one more is not too many.
    fn lasts(&mut self, now: Instant) -> bool {
        let granted = now.saturating_duration_since(self.since).as_millis() / VAIN_LOOK_EVERY.as_millis();
        if granted > 0 {
            let granted = u32::try_from(granted).unwrap_or(u32::MAX);
            self.left = self.left.saturating_add(granted).min(VAIN_LOOKS_MAX);
            self.since = now;
        }
        let lasts = self.left > 0;
        self.left = self.left.saturating_sub(1);
        lasts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_ends_and_comes_back() {
        let mut now = Instant::now();
        let mut patience = Patience { left: VAIN_LOOKS_MAX, since: now };
        let lasted = (0..2 * VAIN_LOOKS_MAX).filter(|_| patience.lasts(now)).count();
        assert_eq!(lasted, VAIN_LOOKS_MAX as usize);
        now += VAIN_LOOK_EVERY;
        assert_eq!([patience.lasts(now), patience.lasts(now)], [true, false]);
        now += Duration::from_secs(1 << 40);
        assert!(patience.lasts(now));
        assert_eq!(patience.left, VAIN_LOOKS_MAX - 1);
    }
}
