//! A viewer that shows nothing: it copies every frame and cursor it gets, in virtual time.

use shm_proto::guest_sim::picture::PictureGuest;
use shm_proto::guest_sim::stamp::{Edge, Stamp, read_stamp};
use shm_proto::kvmfr::frame::PictureFormat;
use shm_proto::kvmfr::{CursorState, Damage, Frame, Outcome, State, Viewer};
use shm_proto::{HostTime, Purpose, Region};
use std::time::Duration;

pub const MS: Duration = Duration::from_millis(1);

pub fn ms(n: u64) -> HostTime {
    HostTime::from_ns(n * 1_000_000)
}

/// The picture as the receiver has it: only damaged rows are copied, as a real one would.
pub struct Screen {
    pub viewer: Viewer,
    region_bytes: u64,
    pub cursor: CursorState,
    pub pixels: Vec<u8>,
    pub format: Option<PictureFormat>,
    pub frames: Vec<Frame>,
    pub torn: u64,
    pub lost: u64,
    pub given_up: u64,
    /// Whether `pixels` is the last accepted frame as a whole.
    pub whole: bool,
    waited_from: Option<HostTime>,
    /// How long pixels are waited for.
    pub patience: Duration,
    /// What the viewer allocated since this was set to nothing.
    pub cost: Cost,
}

/// What was allocated by the viewer alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    pub allocations: u64,
    /// Bytes that were not given back.
    pub held_bytes: i64,
    /// The most there were at once.
    pub most_bytes: i64,
}

impl Cost {
    fn of<T>(&mut self, act: impl FnOnce() -> T) -> T {
        let mut done = None;
        let counted = allocation_counter::measure(|| done = Some(act()));
        self.allocations += counted.count_total;
        self.most_bytes = self.most_bytes.max(self.held_bytes + counted.bytes_max as i64);
        self.held_bytes += counted.bytes_current;
        done.expect("it was done")
    }
}

impl Screen {
    pub fn new(region: &Region) -> Screen {
        Screen {
            region_bytes: region.len(),
            viewer: Viewer::new(region.clone(), 42).expect("a region for a viewer"),
            cursor: CursorState::new(),
            pixels: Vec::new(),
            format: None,
            frames: Vec::new(),
            torn: 0,
            lost: 0,
            given_up: 0,
            whole: false,
            waited_from: None,
            patience: Duration::ZERO,
            cost: Cost::default(),
        }
    }

    /// One round of a receiver's feed. With `patience`, a frame that is not yet whole is asked for again, `meanwhile`
    /// being called for the guest to go on.
    pub fn round(&mut self, now: HostTime, mut meanwhile: impl FnMut(HostTime)) -> State {
        let Screen { viewer, cursor, cost, .. } = self;
        let state = cost.of(|| {
            let state = viewer.poll(now);
            viewer.take_cursor(now, cursor);
            state
        });
        let Some(pending) = cost.of(|| viewer.take_frame(now)) else { return state };
        let frame = *pending.frame();
        let end = frame.pixels_at() + u64::from(frame.rows()) * u64::from(frame.pitch_bytes());
        assert!(end <= self.region_bytes, "a frame ends outside the region");
        let mut at = now;
        while pending.ready_rows() < frame.rows() && at.since(now) < self.patience {
            at = at + MS;
            meanwhile(at);
        }
        self.waited_from = Some(at);
        if pending.ready_rows() < frame.rows() {
            self.given_up += 1;
            self.whole = false;
            cost.of(|| drop(pending));
            return state;
        }
        let pitch = frame.pitch_bytes() as usize;
        let need = pitch * frame.height() as usize;
        assert!(need <= 1 << 30, "a guest cannot choose how much is allocated");
        if self.format != Some(frame.format()) {
            assert_eq!(*frame.damage(), Damage::FULL, "a new format damages everything");
            self.format = Some(frame.format());
            self.pixels = vec![0; need];
        }
        for band in frame.damage().bands(frame.rows()) {
            let into = &mut self.pixels[band.start as usize * pitch..];
            cost.of(|| pending.copy_rows(band, into, pitch, Purpose::Read)).expect("rows inside the frame");
        }
        match cost.of(|| pending.finish()) {
            Outcome::Accepted => {
                self.whole = true;
                self.frames.push(frame);
            }
            Outcome::Torn => {
                self.whole = false;
                self.torn += 1;
            }
            Outcome::SessionLost => {
                self.whole = false;
                self.lost += 1;
            }
        }
        state
    }

    /// Guest and receiver together from `from` for `duration`, a step of a millisecond each. The time at the end.
    pub fn run(&mut self, guest: &mut PictureGuest, from: HostTime, duration: Duration) -> HostTime {
        let mut now = from;
        while now.since(from) < duration {
            guest.advance(now).expect("a guest in good memory");
            now = self.run_round(guest, now);
        }
        now
    }

    /// The receiver's part of a step. The time of the next.
    pub fn run_round(&mut self, guest: &mut PictureGuest, now: HostTime) -> HostTime {
        self.round(now, |at| guest.advance(at).expect("a guest in good memory"));
        self.waited_from.take().unwrap_or(now).max(now) + MS
    }

    pub fn stamp(&self, edge: Edge) -> Option<Stamp> {
        let f = self.format?;
        read_stamp(&self.pixels, f.pitch_bytes as usize, f.pixel_type, (f.width, f.height), edge)
    }

    /// Compares every pixel, padding not.
    pub fn assert_shows(&self, guest: &PictureGuest) {
        let stamp = self.stamp(Edge::Top).expect("a stamp at the top");
        assert_eq!(self.stamp(Edge::Bottom), Some(stamp));
        let spec = guest.pattern().spec();
        let expected = guest.pattern().reference(stamp);
        let (pitch, row) = (spec.pitch_bytes as usize, spec.row_bytes() as usize);
        for y in 0..spec.height as usize {
            let line = y * pitch..y * pitch + row;
            assert!(self.pixels[line.clone()] == expected[line], "row {y} of frame {}", stamp.frame);
        }
    }
}
