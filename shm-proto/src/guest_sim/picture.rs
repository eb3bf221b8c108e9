//! A guest that shows a moving test picture and a cursor, as an unmodified capture program would. Pure: it has no clock
//! and no thread; [`PictureGuest::advance`] does what is due, [`PictureGuest::next_due`] says when to come again.
//!
//! It can be slow, restart, change format, stop, and tell any of the [lies](super::lies).

use super::lies::{How, Lie, Scribbler};
use super::pattern::{Motion, Pattern};
use super::pointer::{CYCLE_MOVES, PointerMode, position_at, shape};
use super::stamp::Stamp;
use crate::kvmfr::message::ViewerMessage;
use crate::kvmfr::producer::{ProducerCounters, Tampering};
use crate::kvmfr::{Begun, PictureSpec, PixelType, Producer, ProducerConfig};
use crate::lgmp::host::{Beat, HostError, MagicOrder};
use crate::raw::map::Region;
use crate::time::HostTime;
use core::ops::Range;
use core::time::Duration;

/// How often the heartbeat moves.
const BEAT: Duration = Duration::from_millis(10);
/// How soon a guest that had to wait for viewers looks again.
const WAIT: Duration = Duration::from_micros(500);
/// How often a slow guest writes some rows.
const WRITE_STEP: Duration = Duration::from_millis(1);
/// Rows drawn at once.
const CHUNK_ROWS: u32 = 32;

/// In which steps the write pointer follows the pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Publish {
    /// Every MiB and at the end, as full copies do.
    #[default]
    Steps,
    /// At the ends of the bands of rows that changed, as damage copies do.
    Bands,
    /// Once, at the end.
    AtEnd,
}

/// What the guest shows and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PictureConfig {
    /// Size, pixel type and pitch.
    pub spec: PictureSpec,
    /// What moves.
    pub motion: Motion,
    /// Pictures per second; 0 is as fast as viewers take them.
    pub rate_hz: u32,
    /// When viewers learn about rows.
    pub publish: Publish,
    /// How long it takes to write one picture.
    pub write_time: Duration,
    /// The cursor's shape.
    pub pointer: PointerMode,
    /// Cursor moves per second; 0 is a cursor that stands.
    pub pointer_rate_hz: u32,
    /// Memory layout, identity, session.
    pub producer: ProducerConfig,
}

impl PictureConfig {
    /// A moving bar in BGRA, 60 pictures per second, with a colour cursor.
    pub fn new(width: u32, height: u32) -> PictureConfig {
        PictureConfig {
            spec: PictureSpec::new(PixelType::Bgra, width, height),
            motion: Motion::Bar,
            rate_hz: 60,
            publish: Publish::Steps,
            write_time: Duration::ZERO,
            pointer: PointerMode::Color,
            pointer_rate_hz: 125,
            producer: ProducerConfig::default(),
        }
    }

    /// Bytes of shared memory that two of these pictures need, a power of two.
    pub fn region_bytes(&self) -> u64 {
        let align = u64::from(self.producer.align_bytes);
        let slots = 2 * (self.spec.bytes().next_multiple_of(align) + 2 * align);
        (slots + (4 << 20)).next_power_of_two()
    }
}

/// A frame being written.
#[derive(Clone, Debug)]
struct Writing {
    stamp: Stamp,
    began: HostTime,
    bands: [Range<u32>; 3],
    done_rows: u32,
    total_rows: u32,
}

/// Whether the guest runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Running,
    /// Only the magic of the next session is there; the rest follows.
    HalfMade {
        until: HostTime,
    },
    Stopped,
}

/// The guest.
#[derive(Debug)]
pub struct PictureGuest {
    region: Region,
    config: PictureConfig,
    producer: Producer,
    pattern: Pattern,
    /// Which slots hold a whole picture of this pattern.
    slots_whole: [bool; 2],
    life: Life,
    lie: Option<&'static Lie>,
    scribbler: Scribbler,
    beat_due: HostTime,
    frame_due: HostTime,
    pointer_due: HostTime,
    writing: Option<Writing>,
    frame_no: u32,
    pointer_no: u32,
    last: Option<Stamp>,
    asked: Option<(i32, i32)>,
    restarts: u32,
    chunk: Vec<u8>,
}

