//! Monitors of an X server that are unplugged and plugged in under a full-screen window: it is where it was, and the user
//! reads what happened.

use crate::guest::GuestThread;
use crate::program::{Program, frame_rx, until};
use shm_proto::guest_sim::pattern::Motion;
use shm_proto::guest_sim::picture::PictureConfig;
use shm_proto::guest_sim::pointer::PointerMode;

/// By the monitor's name, with a guest that draws all the time; and with one that stands still, whose window nobody wakes.
#[test]
fn a_full_screen_window_goes_back_to_the_monitor_that_was_unplugged() {
    let Some((_gpu, x)) = crate::xorg::two_monitors() else { return };
    for motion in [Motion::Bar, Motion::Still] {
        let mut config = PictureConfig::new(640, 360);
        (config.motion, config.pointer) = (motion, PointerMode::Hidden);
        let guest = GuestThread::start(config);
        let mut command = frame_rx(x.dir.path(), Some(&x.display));
        command.arg("-f").arg(&guest.path).args("-F --output DUMMY1 --input none --stats s.json".split(' '));
        let mut program = Program::start(&mut command);
        program.says("showing the guest");
        let window = x.window();
        let tell = || format!("at {:?}\n{}", x.position(&window), program.text());
        let shows_at = |at: (i32, i32)| {
            // The words in the window go after a while.
            let shown = || {
                let (w, h, rgb) = x.pixels(&window)?;
                (x.position(&window) == Some(at)).then_some(())?;
                guest.stamp_of(&rgb, w, h)
            };
            until(&format!("the picture at {at:?}"), shown, tell);
        };
        shows_at((640, 0));
        for again in 1..=2 {
            let said = |words: &str| (program.text().matches(words).count() >= again).then_some(());
            x.unplug();
            until("words", || said("the monitor DUMMY1 is gone"), tell);
            shows_at((0, 0));
            x.plug_in();
            until("words", || said("the monitor DUMMY1 is back, and the picture on it"), tell);
            shows_at((640, 0));
        }
        program.signal("TERM");
        assert_eq!(program.ends().code(), Some(0), "{}", program.text());
        let stats: serde_json::Value =
            serde_json::from_slice(&std::fs::read(x.dir.path().join("s.json")).unwrap()).unwrap();
        assert_eq!(stats["sessions"], 1, "the guest's session went on: {stats}");
    }
}
