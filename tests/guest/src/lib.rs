//! A guest without a virtual machine: writes what a guest's programs write into a file of shared memory, in real time.
//! As the first process of a real virtual machine (number 1) it does the same through the machine's ivshmem devices.
//!
//! The programs themselves are [`shm_proto::guest_sim`]'s; here is what they need of a machine: files, a clock, a
//! command line.
#![forbid(unsafe_code)]

pub mod cli;
pub mod control;
pub mod init;
pub mod input;
pub mod machine;
pub mod mouse;
pub mod network;
pub mod pattern;
pub mod picture;
pub mod place;
pub mod relay;
pub mod simulate;
pub mod sound;
