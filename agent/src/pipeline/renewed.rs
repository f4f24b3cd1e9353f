//! Sessions that drew another random in the middle of their connection: renegotiation of TLS 1.2 (RFC 5246, 7.4.1.1).
//!
//! The hello that tells the new random is encrypted, so that no flow is known by it. But the connection shows that
//! handshake records pass behind data, and the session that wrote on it is known: it takes one new random for each such
//! handshake, and keeps its flow.
//!
//! *Invariants*: a session whose flow shows no handshake is never taken for another's: addresses of sessions are used
//! again.
//! *Limits*: [`RENEWED_MAX`] sessions; those of flows that are gone are forgotten first, and then no more are taken.

use std::collections::HashMap;

use cprvagt_abi::TlsWrite;

use super::flow::FlowState;
use crate::join::records::RecordHeader;

/// Sessions that are known at most.
const RENEWED_MAX: usize = 4096;
/// Content type of a handshake record.
const HANDSHAKE: u32 = 22;

/// See the module.
#[derive(Default)]
pub struct Renewed(HashMap<(u32, u64), Renewal>);

struct Renewal {
    flow: u64,
    /// The random that the session has since.
    random: Option<[u8; 32]>,
}

impl Renewed {
    /// A record passed on a flow.
    pub fn pass(&mut self, header: &RecordHeader, flow: Option<&FlowState>, is_known: impl Fn(u64) -> bool) {
        let Some(flow) = flow.filter(|_| header.content == HANDSHAKE) else { return };
        let Some(session) = flow.session() else { return };
        if self.0.len() >= RENEWED_MAX {
            self.0.retain(|_, renewal| is_known(renewal.flow));
        }
        if self.0.len() < RENEWED_MAX {
            self.0.insert(session, Renewal { flow: flow.who.kernel.id, random: None });
        }
    }

    /// The flow of a call whose random no flow is known by.
    pub fn flow_of(&mut self, call: &TlsWrite) -> Option<u64> {
        if call.flow != 0 || call.random == [0; 32] {
            return None;
        }
        let renewal = self.0.get_mut(&(call.tgid, call.session))?;
        let random = *renewal.random.get_or_insert(call.random);
        (random == call.random).then_some(renewal.flow)
    }
}
