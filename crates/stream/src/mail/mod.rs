//! Mail: the dialogue that hands it over, and the message itself.

mod message;
pub(crate) mod smtp;
mod words;
