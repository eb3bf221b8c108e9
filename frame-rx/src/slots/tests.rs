//! The mailbox against a model: whatever is published, skipped, torn or resized in between, a texture that applies the
//! damage of each fetched slot shows exactly the picture of that number.

use super::*;
use crate::picture::{PixelFormat, Rect, Size};
use proptest::prelude::*;
use std::convert::Infallible;

struct Memory(Vec<u32>);

impl Rows for Memory {
    fn capacity_bytes(&self) -> u64 {
        self.0.len() as u64 * 4
    }

    fn write(&mut self, _at_bytes: u64, _bytes: &[u8]) -> bool {
        unreachable!("these tests store whole pixels")
    }
}

fn make(bytes: u64) -> Result<Memory, Infallible> {
    Ok(Memory(vec![0xDEAD; bytes as usize / 4]))
}

fn format(width: u32, height: u32) -> PictureFormat {
    PictureFormat::upright(Size::new(width, height), PixelFormat::Bgra8)
}

/// The guest: a picture whose every pixel holds the number of the picture that last changed it.
struct Guest {
    format: PictureFormat,
    pixels: Vec<u32>,
    number: u64,
}

impl Guest {
    fn new(format: PictureFormat) -> Self {
        Guest { format, pixels: vec![0; (format.stored.width * format.stored.height) as usize], number: 0 }
    }

    fn change(&mut self, damage: &Damage) {
        self.number += 1;
        each_pixel(&self.format, damage, |i, _| self.pixels[i] = self.number as u32);
    }

    /// What the feed does: copy the slot's damage out of the newest picture.
    fn fill(&self, slot: &mut Slot<Memory>) {
        slot.number = self.number;
        each_pixel(&self.format, &slot.damage, |i, s| slot.rows.0[s] = self.pixels[i]);
    }
}

fn each_pixel(format: &PictureFormat, damage: &Damage, mut f: impl FnMut(usize, usize)) {
    for r in damage.rects(format.stored) {
        for y in r.y..r.bottom() {
            for x in r.x..r.right() {
                f((y * format.stored.width + x) as usize, (y * format.slot_pitch_bytes() / 4 + x) as usize);
            }
        }
    }
}

/// The screen: a texture, and at most one slot in its hands.
#[derive(Default)]
struct Screen {
    format: Option<PictureFormat>,
    texture: Vec<u32>,
    held: Option<Slot<Memory>>,
}

impl Screen {
    /// Fetches the newest slot, as the window does; returns its number.
    fn fetch(&mut self, outlet: &Outlet<Memory>) -> Option<u64> {
        if let Some(held) = self.held.take() {
            outlet.give_back(held);
        }
        let slot = outlet.take()?;
        if self.format != Some(slot.format) {
            self.format = Some(slot.format);
            self.texture = vec![0xBAD; (slot.format.stored.width * slot.format.stored.height) as usize];
        }
        each_pixel(&slot.format, &slot.damage, |i, s| self.texture[i] = slot.rows.0[s]);
        let number = slot.number;
        self.held = Some(slot);
        Some(number)
    }
}

#[derive(Clone, Debug)]
enum Step {
    Publish(Vec<Rect>),
    Tear(Vec<Rect>),
    Fetch,
    Resize(u32, u32),
    NewSession,
}

fn any_step() -> impl Strategy<Value = Step> {
    let rect = (0u32..10, 0u32..8, 1u32..6, 1u32..6).prop_map(|(x, y, width, height)| Rect { x, y, width, height });
    let rects = prop::collection::vec(rect, 0..4);
    prop_oneof![
        4 => rects.clone().prop_map(Step::Publish),
        2 => rects.prop_map(Step::Tear),
        3 => Just(Step::Fetch),
        1 => (1u32..12, 1u32..10).prop_map(|(w, h)| Step::Resize(w, h)),
        1 => Just(Step::NewSession),
    ]
}

