//! The sweep against what is known: the stock producer, formulas, and properties that must hold whatever the seed.

use super::*;
use crate::protocol::{self, Load, Speeds};
use crate::timeline::{BEGIN, RealClock};
use shm_proto::kvmfr::{Begun, Producer, ProducerConfig, Version, Viewer};
use shm_proto::lgmp::host::Beat;

fn cell(protocol: &str, slots: u32, behaviour: Behaviour, mode: Mode) -> Cell {
    let subject = Subject { mode, pixel: PixelType::Bgra };
    let load = Load { spec: subject.spec(), slots, speeds: Speeds::DEFAULT };
    let (protocol, length) = (protocol::find(protocol).unwrap(), Duration::from_secs(3));
    Cell { protocol, load, mode, behaviour, seed: 7, length }
}

const FHD: Mode = Mode::new(1920, 1080, 60);

#[test]
fn the_same_seed_gives_the_same_figures() {
    for protocol in ["lgmp6", "lgmp12", "ring"] {
        for behaviour in Behaviour::ALL {
            let cell = cell(protocol, 2, behaviour, Mode::new(3840, 2160, 144));
            let first = play(&cell).unwrap();
            assert_eq!(first, play(&cell).unwrap(), "{protocol} {behaviour:?}");
            assert!(first.frames_due > 400 && first.frames_wrong == 0, "{first:?}");
        }
    }
}

#[test]
fn a_reader_that_keeps_up_sees_every_frame_and_holds_up_none() {
    for protocol in protocol::ALL {
        let cell = cell(protocol.name(), 3, Behaviour::KeepsUp, FHD);
        let o = play(&cell).unwrap();
        assert_eq!((o.frames_stalled, o.frames_torn, o.frames_wrong), (0, 0, 0), "{o:?}");
        assert!(o.frames_taken == o.frames_due && o.frames_due >= 178, "{o:?}");
        assert!(o.handover_us_p50 > 0.0 && o.handover_us_p99 < 2000.0, "{o:?}");
    }
}

#[test]
fn a_screen_slower_than_the_guest_holds_up_lgmp_and_not_the_ring() {
    let mode = Mode::new(1920, 1080, 144);
    let [lgmp, ring] = ["lgmp6", "ring"].map(|name| play(&cell(name, 2, Behaviour::SlowScreen, mode)).unwrap());
    assert!(lgmp.stalled_percent() > 10.0, "{lgmp:?}");
    assert_eq!(ring.frames_stalled, 0);
    assert!(ring.frames_passed_over > ring.frames_due / 2 && ring.frames_taken > 170, "{ring:?}");
}

/// With two slots a ring's writer is in one of them half the time; a slow copy of the other is overtaken.
#[test]
fn a_disturbed_reader_of_a_short_ring_throws_torn_copies_away_and_a_longer_ring_has_none() {
    let mode = Mode::new(2560, 1440, 400);
    let [short, long] = [2, 8].map(|slots| play(&cell("ring", slots, Behaviour::Stalls, mode)).unwrap());
    assert!(short.frames_torn > 0, "{short:?}");
    assert_eq!((long.frames_torn, short.frames_wrong, long.frames_wrong), (0, 0, 0), "{long:?}");
}

#[test]
fn more_slots_hold_up_fewer_frames() {
    // Five milliseconds are two and a half frames: two slots are too few for them, eight are enough.
    let mode = Mode::new(1280, 720, 500);
    let stalled = |slots| play(&cell("lgmp6", slots, Behaviour::Stalls, mode)).unwrap().frames_stalled;
    let (two, three, eight) = (stalled(2), stalled(3), stalled(8));
    assert!(two > three && eight == 0, "{two} {three} {eight}");
}

/// The guest here is the stock producer but for its number of slots: both hand a slow reader the same frames.
#[test]
fn with_the_stock_slots_the_guest_waits_exactly_where_the_stock_producer_does() {
    for (name, slots, version, expected) in [
        ("lgmp6", 2, Version::B7, [true, true, false, false, false]),
        ("lgmp12", 3, Version::Lgmp12, [true, false, false, false, false]),
    ] {
        let cell = cell(name, slots, Behaviour::KeepsUp, Mode::new(640, 360, 60));
        assert_eq!(cell.protocol.stock_slots(), Some(slots));
        let bytes = cell.protocol.needed_bytes(&cell.load.spec, slots).unwrap();
        let region = Region::memfd("ours", bytes).unwrap();
        let clock = Standing::default();
        let mut ours = cell.protocol.guest(&region, &cell.load, &clock).unwrap();
        let _viewer = viewer_of(&region, &mut |now| {
            clock.0.set(now);
            ours.tick(&clock).unwrap();
        });
        let our_answers: Vec<bool> =
            (1..6).map(|n| ours.offer(&clock, n).unwrap() == crate::protocol::Offered::Written).collect();
        let region = Region::memfd("stock", bytes).unwrap();
        let align_bytes = sizes::B7_ALIGN_BYTES as u32;
        let config = ProducerConfig { version, align_bytes, ..ProducerConfig::default() };
        let mut stock = Producer::start(&region, &config, BEGIN).unwrap();
        let _viewer = viewer_of(&region, &mut |now| assert_eq!(stock.beat(now).unwrap(), Beat::Fine));
        let stock_answers: Vec<bool> = (1..6)
            .map(|_| {
                let begun = stock.begin_frame(&cell.load.spec, &[], BEGIN).unwrap();
                stock.end_frame().unwrap();
                begun == Begun::Writing
            })
            .collect();
        assert_eq!((&our_answers, &our_answers[..]), (&stock_answers, &expected[..]), "{name}");
        assert_eq!(stock.rows_that_fit(&cell.load.spec), 360, "{name}");
    }
}

