//! Any sequence of guest actions, viewer actions, garbage and time: the viewer never panics and never reaches outside
//! the region, and a good producer afterwards is shown within a second of virtual time.

use crate::screen::{MS, Screen, ms};
use proptest::prelude::*;
use shm_proto::guest_sim::lies::LIES;
use shm_proto::guest_sim::pattern::Motion;
use shm_proto::guest_sim::picture::{PictureConfig, PictureGuest, Publish};
use shm_proto::guest_sim::pointer::PointerMode;
use shm_proto::kvmfr::{PictureSpec, PixelType, Version};
use shm_proto::{HostTime, Region};
use std::time::Duration;

#[derive(Clone, Debug)]
enum Action {
    /// Guest and viewer go on together.
    Run(u64),
    /// The guest goes on, the viewer is stopped.
    ViewerStops(u64),
    /// The viewer goes on, the machine is paused.
    GuestPauses(u64),
    Lie(usize),
    Truth,
    Restart,
    Wipe,
    Stop,
    Picture(usize, u32, u32),
    Pace(u32, u64, Publish),
    Pointer(PointerMode),
    /// A word anywhere in the first part of the region, where the control words are.
    Word(u64, u32),
    /// A byte pattern over a whole part.
    Fill(u64, u64, u8),
    /// A second viewer comes, or goes, politely or not.
    SecondComes,
    SecondGoes(bool),
    /// The viewer sends a message.
    Ask(i32, i32),
}

fn nasty() -> impl Strategy<Value = u32> {
    prop_oneof![0u32..70, any::<u32>(), Just(u32::MAX), Just(0x8000_0000), (0u32..32).prop_map(|b| 1 << b)]
}

fn action() -> impl Strategy<Value = Action> {
    let publish = prop_oneof![Just(Publish::Steps), Just(Publish::Bands), Just(Publish::AtEnd)];
    let pointer = prop_oneof![
        Just(PointerMode::Hidden),
        Just(PointerMode::Color),
        Just(PointerMode::Monochrome),
        Just(PointerMode::Masked),
        Just(PointerMode::Cycle)
    ];
    prop_oneof![
        6 => (1u64..150).prop_map(Action::Run),
        1 => (1u64..1500).prop_map(Action::ViewerStops),
        1 => (1u64..1500).prop_map(Action::GuestPauses),
        4 => (0..LIES.len()).prop_map(Action::Lie),
        1 => Just(Action::Truth),
        2 => Just(Action::Restart),
        1 => Just(Action::Wipe),
        1 => Just(Action::Stop),
        1 => (0usize..6, 1u32..200, 1u32..120).prop_map(|(p, w, h)| Action::Picture(p, w, h)),
        1 => (0u32..300, 0u64..80, publish).prop_map(|(r, w, p)| Action::Pace(r, w, p)),
        1 => pointer.prop_map(Action::Pointer),
        6 => (0u64..12_100 / 4, nasty()).prop_map(|(at, value)| Action::Word(at * 4, value)),
        1 => (0u64..1 << 20, 1u64..5000, any::<u8>()).prop_map(|(at, len, b)| Action::Fill(at, len, b)),
        1 => Just(Action::SecondComes),
        1 => any::<bool>().prop_map(Action::SecondGoes),
        1 => (any::<i32>(), any::<i32>()).prop_map(|(x, y)| Action::Ask(x, y)),
    ]
}

struct World {
    region: Region,
    guest: PictureGuest,
    screen: Screen,
    second: Option<Screen>,
    now: HostTime,
}

impl World {
    fn new(version: Version) -> World {
        let config = PictureConfig::new(160, 100).speaking(version);
        let region = Region::memfd("hostile", 16 << 20).expect("memfd");
        let guest = PictureGuest::start(&region, config, ms(0)).expect("room");
        let screen = Screen::new(&region);
        World { region, guest, screen, second: None, now: ms(0) }
    }

    fn run(&mut self, duration_ms: u64, guest: bool, viewer: bool) {
        for _ in 0..duration_ms {
            if guest {
                self.guest.advance(self.now).expect("the simulated guest lives in good memory");
            }
            if viewer {
                self.screen.round(self.now, |_| {});
                if let Some(second) = &mut self.second {
                    second.round(self.now, |_| {});
                }
            }
            self.now = self.now + MS;
        }
    }

    fn act(&mut self, action: &Action) {
        let now = self.now;
        match *action {
            Action::Run(n) => self.run(n, true, true),
            Action::ViewerStops(n) => self.run(n, true, false),
            Action::GuestPauses(n) => self.run(n, false, true),
            Action::Lie(n) => self.guest.lie(LIES.get(n), now).expect("good memory"),
            Action::Truth => self.guest.lie(None, now).expect("good memory"),
            Action::Restart => self.guest.restart(now).expect("good memory"),
            Action::Wipe => self.guest.wipe().expect("good memory"),
            Action::Stop => self.guest.stop(),
            Action::Picture(pixel, width, height) => {
                self.guest.set_picture(PictureSpec::new(PixelType::ALL[pixel], width, height), Motion::Bar);
            }
            Action::Pace(rate, write, publish) => self.guest.set_pace(rate, Duration::from_millis(write), publish),
            Action::Pointer(mode) => self.guest.set_pointer(mode, now).expect("good memory"),
            Action::Word(at, value) => self.region.whole().word::<u32>(at).unwrap().store_release(value),
            Action::Fill(at, len, byte) => self.region.span(at, len).unwrap().fill(byte).unwrap(),
            Action::SecondComes => self.second = Some(Screen::new(&self.region)),
            Action::SecondGoes(politely) => {
                if let Some(second) = self.second.take()
                    && politely
                {
                    second.viewer.close();
                }
            }
            Action::Ask(x, y) => drop(self.screen.viewer.send_cursor_position(x, y)),
        }
    }
}

fn survives(version: Version, actions: &[Action]) -> Result<(), TestCaseError> {
    let mut world = World::new(version);
    for action in actions {
        world.act(action);
    }
    // A good producer again. A second viewer that was left behind may still hold the ring; it is not the subject.
    world.second = None;
    world.guest.lie(None, world.now).unwrap();
    world.guest.set_pace(60, Duration::ZERO, Publish::Steps);
    world.guest.set_picture(PictureSpec::new(PixelType::Bgra, 160, 100), Motion::Bar);
    world.guest.restart(world.now).unwrap();
    world.screen.frames.clear();
    world.screen.run(&mut world.guest, world.now, Duration::from_millis(1000));
    prop_assert!(world.screen.viewer.state().is_live(), "{}", world.screen.viewer.state());
    prop_assert!(world.screen.frames.len() > 20, "{} frames", world.screen.frames.len());
    world.screen.assert_shows(&world.guest);
    Ok(())
}

macro_rules! any_guest {
    ($($name:ident $version:ident)*) => {
        proptest! {
            #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
            $(
                #[test]
                fn $name(actions in prop::collection::vec(action(), 1..40)) {
                    survives(Version::$version, &actions)?;
                }
            )*
        }
    };
}

any_guest! {
    picture_survives_any_b6_guest_and_comes_back_within_a_second B6
    picture_survives_any_b7_guest_and_comes_back_within_a_second B7
    picture_survives_any_lgmp7_guest_and_comes_back_within_a_second Lgmp7
    picture_survives_any_lgmp10_guest_and_comes_back_within_a_second Lgmp10
    picture_survives_any_lgmp12_guest_and_comes_back_within_a_second Lgmp12
}
