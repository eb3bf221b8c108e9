//! Shows the picture that a guest's unmodified Looking Glass host writes into shared memory.
#![forbid(unsafe_code)]

pub mod cli;
pub mod cursor;
pub mod damage;
pub mod feed;
pub mod gpu;
pub mod offscreen;
pub mod pace;
pub mod picture;
pub mod pointer;
pub mod settings;
pub mod size;
pub mod slots;
pub mod state;
pub mod stats;
pub mod text;
pub mod view;
