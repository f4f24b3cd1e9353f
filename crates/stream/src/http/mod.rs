//! HTTP/1.0 and HTTP/1.1 messages (RFC 9112).
//!
//! *Not here*: the body's content ([`crate::content`]) and who calls whom ([`crate::decoder`]).

pub(crate) mod chunked;
pub(crate) mod fields;
pub(crate) mod head;
pub(crate) mod opening;
