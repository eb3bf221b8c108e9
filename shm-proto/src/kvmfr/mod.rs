//! KVMFR: frames, cursor and messages, carried by LGMP.
//!
//! | file | holds |
//! |---|---|
//! | [`wire`] | the offsets, one table per version |
//! | [`pixel`] | the six ways a pixel can lie in memory |
//! | [`damage`] | which part of a picture changed. Pure |
//! | [`frame`], [`hdr`], [`timing`], [`cursor`], [`session`] | snapshots that were checked: the check is the only constructor |
//! | [`message`] | what a viewer may tell the producer |
//! | [`stream`] | the viewer: one call for the state, one for the newest frame, one for the cursor |
//! | [`producer`] | a producer like B7, for guests of ours |
//! | [`sizes`] | how large a region must be for a picture. Pure |

pub mod cursor;
pub mod damage;
pub mod frame;
pub mod hdr;
pub mod message;
pub mod pixel;
pub mod producer;
pub mod session;
pub mod sizes;
pub mod state;
pub mod stream;
pub mod timing;
pub mod wire;

pub use cursor::{CursorShape, CursorState, ShapeKind};
pub use damage::{Damage, Rect};
pub use frame::{Frame, FrameFlags, Rotation};
pub use hdr::HdrMetadata;
pub use pixel::PixelType;
pub use producer::{Begun, Identity, PictureSpec, Producer, ProducerConfig};
pub use session::SessionInfo;
pub use state::{Counters, State};
pub use stream::{Outcome, PendingFrame, Viewer};
pub use timing::GuestTiming;
pub use wire::Version;
