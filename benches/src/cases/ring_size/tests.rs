//! The sweep against what is known: the stock producer, formulas, and properties that must hold whatever the seed.

use super::*;
use crate::protocol::{Load, Speeds};
use crate::timeline::{BEGIN, Clock, RealClock};
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

/// B7 waits for whoever holds both slots. The generation after it hands over its newest picture once one is finished, and
/// a ring waits for nobody: all three show 60 pictures a second.
#[test]
fn a_screen_slower_than_the_guest_holds_up_b7_and_neither_what_came_after_it_nor_the_ring() {
    let mode = Mode::new(1920, 1080, 144);
    let of = |name, slots| play(&cell(name, slots, Behaviour::SlowScreen, mode)).unwrap();
    let b7 = of("lgmp6", 2);
    assert!(b7.stalled_percent() > 10.0, "{b7:?}");
    for o in [of("lgmp12", 2), of("lgmp12", 3), of("ring", 2)] {
        assert_eq!((o.frames_stalled, o.frames_lost, o.frames_wrong), (0, 0, 0), "{o:?}");
        assert!(o.frames_passed_over > o.frames_due / 2 && o.frames_taken > 170, "{o:?}");
    }
}

/// A guest that needs 13 ms to write a picture cannot write one each 7 ms, whatever its screen's rate says.
#[test]
fn a_guest_leaves_out_what_it_has_no_time_to_write() {
    for protocol in protocol::ALL {
        let o = play(&cell(protocol.name(), 3, Behaviour::KeepsUp, Mode::new(7680, 4320, 144))).unwrap();
        assert!((0.4..0.6).contains(&(o.frames_lost as f64 / o.frames_due as f64)), "{o:?}");
        assert!(o.frames_stalled == 0 && o.bytes_per_s < Speeds::DEFAULT.guest, "{o:?}");
    }
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

/// The guest here is the stock producer but for its number of slots: both hand a slow reader the same frames at once.
#[test]
fn with_the_stock_slots_as_many_frames_are_on_their_way_as_with_the_stock_producer() {
    for (name, slots, version, at_once) in [("lgmp6", 2, Version::B7, 2), ("lgmp12", 3, Version::Lgmp12, 1)] {
        let cell = cell(name, slots, Behaviour::KeepsUp, Mode::new(640, 360, 60));
        assert_eq!(cell.protocol.stock_slots(), Some(slots));
        let bytes = cell.protocol.needed_bytes(&cell.load.spec, slots).unwrap();
        let region = Region::memfd("stock", bytes).unwrap();
        let align_bytes = sizes::B7_ALIGN_BYTES as u32;
        let config = ProducerConfig { version, align_bytes, ..ProducerConfig::default() };
        let mut stock = Producer::start(&region, &config, BEGIN).unwrap();
        let _viewer = viewer_of(&region, &mut |now| assert_eq!(stock.beat(now).unwrap(), Beat::Fine));
        let mut begin = || {
            let begun = stock.begin_frame(&cell.load.spec, &[], BEGIN).unwrap();
            stock.end_frame().unwrap();
            begun == Begun::Writing
        };
        assert_eq!((1..6).filter(|_| begin()).count(), at_once, "{name}");
        assert_eq!(stock.rows_that_fit(&cell.load.spec), 360, "{name}");
        // Whether the guest here waits or goes on, the reader finds the same first, and the newest of what was left then.
        let (answers, taken) = hand_to_a_slow_reader(&cell, 5);
        let (written, first, then) = if at_once == 2 { (2, 2, None) } else { (5, 1, Some(5)) };
        assert_eq!(answers, [vec![true; written], vec![false; 5 - written]].concat(), "{name}");
        assert_eq!(taken, [Some(first), then, None], "{name}");
    }
}

/// Offers frames 1 to `frames` to a reader that looks three times afterwards: which of them were written, and what it saw.
fn hand_to_a_slow_reader(cell: &Cell, frames: u64) -> (Vec<bool>, [Option<u64>; 3]) {
    let bytes = cell.protocol.needed_bytes(&cell.load.spec, cell.load.slots).unwrap();
    let region = Region::memfd("ours", bytes).unwrap();
    let clock = Standing::default();
    let mut guest = cell.protocol.guest(&region, &cell.load, &clock).unwrap();
    let mut viewer = viewer_of(&region, &mut |now| {
        clock.0.set(now);
        guest.tick(&clock).unwrap();
    });
    let offered = |n| guest.offer(&clock, n).unwrap() == crate::protocol::Offered::Written;
    let answers = (1..=frames).map(offered).collect();
    let taken = [(); 3].map(|()| {
        let frame = viewer.take_frame(clock.now())?;
        let mut row = vec![0; frame.frame().pitch_bytes() as usize];
        let pitch = row.len();
        frame.copy_rows(0..1, &mut row, pitch, shm_proto::Purpose::Read).unwrap();
        frame.finish();
        guest.tick(&clock).unwrap();
        Some(u64::from_le_bytes(*row.first_chunk().unwrap()))
    });
    (answers, taken)
}

/// A clock that stands where it was put; whoever sleeps by it moves it.
#[derive(Default)]
struct Standing(std::cell::Cell<shm_proto::HostTime>);

impl Clock for Standing {
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

#[test]
fn slots_that_make_no_difference_share_a_line() {
    let subject = Subject { mode: FHD, pixel: PixelType::Bgra };
    let row = |slots, reader: Behaviour, frames_stalled| CellRow {
        protocol: "lgmp6".into(),
        mode: FHD.to_string(),
        format: "BGRA".into(),
        slots,
        reader: reader.name().into(),
        region_bytes: u64::from(slots) * MIB,
        live: false,
        disturbed: false,
        outcome: Outcome { frames_due: 100, frames_stalled, ..Outcome::default() },
    };
    let (calm, stalls) = (Behaviour::KeepsUp, Behaviour::Stalls);
    let rows =
        [row(2, calm, 0), row(2, stalls, 9), row(4, calm, 0), row(4, stalls, 0), row(8, calm, 0), row(8, stalls, 0)];
    let table = subject_table(&subject, &rows);
    let shown: Vec<String> = table.rows.iter().map(|row| row[..4].join(" ")).collect();
    let expected = ["lgmp6 keeps-up 2–8 2–8 0.00", "lgmp6 stalls-5ms 2 2 9.00", "lgmp6 stalls-5ms 4–8 4–8 0.00"];
    assert_eq!(shown, expected);
    assert_eq!(table.head.len(), table.rows[0].len());
}

#[test]
fn one_size_is_drawn_as_readers_over_slots_and_several_as_sizes_over_slots() {
    let plan = |modes: &[Mode]| Plan {
        subjects: modes.iter().map(|mode| Subject { mode: *mode, pixel: PixelType::Bgra }).collect(),
        protocols: vec![protocol::find("ring").unwrap()],
        slots: vec![2, 3],
        behaviours: vec![Behaviour::KeepsUp, Behaviour::Stalls],
        length: Duration::from_secs(1),
    };
    let modes = [Mode::new(999, 555, 60), Mode::new(1111, 555, 60)];
    let names = |plan: &Plan| {
        let cells: Vec<CellRow> = plan
            .subjects
            .iter()
            .flat_map(|subject| {
                plan.cells(subject, 1).into_iter().map(|cell| CellRow::of(&cell, subject, Outcome::default()))
            })
            .collect();
        heat_maps(plan, &cells).into_iter().map(|map| (map.id, map.y)).collect::<Vec<_>>()
    };
    let text = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    assert_eq!(names(&plan(&modes[..1])), [("ring-size-ring-999x555".into(), text(&["keeps-up", "stalls-5ms"]))]);
    let both = text(&["999x555", "1111x555"]);
    let expected = [("ring-size-ring-keeps-up".into(), both.clone()), ("ring-size-ring-stalls-5ms".into(), both)];
    assert_eq!(names(&plan(&modes)), expected);
    assert_eq!(heat_maps(&plan(&modes), &[]).len(), 0);
}
