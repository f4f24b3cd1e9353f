//! From captured segments to decoded windows, without I/O.
//!
//! One direction of a flow goes through two stages, each usable alone: [`Reassembly`] puts TCP payload in
//! order, [`Decoder`] cuts ordered bytes into [`Window`]s that say where in a message they stood.
//! The [`tls`] module reads the hellos and record lengths that tie a TLS session to its flow.
//!
//! *Invariants*: nothing here fails or panics; what cannot be decoded is shown raw. Every byte pushed is,
//! at the latest after `finish`, owned by a window that shows it undecoded, and counted once
//! ([`Window::counted`]). Captured bytes that are kept live in [`Plain`] and are zeroed when let go; what decompressors
//! look back at is memory of their libraries, which is not.
//!
//! *Limits*: see [`decoder`] and [`reassembly`]; the memory of one direction is bounded by a few
//! times 64 KiB whatever arrives, and 3 MiB where decompressors look far back; the work by a constant factor of the
//! bytes pushed.
//!
//! *Not here*: clocks, I/O, logging, the CPR matcher, what is done about a hit.

#![forbid(unsafe_code)]

pub mod decoder;
pub mod reassembly;
pub mod tls;

mod body;
mod borders;
mod content;
mod detect;
mod dns;
mod encoding;
mod escape;
mod form;
mod grpc;
mod hidden;
mod http;
mod http2;
mod items;
mod json;
mod judged;
mod layer;
mod ldap;
mod mail;
mod markup;
mod multipart;
mod outlet;
mod parser;
mod path;
mod plain;
mod postgres;
mod protobuf;
mod redis;
mod said;
mod session;
mod start;
mod survey;
mod syslog;
mod text;
mod token;
mod trail;
mod websocket;
mod window;
mod within;
mod words;
mod zip;

pub use decoder::Decoder;
pub use plain::Plain;
pub use reassembly::{Piece, Reassembly};
pub use text::is_text;
pub use window::{Bound, Decoding, Part, Protocol, Sink, Window};
