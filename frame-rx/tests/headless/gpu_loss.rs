//! A GPU that is lost while nobody looks at a window: a Vulkan layer answers for the driver. The run goes on with it opened
//! again, the picture complete; or it ends with a sentence when there is none any more.

use crate::faults::Faults;
use crate::guest::GuestThread;
use crate::program::{Program, frame_rx, until};
use crate::{gpu, json, png_file};
use shm_proto::guest_sim::pattern::Motion;
use shm_proto::guest_sim::picture::PictureConfig;
use shm_proto::guest_sim::pointer::PointerMode;
use std::path::Path;

fn config(motion: Motion) -> PictureConfig {
    let mut config = PictureConfig::new(320, 180);
    (config.motion, config.pointer) = (motion, PointerMode::Hidden);
    config
}

fn start(dir: &Path, guest: &GuestThread, faults: &Faults, flags: &str) -> Program {
    let mut command = frame_rx(dir, None);
    faults.under(&mut command);
    command.arg("-f").arg(&guest.path).args("--headless --stats s.json --screenshot a.png".split(' '));
    let program = Program::start(command.args(flags.split_whitespace()));
    program.says("showing the guest");
    program
}

#[test]
fn a_gpu_that_is_lost_without_a_window_is_opened_again_and_its_pictures_are_whole() {
    let Some(_gpu) = gpu() else { return };
    let dir = tempfile::tempdir().unwrap();
    let Some(faults) = Faults::build(dir.path()) else { return };
    let guest = GuestThread::start(config(Motion::Bar));
    let mut program = start(dir.path(), &guest, &faults, "--record rec --seconds 60");
    for (order, times) in [("d", 1), ("d3", 2)] {
        faults.order(order);
        faults.wait();
        let again = || (program.text().matches("drawing again, with llvmpipe").count() == times).then_some(());
        until("the GPU again", again, || program.text());
    }
    let begun = guest.with(|g| g.frames_begun());
    until("the last pictures", || (guest.with(|g| g.frames_begun()) > begun + 30).then_some(()), || program.text());
    program.signal("TERM");
    assert_eq!(program.ends().code(), Some(0), "{}", program.text());
    let (w, h, rgb) = png_file::read(&dir.path().join("a.png"));
    assert!(guest.stamp_of(&rgb, w, h).is_some_and(|stamp| stamp.frame > begun), "a whole picture, and a late one");
    let stats = json(&dir.path().join("s.json"));
    assert_eq!((&stats["gpus_reopened"], &stats["sessions"]), (&2.into(), &1.into()), "{stats}");
    assert!(program.text().contains("its device was lost"), "{}", program.text());
}

#[test]
fn the_picture_of_a_guest_that_stands_still_is_asked_for_again() {
    let Some(_gpu) = gpu() else { return };
    let dir = tempfile::tempdir().unwrap();
    let Some(faults) = Faults::build(dir.path()) else { return };
    let guest = GuestThread::start(config(Motion::Bar));
    // Asked for at most once a second: the run is long enough for that, and nothing says sooner that it came.
    let mut program = start(dir.path(), &guest, &faults, "--seconds 12");
    faults.order("d");
    faults.wait();
    // Whatever is lost with the GPU is the last for ever, as far as the guest is concerned.
    guest.with(|g| g.set_picture(config(Motion::Still).spec, Motion::Still));
    program.says("drawing again");
    assert_eq!(program.ends().code(), Some(0), "{}", program.text());
    let last = guest.with(|g| g.last_stamp()).expect("a picture");
    let (w, h, rgb) = png_file::read(&dir.path().join("a.png"));
    assert_eq!((w, h), (320, 180));
    assert!(rgb == guest.expected(last), "the picture that stands there, whole");
    assert_eq!(json(&dir.path().join("s.json"))["gpus_reopened"], 1);
}

#[test]
fn a_gpu_that_never_comes_back_ends_the_run_with_a_sentence_when_it_is_told_to_end() {
    let Some(_gpu) = gpu() else { return };
    let dir = tempfile::tempdir().unwrap();
    let Some(faults) = Faults::build(dir.path()) else { return };
    let guest = GuestThread::start(config(Motion::Bar));
    let mut program = start(dir.path(), &guest, &faults, "--seconds 60");
    faults.order("d9");
    faults.wait();
    let tries = || (program.text().matches("it is opened again").count() >= 3).then_some(());
    until("tries to open it again", tries, || program.text());
    program.signal("TERM");
    assert_eq!(program.ends().code(), Some(2), "{}", program.text());
    let text = program.text();
    let told = text.lines().filter(|line| line.starts_with("frame-rx: no")).count();
    assert_eq!(told, 1, "{text}");
    assert!(text.lines().last().is_some_and(|line| line.starts_with("hint: ")), "{text}");
}
