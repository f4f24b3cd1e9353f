//! A private lab network, leaking programs and ground truth.
