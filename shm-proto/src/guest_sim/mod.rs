//! A whole guest on the other side: honest, slow, restarting, hostile.

pub mod lies;
pub mod pattern;
pub mod picture;
pub mod pointer;
pub mod stamp;
