//! Keyboard and mouse: from sources (the window, evdev devices) through the router and the pacer to one sink, which is
//! a way to the guest.
//!
//! ```text
//! sources --InputFrame--> router (who has the input, what the guest holds) --Step--> pacer (how fast) --Step--> sink
//! ```
//!
//! Router and pacer are pure: time comes as an argument. Which key was pressed is never logged: the types that hold a
//! code print as a count or as dots.

pub mod address;
pub mod capture;

pub mod chord;
pub mod codes;
pub mod evdev;
pub mod frame;
pub mod heir;
pub mod keylist;
pub mod keymap;
pub mod opener;
pub mod own;
pub mod pacer;
pub mod qmp;
pub mod router;
pub mod session;
pub mod sink;
pub mod spice;
pub mod stats;
pub mod uinput;
pub mod usbhid;
pub mod wire;
pub mod x11;

pub use codes::{Code, CodeSet};
pub use frame::{Edge, InputFrame, Lane, Motion, Position, Wheel};

#[cfg(test)]
mod chaos_tests;
#[cfg(test)]
mod model_tests;
