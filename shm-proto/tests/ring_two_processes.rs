//! The ring between two real processes: a child writes at full speed, this process reads and believes nothing that is
//! torn. The child is this same test binary, started again with a variable that names the ring's file.

use shm_proto::raw::pause::pause;
use shm_proto::ring::{Consumer, Durations, Geometry, Kind, Miss, Producer, State};
use shm_proto::{Access, HostTime, Purpose, Region};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const WRITER_VARIABLE: &str = "RING_TEST_WRITER";
/// No step of these tests takes longer on a machine that works at all.
const PATIENCE: Duration = Duration::from_secs(60);
/// Few slots, so that writer and reader meet all the time.
const SLOTS: u32 = 3;
/// Length of every second bunch of payloads.
const SHORT_BYTES: usize = 64;

/// Every way of copying: short and long sound, long pictures.
const CASES: [(Kind, u32); 3] = [(Kind::Audio, 3840), (Kind::Audio, 300 << 10), (Kind::VideoFrame, 600 << 10)];

/// The writing process; ends when its parent kills it.
struct Writer(Child);

impl Writer {
    fn start(path: &Path, (kind, len): (Kind, u32)) -> Writer {
        let me = std::env::current_exe().expect("the path of this test");
        let child = Command::new(me)
            .args(["--exact", "the_ring_writer_that_the_other_tests_start", "--nocapture"])
            .env(WRITER_VARIABLE, format!("{}:{}:{len}", path.display(), kind.to_wire()))
            .stdout(Stdio::null())
            .spawn()
            .expect("a second process");
        Writer(child)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is gone afterwards.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Publishes for ever in the process that was started for it, and has nothing to do in any other.
#[test]
fn the_ring_writer_that_the_other_tests_start() {
    let Ok(task) = std::env::var(WRITER_VARIABLE) else { return };
    let mut parts = task.rsplitn(3, ':');
    let len: u32 = parts.next().unwrap().parse().unwrap();
    let kind = Kind::from_wire(parts.next().unwrap().parse().unwrap()).unwrap();
    let region = Region::open(Path::new(parts.next().unwrap()), Access::ReadWrite).unwrap();
    let mut producer = Producer::create(&region, Geometry::new(SLOTS, len).unwrap()).unwrap();
    let parent = std::os::unix::process::parent_id();
    let mut payload = vec![0; len as usize];
    // A parent that was killed itself cannot kill us.
    while std::os::unix::process::parent_id() == parent {
        let number = producer.published() + 1;
        // Long ones, which a reader has time to copy while the next is written, then a burst of short ones, which run
        // over whoever is still copying.
        let len = if number % 8 < 4 { payload.len() } else { SHORT_BYTES };
        let payload = &mut payload[..len];
        payload.chunks_exact_mut(8).for_each(|word| word.copy_from_slice(&number.to_le_bytes()));
        producer.publish_bytes(kind, Durations::default(), payload).unwrap();
    }
}

/// The one number that every word of the payload holds, or nothing.
fn agreed(payload: &[u8]) -> Option<u64> {
    let (first, rest) = payload.split_first_chunk::<8>()?;
    rest.chunks_exact(8).all(|word| word == first).then(|| u64::from_le_bytes(*first))
}

/// Calls `step` until it gives something, with a bound.
fn wait_for<T>(what: &str, mut step: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = step() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        pause();
    }
}

fn follow(reader: &mut Consumer, not: u64) -> u64 {
    wait_for("the writer's ring", || match reader.poll(HostTime::ZERO) {
        State::Following { generation, .. } if generation != not => Some(generation),
        _ => None,
    })
}

/// Takes one publication; anything that is handed out must be whole.
fn take(reader: &mut Consumer, buf: &mut [u8], newest: bool) -> Option<u64> {
    match if newest { reader.newest(buf) } else { reader.next(buf) } {
        Ok(taken) => {
            assert_eq!(agreed(&buf[..taken.len]), Some(taken.seq), "a torn payload was handed out");
            Some(taken.seq)
        }
        Err(Miss::Nothing | Miss::Overrun) => None,
        Err(other) => panic!("an honest writer gave {other:?}"),
    }
}

#[test]
fn a_ring_reader_never_takes_what_another_process_is_writing() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    for case @ (kind, len) in CASES {
        let path = dir.path().join(format!("{kind:?}-{len}"));
        let geometry = Geometry::new(SLOTS, len).unwrap();
        let region = Region::create(&path, geometry.region_bytes()).unwrap();
        let mut reader = Consumer::attach(&Region::open(&path, Access::ReadOnly).unwrap()).unwrap();
        let _writer = Writer::start(&path, case);
        follow(&mut reader, 0);
        let mut buf = vec![0; len as usize];
        let first_payload = region.span(u64::from(geometry.first_slot()) + 64, u64::from(len)).unwrap();
        let (mut calls, mut last, mut long, mut unchecked_torn) = (0u64, 0, 0, 0);
        // Both must have happened: whole payloads were taken, and the two did get into each other's way.
        wait_for("50 long payloads, and a slot caught half written", || {
            calls += 1;
            if let Some(number) = take(&mut reader, &mut buf, calls.is_multiple_of(2)) {
                assert!(number > last, "took {number} after {last}");
                last = number;
                long += u64::from(number % 8 < 4);
            }
            // What a reader without the protocol would have believed: shows that there is something to tear. Behind the
            // short payloads lie words of long ones alone.
            first_payload.copy_to(&mut buf, Purpose::Read).unwrap();
            unchecked_torn += u64::from(agreed(&buf[SHORT_BYTES..]).is_none());
            let counters = reader.counters();
            (long >= 50 && counters.taken > 50 && unchecked_torn >= 3).then_some(())
        });
        let counters = reader.counters();
        assert_eq!((counters.corrupt, counters.restarts), (0, 0), "{kind:?} {len}");
        assert!(counters.taken + counters.lapped <= last, "{kind:?} {len}: {counters:?} of {last}");
    }
}

#[test]
fn a_ring_outlives_a_writer_that_is_killed_at_work() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = dir.path().join("ring");
    let case @ (_, len) = CASES[1];
    Region::create(&path, Geometry::new(SLOTS, len).unwrap().region_bytes()).unwrap();
    let mut reader = Consumer::attach(&Region::open(&path, Access::ReadOnly).unwrap()).unwrap();
    let (mut buf, mut generation) = (vec![0; len as usize], 0);
    for round in 0..5 {
        let writer = Writer::start(&path, case);
        generation = follow(&mut reader, generation);
        for _ in 0..20 {
            wait_for("a publication", || take(&mut reader, &mut buf, false));
        }
        drop(writer);
        // Whatever it left behind half done, a reader comes to the end of it.
        wait_for("the end", || (reader.next(&mut buf) == Err(Miss::Nothing)).then_some(()));
        assert_eq!(reader.counters().restarts, round);
    }
    assert_eq!(reader.counters().corrupt, 0);
}
