//! The simulated guest and the viewer together.
//!
//! | file | asks |
//! |---|---|
//! | `viewer` | does what was drawn arrive, whatever happens to machine, program, viewer and file? |
//! | `lies` | does each lie do what the table says, and nothing worse? |
//! | `hostile` | does any sequence of actions, garbage and time leave the viewer alive and the region's bounds kept? |
//! | `steady` | does anything allocate while frames flow? |
//! | `torn` | is a frame accepted by one process whole, while another one writes? |
//! | `screen` | the receiver they all share: it copies damaged rows, as a real one does |
#![cfg(feature = "guest-sim")]

mod hostile;
mod lies;
mod screen;
mod steady;
mod torn;
mod viewer;