impl PictureGuest {
    /// Starts a session in `region`, which must be mapped for writing and at least [`PictureConfig::region_bytes`] long
    /// for a whole picture (a smaller one cuts it off, as stock producers do).
    ///
    /// # Errors
    /// [`HostError`] if not even a row fits, or the region is read-only.
    pub fn start(region: &Region, config: PictureConfig, now: HostTime) -> Result<PictureGuest, HostError> {
        let producer = Producer::start(region, &config.producer, now)?;
        let pattern = Pattern::new(config.spec, config.motion);
        let mut guest = PictureGuest {
            region: region.clone(),
            producer,
            chunk: chunk_for(&pattern),
            pattern,
            slots_whole: [false; 2],
            life: Life::Running,
            lie: None,
            scribbler: Scribbler::new(config.producer.seed),
            beat_due: now,
            frame_due: now,
            pointer_due: now,
            writing: None,
            frame_no: 0,
            pointer_no: 0,
            last: None,
            asked: None,
            restarts: 0,
            config,
        };
        guest.show_pointer(now)?;
        Ok(guest)
    }

    /// Does everything that is due at `now`.
    ///
    /// # Errors
    /// [`HostError::Access`] if the region shrank; [`HostError::NoRoom`] if a new format has no room for a row.
    pub fn advance(&mut self, now: HostTime) -> Result<(), HostError> {
        match self.life {
            Life::Stopped => return Ok(()),
            Life::HalfMade { until } if now < until => return self.half_beat(now),
            Life::HalfMade { .. } => self.begin_session(MagicOrder::First, now)?,
            Life::Running => {}
        }
        if now >= self.beat_due {
            self.beat_due = now + BEAT;
            if self.how() != Some(How::FrozenHeartbeat) && self.producer.beat(now)? == Beat::MagicGone {
                self.begin_session(self.config.producer.magic, now)?;
            }
            self.read_mail(now)?;
        }
        if now >= self.pointer_due {
            self.move_pointer(now)?;
        }
        if self.writing.is_some() {
            self.write_on(now)?;
        }
        if self.writing.is_none() && now >= self.frame_due {
            self.next_frame(now)?;
        }
        if let Some(lie) = self.lie {
            self.scribbler.apply(lie, &self.region)?;
        }
        Ok(())
    }

    /// When [`PictureGuest::advance`] has something to do again.
    pub fn next_due(&self, now: HostTime) -> HostTime {
        match self.life {
            Life::Stopped => now + Duration::from_secs(3600),
            Life::HalfMade { until } => self.beat_due.min(until),
            Life::Running => {
                let frame = if self.writing.is_some() { now + WRITE_STEP } else { self.frame_due };
                self.beat_due.min(self.pointer_due).min(frame)
            }
        }
    }

    /// Ends the session and starts another one, as when the guest's program crashed.
    ///
    /// # Errors
    /// As [`PictureGuest::start`].
    pub fn restart(&mut self, now: HostTime) -> Result<(), HostError> {
        self.begin_session(self.config.producer.magic, now)
    }

    /// Shows another picture in the same session.
    pub fn set_picture(&mut self, spec: PictureSpec, motion: Motion) {
        if self.writing.take().is_some() {
            self.producer.abandon_frame();
        }
        self.config.spec = spec;
        self.config.motion = motion;
        self.pattern = Pattern::new(spec, motion);
        self.chunk = chunk_for(&self.pattern);
        self.slots_whole = [false; 2];
        self.last = None;
    }

    /// Changes the rate, how long a picture takes to write, and in which steps it is published.
    pub fn set_pace(&mut self, rate_hz: u32, write_time: Duration, publish: Publish) {
        self.config.rate_hz = rate_hz;
        self.config.write_time = write_time;
        self.config.publish = publish;
    }

    /// Changes the cursor.
    ///
    /// # Errors
    /// [`HostError::Access`].
    pub fn set_pointer(&mut self, pointer: PointerMode, now: HostTime) -> Result<(), HostError> {
        self.config.pointer = pointer;
        self.show_pointer(now)
    }

    /// Stops as a machine that was switched off: everything stays, nothing moves.
    pub fn stop(&mut self) {
        self.life = Life::Stopped;
    }

    /// Zeroes the header, as some guests do with the device's memory when they boot. A running guest notices and starts
    /// a new session.
    ///
    /// # Errors
    /// [`HostError::Access`].
    pub fn wipe(&mut self) -> Result<(), HostError> {
        Ok(self.region.span(0, self.producer.host().layout().header.size)?.fill(0)?)
    }

    /// From now on lies, or tells the truth again. What a lie has spoiled stays so until the next restart.
    ///
    /// # Errors
    /// As [`PictureGuest::start`], for lies that begin with a restart.
    pub fn lie(&mut self, lie: Option<&'static Lie>, now: HostTime) -> Result<(), HostError> {
        self.lie = lie;
        self.producer.tamper(lie.map_or_else(Tampering::default, |l| l.how.tampering()));
        if self.how() == Some(How::MagicFirst) {
            self.life = Life::HalfMade { until: now + Duration::from_millis(50) };
            self.scribbler.half_make(&self.region)?;
            self.half_beat(now)?;
        }
        Ok(())
    }

