//! A GPU that is lost while a window shows a guest, for real as far as the program can tell: a Vulkan layer answers for the
//! driver. The picture comes back, exact, in the guest's same session.

use crate::faults::Faults;
use crate::guest::GuestThread;
use crate::program::{Program, frame_rx, until};
use crate::xvfb::Xvfb;
use shm_proto::guest_sim::pattern::Motion;
use shm_proto::guest_sim::picture::PictureConfig;
use shm_proto::guest_sim::pointer::PointerMode;
use shm_proto::kvmfr::{PictureSpec, PixelType};

fn config(motion: Motion) -> PictureConfig {
    let mut config = PictureConfig::new(320, 180);
    (config.motion, config.pointer) = (motion, PointerMode::Hidden);
    config
}

fn start(x: &Xvfb, guest: &GuestThread, faults: &Faults, flags: &str) -> (Program, String) {
    let mut command = frame_rx(x.dir.path(), Some(&x.display));
    faults.under(&mut command);
    let program = Program::start(command.arg("-f").arg(&guest.path).args(flags.split_whitespace()));
    program.says("showing the guest");
    let window = x.window();
    x.wait_for_size(&window, (320, 180));
    (program, window)
}

/// Ends the program well; the figures it leaves.
fn end(x: &Xvfb, program: &mut Program) -> serde_json::Value {
    program.signal("TERM");
    assert_eq!(program.ends().code(), Some(0), "{}", program.text());
    serde_json::from_slice(&std::fs::read(x.dir.path().join("s.json")).unwrap()).unwrap()
}

#[test]
fn a_lost_gpu_is_opened_again_and_the_picture_comes_back() {
    let Some((_gpu, x)) = crate::xvfb::display(1280, 720) else { return };
    let Some(faults) = Faults::build(x.dir.path()) else { return };
    let guest = GuestThread::start(config(Motion::Bar));
    let (mut program, window) = start(&x, &guest, &faults, "--stats s.json --record rec");
    let stamp_now = || x.pixels(&window).and_then(|(w, h, rgb)| guest.stamp_of(&rgb, w, h));
    x.until("a picture", stamp_now);
    for order in ["d", "d3"] {
        faults.order(order);
        faults.wait();
        let begun = guest.with(|g| g.frames_begun());
        until("a later picture", || stamp_now().filter(|s| s.frame > begun), || program.text());
    }
    // The picture may be seen before the sentence.
    let reopened = || program.text().matches("drawing again, with llvmpipe").count();
    until("both sentences", || (reopened() >= 2).then_some(()), || program.text());
    assert_eq!(reopened(), 2, "{}", program.text());
    assert!(program.text().contains("its device was lost"), "{}", program.text());
    let stats = end(&x, &mut program);
    assert_eq!(stats["gpus_reopened"], 2, "{stats}");
    assert_eq!(stats["sessions"], 1, "the guest's session went on: {stats}");
}

#[test]
fn the_picture_of_a_guest_that_stands_still_comes_back_too() {
    let Some((_gpu, x)) = crate::xvfb::display(1280, 720) else { return };
    let Some(faults) = Faults::build(x.dir.path()) else { return };
    let guest = GuestThread::start(config(Motion::Still));
    let (mut program, window) = start(&x, &guest, &faults, "--stats s.json");
    let stamp_now = || x.pixels(&window).and_then(|(w, h, rgb)| guest.stamp_of(&rgb, w, h));
    x.until("a picture", stamp_now);
    faults.order("d");
    // Work for the GPU: without any, nobody would notice.
    x.act(&["windowsize", "--sync", &window, "400", "300"]);
    faults.wait();
    x.act(&["windowsize", "--sync", &window, "320", "180"]);
    program.says("drawing again");
    until("the picture again", || (x.size(&window) == Some((320, 180))).then(stamp_now).flatten(), || program.text());
    assert_eq!(end(&x, &mut program)["gpus_reopened"], 1);
}

#[test]
fn a_surface_that_is_lost_or_out_of_date_is_made_again() {
    let Some((_gpu, x)) = crate::xvfb::display(1280, 720) else { return };
    let Some(faults) = Faults::build(x.dir.path()) else { return };
    let guest = GuestThread::start(config(Motion::Bar));
    let (mut program, window) = start(&x, &guest, &faults, "--stats s.json");
    let stamp_now = || x.pixels(&window).and_then(|(w, h, rgb)| guest.stamp_of(&rgb, w, h));
    for order in ["s", "o", "s"] {
        faults.order(order);
        faults.wait();
        let begun = guest.with(|g| g.frames_begun());
        until("a later picture", || stamp_now().filter(|s| s.frame > begun), || program.text());
    }
    assert_eq!(end(&x, &mut program)["gpus_reopened"], 0, "{}", program.text());
}

/// The window stays, says so, and shows the next mode for which there is memory.
#[test]
fn a_picture_for_which_the_gpu_has_no_memory_is_told_and_the_next_mode_is_shown() {
    let Some((_gpu, x)) = crate::xvfb::display(1280, 720) else { return };
    let Some(faults) = Faults::build(x.dir.path()) else { return };
    let guest = GuestThread::start_in(config(Motion::Bar), 16 << 20);
    let (mut program, window) = start(&x, &guest, &faults, "--window 320x180 --scale 1:1 --stats s.json");
    let stamp_now = || x.pixels(&window).and_then(|(w, h, rgb)| guest.stamp_of(&rgb, w, h));
    x.until("a picture", stamp_now);
    faults.order("m");
    guest.with(|g| g.set_picture(PictureSpec::new(PixelType::Bgra, 640, 360), Motion::Bar));
    program.says("a picture of 640x360 does not fit into this GPU's memory: choose a smaller mode");
    let is_told = || x.title(&window).contains("no-room").then_some(());
    until("the title", is_told, || format!("{}\n{}", x.title(&window), program.text()));
    let begun = guest.with(|g| g.frames_begun());
    guest.with(|g| g.set_picture(PictureSpec::new(PixelType::Bgra, 320, 180), Motion::Bar));
    until("the next mode", || stamp_now().filter(|s| s.frame > begun), || program.text());
    let stats = end(&x, &mut program);
    assert_eq!(stats["gpus_reopened"], 0, "{stats}");
}
