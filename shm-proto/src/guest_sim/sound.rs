//! A whole guest with a Scream driver: chooses a format, plays a tone, keeps its own time, and can pause, restart,
//! crash and lie. It has no thread and no clock; see [`guest_sim`](super).
//!
//! ```
//! use core::time::Duration;
//! use shm_proto::HostTime;
//! use shm_proto::guest_sim::sound::{Event, SoundGuest};
//!
//! let start = HostTime::from_ns(1_000);
//! let mut guest = SoundGuest::builder().drift_ppm(120.0).at(Duration::from_secs(5), Event::Restart).build()?;
//! guest.advance(start)?;
//! let progress = guest.advance(start + Duration::from_secs(1))?;
//! assert_eq!(progress.published, 50);
//! assert_eq!(guest.next_due().map(|due| due.since(start).as_millis()), Some(1_019));
//! # Ok::<(), shm_proto::guest_sim::sound::SimError>(())
//! ```

use super::dice;
use super::pacing::{Pacer, Pacing};
use super::tone::Tone;
use crate::guest::Corrupt;
use crate::raw::map::{MapError, Region};
use crate::scream::wire::{HEADER_BYTES, WireHeader};
use crate::scream::writer::Field;
use crate::scream::{Format, StoreOrder, WriteError, Writer};
use crate::time::HostTime;
use core::time::Duration;

/// Why a simulated guest could not be made or could not go on.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// The format that was asked for is outside what Scream has.
    #[error("no such sound format")]
    Format(#[from] Corrupt),
    /// The region could not be made.
    #[error("cannot make the region")]
    Map(#[from] MapError),
    /// The region could not be written.
    #[error("cannot write the region")]
    Write(#[from] WriteError),
}

/// Something that happens to the guest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event {
    /// Opens a stream with the present format, if none is open.
    Start,
    /// Sound stops advancing; the header stays and the index stands.
    Pause,
    /// Sound goes on where it was.
    Resume,
    /// Wipes the header.
    Close,
    /// The guest dies: nothing is wiped, and nothing more happens until [`Event::Start`].
    Crash,
    /// Closes and opens with the same format.
    Restart,
    /// Closes and opens with another format.
    Switch(Format),
    /// Nothing happens for so long; then everything at once.
    Stall(Duration),
    /// The driver cannot map the device for so many chunks: they are dropped, the index does not move.
    Drop(u32),
    /// A lie.
    Lie(Lie),
}

/// What a broken or hostile guest does. The sound goes on meanwhile; [`Lie::Truth`] ends lies about the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// The header as it is after so many of the eight stores of a start.
    TornHeader {
        /// Stores made, 0 to 8.
        stores: u8,
    },
    /// A value in a field, cut to the field's width. With [`Field::Magic`] the region looks like somebody else's.
    Header(Field, u32),
    /// An index out of order; the guest goes on from there.
    Index(u16),
    /// The header is wiped while half of the next chunk is written; the stream is not closed.
    WipeDuringChunk,
    /// Half of the newest chunk is overwritten with rubbish, as by a second writer.
    Scribble,
    /// Rubbish over the header.
    Garbage {
        /// Chooses the bytes.
        seed: u64,
    },
    /// The header as it should be.
    Truth,
}

/// What one call of [`SoundGuest::advance`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Chunks published, and those that were dropped in their stead.
    pub published: u64,
    /// Events that happened.
    pub events: usize,
}

/// Makes a [`SoundGuest`]. Everything has a default: 48 kHz, 16 bit, stereo, 440 Hz at -6 dBFS, ticks of 10 ms, 2 MiB.
#[derive(Clone, Debug)]
pub struct SoundGuestBuilder {
    rate_hz: u32,
    bits: u8,
    channels: u8,
    mask: Option<u16>,
    tone: Tone,
    pacing: Pacing,
    order: StoreOrder,
    region_bytes: u64,
    script: Vec<(Duration, Event)>,
}

impl Default for SoundGuestBuilder {
    fn default() -> Self {
        SoundGuestBuilder {
            rate_hz: 48_000,
            bits: 16,
            channels: 2,
            mask: None,
            tone: Tone::DEFAULT,
            pacing: Pacing::CALM,
            order: StoreOrder::HERE,
            region_bytes: 2 << 20,
            script: Vec::new(),
        }
    }
}

