//! Where the windows of a message go, and how much its decoders may make of it.
//!
//! *Limits*: what decoders make of one message is bounded by [`RATIO_MAX`] times the bytes of the message, and
//! [`FREE_BYTES`], and by [`MADE_BYTES_MAX`].

use crate::window::{Place, Sink};

/// Bytes that decoders may make of each byte of a message.
const RATIO_MAX: u64 = 64;

/// Bytes that they may make of however few.
const FREE_BYTES: u64 = 1 << 20;

/// Bytes that they may make of one message.
const MADE_BYTES_MAX: u64 = 256 << 20;

/// See the module.
pub(crate) struct Outlet<'a, 's> {
    pub(crate) place: &'a Place,
    pub(crate) message: u64,
    pub(crate) meter: Meter,
    pub(crate) out: &'a mut Sink<'s>,
}

impl<'a, 's> Outlet<'a, 's> {
    pub(crate) fn new(place: &'a Place, out: &'a mut Sink<'s>) -> Self {
        Self { place, message: place.message, meter: Meter::default(), out }
    }
}

/// Counts what decoders make of a message.
#[derive(Clone, Copy, Default)]
pub(crate) struct Meter {
    taken: u64,
    made: u64,
}

impl Meter {
    /// More bytes of the message came.
    pub(crate) fn take(&mut self, bytes: usize) {
        self.taken += bytes as u64;
    }

    /// A decoder made bytes, or looked at them again; false if that is too much.
    pub(crate) fn make(&mut self, bytes: usize) -> bool {
        self.made += bytes as u64;
        self.made <= MADE_BYTES_MAX.min(FREE_BYTES + RATIO_MAX * self.taken)
    }
}
