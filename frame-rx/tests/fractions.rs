//! One to one under a desktop that is enlarged by a fraction: the compositor's own screenshot is the guest's picture, pixel for
//! pixel. KWin without a screen, the software GPU. Factors are multiples of 1/120, as the protocol has them.

#[path = "rig/guest.rs"]
mod guest;
#[path = "rig/kwin.rs"]
mod kwin;
#[path = "rig/program.rs"]
mod program;

use guest::GuestThread;
use kwin::KWin;
use program::{Program, frame_rx, until};
use shm_proto::guest_sim::pattern::Motion;
use shm_proto::guest_sim::picture::PictureConfig;
use shm_proto::guest_sim::pointer::PointerMode;

#[test]
fn a_full_screen_picture_is_exact_whatever_fraction_the_desktop_is_enlarged_by() {
    for (scale, width, height) in [(1.25, 800, 450), (1.5, 960, 540), (5.0 / 3.0, 1067, 600), (1.75, 1120, 630)] {
        let Some(kwin) = KWin::start(640, 360, scale) else { return };
        let mut config = PictureConfig::new(width, height);
        (config.motion, config.pointer) = (Motion::Still, PointerMode::Hidden);
        let guest = GuestThread::start(config);
        let mut command = frame_rx(kwin.dir.path(), None);
        command.env("WAYLAND_DISPLAY", &kwin.display).arg("-f").arg(&guest.path);
        let mut program = Program::start(command.args("-F --scale 1:1 --input none --stats s.json".split(' ')));
        program.says("showing the guest");
        let stamp = until("a picture", || guest.with(|g| g.last_stamp()), String::new);
        let picture = guest.expected(stamp);
        let shown = || {
            let shot = kwin.pixels(width as usize, height as usize).ok()??;
            (shot == picture).then_some(())
        };
        until(&format!("the picture at {scale}"), shown, || format!("{}\n{}", program.text(), kwin.log()));
        program.signal("TERM");
        assert_eq!(program.ends().code(), Some(0), "{}", program.text());
        let stats = std::fs::read(kwin.dir.path().join("s.json")).unwrap();
        let stats: serde_json::Value = serde_json::from_slice(&stats).unwrap();
        assert!(stats["drawings_direct"].as_u64() >= Some(1), "one to one needs no calculation: {stats}");
    }
}
