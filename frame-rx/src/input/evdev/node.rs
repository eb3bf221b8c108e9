//! One open device: reads its bytes, asks what is down, grabs it, switches its lamps. It decides nothing.
//!
//! The calls to the kernel are those of the crate `input-linux`, named here and in `uinput.rs` alone; of the crates for
//! evdev it is the one that can set the clock of the stamps and the mask of the events without `unsafe`. Events are read
//! as bytes, so that a loss (`SYN_DROPPED`) is seen.

use super::event::{EV_LED, EVENT_BYTES, Event, LED_CAPSL, LED_NUML, LED_SCROLLL, REPORT};
use super::facts::{Class, Facts, NODES};
use super::report::{Range, Shape};
use crate::input::opener::{SOCKET, client};
use crate::input::sink::Leds;
use crate::input::{Code, CodeSet};
use input_linux::{AbsoluteAxis, EvdevHandle, EventKind};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

/// `CLOCK_MONOTONIC`, as the kernel numbers clocks.
const MONOTONIC: i32 = 1;
/// Bytes of the set of keys that are down: one bit for each of 768.
const KEY_BYTES: usize = 96;
/// Events that are read at once.
const READ_EVENTS: usize = 64;

/// Bytes of one read.
pub type Buffer = [u8; READ_EVENTS * EVENT_BYTES];

/// An empty buffer for [`Node::read`].
pub const BUFFER: Buffer = [0; READ_EVENTS * EVENT_BYTES];

/// See the module.
pub struct Node {
    handle: EvdevHandle<OwnedFd>,
    path: PathBuf,
    /// Whether lamps can be switched: they can only be if the device was opened for writing.
    has_leds: bool,
    shape: Shape,
    is_grabbed: bool,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("path", &self.path).field("is_grabbed", &self.is_grabbed).finish_non_exhaustive()
    }
}

impl Node {
    /// Opens the device for reading without waiting, with stamps of `CLOCK_MONOTONIC`.
    ///
    /// # Errors
    /// The system's: no permission yet, gone again, or no evdev device.
    pub fn open(facts: &Facts) -> io::Result<Node> {
        let path = Path::new(NODES).join(&facts.node);
        let flags = OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
        let (fd, writes) = match open(&path, OFlags::RDWR | flags, Mode::empty()) {
            Err(Errno::ACCESS) => match open(&path, OFlags::RDONLY | flags, Mode::empty()) {
                Err(Errno::ACCESS) => (by_opener(&facts.node)?, true),
                other => (other?, false),
            },
            other => (other?, true),
        };
        let handle = EvdevHandle::new(fd);
        handle.driver_version()?;
        handle.set_clock_id(MONOTONIC)?;
        // What nobody looks at need not wake the thread nor fill the kernel's ring. Kernels before 4.4 cannot.
        let mut wanted = EventKind::bitmask();
        for kind in [EventKind::Synchronize, EventKind::Key, EventKind::Relative, EventKind::Absolute] {
            wanted.insert(kind);
        }
        let _ = handle.set_event_mask_events(&wanted);
        let range = |axis| {
            let info = handle.absolute_info(axis).ok()?;
            Some(Range { min: info.minimum, max: info.maximum })
        };
        let is_tablet = facts.class == Class::Tablet;
        let ranges = || Some((range(AbsoluteAxis::X)?, range(AbsoluteAxis::Y)?));
        let (fine_wheel, fine_horizontal) = facts.fine_wheels;
        let shape = Shape { fine_wheel, fine_horizontal, ranges: if is_tablet { ranges() } else { None } };
        Ok(Node { handle, path, has_leds: writes && facts.has_leds, shape, is_grabbed: false })
    }

    /// What its reports have.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Reads what waits, whole events; nothing if nothing does.
    ///
    /// Never blocks. Real-time safe: one system call.
    ///
    /// # Errors
    /// The system's: the device is gone.
    pub fn read<'b>(&self, buffer: &'b mut Buffer) -> io::Result<&'b [u8]> {
        match rustix::io::read(&self.handle, &mut buffer[..]) {
            Ok(n) => Ok(buffer.get(..n).unwrap_or_default()),
            Err(Errno::AGAIN | Errno::INTR) => Ok(&[]),
            Err(e) => Err(e.into()),
        }
    }

    /// The keys and buttons that are down now. Takes queued key events out of the kernel's ring.
    ///
    /// # Errors
    /// The system's: the device is gone.
    pub fn keys_down(&self) -> io::Result<CodeSet> {
        let mut bits = [0; KEY_BYTES];
        self.handle.key_state(&mut bits)?;
        let is_set = |code: &Code| {
            let (byte, bit) = (usize::from(code.number() / 8), code.number() % 8);
            bits.get(byte).is_some_and(|b| b >> bit & 1 == 1)
        };
        Ok((1..=u16::MAX).map_while(Code::new).filter(is_set).collect())
    }

    /// Keeps its events from the rest of the host.
    ///
    /// # Errors
    /// The system's; `EBUSY` if another program has it.
    pub fn grab(&mut self) -> io::Result<()> {
        self.handle.grab(true)?;
        self.is_grabbed = true;
        Ok(())
    }

    /// Lets the host have its events again. The kernel does so by itself when the device is closed.
    pub fn ungrab(&mut self) {
        if core::mem::take(&mut self.is_grabbed) {
            let _ = self.handle.grab(false);
        }
    }

    /// Whether it is grabbed.
    pub fn is_grabbed(&self) -> bool {
        self.is_grabbed
    }

    /// Its lamps, if it has any that can be switched.
    pub fn leds(&self) -> Option<Leds> {
        let mut bits = [0_u8; 2];
        self.handle.led_state(&mut bits).ok().filter(|_| self.has_leds)?;
        let is_lit = |led: u16| bits[0] >> led & 1 == 1;
        Some(Leds { scroll: is_lit(LED_SCROLLL), num: is_lit(LED_NUML), caps: is_lit(LED_CAPSL) })
    }

    /// Switches the lamps that are not as `wanted`.
    pub fn set_leds(&self, wanted: Leds) {
        let Some(now) = self.leds() else { return };
        let lamps = [
            (LED_SCROLLL, now.scroll, wanted.scroll),
            (LED_NUML, now.num, wanted.num),
            (LED_CAPSL, now.caps, wanted.caps),
        ];
        let mut bytes = Vec::new();
        for (led, _, is_lit) in lamps.into_iter().filter(|(_, is, wanted)| is != wanted) {
            bytes.extend(Event::new(EV_LED, led, i32::from(is_lit)).to_bytes());
        }
        if !bytes.is_empty() {
            bytes.extend(REPORT.to_bytes());
            // A lamp that stays dark is no reason to lose the keys.
            let _ = rustix::io::write(&self.handle, &bytes);
        }
    }
}

/// Whoever may not open it may be given it. Without a helper, or where it may not be asked, it is the plain refusal.
fn by_opener(node: &str) -> io::Result<OwnedFd> {
    match client::ask(Path::new(SOCKET), node) {
        Err(e) if e.kind() == io::ErrorKind::NotFound || e.raw_os_error() == Some(Errno::ACCESS.raw_os_error()) => {
            Err(Errno::ACCESS.into())
        }
        Err(e) => Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("{}, {e}", Errno::ACCESS))),
        given => given,
    }
}

impl AsFd for Node {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }
}
