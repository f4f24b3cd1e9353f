//! The one type that owns captured plaintext.
//!
//! *Invariants*: every byte that was ever held is zeroed before its memory is given back: on drop, when the
//! front is dropped, and when the buffer grows (the old block is wiped after the move).
//!
//! Beyond the length there are never captured bytes.
//!
//! *Not here*: `Debug`, `Clone`, `Serialize`, on purpose: plaintext must not reach a log or a copy by accident.

/// Owned plaintext bytes, zeroed on drop.
#[derive(Default)]
pub struct Plain(Vec<u8>);

impl Plain {
    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.0
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn with_capacity(count: usize) -> Self {
        Self::from(Vec::with_capacity(count))
    }

    pub(crate) fn copy_of(bytes: &[u8]) -> Self {
        Self::from(bytes.to_vec())
    }

    /// The bytes as text, if they are UTF-8.
    pub(crate) fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) {
        let needed = self.len() + bytes.len();
        if needed > self.0.capacity() {
            self.move_to(needed.max(self.0.capacity() * 2));
        }
        self.0.extend_from_slice(bytes);
    }

    /// Makes room for `count` bytes in all.
    pub(crate) fn reserve(&mut self, count: usize) {
        if count > self.0.capacity() {
            self.move_to(count);
        }
    }

    /// Appends what `fill` adds, at most `most` bytes: with more the block could move and leave its content behind.
    pub(crate) fn append_with<T>(&mut self, most: usize, fill: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let needed = self.len() + most;
        if needed > self.0.capacity() {
            self.move_to(needed.max(self.0.capacity() * 2));
        }
        fill(&mut self.0)
    }

    /// Forgets the first `count` bytes.
    pub(crate) fn drop_front(&mut self, count: usize) {
        let count = count.min(self.len());
        let kept = self.len() - count;
        self.0.copy_within(count.., 0);
        self.truncate(kept);
    }

    pub(crate) fn truncate(&mut self, len: usize) {
        if len < self.len() {
            wipe(&mut self.0[len..]);
            self.0.truncate(len);
        }
    }

    /// Gives back memory that an idle flow does not need.
    pub(crate) fn shrink(&mut self) {
        if self.0.capacity() > self.len() * 2 + 64 {
            self.move_to(self.len());
        }
    }

    /// Moves the bytes to a block of the given capacity; the old block is zeroed as it drops.
    fn move_to(&mut self, capacity: usize) {
        let mut wider = Vec::with_capacity(capacity);
        wider.extend_from_slice(&self.0);
        *self = Self(wider);
    }
}

impl From<Vec<u8>> for Plain {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

/// Zeroes bytes, in wide stores that the compiler may not leave out.
fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    zeroize::optimization_barrier(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_what_is_appended_and_not_dropped() {
        let mut plain = Plain::from(b"abc".to_vec());
        plain.append(b"defgh");
        plain.drop_front(2);
        plain.truncate(4);
        assert_eq!(plain.as_slice(), b"cdef");
        plain.drop_front(99);
        assert!(plain.is_empty());
    }

    #[test]
    fn shrinks_when_idle() {
        let mut plain = Plain::copy_of(&[7; 65536]);
        plain.drop_front(65500);
        plain.shrink();
        assert!(plain.0.capacity() <= 64, "{}", plain.0.capacity());
        assert_eq!(plain.as_slice(), &[7; 36]);
    }
}