impl SoundGuestBuilder {
    /// Frames per second. Default: 48 000.
    pub fn rate_hz(self, rate_hz: u32) -> Self {
        SoundGuestBuilder { rate_hz, ..self }
    }

    /// Bits of a sample: 16, 24 or 32. Default: 16.
    pub fn bits(self, bits: u8) -> Self {
        SoundGuestBuilder { bits, ..self }
    }

    /// Channels, 1 to 8. Default: 2.
    pub fn channels(self, channels: u8) -> Self {
        SoundGuestBuilder { channels, ..self }
    }

    /// The speaker mask. Default: the usual one for the number of channels.
    pub fn mask(self, mask: u16) -> Self {
        SoundGuestBuilder { mask: Some(mask), ..self }
    }

    /// Rate, bits, channels and mask at once.
    pub fn format(self, format: Format) -> Self {
        let (bits, channels) = (format.bits().bits(), format.channels());
        SoundGuestBuilder { rate_hz: format.rate_hz(), bits, channels, mask: Some(format.mask()), ..self }
    }

    /// What is played. Default: [`Tone::DEFAULT`].
    pub fn tone(self, tone: Tone) -> Self {
        SoundGuestBuilder { tone, ..self }
    }

    /// How the guest keeps time. Default: [`Pacing::CALM`].
    pub fn pacing(self, pacing: Pacing) -> Self {
        SoundGuestBuilder { pacing, ..self }
    }

    /// How much faster the guest's clock runs than the host's. Unit: parts per million.
    pub fn drift_ppm(mut self, drift_ppm: f64) -> Self {
        self.pacing.drift_ppm = drift_ppm;
        self
    }

    /// Which build of the driver. Default: that of this processor.
    pub fn order(self, order: StoreOrder) -> Self {
        SoundGuestBuilder { order, ..self }
    }

    /// Length of the region that [`SoundGuestBuilder::build`] makes. Unit: bytes. Default: 2 MiB.
    pub fn region_bytes(self, region_bytes: u64) -> Self {
        SoundGuestBuilder { region_bytes, ..self }
    }

    /// Lets `event` happen `after` the first call of [`SoundGuest::advance`].
    pub fn at(mut self, after: Duration, event: Event) -> Self {
        self.script.push((after, event));
        self
    }

    /// The guest, in a region of its own without a name. A reader gets [`SoundGuest::region`].
    ///
    /// # Errors
    /// See [`SimError`].
    pub fn build(self) -> Result<SoundGuest, SimError> {
        let region = Region::memfd("sound-guest", self.region_bytes)?;
        self.build_in(region)
    }

    /// The guest, in `region`, which must be writable.
    ///
    /// # Errors
    /// See [`SimError`].
    pub fn build_in(mut self, region: Region) -> Result<SoundGuest, SimError> {
        let mask = self.mask.unwrap_or_else(|| usual_mask(self.channels));
        let format = Format::new(self.rate_hz, self.bits, self.channels, mask)?;
        Writer::header_for(format, region.len())?;
        // Stable: events at the same time happen in the order they were given.
        self.script.sort_by_key(|(after, _)| *after);
        Ok(SoundGuest {
            writer: Writer::new(region, self.order)?,
            format,
            tone: self.tone,
            pacing: self.pacing,
            script: self.script,
            next_event: 0,
            began: None,
            stream: None,
            position: 0,
            number: 0,
            dropped_ahead: 0,
            pcm: Vec::new(),
        })
    }
}

/// The speaker mask that Windows uses for a number of channels.
pub const fn usual_mask(channels: u8) -> u16 {
    match channels {
        1 => 0x004,
        2 => 0x003,
        3 => 0x00B,
        4 => 0x033,
        5 => 0x037,
        6 => 0x03F,
        7 => 0x13F,
        _ => 0x63F,
    }
}

/// The clock of an open stream.
#[derive(Clone, Copy, Debug)]
struct Clocked {
    pacer: Pacer,
    /// Chunks published or dropped since the stream was opened.
    done: u64,
}

