//! KVMFR: frames, cursor and messages, carried by LGMP.
