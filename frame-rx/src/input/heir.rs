//! The heir: a process of ours that releases what the guest holds if this one is killed, or ended by a library. A USB device is
//! unplugged then by QEMU, and a SPICE server lifts keys; but a monitor keeps all, and SPICE buttons stay down, until somebody
//! connects again. The heir waits at the other end of a pipe, by which it is told what may be held, before that is sent. When the
//! pipe ends it connects the way that was used and releases what is left. What was typed is nowhere: a set of what is down.
//!
//! ```text
//! how to connect (2 texts, each behind its length in 2 bytes) · what may be held (a bit for each code) · the same · ... · the end
//! ```

use super::address::{InputChoice, USUAL_SPICE};
use super::capture::{InputSettings, open};
use super::codes::{CODES, CodeSet};
use super::pacer::Pacer;
use super::sink::{News, Sink, SinkError};
use super::spice::Password;
use super::stats::InputStats;
use super::wire::Patience;
use core::time::Duration;
use rustix::fs::{OFlags, fcntl_setfl};
use rx_host::clock;
use rx_host::signals::Stop;
use shm_proto::HostTime;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};

/// The subcommand that is the heir.
pub const NAME: &str = "heir";
/// How long the heir tries. A server that is there answers within milliseconds; a machine that stands still is left to the
/// next client, which must not find us in its place.
const TRIES_FOR: Duration = Duration::from_secs(3);
/// Between two attempts, and between two looks at a connection.
const AGAIN: Duration = Duration::from_millis(20);
const LOOK: Duration = Duration::from_millis(1);

/// The end of who may be killed.
#[derive(Debug)]
pub struct Heir {
    pipe: ChildStdin,
    told: CodeSet,
}

impl Heir {
    /// Starts `program`, which is this one, as the heir, if the way of `settings` needs one.
    ///
    /// # Errors
    /// When the system gives no process.
    pub fn start(program: &Path, settings: &InputSettings) -> io::Result<Option<Heir>> {
        let Some(choice) = way(&settings.choice) else { return Ok(None) };
        // A group of its own: a Ctrl-C is for us, who then release everything ourselves.
        let mut command = Command::new(program);
        command.arg(NAME).stdin(Stdio::piped()).stdout(Stdio::null()).process_group(0);
        let mut pipe = command.spawn()?.stdin.take().ok_or(ErrorKind::BrokenPipe)?;
        for text in [&*choice.to_string(), settings.password.text()] {
            let length = u16::try_from(text.len()).map_err(|_| ErrorKind::InvalidInput)?;
            pipe.write_all(&length.to_le_bytes())?;
            pipe.write_all(text.as_bytes())?;
        }
        // A heir that stands still must not hold up the input.
        fcntl_setfl(&pipe, OFlags::NONBLOCK)?;
        Ok(Some(Heir { pipe, told: CodeSet::EMPTY }))
    }

    /// What may be held from now on. Whether the heir is still there.
    ///
    /// Never blocks.
    pub fn note(&mut self, held: CodeSet) -> bool {
        if self.told == held {
            return true;
        }
        self.told = held;
        let bytes = held.to_bytes();
        self.pipe.write(&bytes).is_ok_and(|written| written == bytes.len())
    }
}

/// The way that a heir goes: the one on which keys stay down.
fn way(choice: &InputChoice) -> Option<InputChoice> {
    match choice {
        InputChoice::Spice(_) | InputChoice::Qmp(_) => Some(choice.clone()),
        InputChoice::Auto => Some(InputChoice::Spice(USUAL_SPICE)),
        InputChoice::None | InputChoice::SpiceUsb(_) | InputChoice::UsbHid(_) | InputChoice::Uinput => None,
    }
}

/// Waits at `pipe` until it ends, and releases what is held then. The whole life of the heir.
///
/// Blocks.
///
/// # Errors
/// When the pipe is not one of [`Heir::start`].
pub fn inherit(mut pipe: impl Read) -> io::Result<()> {
    // Whoever kills all processes of a name means the other.
    let _ = rustix::thread::set_name(c"rx-heir");
    let wrong = |_| io::Error::from(ErrorKind::InvalidData);
    let choice: InputChoice = text(&mut pipe)?.parse().map_err(|_| ErrorKind::InvalidData)?;
    let password = Password::new(&text(&mut pipe)?).ok_or(ErrorKind::InvalidData)?;
    let settings = InputSettings { choice, password, ..InputSettings::default() };
    let (mut held, mut bytes) = (CodeSet::EMPTY, [0; CODES as usize / 8]);
    while pipe.read_exact(&mut bytes).is_ok() {
        held = CodeSet::from_bytes(&bytes);
    }
    if held.is_empty() {
        return Ok(());
    }
    let stop = Stop::new().map_err(wrong)?;
    match release(&settings, held, &Patience::new(TRIES_FOR, &stop)) {
        Ok(()) => tracing::warn!("input: frame-rx was killed; what it held in the guest is released"),
        Err(error) => tracing::warn!(
            "input: frame-rx was killed with keys or buttons down in the guest, and they are not released: {error}; hint: \
             start frame-rx again"
        ),
    }
    Ok(())
}

