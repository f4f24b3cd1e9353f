//! A map that forgets what was put in long ago: of what was told of a message, above all.
//!
//! *Limits*: [`TOLD_MAX`] entries unless said otherwise, at least half of them remembered.

use std::{collections::HashMap, hash::Hash};

/// Numbers of one message that are remembered.
pub const TOLD_MAX: usize = 65_536;

/// See the module.
pub struct Recent<K, V, const MAX: usize = TOLD_MAX> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K, V, const MAX: usize> Default for Recent<K, V, MAX> {
    fn default() -> Self {
        Self { young: HashMap::new(), old: HashMap::new() }
    }
}

impl<K: Hash + Eq, V, const MAX: usize> Recent<K, V, MAX> {
    /// What is known of a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    /// Puts it in.
    pub fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= MAX / 2 && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_bounded_and_lasts() {
        let mut recent = Recent::<usize, ()>::default();
        for value in 0..3 * TOLD_MAX {
            recent.insert(value, ());
            assert!(recent.young.len() + recent.old.len() <= TOLD_MAX);
            assert!(recent.get(&value.saturating_sub(TOLD_MAX / 2 - 1)).is_some());
        }
    }
}
