//! Shows the picture that a guest's unmodified Looking Glass host writes into shared memory.
//!
//! ```text
//! region --feed--> slots --app or headless--> gpu --> window, PNG
//!                  pointer, conditions ------^
//! ```
//!
//! The feed's thread follows the guest ([`mod@feed`]); the main thread shows ([`app`] with a window, [`headless`] without).
//! Between them slots travel by value ([`slots`]), so neither waits for the other. Deciding is pure: [`view`], [`pace`],
//! [`damage`], [`cursor`], [`text`], [`tone`], [`state`], [`announcer`], [`size`]. wgpu is named in [`gpu`] alone, winit in [`app`] alone, the
//! protocol in [`mod@feed`] alone (and in the demo, which is the other side).
// Forbidden, but for one file that ARCHITECTURE.md names: app/wayland/foreign.rs.
#![deny(unsafe_code)]

pub mod announcer;
pub mod app;
pub mod arrivals;
pub mod asks;
pub mod cli;
pub mod cursor;
pub mod damage;
pub mod demo;
pub mod devices;
pub mod doctor;
pub mod feed;
pub mod gpu;
pub mod guest;
pub mod headless;
pub mod home;
pub mod input;
pub mod keys;
pub mod link;
pub mod offscreen;
pub mod overlay;
pub mod pace;
pub mod picture;
pub mod pointer;
pub mod record;
pub mod recovery;
pub mod remember;
pub mod selftest;
pub mod settings;
pub mod size;
pub mod slots;
pub mod state;
pub mod stats;
pub mod text;
pub mod tone;
pub mod trace;
pub mod turn;
pub mod view;
pub mod wishes;
