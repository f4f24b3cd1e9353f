//! Some of the processes that have mapped a file: enough to know that it is in use.

use std::fs;

/// Processes that are remembered of each file.
const KNOWN: usize = 4;

/// A few processes that have mapped a file; those that live are kept.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Users {
    pids: [Option<u32>; KNOWN],
    next: usize,
}

impl Users {
    /// Notes another one, if the place whose turn it is can be had: one question to the kernel at most.
    pub(super) fn add(&mut self, pid: u32) {
        if self.pids.contains(&Some(pid)) {
            return;
        }
        let place = &mut self.pids[self.next];
        if place.is_none_or(has_ended) {
            *place = Some(pid);
        }
        self.next = (self.next + 1) % KNOWN;
    }

    /// Whether all that are known have ended. Others may have inherited the mapping.
    pub(super) fn have_ended(&self) -> bool {
        self.pids.iter().flatten().copied().all(has_ended)
    }
}

/// A number that was given to another process counts as running.
fn has_ended(pid: u32) -> bool {
    fs::metadata(format!("/proc/{pid}")).is_err()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, id};

    use super::*;

    fn ended() -> u32 {
        let mut child = Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        child.id()
    }

    #[test]
    fn who_lives_is_kept_and_makes_room_for_nobody() {
        let mut users = Users::default();
        assert!(users.have_ended());
        let dead = ended();
        for pid in [id(), dead, dead, dead, ended(), ended()] {
            users.add(pid);
        }
        assert!(!users.have_ended());
        for _ in 0..2 * KNOWN {
            users.add(ended());
        }
        assert!(!users.have_ended(), "the dead take the places of the dead");
        users = Users::default();
        users.add(dead);
        assert!(users.have_ended());
    }
}
