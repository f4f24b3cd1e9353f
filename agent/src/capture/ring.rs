//! The ring between kernel and agent, as the one process that reads it sees it.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use aya::maps::{Map, MapData, RingBuf};

use super::{Programs, error::CaptureError};

/// The reading end. Which process holds it is the caller's choice; there is one reader.
pub struct Ring(RingBuf<MapData>);

impl Ring {
    /// The ring behind a descriptor of its map.
    ///
    /// # Errors
    /// It is no ring, or the kernel refuses to map it.
    pub fn open(descriptor: OwnedFd) -> Result<Self, CaptureError> {
        let map = MapData::from_fd(descriptor).map_err(CaptureError::map("RING"))?;
        Self::over(Map::RingBuf(map))
    }

    pub(super) fn take(programs: &mut Programs) -> Result<Self, CaptureError> {
        Self::over(programs.take_map("RING")?)
    }

    fn over(map: Map) -> Result<Self, CaptureError> {
        RingBuf::try_from(map).map(Self).map_err(CaptureError::map("RING"))
    }

    /// A descriptor of the ring's map, for another process to read it.
    pub(super) fn descriptor(programs: &mut Programs) -> Result<OwnedFd, CaptureError> {
        match programs.take_map("RING")? {
            Map::RingBuf(map) => {
                map.fd().as_fd().try_clone_to_owned().map_err(CaptureError::io("the ring's descriptor"))
            }
            _ => Err(CaptureError::map("RING")(aya::maps::MapError::InvalidMapType { map_type: 0 })),
        }
    }

    /// Becomes readable when the ring fills to a mark.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Hands each waiting record to `take`; returns how many there were, at most `most`.
    pub fn drain(&mut self, most: usize, mut take: impl FnMut(&[u8])) -> usize {
        let mut count = 0;
        while count < most
            && let Some(item) = self.0.next()
        {
            take(&item);
            count += 1;
        }
        count
    }
}
