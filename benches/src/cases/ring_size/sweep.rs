//! What is swept: everything sensible, or what the command line names.

use super::cell::Cell;
use super::reader::{Behaviour, FAST_GUEST_HZ};
use crate::mode::{self, Mode, ModeError};
use crate::protocol::{self, Load, Protocol, Speeds};
use rx_host::exit::Failure;
use shm_proto::kvmfr::{PictureSpec, PixelType};
use std::time::Duration;

/// Slots that are swept.
pub const SLOTS: [u32; 5] = [2, 3, 4, 8, 16];
/// Virtual seconds for each cell: 600 frames at 60 Hz, so that one in a hundred is seen.
const SECONDS: u32 = 10;
/// The same in a short run.
const QUICK_SECONDS: u32 = 2;
/// More would take hours and say nothing new.
const MAX_SECONDS: u32 = 3600;

/// What `ring-size` shall sweep. Everything that is not named takes all its values.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "What ring-size sweeps")]
pub struct Sweep {
    /// A display mode, such as 3440x1440@144 (60 Hz if left out); may be repeated [default: 1280x720 … 7680x4320 at 60 and
    /// 144 Hz].
    #[arg(long = "mode", value_name = "WxH@Hz")]
    modes: Vec<String>,
    /// A pixel format: bgra, rgba, rgba10, rgba16f, bgr32, rgb24; may be repeated [default: bgra and rgba16f].
    #[arg(long = "format", value_name = "NAME")]
    formats: Vec<String>,
    /// A protocol: lgmp6, lgmp12, ring; may be repeated [default: all].
    #[arg(long = "protocol", value_name = "NAME")]
    protocols: Vec<String>,
    /// A number of slots; may be repeated [default: 2, 3, 4, 8, 16].
    #[arg(long, value_name = "N")]
    slots: Vec<u32>,
    /// Who reads: keeps-up, stalls-5ms, screen-60 (on a guest of 144 Hz), two-readers; may be repeated [default: all].
    #[arg(long = "reader", value_name = "NAME")]
    readers: Vec<String>,
    /// Virtual seconds for each combination [default: 10, 2 with --quick; they cost no real time].
    #[arg(long, value_name = "N")]
    virtual_seconds: Option<u32>,
}

/// A picture that is swept: all its cells lead to one sentence of advice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Subject {
    /// Size and rate.
    pub mode: Mode,
    /// How a pixel lies in memory.
    pub pixel: PixelType,
}

impl Subject {
    /// Size and format, as people write them.
    pub fn picture(&self) -> String {
        format!("{} {}", self.mode.size(), self.pixel)
    }

    /// The picture as a producer stores it.
    pub fn spec(&self) -> PictureSpec {
        PictureSpec::new(self.pixel, self.mode.width, self.mode.height)
    }
}

/// The sweep, checked.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Pictures.
    pub subjects: Vec<Subject>,
    /// Protocols.
    pub protocols: Vec<&'static dyn Protocol>,
    /// Numbers of slots.
    pub slots: Vec<u32>,
    /// Readers.
    pub behaviours: Vec<Behaviour>,
    /// Virtual time for each cell.
    pub length: Duration,
}

impl Sweep {
    /// What it means.
    ///
    /// # Errors
    /// [`Failure`]: an unknown name is a usage error; a mode that is impossible ends with code 2.
    pub fn plan(&self, quick: bool) -> Result<Plan, Failure> {
        let seconds = self.virtual_seconds.unwrap_or(if quick { QUICK_SECONDS } else { SECONDS });
        if !(1..=MAX_SECONDS).contains(&seconds) {
            let hint = format!("possible are 1 to {MAX_SECONDS}");
            return Err(Failure::usage(format!("{seconds} virtual seconds cannot be measured"), hint));
        }
        Ok(Plan {
            subjects: self.subjects(quick)?,
            protocols: named(&self.protocols, "protocol", &protocol::ALL, |p| p.name().to_owned(), protocol::find)?,
            slots: self.slots()?,
            behaviours: named(&self.readers, "reader", &Behaviour::ALL, |b| b.name().to_owned(), Behaviour::find)?,
            length: Duration::from_secs(u64::from(seconds)),
        })
    }

    fn subjects(&self, quick: bool) -> Result<Vec<Subject>, Failure> {
        let defaults = [PixelType::Bgra, PixelType::Rgba16F];
        let kinds = &PixelType::ALL;
        let is_free = self.formats.is_empty();
        let formats = if is_free {
            defaults.to_vec()
        } else {
            named(&self.formats, "pixel format", kinds, |p| p.to_string().to_lowercase(), mode::pixel_by_name)?
        };
        let modes =
            self.modes.iter().map(|text| text.parse::<Mode>().map_err(explain)).collect::<Result<Vec<_>, _>>()?;
        let mut subjects = Vec::new();
        for pixel in formats {
            if !modes.is_empty() {
                subjects.extend(modes.iter().map(|mode| Subject { mode: *mode, pixel }));
                continue;
            }
            for (width, height) in mode::SIZES {
                for rate_hz in mode::RATES_HZ {
                    // A guest with HDR at the higher rate is left to those who ask for it.
                    let is_rare = is_free && pixel != PixelType::Bgra && rate_hz != 60;
                    let is_long = quick && (rate_hz != 60 || pixel != PixelType::Bgra);
                    if !is_rare && !is_long {
                        subjects.push(Subject { mode: Mode::new(width, height, rate_hz), pixel });
                    }
                }
            }
        }
        Ok(subjects)
    }

