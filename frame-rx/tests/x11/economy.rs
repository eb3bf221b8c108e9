//! How often a window is drawn: once for each picture of a guest that moves, and not at all for one that nobody sees.

use crate::guest::GuestThread;
use crate::program::{Program, frame_rx, until};
use crate::xvfb::Xvfb;
use shm_proto::guest_sim::pattern::Motion;
use shm_proto::guest_sim::picture::PictureConfig;
use shm_proto::guest_sim::pointer::PointerMode;

/// A run over so many pictures of a guest; the figures it leaves.
fn figures(x: &Xvfb, rate_hz: u32, pictures: u32, before: impl FnOnce(&Program)) -> serde_json::Value {
    let mut config = PictureConfig::new(320, 180);
    (config.motion, config.pointer, config.rate_hz) = (Motion::Bar, PointerMode::Hidden, rate_hz);
    let guest = GuestThread::start(config);
    let mut command = frame_rx(x.dir.path(), Some(&x.display));
    let mut program = Program::start(command.arg("-f").arg(&guest.path).args(["--stats", "s.json"]));
    program.says("showing the guest");
    before(&program);
    let begun = guest.with(|g| g.frames_begun());
    let enough = || guest.with(|g| (g.frames_begun() > begun + pictures).then_some(()));
    until("enough pictures", enough, || program.text());
    program.signal("TERM");
    assert_eq!(program.ends().code(), Some(0), "{}", program.text());
    serde_json::from_slice(&std::fs::read(x.dir.path().join("s.json")).unwrap()).unwrap()
}

#[test]
fn a_moving_guest_is_drawn_once_for_each_of_its_pictures_however_fast_it_is() {
    let Some((_gpu, x)) = crate::xvfb::display(1280, 720) else { return };
    for rate_hz in [30, 60, 240] {
        // Three seconds at least.
        let stats = figures(&x, rate_hz, (3 * rate_hz).max(200), |_| {});
        let count = |name: &str| stats[name].as_u64().unwrap();
        let (drawings, shown, found) = (count("drawings"), count("frames_shown"), count("frames_found"));
        // The states before the first picture, and what the server asks for at the start.
        let own = drawings.saturating_sub(10) as f64;
        println!("{rate_hz} Hz: {drawings} drawings of {shown} pictures shown, {found} found");
        assert!(
            shown >= 20 && own <= shown as f64 * 1.05,
            "{rate_hz} Hz: {drawings} drawings of {shown} pictures shown"
        );
        assert!(shown <= found, "{stats}");
    }
}

#[test]
fn a_window_that_nobody_sees_is_not_drawn_at_all() {
    let Some((_gpu, mut x)) = crate::xvfb::display(1280, 720) else { return };
    x.manage();
    let stats = figures(&x, 60, 300, |program| {
        let window = x.window();
        x.act(&["windowminimize", "--sync", &window]);
        let hidden = || (!x.title(&window).is_empty() && x.pixels(&window).is_none()).then_some(());
        until("a hidden window", hidden, || program.text());
    });
    // Of more than 300 pictures, those before it was hidden.
    let count = |name: &str| stats[name].as_u64().unwrap();
    assert!(count("frames_copied") > 250, "the guest was followed: {stats}");
    assert!(count("drawings") < count("frames_copied") / 2, "{stats}");
    let ratio = count("copied_bytes") as f64 / count("changed_bytes") as f64;
    assert!(ratio <= 1.5, "what nobody fetched is not read again and again: {ratio}");
}
