//! The virtual guest: its clock, its ticks and their lateness, what happens to it, and the way its sound takes to us. Pure;
//! it gives arrivals in the order in which they are seen.

use super::dice::Dice;
use crate::intake::Rhythm;
use core::time::Duration;
use shm_proto::HostTime;
use shm_proto::scream::Format;
use std::collections::VecDeque;

/// What every guest plays at first.
const USUAL: Format = Format::stereo::<48_000>();

/// How late the ticks are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Lateness {
    /// Half of a normal distribution of this width. Unit: seconds.
    HalfNormal(f64),
    /// Anything up to this. Unit: seconds.
    Uniform(f64),
    /// Log-normal with this median (unit: seconds) and width.
    LogNormal(f64, f64),
    /// Half-normal of 0.3 ms, and for one second of each minute anything up to this. Unit: seconds.
    Storms(f64),
    /// As [`Lateness::Storms`], but one minute in all, from the tenth minute on.
    OneStorm(f64),
}

/// No quartz is further off, however long it ages.
const RAMP_MOST_PPM: f64 = 500.0;

/// How the guest's clock errs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drift {
    /// All the time. Unit: parts per million.
    pub ppm: f64,
    /// So much more from this second on.
    pub step: Option<(f64, f64)>,
    /// So much more each hour, up to 500, then so much less down to -500, and so on. Unit: parts per million.
    pub ramp_ppm_per_h: f64,
    /// Random walk. Unit: parts per million per square root of a second.
    pub walk_ppm: f64,
}

impl Drift {
    /// A constant one.
    pub const fn of(ppm: f64) -> Drift {
        Drift { ppm, step: None, ramp_ppm_per_h: 0.0, walk_ppm: 0.0 }
    }
}

/// How sound gets to us.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Transport {
    /// Chunks of 20 ms in shared memory, found by looking when they are due.
    SharedMemory,
    /// Datagrams of 288 frames over a network.
    Network {
        /// Log-normal delay beyond 0.2 ms: median (unit: seconds) and width.
        jitter: (f64, f64),
        /// Share of datagrams that get lost.
        loss: f64,
    },
}

/// Something that happens again and again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Incident {
    /// How often. Unit: seconds.
    pub every_s: f64,
    /// What.
    pub what: Mishap,
}

/// What can happen to a guest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mishap {
    /// Nothing is published for so long, then everything at once. Unit: seconds.
    Stall(f64),
    /// So much sound is never published, and nobody says so. Unit: seconds.
    Drop(f64),
    /// The sound stands still for so long. Unit: seconds.
    Pause(f64),
    /// The stream is closed and another begins, of this format; at the next such mishap the usual one again.
    Restart(Format),
    /// The sink is closed and opened again.
    SinkReopens,
}

/// A guest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GuestModel {
    /// Distance of its ticks. Unit: seconds.
    pub tick_s: f64,
    /// By how much that varies at most, to both sides. Unit: seconds.
    pub tick_wobble_s: f64,
    /// How late they are.
    pub lateness: Lateness,
    /// How its clock errs.
    pub drift: Drift,
    /// How sound gets to us.
    pub transport: Transport,
    /// What happens to it.
    pub incident: Option<Incident>,
    /// Of each ten seconds so many are digital silence.
    pub silent_share: f64,
}

impl GuestModel {
    /// Ticks of 10 ms, late by 0.3 ms half-normal, shared memory.
    pub const CALM: GuestModel = GuestModel {
        tick_s: 0.010,
        tick_wobble_s: 0.0,
        lateness: Lateness::HalfNormal(0.000_3),
        drift: Drift::of(0.0),
        transport: Transport::SharedMemory,
        incident: None,
        silent_share: 0.0,
    };
}

/// Something that is seen of the guest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Seen {
    /// A stream of this format begins.
    Stream(Format),
    /// Frames of the present stream.
    Frames {
        /// The first, by the stream's count.
        start: u64,
        /// How many.
        frames: u32,
        /// Digital silence.
        quiet: bool,
    },
    /// The sink goes and comes back.
    SinkReopens,
}

/// The running guest.
#[derive(Debug)]
pub struct Guest {
    model: GuestModel,
    dice: Dice,
    format: Format,
    /// The last tick: by the host's clock and by the guest's sound. Unit: seconds.
    tick_at_s: f64,
    sound_ns: u64,
    /// How much that tick was moved.
    wobble_ns: u64,
    /// When something was last published, and last seen. Unit: seconds.
    published_s: f64,
    seen_last_s: f64,
    walk_ppm: f64,
    /// Host time until which nothing happens, and until which the sound stands still.
    stalled_until_s: f64,
    paused_until_s: f64,
    next_incident_s: f64,
    /// When incidents happened, until somebody asks. Unit: seconds.
    incidents: VecDeque<f64>,
    /// Sound time at which the stream began, frames published of it, and frames that will never be.
    stream_ns: u64,
    published: u64,
    dropped: u64,
    looks: Looks,
    queue: VecDeque<(f64, Seen)>,
}

