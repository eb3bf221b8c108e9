//! One stream of the guest, from the intake thread to the playout thread. The intake keeps the [`Feed`], the engine gets
//! the [`Stream`]; between them is one ring of frames, already float and in the sink's channel order, and one of
//! arrivals. Everything is made here, off the playout thread; afterwards neither side allocates.
//!
//! Frames are numbered by the guest's timeline. What was lost has numbers too, so a gap is as long in the sound as it
//! was in the guest, and the delay does not change by it.

mod feed;
mod held;
mod seam;

use crate::channels::{Layout, MaskVerdict, Matrix};
use crate::clock::GuestClock;
use crate::conceal::Concealer;
use crate::grain::Grain;
use crate::resample::{CannotResample, MAX_BLOCK, Resampler};
use crate::sink::SinkFormat;
use feed::Arrived;
pub use feed::Feed;
use held::{Held, shorter};
use rtrb::{Consumer, RingBuffer};
use seam::Seam;
use shm_proto::HostTime;
use shm_proto::scream::Format;

/// Arrivals that fit between two looks of the engine: a second of the smallest datagrams.
const MAX_ARRIVALS: usize = 1024;
/// What the ring holds beyond the longest delay. Unit: seconds.
const RESERVE_S: f64 = 0.3;

/// Quieter than this is digital silence: -90 dB of full scale.
pub const QUIET: f32 = 3.16e-5;

/// Something that came, as [`Stream::observe`] tells it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Came {
    /// When, in seconds since the epoch.
    pub at_s: f64,
    /// How much later than the earliest do; nothing while the clock is set anew. Unit: seconds.
    pub late_s: Option<f64>,
    /// Its first frame.
    pub start: u64,
    /// How many.
    pub frames: u32,
    /// They can be played.
    pub stored: bool,
    /// All of it is digital silence.
    pub quiet: bool,
}

/// What a stream is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    /// Samples.
    Sound,
    /// Times alone: nothing is copied or calculated, and everything else is as it would be.
    Times,
}

/// The engine's end: frames by number, with all that belongs to this stream alone.
#[derive(Debug)]
pub struct Stream {
    held: Held,
    arrivals: Consumer<Arrived>,
    format: Format,
    sink: SinkFormat,
    clock: GuestClock,
    grain: Grain,
    concealer: Concealer,
    seam: Seam,
    resampler: Resampler,
    scratch: Vec<f32>,
    /// The guest frame that was the resampler's frame 0, and how many it has been fed since.
    origin: i64,
    fed: i64,
    last_arrival_s: f64,
    /// The frame behind the last one that was heard of, there or not.
    heard_to: u64,
    /// The largest piece that came at once. Unit: frames.
    largest: u32,
    /// How many frames of digital silence were taken last, and how many are to be put in.
    quiet_taken: u64,
    put_in: u64,
    /// Counts the streams that an engine saw.
    pub(crate) number: u32,
    content: Content,
}

/// Opens a stream of `format` for a sink of `sink`; at most `longest_s` of it will be held. Also says whether the guest's
/// speaker mask had to be guessed.
///
/// Allocates, and computes for about a millisecond: not for the playout thread.
///
/// # Errors
/// [`CannotResample`] if the two formats cannot be joined.
pub fn open(
    format: Format,
    sink: SinkFormat,
    longest_s: f64,
) -> Result<(Feed, Box<Stream>, MaskVerdict), CannotResample> {
    let resampler = Resampler::new(format.rate_hz(), sink.rate_hz, sink.layout.channels())?;
    Ok(join(format, sink, longest_s, resampler, Content::Sound))
}

/// The same for times alone, which [`Feed::push_times`] takes: an hour of them costs a fraction of a second.
///
/// # Errors
/// As [`open`].
pub fn open_times(format: Format, sink: SinkFormat) -> Result<(Feed, Box<Stream>), CannotResample> {
    let resampler = Resampler::without_sound(format.rate_hz(), sink.rate_hz, sink.layout.channels())?;
    let (feed, stream, _) = join(format, sink, 0.0, resampler, Content::Times);
    Ok((feed, stream))
}

