//! Whatever bytes a guest or a network sends: nothing panics, nothing reaches outside its memory, and every call does a
//! bounded amount of work. `cargo test` tries some random inputs; `make fuzz` lets a fuzzer, which sees what each input
//! reaches, look for better ones.

mod files;
mod memory;
mod network;
mod script;
