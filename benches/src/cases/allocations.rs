//! How often a running reader asks for memory: never. Counted by the allocator itself, on the reader's thread, around
//! the reader's calls alone.

use crate::baseline::allocations_of_this_thread;
use crate::report::CaseReport;
use anyhow::{Context, ensure};
use shm_proto::kvmfr::cursor::{CursorState, ShapeKind};
use shm_proto::kvmfr::pixel::PixelType;
use shm_proto::kvmfr::producer::{Begun, PictureSpec, Producer as PictureProducer, ProducerConfig, ShapeSpec};
use shm_proto::kvmfr::stream::{Outcome, Viewer};
use shm_proto::ring::{Consumer, Durations, Geometry, Kind, Producer};
use shm_proto::scream::{CHUNK_TIME, Format, Poll, Reader, StoreOrder, Writer};
use shm_proto::{HostTime, Purpose, Region};
use std::time::Duration;

/// Things done before counting starts: a reader may make what it needs until then.
const WARM_UP: u64 = 20;
/// Things done while counting.
const EVENTS: u64 = 2_000;
const FRAME_TIME: Duration = Duration::from_millis(16);
const START: HostTime = HostTime::from_ns(1 << 40);

pub(super) fn run() -> anyhow::Result<CaseReport> {
    let mut report = CaseReport::new("alloc");
    for (what, events, allocations) in count()? {
        report.add_count(what, events, allocations);
    }
    Ok(report)
}

/// What was done, how often, and the allocations meanwhile, for every reader.
///
/// # Errors
/// What the system, or a reader that took nothing, said.
pub fn count() -> anyhow::Result<[(&'static str, u64, u64); 5]> {
    let (frames, cursor_moves) = kvmfr()?;
    Ok([
        ("publications of our ring, in order", EVENTS, ring(Consumer::next)?),
        ("publications of our ring, the newest", EVENTS, ring(Consumer::newest)?),
        ("chunks of Scream", EVENTS, scream()?),
        ("frames of KVMFR", EVENTS, frames),
        ("cursor moves and shapes of KVMFR", EVENTS, cursor_moves),
    ])
}

/// Allocations while `call` runs, and what it gives.
fn counted<T>(call: impl FnOnce() -> T) -> (u64, T) {
    let before = allocations_of_this_thread();
    let value = call();
    (allocations_of_this_thread() - before, value)
}

type Take = fn(&mut Consumer, &mut [u8]) -> Result<shm_proto::ring::Taken, shm_proto::ring::Miss>;

fn ring(take: Take) -> anyhow::Result<u64> {
    let geometry = Geometry::new(4, 64 << 10)?;
    let region = Region::memfd("ring", geometry.region_bytes())?;
    let mut producer = Producer::create(&region, geometry)?;
    let mut consumer = Consumer::attach(&region)?;
    let (payload, mut buffer) = (vec![1; 64 << 10], vec![0; 64 << 10]);
    let mut allocations = 0;
    for event in 0..WARM_UP + EVENTS {
        let now = START + FRAME_TIME * event as u32;
        producer.publish_bytes(Kind::VideoFrame, Durations::default(), &payload)?;
        producer.heartbeat(now)?;
        let (n, taken) = counted(|| {
            consumer.poll(now);
            take(&mut consumer, &mut buffer)
        });
        ensure!(taken?.seq == event + 1, "publication {} was not taken", event + 1);
        allocations += if event < WARM_UP { 0 } else { n };
    }
    Ok(allocations)
}

fn scream() -> anyhow::Result<u64> {
    let format = Format::new(48_000, 16, 2, 3)?;
    let region = Region::memfd("scream", 2 << 20)?;
    let mut reader = Reader::new(region.clone()).with_order(StoreOrder::X64);
    let mut writer = Writer::new(region, StoreOrder::X64)?;
    writer.open(format)?;
    let chunk = vec![1; format.chunk_bytes() as usize];
    let mut pcm = chunk.clone();
    let mut allocations = 0;
    for event in 0..WARM_UP + EVENTS {
        writer.publish(&chunk)?;
        let (n, polled) = counted(|| reader.poll(START + CHUNK_TIME * event as u32, &mut pcm));
        let polled = polled?;
        if event >= WARM_UP {
            ensure!(matches!(polled, Poll::Chunk(_)), "chunk {event} was not taken: {polled:?}");
            allocations += n;
        }
    }
    Ok(allocations)
}

/// Allocations for frames, and for cursor moves.
fn kvmfr() -> anyhow::Result<(u64, u64)> {
    let region = Region::memfd("kvmfr", 32 << 20)?;
    let mut now = START;
    let mut producer = PictureProducer::start(&region, &ProducerConfig::default(), now)?;
    let mut viewer = Viewer::new(region, 1)?;
    for _ in 0..1000 {
        if viewer.state().is_live() {
            break;
        }
        now = now + FRAME_TIME;
        producer.beat(now)?;
        viewer.poll(now);
    }
    ensure!(viewer.state().is_live(), "the viewer did not get a session: {:?}", viewer.state());
    let spec = PictureSpec::new(PixelType::Bgra, 640, 360);
    let picture = vec![1; usize::try_from(spec.bytes())?];
    let (mut staging, mut cursor) = (picture.clone(), CursorState::new());
    let (mut frames, mut cursor_moves) = (0, 0);
    for event in 0..WARM_UP + EVENTS {
        now = now + FRAME_TIME;
        producer.beat(now)?;
        ensure!(producer.begin_frame(&spec, &[], now)? == Begun::Writing, "frame {event} could not be written");
        producer.write_rows(0..spec.height, &picture)?;
        producer.end_frame()?;
        let (n, outcome) = counted(|| show(&mut viewer, now, &spec, &mut staging));
        ensure!(outcome? == Outcome::Accepted, "frame {event} was not accepted");
        move_cursor(&mut producer, event, now)?;
        let (m, is_changed) = counted(|| viewer.take_cursor(now, &mut cursor));
        ensure!(is_changed, "cursor move {event} was not taken");
        if event >= WARM_UP {
            frames += n;
            cursor_moves += m;
        }
    }
    Ok((frames, cursor_moves))
}

/// What a receiver does with a frame.
fn show(viewer: &mut Viewer, now: HostTime, spec: &PictureSpec, staging: &mut [u8]) -> anyhow::Result<Outcome> {
    viewer.poll(now);
    let frame = viewer.take_frame(now).context("no frame came")?;
    let rows = frame.ready_rows();
    ensure!(rows == spec.height, "{rows} rows are ready");
    frame.copy_rows(0..rows, staging, spec.pitch_bytes as usize, Purpose::HandOff)?;
    Ok(frame.finish())
}

fn move_cursor(producer: &mut PictureProducer, event: u64, now: HostTime) -> anyhow::Result<()> {
    producer.set_cursor((event % 640) as i16, (event % 360) as i16, true, now)?;
    if event.is_multiple_of(10) {
        let pixels = vec![event as u8; 32 * 32 * 4];
        let (kind, hotspot) = (ShapeKind::Color, (1, 1));
        producer
            .set_shape(ShapeSpec { kind, width: 32, stored_rows: 32, pitch_bytes: 32 * 4, hotspot, pixels }, now)?;
    }
    Ok(())
}
