//! When there is something to do: a newly mapped file, what the thread that reads symbols has found, a changed file, or
//! records in the ring.
//!
//! A program maps some forty files within milliseconds as it starts, nearly always files that are known. Being woken for
//! each would cost ten times what looking at them does.

use std::{io, os::fd::OwnedFd, time::Duration};

use tokio::{
    io::unix::AsyncFd,
    time::{Instant, sleep_until},
};

/// How long nothing is heard after a look that found only what is known: less than a loader takes from mapping a
/// library to its first handshake.
const REST: Duration = Duration::from_millis(2);

/// What wakes the process that has the taps.
pub struct Wakes {
    readable: AsyncFd<OwnedFd>,
    rest_until: Instant,
}

impl Wakes {
    pub(super) fn new(readable: AsyncFd<OwnedFd>) -> Self {
        Self { readable, rest_until: Instant::now() }
    }

    /// Waits for the next one. May be dropped while it waits.
    ///
    /// # Errors
    /// The runtime ends.
    pub async fn next(&self) -> io::Result<()> {
        sleep_until(self.rest_until).await;
        self.readable.readable().await?.clear_ready();
        Ok(())
    }

    /// Nothing new was there.
    pub fn rest(&mut self) {
        self.rest_until = Instant::now() + REST;
    }
}
