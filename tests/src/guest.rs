//! A simulated guest as a process of its own, and what it should have shown.

use crate::image::Picture;
use crate::process::{Running, SOON, tied};
use crate::programs;
use shm_proto::guest_sim::pattern::{Motion, Pattern};
use shm_proto::guest_sim::stamp::{Edge, Stamp, read_stamp};
use shm_proto::kvmfr::{PictureSpec, PixelType};
use std::path::Path;

/// Starts `rx-guest TASK FILE OPTIONS` and waits until it writes.
///
/// # Panics
/// If it does not come up.
pub fn start(task: &str, file: &Path, options: &[&str]) -> Running {
    let mut command = tied(programs::release("rx-guest"));
    let running = Running::start("rx-guest", command.arg(task).arg(file).args(options));
    running.line("READY", SOON);
    running
}

/// The stamp in a picture of the guest's, at one of its edges.
pub fn stamp(picture: &Picture, edge: Edge) -> Option<Stamp> {
    let pitch = picture.width as usize * 3;
    read_stamp(&picture.rgb, pitch, PixelType::Rgb24, (picture.width, picture.height), edge)
}

/// Whether `picture` is one that the guest sent, all of it and nothing else: the stamps at both edges agree, and every
/// pixel is what the pattern says. The guest must show no cursor and its bar (which is the default).
///
/// # Panics
/// If not; the message says what differs.
pub fn check_picture(picture: &Picture) -> Stamp {
    let top = stamp(picture, Edge::Top).expect("a stamp at the top");
    assert_eq!(stamp(picture, Edge::Bottom), Some(top), "top and bottom are of different frames");
    let mut spec = PictureSpec::new(PixelType::Rgb24, picture.width, picture.height);
    spec.pitch_bytes = spec.row_bytes();
    let rgb = Pattern::new(spec, Motion::Bar).reference(top);
    let sent = Picture { width: picture.width, height: picture.height, rgb };
    assert_eq!(picture.difference(&sent), None, "frame {}", top.frame);
    top
}
