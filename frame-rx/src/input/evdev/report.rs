//! From one device's events to [`InputFrame`]s: one for each report, wheels in 1/120 of a detent, and what to do after
//! the kernel dropped events. Pure.
//!
//! After a loss nothing of the incomplete report counts, and no key event of the bytes in hand either: the state that is
//! asked of the device afterwards is newer than all of them. Motion that was lost is lost.

use super::event::{
    ABS_X, ABS_Y, EV_ABS, EV_KEY, EV_REL, EV_SYN, Event, REL_HWHEEL, REL_HWHEEL_HI_RES, REL_WHEEL, REL_WHEEL_HI_RES,
    REL_X, REL_Y, SYN_DROPPED, SYN_REPORT,
};
use crate::input::frame::POSITION_MAX;
use crate::input::{Code, Edge, InputFrame, Motion, Position, Wheel};
use shm_proto::HostTime;

/// The range of an absolute axis, as the device tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// Least value.
    pub min: i32,
    /// Greatest value.
    pub max: i32,
}

impl Range {
    /// Where `value` is in the range, in units of a [`Position`].
    fn place(self, value: i32) -> u16 {
        let (min, max, value) = (i64::from(self.min), i64::from(self.max), i64::from(value));
        let width = (max - min).max(1);
        let place = ((value - min).clamp(0, width) * i64::from(POSITION_MAX) + width / 2) / width;
        u16::try_from(place).unwrap_or(POSITION_MAX)
    }
}

/// What a device's reports have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shape {
    /// Whether it tells its wheel in 1/120 of a detent, so that its detents do not count.
    pub fine_wheel: bool,
    /// The same of its horizontal wheel.
    pub fine_horizontal: bool,
    /// Ranges of its x and y, if it tells places.
    pub ranges: Option<(Range, Range)>,
}

/// See the module.
#[derive(Debug)]
pub struct Reports {
    shape: Shape,
    frame: InputFrame,
    motion: Motion,
    wheel: Wheel,
    place: (i32, i32),
    has_place: bool,
    /// Between a loss and the end of its report.
    is_dropping: bool,
    /// The device's state has to be asked for.
    is_stale: bool,
}

impl Reports {
    /// Of a device with this shape.
    pub fn new(shape: Shape) -> Reports {
        Reports {
            shape,
            frame: InputFrame::default(),
            motion: Motion::default(),
            wheel: Wheel::default(),
            place: (0, 0),
            has_place: false,
            is_dropping: false,
            is_stale: false,
        }
    }

    /// Takes the next event; `tell` gets what is complete.
    ///
    /// Real-time safe.
    pub fn take(&mut self, event: Event, tell: &mut dyn FnMut(InputFrame)) {
        match (event.kind, event.code) {
            (EV_SYN, SYN_DROPPED) => {
                self.forget();
                self.is_dropping = true;
            }
            (EV_SYN, SYN_REPORT) if self.is_dropping => (self.is_dropping, self.is_stale) = (false, true),
            (EV_SYN, SYN_REPORT) => self.finish(event.at, tell),
            _ if self.is_dropping => {}
            (EV_KEY, number) if !self.is_stale => self.key(event.at, number, event.value, tell),
            (EV_REL, axis) => self.turn(axis, event.value),
            (EV_ABS, ABS_X) => (self.place.0, self.has_place) = (event.value, true),
            (EV_ABS, ABS_Y) => (self.place.1, self.has_place) = (event.value, true),
            _ => {}
        }
    }

    /// After all the bytes in hand: whether the device's keys have to be asked for and told anew.
    pub fn take_stale(&mut self) -> bool {
        core::mem::take(&mut self.is_stale)
    }

    /// Repeats (value 2) are the guest's own doing, and a code beyond Linux's is none.
    fn key(&mut self, at: HostTime, number: u16, value: i32, tell: &mut dyn FnMut(InputFrame)) {
        let (Some(code), 0 | 1) = (Code::new(number), value) else { return };
        let edge = Edge { code, is_down: value == 1 };
        if !self.frame.push(edge) {
            self.finish(at, tell);
            // An empty frame has room.
            let _ = self.frame.push(edge);
        }
    }

