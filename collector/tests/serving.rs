//! The collector as agents and operators meet it: real TLS from a real client, and the real program.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "serving/certificates.rs"]
mod certificates;
#[path = "serving/client.rs"]
mod client;
#[path = "serving/commands.rs"]
mod commands;
#[path = "serving/deliveries.rs"]
mod deliveries;
#[path = "serving/enrolment.rs"]
mod enrolment;
#[path = "serving/guard.rs"]
mod guard;
#[path = "serving/limits.rs"]
mod limits;
#[path = "serving/lost_keys.rs"]
mod lost_keys;
#[path = "serving/rig.rs"]
mod rig;
#[path = "serving/sample.rs"]
mod sample;