    /// Whether modes were named.
    pub fn names_modes(&self) -> bool {
        !self.modes.is_empty()
    }

    fn slots(&self) -> Result<Vec<u32>, Failure> {
        let impossible = self.slots.iter().find(|slots| !(2..=64).contains(*slots));
        match impossible {
            Some(slots) => Err(Failure::usage(format!("{slots} slots are impossible"), "possible are 2 to 64")),
            None if self.slots.is_empty() => Ok(SLOTS.to_vec()),
            None => Ok(self.slots.clone()),
        }
    }
}

/// The things of these names, or all.
fn named<T: Copy>(
    names: &[String],
    what: &str,
    all: &[T],
    name_of: impl Fn(&T) -> String,
    find: impl Fn(&str) -> Option<T>,
) -> Result<Vec<T>, Failure> {
    if names.is_empty() {
        return Ok(all.to_vec());
    }
    let known = || all.iter().map(&name_of).collect::<Vec<_>>().join(", ");
    let look = |name: &String| {
        find(name).ok_or_else(|| Failure::usage(format!("there is no {what} {name}"), format!("known are {}", known())))
    };
    names.iter().map(look).collect()
}

fn explain(e: ModeError) -> Failure {
    let hint = "a mode is WIDTHxHEIGHT or WIDTHxHEIGHT@HERTZ, such as 2560x1440@144";
    match e {
        ModeError::Form(_) => Failure::usage(e, hint),
        ModeError::Impossible { .. } => Failure::environment(e, hint),
    }
}

impl Plan {
    /// Every cell of a picture, or why there is none. Combinations that a protocol cannot have are left out.
    pub fn cells(&self, subject: &Subject, seed: u64) -> Vec<Cell> {
        let mut cells = Vec::new();
        for protocol in &self.protocols {
            for slots in &self.slots {
                let fits = protocol.needed_bytes(&subject.spec(), *slots);
                if fits.is_none_or(|bytes| bytes > shm_proto::raw::map::MAX_REGION_BYTES) {
                    continue;
                }
                for behaviour in &self.behaviours {
                    let mut mode = subject.mode;
                    if *behaviour == Behaviour::SlowScreen {
                        mode.rate_hz = mode.rate_hz.max(FAST_GUEST_HZ);
                    }
                    let load = Load { spec: subject.spec(), slots: *slots, speeds: Speeds::DEFAULT };
                    let (protocol, behaviour, length) = (*protocol, *behaviour, self.length);
                    cells.push(Cell { protocol, load, mode, behaviour, seed, length });
                }
            }
        }
        cells
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rx_host::exit::Exit;

    fn sweep(modes: &[&str]) -> Sweep {
        Sweep { modes: modes.iter().map(|m| (*m).to_owned()).collect(), ..Sweep::default() }
    }

    #[test]
    fn without_names_everything_is_swept() {
        let plan = Sweep::default().plan(false).unwrap();
        assert_eq!((plan.subjects.len(), plan.slots.len(), plan.behaviours.len()), (27, 5, 4));
        assert_eq!(plan.protocols.len(), protocol::ALL.len());
        let cells = plan.cells(&plan.subjects[0], 1);
        assert_eq!(cells.len(), 5 * 4 * protocol::ALL.len());
        assert_eq!(Sweep::default().plan(true).unwrap().subjects.len(), 9);
    }

    #[test]
    fn impossible_modes_end_with_code_2_and_unknown_names_with_1() {
        let exit = |sweep: &Sweep| sweep.plan(false).unwrap_err().exit();
        assert_eq!(exit(&sweep(&["0x720"])), Exit::Environment);
        assert_eq!(exit(&sweep(&["big"])), Exit::Usage);
        assert_eq!(exit(&Sweep { formats: vec!["yuv".into()], ..Sweep::default() }), Exit::Usage);
        assert_eq!(exit(&Sweep { protocols: vec!["lgmp99".into()], ..Sweep::default() }), Exit::Usage);
        assert_eq!(exit(&Sweep { readers: vec!["me".into()], ..Sweep::default() }), Exit::Usage);
        assert_eq!(exit(&Sweep { slots: vec![1], ..Sweep::default() }), Exit::Usage);
        assert_eq!(exit(&Sweep { virtual_seconds: Some(0), ..Sweep::default() }), Exit::Usage);
    }

    #[test]
    fn what_a_region_cannot_hold_is_left_out() {
        let mut sweep = sweep(&["7680x4320"]);
        sweep.formats = vec!["rgba16f".into()];
        sweep.slots = vec![2, 20];
        let plan = sweep.plan(false).unwrap();
        let cells = plan.cells(&plan.subjects[0], 1);
        assert!(cells.iter().all(|cell| cell.load.slots == 2) && !cells.is_empty());
    }
}