fn join(
    format: Format,
    sink: SinkFormat,
    longest_s: f64,
    resampler: Resampler,
    content: Content,
) -> (Feed, Box<Stream>, MaskVerdict) {
    let channels = sink.layout.channels();
    let (guest, verdict) = Layout::of_guest(format.channels(), format.mask());
    let rate_hz = format.rate_hz();
    let held = ((longest_s.clamp(0.0, 10.0) + RESERVE_S) * f64::from(rate_hz)) as usize;
    let (data_in, data) = RingBuffer::new(held * channels);
    let (arrivals_in, arrivals) = RingBuffer::new(MAX_ARRIVALS);
    let feed = Feed::new((data_in, arrivals_in), format, Matrix::new(&guest, &sink.layout), sink, content);
    let stream = Stream {
        held: Held::new(data, channels, content),
        arrivals,
        format,
        sink,
        clock: GuestClock::new(rate_hz),
        grain: Grain::default(),
        heard_to: 0,
        concealer: Concealer::new(channels, rate_hz),
        seam: Seam::new(rate_hz),
        scratch: vec![0.0; resampler.max_input().max(MAX_BLOCK) * channels],
        resampler,
        origin: 0,
        fed: 0,
        last_arrival_s: f64::MIN,
        largest: 0,
        quiet_taken: 0,
        put_in: 0,
        number: 0,
        content,
    };
    (feed, Box::new(stream), verdict)
}

/// What [`Stream::observe`] met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Something came.
    pub arrived: bool,
    /// The guest was away or skipped: its clock was set anew.
    pub restarted: bool,
    /// Frames that never came: the numbers went on without them.
    pub lost: u64,
}

/// What became of the frames that were asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rendered {
    /// Guest frames made up because they were not there.
    pub missing: u64,
    /// How many of those were lost: later ones are there already.
    pub lost: u64,
    /// Guest frames thrown away because they came too late.
    pub late: u64,
}

impl Stream {
    /// What the guest writes.
    pub fn format(&self) -> Format {
        self.format
    }

    /// What it was opened for.
    pub fn sink(&self) -> SinkFormat {
        self.sink
    }

    /// The guest's clock, in seconds since the engine's epoch and frames of this stream.
    pub fn clock(&self) -> &GuestClock {
        &self.clock
    }

    /// Whether the guest's end is gone and everything that came was heard of.
    pub fn has_ended(&self) -> bool {
        self.arrivals.is_abandoned() && self.arrivals.is_empty()
    }

    /// Whether nothing of it is heard.
    pub fn is_silent(&self) -> bool {
        self.concealer.is_silent()
    }

    /// When something came last, in seconds since the epoch.
    pub fn last_arrival_s(&self) -> f64 {
        self.last_arrival_s
    }

    /// Hears of what came, and tells `heard` of each.
    ///
    /// Real-time safe.
    pub fn observe(&mut self, epoch: HostTime, mut heard: impl FnMut(Came)) -> Observed {
        let mut observed = Observed::default();
        for _ in 0..MAX_ARRIVALS {
            let Ok(Arrived { start, frames, stored, quiet, at }) = self.arrivals.pop() else { break };
            let end = start.saturating_add(u64::from(frames));
            let at_s = at.signed_ns_since(epoch) as f64 * 1e-9;
            let arrival = self.clock.observe(at_s, end);
            observed.arrived = true;
            observed.restarted |= arrival.restarted;
            observed.lost += if self.heard_to > 0 { start.saturating_sub(self.heard_to) } else { 0 };
            self.heard_to = end;
            self.grain.came(at_s, f64::from(frames) / f64::from(self.format.rate_hz()));
            let late_s = (self.clock.is_primed() && !arrival.restarted).then_some(arrival.late_s);
            heard(Came { at_s, late_s, start, frames, stored, quiet });
            self.last_arrival_s = at_s;
            self.largest = self.largest.max(frames);
            if stored && frames > 0 {
                self.held.note(start..end, quiet);
            }
        }
        observed
    }

