//! What the kernel programs write and the agent reads.
#![no_std]