/// Second 0 of a run.
const EPOCH: HostTime = HostTime::from_ns(1 << 40);

/// The intake's looks into shared memory.
#[derive(Debug)]
struct Looks {
    rhythm: Rhythm,
    /// The last that found something. Unit: seconds.
    found_s: f64,
}

impl Looks {
    fn new(format: &Format, now_s: f64) -> Looks {
        let rhythm = Rhythm::new(format.rate_hz(), format.chunk_frames(), host(now_s));
        Looks { rhythm, found_s: now_s }
    }

    /// When the sound up to frame `end`, which was published at `at_s`, is seen.
    fn find(&mut self, at_s: f64, end: u64, dice: &mut Dice) -> f64 {
        let mut look_s = self.found_s;
        while look_s < at_s {
            let next = self.rhythm.next_look(host(look_s));
            // A wake-up is a little late, and now and then more.
            let stumble_s = if dice.chance(0.01) { 0.002 } else { 0.0 };
            look_s = next.signed_ns_since(EPOCH) as f64 * 1e-9 + dice.exponential(0.000_05) + stumble_s;
        }
        self.rhythm.arrived(host(look_s), end);
        self.found_s = look_s;
        look_s
    }
}

fn host(s: f64) -> HostTime {
    EPOCH + Duration::from_secs_f64(s.max(0.0))
}

impl Guest {
    /// A guest that begins at second 0, at 48 kHz.
    pub fn new(model: GuestModel, seed: u64) -> Guest {
        Guest {
            model,
            dice: Dice::new(seed),
            format: USUAL,
            tick_at_s: 0.0,
            sound_ns: 0,
            wobble_ns: 0,
            published_s: 0.0,
            seen_last_s: 0.0,
            walk_ppm: 0.0,
            stalled_until_s: 0.0,
            paused_until_s: 0.0,
            next_incident_s: model.incident.map_or(f64::INFINITY, |i| i.every_s),
            incidents: VecDeque::new(),
            stream_ns: 0,
            published: 0,
            dropped: 0,
            looks: Looks::new(&USUAL, 0.0),
            queue: VecDeque::from([(0.0, Seen::Stream(USUAL))]),
        }
    }

    /// How fast the guest's clock runs just now.
    pub fn rate(&self) -> f64 {
        let d = self.model.drift;
        let step = d.step.filter(|(_, at_s)| self.tick_at_s >= *at_s).map_or(0.0, |(ppm, _)| ppm);
        let ramp = match (d.ramp_ppm_per_h * self.tick_at_s / 3600.0) % (4.0 * RAMP_MOST_PPM) {
            up if up < RAMP_MOST_PPM => up,
            down if down < 3.0 * RAMP_MOST_PPM => 2.0 * RAMP_MOST_PPM - down,
            up => up - 4.0 * RAMP_MOST_PPM,
        };
        1.0 + (d.ppm + step + ramp + self.walk_ppm) * 1e-6
    }

    /// When the guest really played this frame of its present stream. Only for the last second or so. Unit: seconds.
    pub fn played_at_s(&self, frame: f64) -> f64 {
        let played_s = (frame + self.dropped as f64) / f64::from(self.format.rate_hz());
        self.tick_at_s - ((self.sound_ns - self.stream_ns) as f64 * 1e-9 - played_s) / self.rate()
    }

    /// Whether its sound has run on without a pause for the last two seconds.
    pub fn is_steady(&self) -> bool {
        self.tick_at_s > self.paused_until_s + 2.0 || self.paused_until_s == 0.0
    }

    /// When the next incident that nobody asked for yet happened.
    pub fn take_incident(&mut self) -> Option<f64> {
        self.incidents.pop_front()
    }

    /// What is seen next, if that is at or before `until_s`: when, and what.
    pub fn next(&mut self, until_s: f64) -> Option<(f64, Seen)> {
        // Whatever is seen later than it was published was published before.
        while self.tick_at_s <= until_s {
            self.tick();
        }
        if self.queue.front()?.0 <= until_s { self.queue.pop_front() } else { None }
    }

