//! Events as the kernel writes and reads them: the bytes of `struct input_event`, and the few numbers of them that are
//! used here. Pure. Source of the layout and the numbers: Linux, `uapi/linux/input.h` and `input-event-codes.h`.

use core::fmt;
use shm_proto::HostTime;

/// Bytes of one event: two times as wide as a machine word, type and code of 16 bits, value of 32.
pub const EVENT_BYTES: usize = 2 * WORD + 8;
const WORD: usize = size_of::<usize>();

/// Type: the end of a report, or a loss.
pub const EV_SYN: u16 = 0;
/// Type: keys and buttons.
pub const EV_KEY: u16 = 1;
/// Type: relative axes.
pub const EV_REL: u16 = 2;
/// Type: absolute axes.
pub const EV_ABS: u16 = 3;
/// Type: lamps.
pub const EV_LED: u16 = 0x11;

/// The report is complete.
pub const SYN_REPORT: u16 = 0;
/// The kernel had no room: what came before is incomplete.
pub const SYN_DROPPED: u16 = 3;

/// To the right.
pub const REL_X: u16 = 0;
/// Downwards.
pub const REL_Y: u16 = 1;
/// Horizontal wheel, detents.
pub const REL_HWHEEL: u16 = 6;
/// Wheel, detents.
pub const REL_WHEEL: u16 = 8;
/// Wheel, 1/120 of a detent.
pub const REL_WHEEL_HI_RES: u16 = 0x0b;
/// Horizontal wheel, 1/120 of a detent.
pub const REL_HWHEEL_HI_RES: u16 = 0x0c;

/// From the left.
pub const ABS_X: u16 = 0;
/// From the top.
pub const ABS_Y: u16 = 1;

/// Num Lock's lamp.
pub const LED_NUML: u16 = 0;
/// Caps Lock's lamp.
pub const LED_CAPSL: u16 = 1;
/// Scroll Lock's lamp.
pub const LED_SCROLLL: u16 = 2;

/// One event.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// When the kernel stamped it, by the clock that the device was told to use (`CLOCK_MONOTONIC`).
    pub at: HostTime,
    /// Its type.
    pub kind: u16,
    /// Its code.
    pub code: u16,
    /// Its value.
    pub value: i32,
}

impl Event {
    /// An event without a stamp, to be written.
    pub const fn new(kind: u16, code: u16, value: i32) -> Event {
        Event { at: HostTime::ZERO, kind, code, value }
    }

    /// The bytes as the kernel reads them; it stamps them itself.
    pub fn to_bytes(self) -> [u8; EVENT_BYTES] {
        let mut bytes = [0; EVENT_BYTES];
        let [kind, code] = [self.kind, self.code].map(u16::to_ne_bytes);
        let tail = [kind[0], kind[1], code[0], code[1]].into_iter().chain(self.value.to_ne_bytes());
        bytes.iter_mut().skip(2 * WORD).zip(tail).for_each(|(place, byte)| *place = byte);
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Event> {
        let (seconds, rest) = bytes.split_first_chunk::<WORD>()?;
        let (micros, rest) = rest.split_first_chunk::<WORD>()?;
        let &[a, b, c, d, e, f, g, h] = rest else { return None };
        let nanos = |seconds: u64, micros: u64| seconds.saturating_mul(1_000_000_000).saturating_add(micros * 1000);
        // Neither is ever negative on the monotonic clock, and micros are below a million.
        let (seconds, micros) = (usize::from_ne_bytes(*seconds) as u64, usize::from_ne_bytes(*micros) as u64);
        Some(Event {
            at: HostTime::from_ns(nanos(seconds, micros.min(999_999))),
            kind: u16::from_ne_bytes([a, b]),
            code: u16::from_ne_bytes([c, d]),
            value: i32::from_ne_bytes([e, f, g, h]),
        })
    }
}

/// The events in what was read. A rest that is no whole event is left out; the kernel never writes one.
pub fn events(bytes: &[u8]) -> impl Iterator<Item = Event> + '_ {
    bytes.chunks_exact(EVENT_BYTES).filter_map(Event::from_bytes)
}

/// The end of a report that is written.
pub const REPORT: Event = Event::new(EV_SYN, SYN_REPORT, 0);

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Event(type {})", self.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    #[cfg(all(target_pointer_width = "64", target_endian = "little"))]
    fn an_event_lies_as_the_kernels_header_says() {
        let bytes: [u8; 24] = [7, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1, 0, 30, 0, 1, 0, 0, 0];
        let event = Event { at: HostTime::from_ns(7_000_009_000), kind: EV_KEY, code: 30, value: 1 };
        assert_eq!(events(&bytes).collect::<Vec<_>>(), [event]);
        assert_eq!(event.to_bytes()[16..], bytes[16..]);
        assert_eq!(events(&bytes[..23]).count(), 0);
    }

    #[test]
    fn an_event_does_not_print_its_code() {
        assert_eq!(format!("{:?}", Event::new(EV_KEY, 30, 1)), "Event(type 1)");
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_is_read(kind: u16, code: u16, value: i32) {
            let event = Event::new(kind, code, value);
            prop_assert_eq!(events(&event.to_bytes()).next(), Some(event));
        }

        #[test]
        fn any_bytes_are_events(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(events(&bytes).count(), bytes.len() / EVENT_BYTES);
        }
    }
}