    fn turn(&mut self, axis: u16, value: i32) {
        let detents = value.saturating_mul(120);
        let (sum, more) = match axis {
            REL_X => (&mut self.motion.dx, value),
            REL_Y => (&mut self.motion.dy, value),
            REL_WHEEL if !self.shape.fine_wheel => (&mut self.wheel.vertical, detents),
            REL_HWHEEL if !self.shape.fine_horizontal => (&mut self.wheel.horizontal, detents),
            REL_WHEEL_HI_RES => (&mut self.wheel.vertical, value),
            REL_HWHEEL_HI_RES => (&mut self.wheel.horizontal, value),
            _ => return,
        };
        *sum = sum.saturating_add(more);
    }

    fn finish(&mut self, at: HostTime, tell: &mut dyn FnMut(InputFrame)) {
        let mut frame = self.frame.with_motion(self.motion).with_wheel(self.wheel);
        frame.at = at;
        if let (Some((x, y)), true) = (self.shape.ranges, self.has_place) {
            frame.position = Some(Position { x: x.place(self.place.0), y: y.place(self.place.1) });
        }
        self.forget();
        if !frame.is_empty() {
            tell(frame);
        }
    }

    fn forget(&mut self) {
        self.frame = InputFrame::default();
        (self.motion, self.wheel, self.has_place) = (Motion::default(), Wheel::default(), false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::CodeSet;
    use crate::input::evdev::event::REPORT;
    use proptest::prelude::*;

    fn told(reports: &mut Reports, events: &[(u16, u16, i32)]) -> Vec<InputFrame> {
        let mut frames = Vec::new();
        for (kind, code, value) in events {
            reports.take(Event::new(*kind, *code, *value), &mut |frame| frames.push(frame));
        }
        frames
    }

    const SYN: (u16, u16, i32) = (EV_SYN, SYN_REPORT, 0);
    const LOSS: (u16, u16, i32) = (EV_SYN, SYN_DROPPED, 0);

    #[test]
    fn a_report_is_one_frame_and_repeats_are_none() {
        let mut reports = Reports::new(Shape::default());
        let frames = told(
            &mut reports,
            &[
                (EV_REL, REL_X, 5),
                (EV_REL, REL_Y, -2),
                (EV_KEY, 0x110, 1),
                SYN,
                (EV_KEY, 30, 2),
                SYN,
                (EV_KEY, 0x300, 1),
                SYN,
            ],
        );
        assert_eq!(frames.len(), 1);
        assert_eq!(frames[0].motion, Motion { dx: 5, dy: -2 });
        assert_eq!(frames[0].edges().collect::<Vec<_>>(), [Edge { code: Code::LEFT, is_down: true }]);
    }

    #[test]
    fn detents_count_only_where_there_is_nothing_finer() {
        let turn = [(EV_REL, REL_WHEEL, 1), (EV_REL, REL_WHEEL_HI_RES, 120), (EV_REL, REL_HWHEEL, -2), SYN];
        for (fine_wheel, vertical) in [(true, 120), (false, 240)] {
            let shape = Shape { fine_wheel, ..Shape::default() };
            let frames = told(&mut Reports::new(shape), &turn);
            assert_eq!(frames[0].wheel, Wheel { vertical, horizontal: -240 }, "{fine_wheel}");
        }
        let mut reports = Reports::new(Shape { fine_wheel: true, ..Shape::default() });
        let quarter = told(&mut reports, &[(EV_REL, REL_WHEEL_HI_RES, 30), SYN]);
        assert_eq!(quarter[0].wheel, Wheel { vertical: 30, horizontal: 0 });
    }

    #[test]
    fn a_place_is_scaled_from_the_range_of_its_axis() {
        let ranges = Some((Range { min: 0, max: 32_767 }, Range { min: -100, max: 100 }));
        let mut reports = Reports::new(Shape { ranges, ..Shape::default() });
        let at = |reports: &mut Reports, x, y| {
            told(reports, &[(EV_ABS, ABS_X, x), (EV_ABS, ABS_Y, y), SYN])[0].position.map(|p| (p.x, p.y))
        };
        assert_eq!(at(&mut reports, 0, -100), Some((0, 0)));
        assert_eq!(at(&mut reports, 32_767, 100), Some((32_767, 32_767)));
        assert_eq!(at(&mut reports, -5, 0), Some((0, 16_384)));
        // Only x is told when only x moved.
        let moved = told(&mut reports, &[(EV_ABS, ABS_X, 100), SYN]);
        assert_eq!(moved[0].position.map(|p| (p.x, p.y)), Some((100, 16_384)));
        let absurd = Reports::new(Shape { ranges: Some((Range { min: 5, max: 5 }, Range::default())), ..shape() });
        assert_eq!(absurd.shape.ranges.unwrap().0.place(i32::MIN), 0);
    }

    fn shape() -> Shape {
        Shape::default()
    }

    #[test]
    fn after_a_loss_nothing_counts_until_the_state_was_asked_for() {
        let mut reports = Reports::new(Shape::default());
        let events = [
            (EV_REL, REL_X, 5),
            LOSS,
            (EV_KEY, 30, 1),
            (EV_REL, REL_X, 7),
            SYN,
            (EV_KEY, 48, 1),
            (EV_REL, REL_X, 3),
            SYN,
        ];
        let frames = told(&mut reports, &events);
        // The motion behind the loss counts; the key is in the state that is asked for.
        assert_eq!(frames.len(), 1);
        assert_eq!((frames[0].motion.dx, frames[0].edges().count()), (3, 0));
        assert!(reports.take_stale() && !reports.take_stale());
        assert_eq!(told(&mut reports, &[(EV_KEY, 48, 0), SYN]).len(), 1);
    }

    #[test]
    fn a_report_of_more_edges_than_a_frame_holds_is_several_frames() {
        let mut reports = Reports::new(Shape::default());
        let mut events: Vec<_> = (1..=40).map(|code| (EV_KEY, code, 1)).collect();
        events.push(SYN);
        let frames = told(&mut reports, &events);
        let codes: Vec<u16> = frames.iter().flat_map(InputFrame::edges).map(|e| e.code.number()).collect();
        assert_eq!((frames.len(), codes), (3, (1..=40).collect()));
    }

    /// What a device does, and where the reader is too slow.
    #[derive(Clone, Debug)]
    enum Act {
        Key {
            code: u16,
            is_down: bool,
        },
        Move {
            dx: i16,
        },
        Report,
        /// The ring is full: all that waits is gone, but for a note.
        Loss,
        /// The reader takes what waits.
        Read,
    }

    fn acts() -> impl Strategy<Value = Vec<Act>> {
        let code = prop_oneof![Just(30_u16), Just(42), Just(0x110), 1_u16..0x2ff];
        let one = prop_oneof![
            6 => (code, any::<bool>()).prop_map(|(code, is_down)| Act::Key { code, is_down }),
            3 => any::<i16>().prop_map(|dx| Act::Move { dx }),
            5 => Just(Act::Report),
            1 => Just(Act::Loss),
            3 => Just(Act::Read),
        ];
        prop::collection::vec(one, 1..150)
    }

    proptest! {
        /// A model device and its ring against the reader: whatever was lost, in the end the reader knows what is down.
        #[test]
        fn whatever_is_lost_the_reader_ends_with_the_devices_own_state(acts in acts()) {
            let (mut device, mut known) = (CodeSet::EMPTY, CodeSet::EMPTY);
            let mut ring: Vec<Event> = Vec::new();
            let mut reports = Reports::new(Shape::default());
            let (mut moved, mut sum, mut lost) = (0_i64, 0_i64, false);
            for act in acts.into_iter().chain([Act::Report, Act::Read]) {
                match act {
                    Act::Key { code, is_down } => {
                        let code = Code::new(code).unwrap();
                        let is_new = if is_down { device.insert(code) } else { device.remove(code) };
                        if is_new {
                            ring.push(Event::new(EV_KEY, code.number(), i32::from(is_down)));
                        }
                    }
                    Act::Move { dx } => {
                        moved += i64::from(dx);
                        ring.push(Event::new(EV_REL, REL_X, dx.into()));
                    }
                    Act::Report => ring.push(REPORT),
                    Act::Loss => {
                        lost = true;
                        ring.clear();
                        ring.push(Event::new(EV_SYN, SYN_DROPPED, 0));
                    }
                    Act::Read => {
                        // A read never goes past the last complete report.
                        let end = ring.iter().rposition(|e| *e == REPORT).map_or(0, |at| at + 1);
                        for event in ring.drain(..end) {
                            reports.take(event, &mut |frame| {
                                sum += i64::from(frame.motion.dx);
                                for edge in frame.edges() {
                                    if edge.is_down { known.insert(edge.code) } else { known.remove(edge.code) };
                                }
                            });
                        }
                        if reports.take_stale() {
                            known = device;
                            // Asking takes the key events out of the ring.
                            ring.retain(|e| e.kind != EV_KEY);
                        }
                    }
                }
            }
            prop_assert_eq!(known, device);
            prop_assert!(lost || sum == moved, "{} of {}", sum, moved);
        }
    }
}