    fn tick(&mut self) {
        let m = self.model;
        // The wobble of one tick does not move the next.
        let wobble_ns = ((1.0 + self.dice.uniform()) * m.tick_wobble_s * 1e9) as u64;
        let before_ns = core::mem::replace(&mut self.wobble_ns, wobble_ns);
        let guest_ns = (m.tick_s * 1e9) as u64 + wobble_ns - before_ns;
        let host_s = guest_ns as f64 * 1e-9 / self.rate();
        self.walk_ppm += m.drift.walk_ppm * self.dice.normal() * host_s.sqrt();
        let paused = self.tick_at_s < self.paused_until_s;
        self.tick_at_s += host_s;
        if !paused {
            self.sound_ns += guest_ns;
        }
        if self.tick_at_s >= self.next_incident_s {
            self.happen();
        }
        let late_s = self.lateness();
        let at_s = (self.tick_at_s + late_s).max(self.stalled_until_s).max(self.published_s);
        self.published_s = at_s;
        self.publish(at_s);
    }

    fn lateness(&mut self) -> f64 {
        let calm_s = |dice: &mut Dice, width_s: f64| dice.normal().abs() * width_s;
        let storm = |from_s: f64, every_s: f64, for_s: f64, at_s: f64| at_s > from_s && (at_s % every_s) < for_s;
        match self.model.lateness {
            Lateness::HalfNormal(width_s) => calm_s(&mut self.dice, width_s),
            Lateness::Uniform(most_s) => self.dice.uniform() * most_s,
            Lateness::LogNormal(median_s, sigma) => self.dice.log_normal(median_s, sigma),
            Lateness::Storms(most_s) if storm(30.0, 60.0, 1.0, self.tick_at_s) => self.dice.uniform() * most_s,
            Lateness::OneStorm(most_s) if (600.0..660.0).contains(&self.tick_at_s) => self.dice.uniform() * most_s,
            Lateness::Storms(_) | Lateness::OneStorm(_) => calm_s(&mut self.dice, 0.000_3),
        }
    }

    fn happen(&mut self) {
        let Some(Incident { every_s, what }) = self.model.incident else { return };
        let now_s = self.tick_at_s;
        self.next_incident_s = now_s + every_s;
        self.incidents.push_back(now_s);
        match what {
            Mishap::Stall(s) => self.stalled_until_s = now_s + s,
            Mishap::Pause(s) => self.paused_until_s = now_s + s,
            Mishap::Drop(s) => self.dropped += (s * f64::from(self.format.rate_hz())) as u64,
            Mishap::Restart(format) => {
                // Back and forth, if it is another one.
                self.format = if self.format == format { USUAL } else { format };
                (self.stream_ns, self.published, self.dropped) = (self.sound_ns, 0, 0);
                self.looks = Looks::new(&self.format, now_s.max(self.seen_last_s));
                self.queue.push_back((now_s.max(self.seen_last_s), Seen::Stream(self.format)));
            }
            Mishap::SinkReopens => self.queue.push_back((now_s.max(self.seen_last_s), Seen::SinkReopens)),
        }
    }

    /// Publishes all pieces that are complete, in whole milliseconds of the guest's time.
    fn publish(&mut self, at_s: f64) {
        let rate_hz = self.format.rate_hz();
        let piece = match self.model.transport {
            Transport::SharedMemory => self.format.chunk_frames(),
            Transport::Network { .. } => 288,
        };
        let elapsed_ms = (self.sound_ns - self.stream_ns) / 1_000_000;
        let due = (elapsed_ms * u64::from(rate_hz) / 1000).saturating_sub(self.dropped);
        while self.published + u64::from(piece) <= due {
            let start = self.published;
            self.published += u64::from(piece);
            let played_s = self.stream_ns as f64 * 1e-9 + start as f64 / f64::from(rate_hz);
            let quiet = played_s % 10.0 < 10.0 * self.model.silent_share;
            self.send(at_s, self.published, Seen::Frames { start, frames: piece, quiet });
        }
    }

    /// Something that was published at `at_s`, the sound up to frame `end`, goes its way to us.
    fn send(&mut self, at_s: f64, end: u64, seen: Seen) {
        let seen_s = match self.model.transport {
            Transport::SharedMemory => self.looks.find(at_s, end, &mut self.dice),
            Transport::Network { jitter: (median_s, sigma), loss } => {
                if self.dice.chance(loss) {
                    return;
                }
                at_s + 0.000_2 + self.dice.log_normal(median_s, sigma)
            }
        };
        self.seen_last_s = self.seen_last_s.max(seen_s);
        self.queue.push_back((self.seen_last_s, seen));
    }
}
