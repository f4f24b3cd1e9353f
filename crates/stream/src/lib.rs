//! From captured segments to decoded windows, without I/O.