    /// The picture's definition.
    pub fn pattern(&self) -> &Pattern {
        &self.pattern
    }

    /// What the guest shows and how.
    pub fn config(&self) -> &PictureConfig {
        &self.config
    }

    /// The stamp of the last whole frame of this format.
    pub fn last_stamp(&self) -> Option<Stamp> {
        self.last
    }

    /// Frames begun so far, over all sessions.
    pub fn frames_begun(&self) -> u32 {
        self.frame_no
    }

    /// How often the cursor was moved; see [`position_at`].
    pub fn pointer_moves(&self) -> u32 {
        self.pointer_no
    }

    /// Where a viewer last asked the pointer to be.
    pub fn asked_position(&self) -> Option<(i32, i32)> {
        self.asked
    }

    /// Sessions begun after the first.
    pub fn restarts(&self) -> u32 {
        self.restarts
    }

    /// What this session's producer counted.
    pub fn counters(&self) -> &ProducerCounters {
        self.producer.counters()
    }

    /// The producer below.
    pub fn producer(&mut self) -> &mut Producer {
        &mut self.producer
    }

    fn how(&self) -> Option<How> {
        self.lie.map(|l| l.how)
    }

    fn begin_session(&mut self, magic: MagicOrder, now: HostTime) -> Result<(), HostError> {
        self.restarts += 1;
        let seed = self.config.producer.seed.wrapping_add(self.restarts.wrapping_mul(0x9E37));
        let config = ProducerConfig { magic, seed, ..self.config.producer.clone() };
        self.producer = Producer::start(&self.region, &config, now)?;
        self.producer.tamper(self.lie.map_or_else(Tampering::default, |l| l.how.tampering()));
        self.life = Life::Running;
        self.slots_whole = [false; 2];
        self.writing = None;
        (self.beat_due, self.frame_due, self.pointer_due) = (now, now, now);
        self.show_pointer(now)
    }

    fn half_beat(&mut self, now: HostTime) -> Result<(), HostError> {
        if now >= self.beat_due {
            self.beat_due = now + BEAT;
            self.scribbler.half_beat(&self.region, now)?;
        }
        Ok(())
    }

    fn read_mail(&mut self, now: HostTime) -> Result<(), HostError> {
        // A mailbox has ten slots; a viewer that writes faster is read at the next beat.
        for _ in 0..16 {
            match self.producer.take_message()? {
                Some(ViewerMessage::SetCursorPosition { x, y }) => {
                    self.asked = Some((x, y));
                    let clamp = |v: i32| v.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16;
                    let visible = self.config.pointer != PointerMode::Hidden;
                    self.producer.set_cursor(clamp(x), clamp(y), visible, now)?;
                }
                Some(ViewerMessage::Unknown) => {}
                None => break,
            }
        }
        Ok(())
    }

    fn show_pointer(&mut self, now: HostTime) -> Result<(), HostError> {
        let kind = self.config.pointer.kind_at(self.pointer_no);
        if let Some(kind) = kind {
            self.producer.set_shape(shape(kind), now)?;
        }
        let (x, y) = position_at(self.pointer_no, self.config.spec.screen);
        self.producer.set_cursor(x, y, kind.is_some(), now)
    }

    fn move_pointer(&mut self, now: HostTime) -> Result<(), HostError> {
        self.pointer_due = match self.config.pointer_rate_hz {
            0 => now + Duration::from_secs(3600),
            rate => later(self.pointer_due, period(rate), now),
        };
        if self.config.pointer_rate_hz == 0 || self.config.pointer == PointerMode::Hidden {
            return Ok(());
        }
        self.pointer_no = self.pointer_no.wrapping_add(1);
        let shape_changes = self.config.pointer == PointerMode::Cycle && self.pointer_no.is_multiple_of(CYCLE_MOVES);
        if shape_changes || self.how().is_some_and(How::is_about_shapes) {
            return self.show_pointer(now);
        }
        let (x, y) = position_at(self.pointer_no, self.config.spec.screen);
        self.producer.set_cursor(x, y, true, now)
    }

