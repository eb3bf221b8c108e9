//! The Scream reader against the Scream writer.
//!
//! | file | subject |
//! |---|---|
//! | `scream_header` | the conformance list of the wire reference, header |
//! | `scream_index` | the same, index and life of a stream |
//! | `scream_model` | random sequences of guest actions against a model |
//! | `scream_hostile` | headers and indices that lie, also while they are read |
//! | `scream_torn` | another process that writes at full speed |

mod scream_header;
mod scream_hostile;
mod scream_index;
mod scream_model;
mod scream_rig;
mod scream_torn;
