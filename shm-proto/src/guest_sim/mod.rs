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
//! | [`tone`] | what it plays |

pub mod dice;
pub mod pacing;
pub mod sound;
pub mod tone;
