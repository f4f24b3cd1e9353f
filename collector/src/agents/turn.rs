//! One delivery of an agent at a time, so that no agent takes more than its share of memory and queue.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use cprvagt_report::AgentId;

/// Who is delivering now.
#[derive(Clone, Default)]
pub(super) struct Turns(Arc<Mutex<HashSet<AgentId>>>);

/// An agent's turn, over when dropped.
pub(super) struct Turn {
    turns: Turns,
    agent: AgentId,
}

impl Turns {
    /// The turn of `agent`; `None` while it has one.
    pub(super) fn take(&self, agent: AgentId) -> Option<Turn> {
        let is_new = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(agent);
        is_new.then(|| Turn { turns: self.clone(), agent })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.agent);
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn one_turn_each() {
        let turns = Turns::default();
        let (one, other) = (AgentId(Uuid::now_v7()), AgentId(Uuid::max()));
        let turn = turns.take(one).unwrap();
        assert!(turns.take(one).is_none() && turns.take(other).is_some());
        drop(turn);
        assert!(turns.take(one).is_some());
    }
}
