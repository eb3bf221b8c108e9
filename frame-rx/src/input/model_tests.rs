//! Router and pacer together against a model guest, over random sequences of everything that can happen: no key is held
//! in the guest when it is over, and no count of motion is lost while there is a way to it.

use super::frame::{Edge, InputFrame, Motion};
use super::pacer::tests::Guest;
use super::pacer::{Overflow, Pacer};
use super::router::{Act, Phase, Router, SourceId, usual_keep};
use super::stats::InputStats;
use super::{Code, CodeSet};
use core::time::Duration;
use proptest::prelude::*;
use shm_proto::HostTime;

#[derive(Clone, Debug)]
enum Event {
    Key { source: u8, code: u16, is_down: bool },
    Motion { dx: i16, dy: i16 },
    Chord,
    Take,
    FocusLost,
    Unplugged { source: u8 },
    Resync { source: u8, down: Vec<u16> },
    SinkDies,
    SinkBack,
    SinkStuck(bool),
    WindowFull(bool),
    Wait { ms: u16 },
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let code = prop_oneof![Just(29_u16), Just(97), Just(42), Just(30), Just(56), Just(0x110), Just(0x113), 1_u16..600];
    let one = prop_oneof![
        8 => (0_u8..3, code.clone(), any::<bool>()).prop_map(|(source, code, is_down)| Event::Key { source, code, is_down }),
        4 => (any::<i16>(), any::<i16>()).prop_map(|(dx, dy)| Event::Motion { dx, dy }),
        1 => Just(Event::Chord),
        2 => Just(Event::Take),
        1 => Just(Event::FocusLost),
        1 => (0_u8..3).prop_map(|source| Event::Unplugged { source }),
        1 => (0_u8..3, prop::collection::vec(code, 0..4)).prop_map(|(source, down)| Event::Resync { source, down }),
        1 => Just(Event::SinkDies),
        2 => Just(Event::SinkBack),
        1 => any::<bool>().prop_map(Event::SinkStuck),
        1 => any::<bool>().prop_map(Event::WindowFull),
        3 => (0_u16..3000).prop_map(|ms| Event::Wait { ms }),
    ];
    prop::collection::vec(one, 1..120)
}

struct World {
    router: Router,
    pacer: Pacer,
    guest: Guest,
    has_sink: bool,
    now: HostTime,
    acts: Vec<Act>,
    grabbed: bool,
    /// Motion that the router let through, unless it was dropped with a sink.
    owed: (i64, i64),
}

impl World {
    fn new() -> World {
        let mut router = Router::new(Default::default(), usual_keep());
        router.sink_up();
        World {
            router,
            pacer: Pacer::new(InputStats::new()),
            guest: Guest::new(),
            has_sink: true,
            now: HostTime::ZERO + Duration::from_secs(1),
            acts: Vec::new(),
            grabbed: false,
            owed: (0, 0),
        }
    }

    fn frame(&mut self, source: u8, frame: &InputFrame) {
        self.router.frame(self.now, SourceId(source), frame, &mut self.acts);
        self.settle();
    }

    fn key(&mut self, source: u8, code: u16, is_down: bool) {
        let frame = InputFrame::edge(self.now, Code::new(code).unwrap(), is_down);
        self.frame(source, &frame);
    }

    fn settle(&mut self) {
        for act in core::mem::take(&mut self.acts) {
            match act {
                Act::Grab => self.grabbed = true,
                Act::Ungrab => self.grabbed = false,
                Act::Want | Act::Own(_) => {}
                Act::Send(at, step) => {
                    if let super::sink::Step::Move(m) = step {
                        self.owed.0 += i64::from(m.motion.dx);
                        self.owed.1 += i64::from(m.motion.dy);
                    }
                    if self.pacer.push(at, step) == Err(Overflow) {
                        self.router.forget_sent();
                        self.owed = self.guest.sum;
                    }
                }
            }
        }
        if self.has_sink && self.pacer.run(self.now, &mut self.guest).is_err() {
            self.sink_dies();
        }
    }

    fn sink_dies(&mut self) {
        self.has_sink = false;
        self.pacer.disconnected();
        self.router.sink_down(self.now);
        self.owed = self.guest.sum;
    }

    fn sink_back(&mut self) {
        if !self.has_sink {
            self.has_sink = true;
            (self.guest.takes, self.guest.takes_motion, self.guest.dies_in) = (true, true, None);
            self.pacer.connected(self.now);
            self.router.sink_up();
        }
        self.settle();
    }

    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now = end.min(self.now + Duration::from_millis(1));
            self.router.tick(self.now, &mut self.acts);
            self.settle();
        }
    }

    fn happen(&mut self, event: &Event) {
        match event {
            Event::Key { source, code, is_down } => self.key(*source, *code, *is_down),
            Event::Motion { dx, dy } => {
                let mut frame = InputFrame::new(self.now);
                frame.motion = Motion { dx: (*dx).into(), dy: (*dy).into() };
                assert!(frame.push(Edge { code: Code::EXTRA, is_down: *dx > 0 }));
                self.frame(0, &frame);
            }
            Event::Chord => {
                self.key(1, 29, true);
                self.key(1, 97, true);
                self.key(1, 97, false);
                self.key(1, 29, false);
            }
            Event::Take => self.router.take(self.now, &mut self.acts),
            Event::FocusLost => self.router.give_back_at_once(self.now, &mut self.acts),
            Event::Unplugged { source } => self.router.source_gone(self.now, SourceId(*source), &mut self.acts),
            Event::Resync { source, down } => {
                let down: CodeSet = down.iter().filter_map(|c| Code::new(*c)).collect();
                self.router.resync(self.now, SourceId(*source), &down, &mut self.acts);
            }
            // The guest keeps what it held: the worst kind of sink.
            Event::SinkDies if self.has_sink => self.sink_dies(),
            Event::SinkDies => {}
            Event::SinkBack => self.sink_back(),
            Event::SinkStuck(stuck) => self.guest.takes = !stuck,
            Event::WindowFull(full) => self.guest.takes_motion = !full,
            Event::Wait { ms } => self.wait(Duration::from_millis(u64::from(*ms))),
        }
        self.settle();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_held_in_the_guest_when_it_is_over(events in events(), dies_in in prop::option::of(0_u32..40)) {
        let mut world = World::new();
        world.guest.dies_in = dies_in;
        for event in &events {
            world.happen(event);
            prop_assert_eq!(world.grabbed, world.router.is_grabbed());
            if world.router.phase() == Phase::Host {
                prop_assert!(!world.router.holds_anything());
            }
        }
        world.guest.takes = true;
        world.guest.takes_motion = true;
        world.guest.dies_in = None;
        world.sink_back();
        world.router.give_back_at_once(world.now, &mut world.acts);
        world.settle();
        world.wait(Duration::from_millis(2500));
        prop_assert!(world.guest.held.is_empty(), "{:?} still held", world.guest.held);
        prop_assert!(!world.grabbed);
        prop_assert_eq!(world.guest.sum, world.owed);
    }
}
