//! `scream-rx demo`: the receiver with a simulated guest behind it. To a sound server it plays in real time, with the guest
//! on a thread of its own. Into a file it runs in simulated time: the same parts, called in turn, so that five seconds
//! of sound are five seconds on any machine, however busy.

use crate::cli::{DemoArgs, Output};
use crate::intake::{Intake, Transport};
use crate::settings::{self, DEFAULT_WAV, End, Play};
use crate::sink::paced::Pacer;
use core::time::Duration;
use rx_host::clock;
use rx_host::exit::Failure;
use rx_host::signals::Stop;
use shm_proto::HostTime;
use shm_proto::guest_sim::sound::{SimError, SoundGuest};

/// How long a demo takes if nobody says.
const USUAL_LENGTH: Duration = Duration::from_secs(5);
/// How fast the guest's clock runs if nobody says. Unit: parts per million.
const USUAL_PPM: i32 = 80;

/// What the demo does.
#[derive(Clone, Debug, PartialEq)]
pub struct Demo {
    /// Where and how it plays.
    pub play: Play,
    /// How it ends.
    pub end: End,
    /// How fast the guest's clock runs. Unit: parts per million.
    pub ppm: i32,
    /// It runs in simulated time.
    pub simulated: bool,
}

impl Demo {
    /// What the flags say; an output that is not named is a sound server if one answers, else a file.
    ///
    /// Blocks while the server is asked.
    ///
    /// # Errors
    /// [`Failure`] for flags that make no sense.
    pub fn from_args(args: &DemoArgs) -> Result<Demo, Failure> {
        let mut play = settings::play_from_flags(&args.play).map_err(settings::explain)?;
        if play.output == Output::Auto {
            play.output = first_that_works();
            if play.output == Output::Wav && play.device.is_none() {
                play.device = Some(DEFAULT_WAV.into());
            }
            play.is_kept = settings::is_kept(play.output, play.device.as_deref());
        }
        let mut end = settings::end(&args.end);
        end.after.get_or_insert(USUAL_LENGTH);
        let simulated = matches!(play.output, Output::Wav | Output::Raw);
        // Nobody is late in simulated time: the delay is what a listener would get.
        play.in_real_time = !simulated;
        Ok(Demo { play, end, ppm: args.ppm.unwrap_or(USUAL_PPM), simulated })
    }

    /// The guest: 440 Hz at −6 dBFS, 48 kHz, 16 bit, stereo, ticks of 10 ms.
    ///
    /// # Errors
    /// [`SimError`] if there is no memory for its region.
    pub fn guest(&self) -> Result<SoundGuest, SimError> {
        SoundGuest::builder().drift_ppm(self.ppm.into()).build()
    }
}

fn first_that_works() -> Output {
    #[cfg(feature = "pulse")]
    if crate::sink::pulse::devices(None).is_ok_and(|d| !d.is_empty()) {
        return Output::Pulse;
    }
    Output::Wav
}

/// Lets the guest do what is due until a stop is asked for. The body of the guest's thread.
///
/// Blocks.
pub fn run_guest(guest: &mut SoundGuest, stop: &Stop) {
    while !stop.is_requested() {
        if guest.advance(clock::now()).is_err() {
            return;
        }
        let idle = clock::now() + Duration::from_millis(20);
        let _ = clock::sleep_until(guest.next_due().unwrap_or(idle).min(idle));
    }
}

/// A clock that runs as fast as guest and intake can be called.
pub struct Simulated {
    now: HostTime,
    guest: SoundGuest,
    intake: Intake,
    intake_due: HostTime,
    stop: Stop,
}

impl Simulated {
    /// A clock that starts at `now` and drives `guest` and `intake`.
    pub fn new(guest: SoundGuest, intake: Intake, now: HostTime, stop: Stop) -> Simulated {
        Simulated { now, guest, intake, intake_due: now, stop }
    }
}

impl Pacer for Simulated {
    fn now(&self) -> HostTime {
        self.now
    }

    fn is_real(&self) -> bool {
        false
    }

    fn wait_until(&mut self, at: HostTime) {
        while !self.stop.is_requested() {
            let guest_due = self.guest.next_due().unwrap_or(self.now);
            let next = guest_due.min(self.intake_due).max(self.now);
            if next > at {
                break;
            }
            self.now = next;
            // Its memory is ours: it cannot fail to write.
            let _ = self.guest.advance(next);
            if self.intake_due <= next {
                // Never at the same instant again, whatever the intake says.
                self.intake_due = self.intake.step(next).max(next + Duration::from_micros(100));
            }
        }
        self.now = self.now.max(at);
    }
}

impl core::fmt::Debug for Simulated {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Simulated").field("now", &self.now).finish_non_exhaustive()
    }
}
