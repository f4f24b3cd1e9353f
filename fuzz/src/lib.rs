//! One target for each parser that reads what others made: a function that takes any bytes and panics when
//! the parser breaks a promise.
//!
//! libFuzzer drives them through `fuzz_targets/` (`cargo xtask fuzz`); without it `tests/replay.rs` runs each
//! over its folder of `corpus/` and over mutations of what is there.
//!
//! *Not here*: what is looked for by tables and properties, beside the code of each parser.
#![forbid(unsafe_code)]

mod cpr;
mod memory;
mod mend;
mod pcap;
mod protocols;
mod report;
mod settings;
mod spool;
mod stream;
mod text;

pub use cpr::{cpr_find, cpr_scan};
pub use pcap::pcap_read;
pub use protocols::{
    dns_decode, grpc_decode, http2_decode, ldap_decode, mail_decode, postgres_decode, protobuf_decode,
    redis_decode, syslog_decode, websocket_decode,
};
pub use report::{delivery_decode, report_open, report_unpack};
pub use settings::settings_read;
pub use spool::spool_open;
pub use stream::stream_decode;
pub use text::text_parse;

/// A target and the name of its corpus.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 20] = [
    ("cpr_find", cpr_find),
    ("cpr_scan", cpr_scan),
    ("delivery_decode", delivery_decode),
    ("dns_decode", dns_decode),
    ("grpc_decode", grpc_decode),
    ("http2_decode", http2_decode),
    ("ldap_decode", ldap_decode),
    ("mail_decode", mail_decode),
    ("pcap_read", pcap_read),
    ("postgres_decode", postgres_decode),
    ("protobuf_decode", protobuf_decode),
    ("redis_decode", redis_decode),
    ("report_open", report_open),
    ("report_unpack", report_unpack),
    ("settings_read", settings_read),
    ("spool_open", spool_open),
    ("stream_decode", stream_decode),
    ("syslog_decode", syslog_decode),
    ("text_parse", text_parse),
    ("websocket_decode", websocket_decode),
];
