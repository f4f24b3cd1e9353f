//! Nothing: the dependencies are what is wanted.

#![forbid(unsafe_code)]