/// A clock that stands where it was put; whoever sleeps by it moves it.
#[derive(Default)]
struct Standing(std::cell::Cell<shm_proto::HostTime>);

impl crate::timeline::Clock for Standing {
    fn now(&self) -> shm_proto::HostTime {
        self.0.get().max(BEGIN)
    }

    fn sleep_until(&self, at: shm_proto::HostTime) {
        self.0.set(at);
    }

    fn is_real(&self) -> bool {
        false
    }
}

fn viewer_of(region: &Region, beat: &mut dyn FnMut(shm_proto::HostTime)) -> Viewer {
    let mut viewer = Viewer::new(region.clone(), 3).unwrap();
    let mut now = BEGIN;
    while !viewer.poll(now).is_live() {
        now = now + Duration::from_millis(10);
        assert!(now.since(BEGIN) < Duration::from_secs(5), "no session: {:?}", viewer.state());
        beat(now);
    }
    viewer
}

#[test]
fn a_region_holds_as_many_chunks_of_scream_as_its_table_says() {
    for (rate_hz, bits, channels, chunk_bytes, at_1_mib, at_2_mib) in [
        (44_100, 16, 2, 3528, 297, 594),
        (48_000, 16, 2, 3840, 273, 546),
        (48_000, 24, 2, 5760, 182, 364),
        (48_000, 32, 2, 7680, 136, 273),
        (48_000, 16, 6, 11_520, 91, 182),
        (48_000, 16, 8, 15_360, 68, 136),
        (96_000, 32, 8, 61_440, 17, 34),
        (192_000, 32, 8, 122_880, 8, 17),
    ] {
        let format = Format::new(rate_hz, bits, channels, 0).unwrap();
        let slots = |mib| Writer::header_for(format, mib * MIB).unwrap().max_chunks;
        assert_eq!((format.chunk_bytes(), slots(1), slots(2)), (chunk_bytes, at_1_mib, at_2_mib), "{format:?}");
    }
}

/// The formula is not smaller than what the code takes, for any number of slots and any picture.
#[test]
fn a_guest_fits_into_the_region_that_the_formula_says() {
    let mut random = crate::random::Random::new(5);
    for protocol in protocol::ALL {
        for _ in 0..60 {
            let mut side = |most| 16 + random.below(most) as u32;
            let mode = Mode::new(side(8000), side(4400), 60);
            let slots = 2 + random.below(15) as u32;
            let pixel = PixelType::ALL[random.below(6)];
            let spec = Subject { mode, pixel }.spec();
            let Some(bytes) = protocol.needed_bytes(&spec, slots) else { continue };
            if bytes > shm_proto::raw::map::MAX_REGION_BYTES {
                continue;
            }
            let region = Region::memfd("size", bytes).unwrap();
            let load = Load { spec, slots, speeds: Speeds::DEFAULT };
            let guest = protocol.guest(&region, &load, &RealClock);
            assert!(guest.is_ok(), "{} {mode} {pixel} {slots} slots in {bytes}: {guest:?}", protocol.name());
        }
    }
}

#[test]
fn really_moved_frames_arrive_whole() {
    let processors = crate::place::processors();
    for protocol in protocol::ALL {
        let mut cell = cell(protocol.name(), 3, Behaviour::KeepsUp, Mode::new(640, 360, 200));
        cell.length = Duration::from_millis(400);
        let bytes = protocol.needed_bytes(&cell.load.spec, 3).unwrap();
        let (region, _file) = crate::place::scratch(bytes).unwrap();
        let (o, _waited) = cell.play_for_real(&region, &processors).unwrap();
        assert!(o.frames_due > 10 && o.frames_taken > 0 && o.frames_wrong == 0, "{}: {o:?}", protocol.name());
    }
}
