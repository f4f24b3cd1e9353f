//! The objects that leave a host: leaks and ledgers.
