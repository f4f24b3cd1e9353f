//! Gives memory that nothing uses back to the kernel.
//!
//! Symbols of programs are many, and are forgotten as soon as they are read. The allocator keeps what they took: fifty
//! megabytes beneath the few that stay.

/// Gives back what is free. It takes a moment that grows with what is in use: for after a lot was let go.
#[cfg(target_env = "gnu")]
pub(super) fn give_back() {
    // SAFETY: malloc_trim(3) takes no pointer and may be called from any thread; this allocator is the C library's.
    unsafe { libc::malloc_trim(0) };
}

/// Other C libraries have no such call.
#[cfg(not(target_env = "gnu"))]
pub(super) fn give_back() {}
