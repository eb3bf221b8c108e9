//! What a source reports at one instant: one frame for each report of a device (`SYN_REPORT`) or event of the window.

use super::Code;
use core::fmt;
use shm_proto::HostTime;

/// Edges in one frame. A device that reports more at once is told in several frames.
pub const EDGES: usize = 16;

/// What a device is used for. Each can be taken and given back alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Keys.
    Keyboard,
    /// Motion, wheels and buttons.
    Pointer,
}

/// A key or button that went down or up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// Which.
    pub code: Code,
    /// Whether it went down.
    pub is_down: bool,
}

/// Relative motion. Unit: counts of the device; right and down are positive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Motion {
    /// To the right.
    pub dx: i32,
    /// Downwards.
    pub dy: i32,
}

/// A place in the guest's picture. Unit: 1/32767 of its width and height.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// From the left edge, 0 to 32767.
    pub x: u16,
    /// From the top edge, 0 to 32767.
    pub y: u16,
}

/// The largest coordinate of a [`Position`].
pub const POSITION_MAX: u16 = 32_767;

/// How the guest's pointer follows the mouse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum MouseMode {
    /// By differences, as games want it: the pointer is kept in the window.
    #[default]
    Relative,
    /// It is where the host's is, which may leave the window; by differences where the way to the guest has no places.
    Absolute,
}

/// Turns of the wheels. Unit: 1/120 of a detent, as in Linux's `REL_WHEEL_HI_RES`; away from the user and to the right
/// are positive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wheel {
    /// The usual wheel.
    pub vertical: i32,
    /// A wheel that tilts, or a second one.
    pub horizontal: i32,
}

/// One report.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct InputFrame {
    /// When the kernel (or the window system) stamped it.
    pub at: HostTime,
    /// Motion.
    pub motion: Motion,
    /// A place, if the source tells places.
    pub position: Option<Position>,
    /// Wheels.
    pub wheel: Wheel,
    edges: [Option<Edge>; EDGES],
    edge_count: u8,
}

impl InputFrame {
    /// A frame in which nothing happened.
    pub fn new(at: HostTime) -> InputFrame {
        InputFrame { at, ..InputFrame::default() }
    }

    /// Whether it tells of nothing but motion or a place.
    pub fn is_motion(&self) -> bool {
        self.edge_count == 0 && self.wheel == Wheel::default()
    }

    /// A frame with one edge.
    pub fn edge(at: HostTime, code: Code, is_down: bool) -> InputFrame {
        let mut edges = [None; EDGES];
        edges[0] = Some(Edge { code, is_down });
        InputFrame { at, edges, edge_count: 1, ..InputFrame::default() }
    }

    /// The same with motion.
    #[must_use]
    pub fn with_motion(self, motion: Motion) -> InputFrame {
        InputFrame { motion, ..self }
    }

    /// The same at a place.
    #[must_use]
    pub fn with_position(self, position: Position) -> InputFrame {
        InputFrame { position: Some(position), ..self }
    }

    /// The same with wheels.
    #[must_use]
    pub fn with_wheel(self, wheel: Wheel) -> InputFrame {
        InputFrame { wheel, ..self }
    }

    /// Adds an edge. Whether there was room.
    #[must_use]
    pub fn push(&mut self, edge: Edge) -> bool {
        let Some(place) = self.edges.get_mut(usize::from(self.edge_count)) else { return false };
        *place = Some(edge);
        self.edge_count += 1;
        true
    }

    /// The edges in the order in which they happened.
    pub fn edges(&self) -> impl Iterator<Item = Edge> + '_ {
        self.edges.iter().flatten().copied()
    }

    /// Whether nothing happened.
    pub fn is_empty(&self) -> bool {
        self.edge_count == 0
            && self.motion == Motion::default()
            && self.position.is_none()
            && self.wheel == Wheel::default()
    }
}

impl fmt::Debug for InputFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InputFrame({} edges)", self.edge_count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_frame_says_so() {
        let edge = Edge { code: Code::LEFT, is_down: true };
        let mut frame = InputFrame::new(HostTime::ZERO);
        assert!(frame.is_empty());
        for _ in 0..EDGES {
            assert!(frame.push(edge));
        }
        assert!(!frame.push(edge));
        assert_eq!((frame.edges().count(), frame.is_empty()), (EDGES, false));
        assert_eq!(format!("{frame:?}"), "InputFrame(16 edges)");
    }
}