    /// Throws away the frames before `frame`; returns how many.
    ///
    /// Real-time safe.
    pub fn skip_before(&mut self, frame: u64) -> u64 {
        self.held.skip_before(frame)
    }

    /// The first frame that is there.
    pub fn first_frame(&self) -> Option<u64> {
        self.held.first()
    }

    /// The frame behind the last one that is there.
    pub fn end_frame(&self) -> Option<u64> {
        self.held.end()
    }

    /// Whether something is there whose time is over.
    pub fn has_late(&self) -> bool {
        let next = self.origin.saturating_add(self.fed);
        self.held.first().zip(u64::try_from(next).ok()).is_some_and(|(first, next)| first < next)
    }

    /// The place in the guest's sound of the next frame that [`Stream::render`] makes.
    pub fn position(&self) -> f64 {
        self.origin as f64 + self.resampler.position()
    }

    /// How far before its place a frame must be there for the resampler. Unit: seconds.
    pub fn filter_s(&self) -> f64 {
        self.resampler.look_ahead(0) / f64::from(self.format.rate_hz())
    }

    /// The length of the pieces in which its sound comes. Unit: seconds.
    pub fn piece_s(&self) -> f64 {
        f64::from(self.largest) / f64::from(self.format.rate_hz())
    }

    /// By how much its pieces may be late because of the guest's ticks alone, as far as its first arrivals tell. Unit: seconds.
    pub fn ticks_s(&self) -> f64 {
        self.grain.late_s()
    }

    /// From now on samples are passed on as they are, if both sides have the same rate.
    pub fn set_bit_perfect(&mut self) {
        self.resampler.set_straight();
    }

    /// How many frames of digital silence come next, if as many as `before` came last and nothing is to be put in; `most`
    /// at most.
    ///
    /// Real-time safe.
    pub fn quiet_ahead(&mut self, before: u64, most: usize) -> usize {
        let next = self.origin.saturating_add(self.fed);
        let Ok(next) = u64::try_from(next) else { return 0 };
        if self.quiet_taken < before || self.put_in > 0 {
            return 0;
        }
        self.held.quiet_from(next, most)
    }

    /// Leaves out (or, negative, puts in) so many frames of silence; what is left out must be
    /// [quiet](Stream::quiet_ahead).
    ///
    /// Real-time safe.
    pub fn trim(&mut self, frames: i64) {
        self.origin = self.origin.saturating_add(frames);
        if frames < 0 {
            self.put_in = frames.unsigned_abs();
        } else {
            let next = self.origin.saturating_add(self.fed);
            self.skip_before(u64::try_from(next).unwrap_or(0));
        }
    }

    /// Starts anew at `position`, from silence. Returns the first guest frame that this takes.
    ///
    /// Real-time safe.
    pub fn start_at(&mut self, position: f64) -> i64 {
        self.resampler.reset();
        self.origin = (position - self.resampler.position()).round() as i64;
        self.fed = 0;
        (self.quiet_taken, self.put_in) = (0, 0);
        self.concealer.splice();
        self.origin
    }

    /// Moves on (or back) by whole frames in the midst of the sound, with a cross-fade: by `frames`, or by up to `slack` more
    /// or less where the two sounds are more alike. By how much it moved.
    ///
    /// Real-time safe: some ten thousand multiplications.
    pub fn move_by(&mut self, frames: f64, slack: f64) -> f64 {
        self.concealer.splice();
        let by = frames.round() as i64;
        let next = self.origin.saturating_add(self.fed);
        let by = by.saturating_add(self.seam.fit(&self.concealer, &mut self.held, next, by, slack as usize));
        self.origin = self.origin.saturating_add(by);
        by as f64
    }

