//! A guest that shows a moving test picture and a cursor, as an unmodified capture program would. Pure: it has no clock
//! and no thread; [`PictureGuest::advance`] does what is due, [`PictureGuest::next_due`] says when to come again.
//!
//! It can be slow, restart, change format, stop, and tell any of the [lies](super::lies).
//!
//! ```
//! use shm_proto::guest_sim::picture::{PictureConfig, PictureGuest};
//! use shm_proto::{HostTime, Region};
//!
//! let config = PictureConfig::new(640, 360);
//! let region = Region::memfd("guest", config.region_bytes())?;
//! let mut now = HostTime::from_ns(1);
//! let mut guest = PictureGuest::start(&region, config, now)?;
//! for _ in 0..100 {
//!     guest.advance(now)?;
//!     now = guest.next_due(now); // or sleep until then
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod config;
mod paint;

pub use config::{PictureConfig, Publish};

use super::lies::{How, Lie, Scribbler};
use super::pattern::{Motion, Pattern};
use super::pointer::{CYCLE_MOVES, PointerMode, position_at, shape};
use super::stamp::Stamp;
use crate::kvmfr::message::ViewerMessage;
use crate::kvmfr::producer::memory::MAX_FRAME_SLOTS;
use crate::kvmfr::producer::{ProducerCounters, Tampering};
use crate::kvmfr::wire::{MAX_PICTURE_SIDE, features};
use crate::kvmfr::{PictureSpec, Producer, ProducerConfig, Version};
use crate::lgmp::host::{Beat, HostError, MagicOrder};
use crate::raw::map::Region;
use crate::time::HostTime;
use core::time::Duration;
use paint::{Writing, chunk_for};

/// How often the heartbeat moves.
const BEAT: Duration = Duration::from_millis(10);
/// How often a slow guest writes some rows.
const WRITE_STEP: Duration = Duration::from_millis(1);

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
    slots_whole: [bool; MAX_FRAME_SLOTS],
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
    asked_size: Option<(u32, u32)>,
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
            slots_whole: [false; MAX_FRAME_SLOTS],
            life: Life::Running,
            lie: None,
            scribbler: Scribbler::new(config.producer.version, config.producer.seed),
            beat_due: now,
            frame_due: now,
            pointer_due: now,
            writing: None,
            frame_no: 0,
            pointer_no: 0,
            last: None,
            asked: None,
            asked_size: None,
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

    /// The same with another version, as when the guest's program was exchanged.
    ///
    /// # Errors
    /// As [`PictureGuest::start`].
    pub fn restart_as(&mut self, version: Version, now: HostTime) -> Result<(), HostError> {
        self.config.producer.version = version;
        self.scribbler = Scribbler::new(version, self.config.producer.seed);
        self.restart(now)
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
        self.slots_whole = [false; MAX_FRAME_SLOTS];
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
        let header = &self.producer.host().layout().header;
        // The user data belongs to it, and may begin before the header's end.
        Ok(self.region.span(0, header.size.max(header.udata))?.fill(0)?)
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

    /// The window size that a viewer told last.
    pub fn asked_size(&self) -> Option<(u32, u32)> {
        self.asked_size
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
        self.slots_whole = [false; MAX_FRAME_SLOTS];
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
                Some(ViewerMessage::WindowSize { width, height }) => {
                    self.asked_size = Some((width, height));
                    self.follow(width, height);
                }
                Some(ViewerMessage::Unknown) => {}
                None => break,
            }
        }
        Ok(())
    }

    /// Changes the mode to what a viewer asks for, if the guest says that it does so and the picture fits.
    fn follow(&mut self, width: u32, height: u32) {
        let old = self.config.spec;
        let side = |asked: u32| asked.clamp(1, MAX_PICTURE_SIDE);
        let PictureSpec { flags, rotation, sdr_white, hdr, .. } = old;
        let new = PictureSpec::new(old.pixel_type, side(width), side(height));
        let new = PictureSpec { flags, rotation, sdr_white, hdr, ..new };
        let follows = self.config.producer.identity.features & features::WINDOW_SIZE != 0;
        let differs = (new.width, new.height) != (old.width, old.height);
        if follows && differs && self.producer.rows_that_fit(&new) == new.height {
            self.set_picture(new, self.config.motion);
        }
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
}

fn period(rate_hz: u32) -> Duration {
    Duration::from_nanos(1_000_000_000 / u64::from(rate_hz.max(1)))
}

/// The time after `due` in a rhythm of `period`; who fell behind does not catch up.
fn later(due: HostTime, period: Duration, now: HostTime) -> HostTime {
    (due + period).max(now)
}
