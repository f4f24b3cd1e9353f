//! A private lab network, leaking programs and ground truth.
//!
//! `Lab` is the network and its servers, `Program` an unmodified client run as a real process,
//! `Agent` the product under test as a child process, and `demo` the whole scenario with its verdict.
//! Live-kernel tests and `cargo xtask demo` stand on the same parts.
//!
//! *Not here*: anything of the product. The product is started and read from outside.
#![forbid(unsafe_code)]

pub mod agent;
pub mod authority;
pub mod binary;
pub mod browser;
pub mod collector;
pub mod database;
pub mod demo;
pub mod go;
pub mod hard;
pub mod held;
pub mod http;
pub mod injection;
pub mod lab;
pub mod live;
pub mod load;
pub mod loss;
pub mod mailer;
pub mod mounted;
pub mod network;
pub mod oracle;
pub mod payload;
pub mod plaintext;
pub mod program;
pub mod pseudonym;
pub mod redirect;
pub mod s_server;
pub mod scratch;
pub mod server;
pub mod small_disk;
pub mod tap_proxy;
pub mod trial;
pub mod writes;

pub use agent::Agent;
pub use lab::Lab;
pub use program::{Job, Program};
pub use trial::{Expected, Seen, Trial};
