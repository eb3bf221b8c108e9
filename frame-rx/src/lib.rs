//! Shows the picture that a guest's unmodified Looking Glass host writes into shared memory.
#![forbid(unsafe_code)]

pub mod cursor;
pub mod damage;
pub mod gpu;
pub mod offscreen;
pub mod pace;
pub mod picture;
pub mod slots;
pub mod text;
pub mod view;
