//! Finds Danish CPR numbers in bytes.
#![no_std]
