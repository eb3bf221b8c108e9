//! A simulated guest as a process of its own, and what it should have shown.

use crate::image::Picture;
use crate::process::{Running, SOON, tied, until_or_late};
use crate::programs;
use crate::xvfb::XvfbRig;
use shm_proto::guest_sim::pattern::{Motion, Pattern};
use shm_proto::guest_sim::stamp::{Edge, Stamp, read_stamp};
use shm_proto::kvmfr::{PictureSpec, PixelType};
use std::path::Path;
use std::time::Duration;

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
/// # Errors
/// What is wrong, in words.
pub fn check_picture(picture: &Picture) -> Result<Stamp, String> {
    let (top, bottom) = (stamp(picture, Edge::Top), stamp(picture, Edge::Bottom));
    let sent = top.ok_or("no stamp at the top")?;
    if bottom != top {
        return Err(format!("top and bottom are of different frames: {top:?}, {bottom:?}"));
    }
    match picture.difference(&sent_picture(sent, picture.width, picture.height)) {
        None => Ok(sent),
        Some(difference) => Err(format!("frame {}: {difference}", sent.frame)),
    }
}

/// The guest's picture of `width` x `height`, wherever it is on the screen.
///
/// # Errors
/// There is none, or it is not what was sent; in words.
pub fn find_picture(screen: &Picture, width: u32, height: u32) -> Result<Picture, String> {
    let pitch = screen.width as usize * 3;
    let (Some(last_x), Some(last_y)) = (screen.width.checked_sub(width), screen.height.checked_sub(height)) else {
        return Err(format!("the screen is smaller than {width}x{height}"));
    };
    let mut nearest = "no stamp anywhere".to_owned();
    for (x, y) in (0..=last_y).flat_map(|y| (0..=last_x).map(move |x| (x, y))) {
        let from_corner = &screen.rgb[y as usize * pitch + x as usize * 3..];
        let stamp = |edge| read_stamp(from_corner, pitch, PixelType::Rgb24, (width, height), edge);
        // The strip's first bit is set, so most corners need no closer look.
        if from_corner[1] < 128 || stamp(Edge::Top).is_none_or(|top| stamp(Edge::Bottom) != Some(top)) {
            continue;
        }
        // The bits of a stamp are several pixels wide, so corners beside the true one can be read as well.
        let part = screen.part(x, y, width, height);
        match check_picture(&part) {
            Ok(_) => return Ok(part),
            Err(difference) => nearest = format!("at {x},{y}: {difference}"),
        }
    }
    Err(nearest)
}

/// What the guest shows in the frame with this stamp.
fn sent_picture(stamp: Stamp, width: u32, height: u32) -> Picture {
    let mut spec = PictureSpec::new(PixelType::Rgb24, width, height);
    spec.pitch_bytes = spec.row_bytes();
    Picture { width, height, rgb: Pattern::new(spec, Motion::Bar).reference(stamp) }
}

/// Waits until a window on `display` shows the guest's picture of this size, every pixel as it was sent. What is on the
/// way to the screen at that instant is looked at again.
///
/// # Panics
/// If it does not within `within`.
pub fn wait_for_picture(display: &XvfbRig, (width, height): (u32, u32), within: Duration) -> Picture {
    let mut wrong = String::new();
    let look = || find_picture(&display.screen(), width, height).map_err(|e| wrong = e).ok();
    let found = until_or_late(within, look);
    found.unwrap_or_else(|| panic!("waited {within:?} for the guest's picture of {width}x{height}: {wrong}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_found_wherever_it_is_and_only_whole() {
        let sent = sent_picture(Stamp { frame: 77, time_ns: 1 << 40 }, 320, 240);
        let mut screen = Picture { width: 400, height: 300, rgb: vec![200; 400 * 300 * 3] };
        for (row, line) in sent.rgb.chunks_exact(320 * 3).enumerate() {
            let at = ((row + 13) * 400 + 29) * 3;
            screen.rgb[at..at + 320 * 3].copy_from_slice(line);
        }
        assert_eq!(find_picture(&screen, 320, 240).unwrap(), sent);
        assert_eq!(find_picture(&screen, 200, 240), Err("no stamp anywhere".to_owned()));
        screen.rgb[(100 * 400 + 100) * 3] ^= 1;
        let wrong = find_picture(&screen, 320, 240).unwrap_err();
        assert!(wrong.contains("pixels differ"), "{wrong}");
    }
}