/// A simulated guest. See the module.
#[derive(Debug)]
pub struct SoundGuest {
    writer: Writer,
    format: Format,
    tone: Tone,
    pacing: Pacing,
    script: Vec<(Duration, Event)>,
    next_event: usize,
    began: Option<HostTime>,
    stream: Option<Clocked>,
    /// The next frame of the tone.
    position: u64,
    /// The number of the next chunk, over all streams.
    number: u64,
    /// Chunks still to be dropped.
    dropped_ahead: u32,
    pcm: Vec<u8>,
}

impl SoundGuest {
    /// A guest with plain defaults, to be changed.
    pub fn builder() -> SoundGuestBuilder {
        SoundGuestBuilder::default()
    }

    /// The region, for a reader.
    pub fn region(&self) -> &Region {
        self.writer.region()
    }

    /// What it plays now, or would.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The tone it plays.
    pub fn tone(&self) -> Tone {
        self.tone
    }

    /// The number that the next chunk gets, over all streams; so also how many there were.
    pub fn next_number(&self) -> u64 {
        self.number
    }

    /// The frame of the tone with which the next chunk begins.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Lets everything happen that is due by `now`. The first call starts the first stream, and the script.
    ///
    /// However late the call comes, at most two laps of the ring are written. Allocates when a stream is opened, never
    /// else.
    ///
    /// # Errors
    /// [`SimError::Write`].
    pub fn advance(&mut self, now: HostTime) -> Result<Progress, SimError> {
        let mut progress = Progress::default();
        let began = match self.began {
            Some(began) => began,
            None => {
                self.began = Some(now);
                self.perform(Event::Start, now)?;
                now
            }
        };
        while let Some((after, event)) = self.script.get(self.next_event).copied()
            && began + after <= now
        {
            progress.published += self.publish_due(began + after)?;
            self.perform(event, began + after)?;
            self.next_event += 1;
            progress.events += 1;
        }
        progress.published += self.publish_due(now)?;
        Ok(progress)
    }

    /// When [`SoundGuest::advance`] has something to do again. `None`: never, unless an event is performed.
    pub fn next_due(&self) -> Option<HostTime> {
        let chunk = self.stream.and_then(|stream| stream.pacer.due_at(stream.done));
        let event = self.began.zip(self.script.get(self.next_event)).map(|(began, (after, _))| began + *after);
        match (chunk, event) {
            (Some(chunk), Some(event)) => Some(chunk.min(event)),
            (chunk, event) => chunk.or(event),
        }
    }

    /// Lets `event` happen now.
    ///
    /// # Errors
    /// [`SimError::Write`]. [`WriteError::NotOpen`] if the event needs a stream and none is open.
    pub fn perform(&mut self, event: Event, now: HostTime) -> Result<(), SimError> {
        match event {
            Event::Start if self.stream.is_none() => self.open(now)?,
            Event::Start => {}
            Event::Pause => self.clocked()?.pause(now),
            Event::Resume => self.clocked()?.resume(now),
            Event::Close => self.close()?,
            Event::Crash => {
                self.writer.abandon();
                self.stream = None;
            }
            Event::Restart => {
                self.close()?;
                self.open(now)?;
            }
            Event::Switch(format) => {
                self.close()?;
                // The same instant of the tone, counted in the new rate.
                let position = u128::from(self.position) * u128::from(format.rate_hz());
                self.position = (position / u128::from(self.format.rate_hz())) as u64;
                self.format = format;
                self.open(now)?;
            }
            Event::Stall(length) => self.clocked()?.stall(now, length),
            Event::Drop(chunks) => self.dropped_ahead = self.dropped_ahead.saturating_add(chunks),
            Event::Lie(lie) => self.lie(lie)?,
        }
        Ok(())
    }

    fn clocked(&mut self) -> Result<&mut Pacer, SimError> {
        self.stream.as_mut().map(|stream| &mut stream.pacer).ok_or(SimError::Write(WriteError::NotOpen))
    }

    fn open(&mut self, now: HostTime) -> Result<(), SimError> {
        self.writer.open(self.format)?;
        let pacer = Pacer::new(&self.pacing, self.format.rate_hz(), self.format.chunk_frames(), now);
        self.stream = Some(Clocked { pacer, done: 0 });
        self.pcm.resize(self.format.chunk_bytes() as usize, 0);
        Ok(())
    }

    fn close(&mut self) -> Result<(), SimError> {
        if self.writer.is_open() {
            self.writer.close()?;
        }
        self.stream = None;
        Ok(())
    }

