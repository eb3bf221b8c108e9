//! Which test belongs where.
//!
//! | question | where | runs against |
//! |---|---|---|
//! | does one function, type or file keep its word? | at the end of that file, `mod tests` | values |
//! | does a protocol or an engine survive any sequence of guest actions? | the same file, or that crate's `tests/`, with proptest | a simulated guest, virtual time |
//! | do any bytes at all upset a reader of foreign ones? | `tests/fuzz` | random input, and libFuzzer by `make fuzz` |
//! | do two threads keep their word in every interleaving? | the same file, `cfg(loom)` | the model checker |
//! | does one crate's public face do what its users need? | that crate's `tests/` | a real region, sink, GPU or server |
//! | are the workspace's own rules kept? | `tests/tests/layout.rs` | the source text, README and manifests |
//! | do whole programs work, and fail well? | `tests/tests/programs.rs` | release binaries, processes, PulseAudio, Xvfb |
//! | does sound come over the network? | `tests/tests/network.rs` | release binaries, datagrams on the loopback |
//! | is the person told what is wrong, in one line? | `tests/tests/bad_input.rs` | release binaries and every fault a user can make |
//! | does it work from a real guest? | `tests/tests/vm.rs` | the same, and QEMU with a Linux guest |
//! | do keys and motion reach a real guest, and is none left down? | `tests/tests/input.rs` | QEMU's SPICE and QMP, a reporter in the guest |
//! | are keyboards and mice read, kept and given back, and at which cost? | `tests/tests/evdev.rs` | `frame-rx` inside such a guest, with QEMU's devices, also under systemd and with a second guest |
//! | is a sound card played on, also one that is pulled out? | `tests/tests/card.rs` | `scream-rx` inside such a guest, with QEMU's cards |
//! | how fast is it? | `benches/` | ratios within one run; never here |
//!
//! This library holds the rigs: private servers, displays, machines and processes for those tests. Each rig makes what
//! it needs in a folder of its own, waits for conditions and never for a time, and takes everything down when it is
//! dropped: processes, folders and files in `/dev/shm`. A test that is killed takes its servers with it.
//!
//! A rig whose program is not installed answers `None` after printing the skip; with `CI=true` it fails instead.
#![forbid(unsafe_code)]

pub mod attempt;
pub mod cpio;
pub mod gpu;
pub mod guest;
pub mod image;
pub mod kernel;
pub mod luggage;
pub mod monitor;
pub mod place;
pub mod process;
pub mod programs;
pub mod pulse;
pub mod require;
pub mod source;
pub mod tone;
pub mod vm;
pub mod xvfb;
