//! A whole guest on the other side: honest, slow, restarting, hostile.
//!
//! A simulated guest has no thread and no clock. It is told the time (`advance(now)`), publishes everything that is due
//! by then, and says when it wants to be called again (`next_due()`). So a day passes in seconds in a test, and a demo
//! runs the same guest on a real clock. The same seed gives the same guest.
//!
//! | file | subject |
//! |---|---|
//! | [`dice`] | numbers that look random and are not |
//! | [`pacing`] | when sound is published: ticks, drift, lateness, stalls |
//! | [`sound`] | a guest with a Scream driver, and the lies it can tell |
//! | [`network`] | a guest whose Scream driver sends datagrams, and what becomes of them on their way |
//! | [`tone`] | what it plays |
//! | [`picture`] | a guest with a capture program |
//! | [`pattern`], [`stamp`], [`pointer`](mod@pointer) | what it shows: picture, frame number and time in it, cursor |
//! | [`tour`] | a guest that shows everything it can, one after the other |
//! | [`lies`], [`words`] | the lies a capture program can tell, and the control words they are about |

pub mod dice;
pub mod lies;
pub mod network;
pub mod pacing;
pub mod pattern;
pub mod picture;
pub mod pointer;
pub mod sound;
pub mod stamp;
pub mod tone;
pub mod tour;
pub mod words;