fn text(pipe: &mut impl Read) -> io::Result<String> {
    let mut length = [0; 2];
    pipe.read_exact(&mut length)?;
    let mut bytes = vec![0; usize::from(u16::from_le_bytes(length))];
    pipe.read_exact(&mut bytes)?;
    String::from_utf8(bytes).map_err(|_| ErrorKind::InvalidData.into())
}

fn release(settings: &InputSettings, held: CodeSet, patience: &Patience) -> Result<(), SinkError> {
    loop {
        let done = open(settings, patience).and_then(|mut sink| deliver(&mut *sink, held, patience.until));
        match done {
            Err(error) if !error.is_final() && clock::now() + AGAIN < patience.until => {
                let _ = clock::sleep_until(clock::now() + AGAIN);
            }
            done => return done,
        }
    }
}

/// Releases `held` through `sink` until it has said that all of it came.
fn deliver(sink: &mut dyn Sink, held: CodeSet, until: HostTime) -> Result<(), SinkError> {
    let mut pacer = Pacer::new(InputStats::new());
    pacer.inherit(held);
    pacer.neutral(clock::now());
    let (mut is_running, mut is_asked) = (sink.is_heard(), false);
    while clock::now() < until {
        let now = clock::now();
        sink.pump(now, &mut |news| match news {
            News::Stopped => is_running = false,
            News::Running => is_running = true,
            News::Leds(_) | News::Caps => {}
        })?;
        if is_running {
            pacer.run(now, sink)?;
        }
        if pacer.has_settled() && !core::mem::replace(&mut is_asked, true) {
            sink.ask_delivery(now)?;
        }
        if is_asked && sink.has_delivered() {
            return Ok(());
        }
        let _ = clock::sleep_until(now + LOOK);
    }
    Err(SinkError::Silent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::Code;

    #[test]
    fn the_ways_on_which_keys_stay_down_have_an_heir() {
        let way = |text: &str| way(&text.parse().unwrap()).map(|way| way.to_string());
        assert_eq!(way("qmp:/run/x"), Some("qmp:/run/x".into()));
        assert_eq!(way("spice:unix:/run/x"), Some("spice:/run/x".into()));
        assert_eq!(way("auto"), Some(format!("spice:{USUAL_SPICE}")));
        assert!(
            ["none", "uinput", "usbhid:unix:/run/x", "spice-usb:127.0.0.1:5900"].map(way).iter().all(Option::is_none)
        );
    }

    #[test]
    fn a_set_comes_out_of_its_bytes_again() {
        let set: CodeSet = [1, 29, 0x111, 0x2ff].into_iter().filter_map(Code::new).collect();
        assert!(CodeSet::from_bytes(&set.to_bytes()) == set);
        assert!(CodeSet::from_bytes(&[0xff; CODES as usize / 8]).iter().all(|code| code.number() > 0));
    }

    #[test]
    fn a_pipe_that_ends_with_nothing_held_is_a_good_end_and_anything_else_at_its_start_is_none() {
        let head = |choice: &str| [&[choice.len() as u8, 0], choice.as_bytes(), &[0, 0]].concat();
        let held = CodeSet::from_iter(Code::new(30)).to_bytes();
        let released = CodeSet::EMPTY.to_bytes();
        assert!(inherit(&*[&head("qmp:/none/x")[..], &held, &released].concat()).is_ok());
        for bytes in [&b""[..], b"\x05", b"\xff\xffshort", &head("nonsense")] {
            assert!(inherit(bytes).is_err());
        }
        // A press that was told and not sent, or one that nobody lifted: it is tried, told and given up.
        let begun = clock::now();
        assert!(inherit(&*[&head("qmp:/none/x")[..], &held].concat()).is_ok());
        assert!(clock::now().since(begun) < 2 * TRIES_FOR);
    }
}