    fn next_frame(&mut self, now: HostTime) -> Result<(), HostError> {
        if self.config.motion == Motion::Still && self.last.is_some() && self.how().is_none() {
            self.frame_due = now + BEAT;
            return Ok(());
        }
        let stamp = Stamp { frame: self.frame_no.wrapping_add(1), time_ns: now.as_ns() };
        let damage = match self.last {
            Some(last) => self.pattern.damage(last.frame, stamp),
            None => Vec::new(),
        };
        let slot = self.producer.next_slot();
        match self.producer.begin_frame(&self.config.spec, &damage, now)? {
            Begun::Writing => {}
            // Nobody watches: a stock producer stops capturing and looks again now and then.
            Begun::NobodyWatches => {
                self.frame_due = now + BEAT;
                return Ok(());
            }
            Begun::Full | Begun::LockBusy => {
                self.frame_due = now + WAIT;
                return Ok(());
            }
        }
        self.frame_no = stamp.frame;
        self.frame_due = match self.config.rate_hz {
            0 => now,
            rate => later(self.frame_due, period(rate), now),
        };
        let whole = self.slots_whole.get(slot).copied().unwrap_or(false);
        let mut bands = [const { 0..0 }; 3];
        if whole {
            bands.iter_mut().zip(self.pattern.moving_rows()).for_each(|(place, band)| *place = band);
        } else {
            bands[0] = 0..self.config.spec.height;
        }
        let total_rows = bands.iter().map(|b| b.end - b.start).sum();
        if let Some(place) = self.slots_whole.get_mut(slot) {
            *place = false;
        }
        self.writing = Some(Writing { stamp, began: now, bands, done_rows: 0, total_rows });
        if let Some(How::WritePointer(bytes)) = self.how() {
            self.producer.publish_bytes(bytes)?;
        }
        self.write_on(now)
    }

    /// Writes what has become due of the frame; ends it when all is written.
    fn write_on(&mut self, now: HostTime) -> Result<(), HostError> {
        let Some(mut writing) = self.writing.take() else { return Ok(()) };
        let due_rows = match self.config.write_time.as_nanos() {
            0 => writing.total_rows,
            all => {
                let elapsed = now.since(writing.began).as_nanos().min(all);
                // At most `total_rows`.
                (elapsed * u128::from(writing.total_rows) / all) as u32
            }
        };
        while writing.done_rows < due_rows {
            let Some((rows, ends_band)) = next_rows(&writing, due_rows) else { break };
            let pitch = self.config.spec.pitch_bytes as usize;
            let bytes = self.chunk.get_mut(..rows.len() * pitch).unwrap_or_default();
            self.pattern.render_rows(writing.stamp, rows.clone(), bytes);
            self.producer.write_rows(rows.clone(), bytes)?;
            writing.done_rows += rows.end - rows.start;
            self.publish(&rows, ends_band)?;
            if self.how() == Some(How::RestartInFrame) && writing.done_rows * 2 >= writing.total_rows {
                self.lie = None;
                return self.begin_session(self.config.producer.magic, now);
            }
        }
        if writing.done_rows < writing.total_rows {
            self.writing = Some(writing);
            return Ok(());
        }
        if self.lies_about_write_pointer() {
            self.producer.abandon_frame();
        } else {
            self.producer.end_frame()?;
            let slot = self.producer.slot();
            if let Some(place) = self.slots_whole.get_mut(slot) {
                *place = true;
            }
        }
        self.last = Some(writing.stamp);
        Ok(())
    }

    fn publish(&self, rows: &Range<u32>, ends_band: bool) -> Result<(), HostError> {
        const STEP: u32 = 1 << 20;
        if self.lies_about_write_pointer() {
            return Ok(());
        }
        let bytes = |rows: u32| rows.saturating_mul(self.config.spec.pitch_bytes);
        match self.config.publish {
            Publish::Steps if bytes(rows.start) / STEP != bytes(rows.end) / STEP => {
                self.producer.publish_bytes(bytes(rows.end) / STEP * STEP)?;
            }
            Publish::Bands if ends_band => self.producer.publish_rows(rows.end)?,
            Publish::Steps | Publish::Bands | Publish::AtEnd => {}
        }
        Ok(())
    }

    fn lies_about_write_pointer(&self) -> bool {
        matches!(self.how(), Some(How::FrozenWritePointer | How::WritePointer(_)))
    }
}

/// The next rows to write, within one band and one chunk, and whether they end the band.
fn next_rows(writing: &Writing, due_rows: u32) -> Option<(Range<u32>, bool)> {
    let mut skip = writing.done_rows;
    for band in &writing.bands {
        let len = band.end - band.start;
        if skip < len {
            let start = band.start + skip;
            let count = (len - skip).min(CHUNK_ROWS).min(due_rows - writing.done_rows);
            return Some((start..start + count, start + count == band.end));
        }
        skip -= len;
    }
    None
}

fn chunk_for(pattern: &Pattern) -> Vec<u8> {
    vec![0; CHUNK_ROWS.min(pattern.spec().height) as usize * pattern.spec().pitch_bytes as usize]
}

fn period(rate_hz: u32) -> Duration {
    Duration::from_nanos(1_000_000_000 / u64::from(rate_hz.max(1)))
}

/// The time after `due` in a rhythm of `period`; who fell behind does not catch up.
fn later(due: HostTime, period: Duration, now: HostTime) -> HostTime {
    (due + period).max(now)
}