    /// Makes the next frames for the sink, taking `ratio` times what the rates promise. With `fade_out` what is there is
    /// left alone and the sound fades.
    ///
    /// Real-time safe: no allocation, no lock, no system call.
    pub fn render(&mut self, out: &mut [f32], ratio: f64, fade_out: bool) -> Rendered {
        let channels = self.sink.layout.channels();
        self.resampler.set_consumption(ratio);
        let mut rendered = Rendered::default();
        for block in out.chunks_mut(MAX_BLOCK * channels) {
            let need = self.resampler.prepare(block.len() / channels);
            self.collect(need, fade_out, &mut rendered);
            let input = self.scratch.get(..need * channels).unwrap_or_default();
            if !self.resampler.process(input, block) {
                block.fill(0.0);
            }
        }
        rendered
    }

    /// Brings the next `count` frames into the scratch buffer, made up where they are missing.
    fn collect(&mut self, count: usize, fade_out: bool, rendered: &mut Rendered) {
        let channels = self.sink.layout.channels();
        let mut at = 0;
        while at < count {
            let next = self.origin.saturating_add(self.fed);
            if !fade_out {
                rendered.late += self.skip_before(u64::try_from(next).unwrap_or(0));
            }
            let left = count - at;
            if self.put_in > 0 && !fade_out {
                at += self.put_silence_in(at, left);
                continue;
            }
            let (run, there) = if fade_out { (left, false) } else { self.held.run(next, left) };
            let Some(block) = self.scratch.get_mut(at * channels..(at + run) * channels) else { return };
            let times = self.content == Content::Times;
            if there && self.held.take(block) {
                if times { self.concealer.pass_real(run) } else { self.concealer.real(block) }
            } else {
                if times {
                    self.concealer.pass_missing(run)
                } else {
                    self.concealer.missing(block)
                }
                rendered.missing += run as u64;
                if !self.held.is_empty() {
                    rendered.lost += run as u64;
                }
            }
            self.note_quiet(at, run, there);
            at += run;
            self.fed = self.fed.saturating_add(run as i64);
        }
    }

    fn put_silence_in(&mut self, at: usize, left: usize) -> usize {
        let channels = self.sink.layout.channels();
        let run = shorter(left, self.put_in);
        if let Some(block) = self.scratch.get_mut(at * channels..(at + run) * channels) {
            block.fill(0.0);
        }
        self.put_in -= run as u64;
        self.fed = self.fed.saturating_add(run as i64);
        run
    }