proptest! {
    #[test]
    fn every_fetched_picture_is_complete(steps in prop::collection::vec(any_step(), 1..80), two in any::<bool>()) {
        let (mut intake, outlet) = pair::<Memory>(if two { Supply::Two } else { Supply::Three });
        let mut guest = Guest::new(format(8, 6));
        let mut screen = Screen::default();
        let mut new_mode = false;
        let mut sent = std::collections::HashMap::new();
        for step in steps {
            match step {
                Step::Publish(rects) | Step::Tear(rects) if rects.is_empty() => {}
                Step::Publish(ref rects) | Step::Tear(ref rects) => {
                    let mut damage = Damage::none();
                    rects.iter().for_each(|r| damage.add(*r));
                    if core::mem::take(&mut new_mode) {
                        damage.set_everything();
                    }
                    guest.change(&damage);
                    intake.prepare(&guest.format, make).unwrap();
                    let mut slot = intake.begin(guest.format, &damage).expect("the feed always finds a slot");
                    if matches!(step, Step::Publish(_)) {
                        guest.fill(&mut slot);
                        sent.insert(guest.number, guest.pixels.clone());
                        intake.publish(slot);
                    } else {
                        slot.rows.0.fill(0x7E42);
                        intake.abandon(slot);
                    }
                }
                Step::Fetch => {
                    if let Some(number) = screen.fetch(&outlet) {
                        prop_assert_eq!(&screen.texture, &sent[&number]);
                    }
                }
                Step::Resize(w, h) => {
                    // A guest that changes its mode sends a whole new picture.
                    new_mode = true;
                    let number = guest.number;
                    guest = Guest { number, ..Guest::new(format(w, h)) };
                }
                Step::NewSession => {
                    intake.end_session();
                    prop_assert!(outlet.take().is_none(), "a picture of the old session was still there");
                }
            }
        }
    }
}

fn published(intake: &mut Intake<Memory>, guest: &mut Guest, damage: &Damage) -> bool {
    guest.change(damage);
    let mut slot = intake.begin(guest.format, damage).unwrap();
    guest.fill(&mut slot);
    intake.publish(slot)
}

fn one_rect(x: u32, y: u32) -> Damage {
    let mut d = Damage::none();
    d.add(Rect { x, y, width: 1, height: 1 });
    d
}

#[test]
fn the_newest_picture_wins_and_the_screen_is_told_once() {
    let (mut intake, outlet) = pair::<Memory>(Supply::Three);
    let mut guest = Guest::new(format(8, 6));
    intake.prepare(&guest.format, make).unwrap();
    assert!(published(&mut intake, &mut guest, &Damage::everything()));
    assert!(!published(&mut intake, &mut guest, &one_rect(1, 1)));
    assert!(!published(&mut intake, &mut guest, &one_rect(2, 2)));
    assert_eq!(intake.skipped(), 2);
    assert_eq!(outlet.take().unwrap().number, 3);
    assert!(outlet.take().is_none());
}

#[test]
fn a_screen_that_sleeps_until_it_is_told_always_gets_the_last_picture() {
    let (mut intake, outlet) = pair::<Memory>(Supply::Three);
    let (ring, rung) = bounded::<()>(1000);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut guest = Guest::new(format(4, 4));
            intake.prepare(&guest.format, make).unwrap();
            for _ in 0..20_000 {
                if published(&mut intake, &mut guest, &Damage::everything()) {
                    ring.send(()).unwrap();
                }
            }
        });
        let mut screen = Screen::default();
        let mut last = 0;
        while last < 20_000 {
            rung.recv().expect("the feed ended without telling of its last picture");
            if outlet.is_waiting() {
                last = screen.fetch(&outlet).unwrap_or(last);
            }
        }
    });
}

#[test]
fn only_what_changed_is_copied_once_the_screen_keeps_up() {
    let (mut intake, outlet) = pair::<Memory>(Supply::Three);
    let mut guest = Guest::new(format(8, 6));
    intake.prepare(&guest.format, make).unwrap();
    published(&mut intake, &mut guest, &Damage::everything());
    outlet.give_back(outlet.take().unwrap());
    published(&mut intake, &mut guest, &one_rect(1, 1));
    let slot = outlet.take().unwrap();
    assert_eq!(slot.damage.rects(guest.format.stored).map(|r| (r.x, r.y)).collect::<Vec<_>>(), [(1, 1)]);
    outlet.give_back(slot);
    // Two in a row without a look: the second carries both.
    published(&mut intake, &mut guest, &one_rect(2, 2));
    published(&mut intake, &mut guest, &one_rect(3, 3));
    let rects: Vec<_> = outlet.take().unwrap().damage.rects(guest.format.stored).map(|r| (r.x, r.y)).collect();
    assert_eq!(rects, [(2, 2), (3, 3)]);
}

