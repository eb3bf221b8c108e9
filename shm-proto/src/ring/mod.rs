//! Our own lock-free broadcast ring.