    /// Counts the silence at the end of what was taken.
    fn note_quiet(&mut self, at: usize, run: usize, there: bool) {
        let channels = self.sink.layout.channels();
        let next = u64::try_from(self.origin.saturating_add(self.fed)).unwrap_or(0);
        let quiet = match self.content {
            _ if !there => 0,
            Content::Times if self.held.is_quiet(next) => run,
            Content::Times => 0,
            Content::Sound => {
                let block = self.scratch.get(at * channels..(at + run) * channels).unwrap_or_default();
                block.iter().rev().position(|x| x.abs() >= QUIET).map_or(run, |loud| loud / channels)
            }
        };
        self.quiet_taken = if quiet == run { self.quiet_taken + quiet as u64 } else { quiet as u64 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    const SINK: SinkFormat = SinkFormat { rate_hz: 48_000, layout: Layout::STEREO };

    fn stereo() -> (Feed, Box<Stream>) {
        let (feed, stream, verdict) = open(Format::new(48_000, 16, 2, 3).unwrap(), SINK, 0.2).unwrap();
        assert_eq!(verdict, MaskVerdict::AsWritten);
        (feed, stream)
    }

    fn pcm(frames: usize, value: i16) -> Vec<u8> {
        (0..2 * frames).flat_map(|_| value.to_le_bytes()).collect()
    }

    fn at(ms: u64) -> HostTime {
        HostTime::from_ns(ms * 1_000_000)
    }

    #[test]
    fn frames_keep_the_guests_numbers_across_a_loss() {
        let (mut feed, mut stream) = stereo();
        assert!(feed.push(&pcm(960, 100), at(20)));
        feed.go_on_at(1920);
        assert!(feed.push(&pcm(960, 100), at(60)));
        let mut lates = Vec::new();
        let observed = stream.observe(at(0), |came| lates.extend(came.late_s));
        assert!(observed.arrived);
        assert_eq!(*stream.held.segments(), [0..960, 1920..2880]);
        assert_eq!((stream.first_frame(), stream.end_frame()), (Some(0), Some(2880)));
        assert_eq!(lates.len(), 1, "the first arrival alone is no clock");
        assert_eq!(stream.skip_before(2000), 960 + 80);
        assert_eq!(stream.first_frame(), Some(2000));
    }

    #[test]
    fn a_gap_is_as_long_in_the_sound_as_it_was_in_the_guest() {
        let (mut feed, mut stream) = stereo();
        feed.push(&pcm(960, 16_384), at(20));
        feed.go_on_at(1920);
        feed.push(&pcm(960, 16_384), at(60));
        stream.observe(at(0), |_| ());
        stream.start_at(0.0);
        let mut out = vec![0.0; 2 * 2700];
        let rendered = stream.render(&mut out, 1.0, false);
        // The filter begins empty: the first half of it is never fed, and at the end it looks as far ahead.
        assert!(rendered.late <= 32, "{rendered:?}");
        assert_eq!((rendered.missing, rendered.lost), (960, 960));
        let level = |frame: usize| out[2 * frame];
        assert!((level(700) - 0.5).abs() < 1e-3 && (level(2400) - 0.5).abs() < 1e-3);
        assert!(level(1600).abs() < 1e-6, "silent in the middle: {}", level(1600));
        assert!((stream.position() - 2700.0).abs() < 1.0);
    }

    #[test]
    fn a_full_ring_refuses_and_says_so() {
        let (mut feed, mut stream) = stereo();
        let taken = (0..100).filter(|k| feed.push(&pcm(960, 1), at(20 * k))).count();
        assert_eq!(taken, 24_000 / 960, "half a second");
        stream.observe(at(0), |_| ());
        assert_eq!(stream.end_frame(), Some(24_000));
        assert!(feed.push(&pcm(0, 0), at(2000)), "an empty piece always fits");
        assert_eq!(stream.skip_before(u64::MAX), 24_000);
        assert!(feed.push(&pcm(960, 1), at(2000)));
        stream.observe(at(0), |_| ());
        assert_eq!(stream.first_frame(), Some(96_000), "numbers went on");
    }

    #[test]
    fn a_stream_whose_feed_is_gone_has_ended() {
        let (mut feed, mut stream) = stereo();
        feed.push(&pcm(960, 1), at(0));
        drop(feed);
        assert!(!stream.has_ended(), "something is still to be heard of");
        stream.observe(HostTime::ZERO, |_| ());
        assert!(stream.has_ended());
    }

    #[test]
    fn more_gaps_than_can_be_kept_cost_old_sound_only() {
        let (mut feed, mut stream) = stereo();
        for k in 0..3000u64 {
            feed.push(&pcm(1, 1), at(k));
            feed.go_on_at(2 * k + 2);
            if k % 500 == 0 {
                stream.observe(at(0), |_| ());
            }
        }
        stream.observe(at(0), |_| ());
        assert_eq!(stream.held.segments().len(), MAX_ARRIVALS);
        assert_eq!(stream.end_frame(), Some(5999));
        let mut out = vec![0.0; 960];
        stream.render(&mut out, 1.0, false);
    }

    #[test]
    fn late_frames_are_dropped_and_counted() {
        let (mut feed, mut stream) = stereo();
        feed.push(&pcm(960, 1), at(0));
        stream.observe(at(0), |_| ());
        stream.start_at(480.0);
        let rendered = stream.render(&mut [0.0; 200], 1.0, false);
        assert_eq!(rendered.missing, 0);
        assert!(rendered.late > 400, "{rendered:?}");
        let epoch = at(0) + Duration::from_secs(1);
        assert_eq!(stream.observe(epoch, |_| ()), Observed::default());
    }
}