#[test]
fn a_screen_that_holds_one_slot_for_ever_never_stops_the_feed() {
    [Supply::Two, Supply::Three].into_iter().for_each(hold_one_for_ever);
}

fn hold_one_for_ever(supply: Supply) {
    let (mut intake, outlet) = pair::<Memory>(supply);
    let mut guest = Guest::new(format(8, 6));
    intake.prepare(&guest.format, make).unwrap();
    published(&mut intake, &mut guest, &Damage::everything());
    let held = outlet.take().unwrap();
    for _ in 0..100 {
        published(&mut intake, &mut guest, &one_rect(0, 0));
    }
    assert_eq!(held.number, 1);
    assert_eq!(outlet.take().unwrap().number, 101);
}

#[test]
fn slots_are_made_only_when_pictures_grow() {
    let (mut intake, outlet) = pair::<Memory>(Supply::Three);
    let mut made = 0;
    let mut guest = Guest::new(format(8, 6));
    for (w, h) in [(8, 6), (4, 4), (8, 6), (70, 6), (8, 6), (70, 6)] {
        guest = Guest { number: guest.number, ..Guest::new(format(w, h)) };
        let count = |bytes| {
            made += 1;
            make(bytes)
        };
        intake.prepare(&guest.format, count).unwrap();
        published(&mut intake, &mut guest, &Damage::none());
        let slot = outlet.take().unwrap();
        assert!(slot.damage.is_everything(), "{w}x{h}");
        outlet.give_back(slot);
    }
    assert_eq!(made, 2 * MOST);
}

#[test]
fn a_failed_making_of_slots_is_tried_again() {
    let (mut intake, _outlet) = pair::<Memory>(Supply::Three);
    let f = format(8, 6);
    assert_eq!(intake.prepare(&f, |_| Err::<Memory, _>("no memory")), Err("no memory"));
    assert!(intake.begin(f, &Damage::none()).is_none());
    intake.prepare(&f, make).unwrap();
    assert!(intake.begin(f, &Damage::none()).unwrap().damage.is_everything());
}

#[test]
fn a_feed_and_a_screen_in_two_threads_agree_on_every_picture() {
    [Supply::Two, Supply::Three].into_iter().for_each(agree_in_two_threads);
}

fn agree_in_two_threads(supply: Supply) {
    let (mut intake, outlet) = pair::<Memory>(supply);
    let done = std::sync::atomic::AtomicBool::new(false);
    let last = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut guest = Guest::new(format(16, 16));
            for i in 0..20_000u32 {
                intake.prepare(&guest.format, make).unwrap();
                // Each picture paints one whole row, so each row holds the number of the last picture that hit it.
                let mut damage = Damage::none();
                damage.add(Rect { x: 0, y: i % 16, width: 16, height: 1 });
                published(&mut intake, &mut guest, &damage);
            }
            done.store(true, std::sync::atomic::Ordering::Release);
        });
        let mut screen = Screen::default();
        let mut last = 0;
        loop {
            let ended = done.load(std::sync::atomic::Ordering::Acquire);
            match screen.fetch(&outlet) {
                Some(number) => {
                    assert!(number > last, "{number} after {last}");
                    last = number;
                    for (y, row) in screen.texture.chunks(16).enumerate() {
                        // The newest number not above `number` that painted row y.
                        let behind = (number + 15 - y as u64) % 16;
                        let expected = number.saturating_sub(behind) as u32;
                        assert!(row.iter().all(|p| *p == expected), "row {y} of picture {number}: {row:?}");
                    }
                }
                None if ended => return last,
                None => std::thread::yield_now(),
            }
        }
    });
    assert_eq!(last, 20_000);
}

#[test]
fn old_slots_that_come_back_late_never_displace_new_ones() {
    let (mut intake, outlet) = pair::<Memory>(Supply::Three);
    let mut screen = Screen::default();
    let mut number = 0;
    for height in 1..40 {
        let mut guest = Guest { number, ..Guest::new(format(4, height)) };
        for _ in 0..3 {
            intake.prepare(&guest.format, make).unwrap();
            assert!(published(&mut intake, &mut guest, &Damage::everything()));
            assert_eq!(screen.fetch(&outlet), Some(guest.number));
        }
        number = guest.number;
    }
}