    fn publish_due(&mut self, now: HostTime) -> Result<u64, SimError> {
        let (Some(mut stream), Some(header)) = (self.stream, self.writer.header()) else { return Ok(0) };
        let due = stream.pacer.due(now).saturating_sub(stream.done);
        // Whole laps that nobody can see any more leave no trace; the last two are written.
        let unseen_laps = (due / u64::from(header.max_chunks)).saturating_sub(1);
        let unseen = unseen_laps * u64::from(header.max_chunks);
        self.pass(unseen);
        for _ in unseen..due {
            if self.dropped_ahead > 0 {
                self.dropped_ahead -= 1;
            } else {
                self.tone.render(self.position, self.number, &self.format, &mut self.pcm);
                self.writer.publish(&self.pcm)?;
            }
            self.pass(1);
        }
        stream.done += due;
        self.stream = Some(stream);
        Ok(due)
    }

    fn pass(&mut self, chunks: u64) {
        self.number += chunks;
        self.position += chunks * u64::from(self.format.chunk_frames());
    }

    fn lie(&mut self, lie: Lie) -> Result<(), SimError> {
        let header = self.writer.header().ok_or(WriteError::NotOpen)?;
        let told = WireHeader { write_idx: self.writer.index(), ..header };
        match lie {
            Lie::TornHeader { stores } => self.store_header(half_started(header, self.writer.order(), stores))?,
            Lie::Header(field, value) => self.store_header(with_field(told, field, value))?,
            Lie::Index(index) => self.writer.jump_to(index)?,
            Lie::WipeDuringChunk => {
                self.tone.render(self.position, self.number, &self.format, &mut self.pcm);
                self.writer.write_ahead(&self.pcm[..self.pcm.len() / 2])?;
                self.writer.wipe_first()?;
                self.writer.wipe_second()?;
            }
            Lie::Scribble => {
                let half = header.chunk_size / 2;
                let at = u64::from(header.offset) + u64::from(told.write_idx) * u64::from(header.chunk_size);
                self.region().span(at, half.into()).and_then(|span| span.fill(0xA5)).map_err(WriteError::from)?;
            }
            Lie::Garbage { seed } => {
                let mut bytes = [0; HEADER_BYTES as usize];
                dice::fill(seed, &mut bytes);
                self.store_header(WireHeader::from_bytes(bytes))?;
            }
            Lie::Truth => self.store_header(told)?,
        }
        Ok(())
    }

    fn store_header(&self, header: WireHeader) -> Result<(), WriteError> {
        Ok(self.region().span(0, HEADER_BYTES)?.copy_from(&header.to_bytes())?)
    }
}

/// The header after the first `stores` stores of a start.
fn half_started(header: WireHeader, order: StoreOrder, stores: u8) -> WireHeader {
    let value = |field| match field {
        Field::Magic => header.magic,
        Field::Offset => header.offset.into(),
        Field::MaxChunks => header.max_chunks.into(),
        Field::ChunkSize => header.chunk_size,
        Field::SampleRate => header.sample_rate.into(),
        Field::SampleSize => header.sample_size.into(),
        Field::Channels => header.channels.into(),
        Field::ChannelMap => header.channel_map.into(),
    };
    let stored = order.stores().into_iter().take(stores.into());
    stored.fold(WireHeader::default(), |half, field| with_field(half, field, value(field)))
}

/// `header` with another value in one field, cut to the field's width.
pub fn with_field(header: WireHeader, field: Field, value: u32) -> WireHeader {
    let [low, high, ..] = value.to_le_bytes();
    let word = u16::from_le_bytes([low, high]);
    match field {
        Field::Magic => WireHeader { magic: value, ..header },
        Field::Offset => WireHeader { offset: low, ..header },
        Field::MaxChunks => WireHeader { max_chunks: word, ..header },
        Field::ChunkSize => WireHeader { chunk_size: value, ..header },
        Field::SampleRate => WireHeader { sample_rate: low, ..header },
        Field::SampleSize => WireHeader { sample_size: low, ..header },
        Field::Channels => WireHeader { channels: low, ..header },
        Field::ChannelMap => WireHeader { channel_map: word, ..header },
    }
}

#[cfg(test)]
#[path = "sound_tests.rs"]
mod tests;
