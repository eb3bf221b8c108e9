//! Tests of the device by itself: golden bytes, what a guest sees of each key, and what garbage does (nothing).

use super::*;
use crate::input::frame::Position;
use crate::input::keymap::{self, Usage};
use crate::input::{Code, CodeSet};
use proptest::prelude::*;
use std::collections::BTreeMap;

const NOW: HostTime = HostTime::from_ns(1_000_000_000);

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_le_bytes()).collect()
}

/// A HELLO as QEMU 7.2 says it.
fn hello(caps: u32) -> Vec<u8> {
    let mut bytes = words(&[0, 68, 0]);
    let mut text = b"qemu usb-redir guest 7.2.22".to_vec();
    text.resize(64, 0);
    bytes.extend(text);
    bytes.extend(words(&[caps]));
    bytes
}

fn packet(kind: u32, id: u64, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    packet::put(&mut out, kind, id, &[body]);
    out
}

/// A device and the one who plays the guest: QEMU's end with a driver behind it.
struct Bench {
    device: Device,
    /// What the device said and was not looked at.
    out: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
struct Said {
    kind: u32,
    id: u64,
    body: Vec<u8>,
}

impl Bench {
    /// After both HELLOs.
    fn met() -> Bench {
        let mut out = Vec::new();
        let mut bench = Bench { device: Device::new(&mut out), out: Vec::new() };
        bench.say(&hello(0xff)).unwrap();
        bench.out.clear();
        bench
    }

    /// With a driver that listens to everything and switched both multipliers on.
    fn live() -> Bench {
        let mut bench = Bench::met();
        assert_eq!(bench.control(0x21, 9, 0x0300, 0, 1, &[0x05]).0, 0);
        for interface in Interface::ALL {
            bench.start(interface);
        }
        for at in AGAIN {
            bench.device.tick(NOW + at, &mut bench.out);
        }
        bench.out.clear();
        bench
    }

    fn say(&mut self, bytes: &[u8]) -> Result<(), SinkError> {
        let mut at = 0;
        while at < bytes.len() {
            at += self.device.hear(&bytes[at..], NOW, &mut self.out)?;
        }
        Ok(())
    }

    fn start(&mut self, interface: Interface) -> Vec<Said> {
        self.say(&packet(kind::START_INTERRUPT, 9, &[interface.endpoint()])).unwrap();
        self.said()
    }

    /// Everything that was said since the last look.
    fn said(&mut self) -> Vec<Said> {
        let bytes = core::mem::take(&mut self.out);
        let mut rest = &bytes[..];
        let mut said = Vec::new();
        while !rest.is_empty() {
            let word = |at| u32_at(rest, at).unwrap();
            let (length, id) = (word(4) as usize, u64::from(word(8)) | u64::from(word(12)) << 32);
            said.push(Said { kind: word(0), id, body: rest[16..16 + length].to_vec() });
            rest = &rest[16 + length..];
        }
        said
    }

    /// A control request: its status and what came back.
    fn control(&mut self, kind: u8, request: u8, value: u16, index: u16, length: u16, data: &[u8]) -> (u8, Vec<u8>) {
        let mut body = vec![if kind & 0x80 == 0 { 0 } else { 0x80 }, request, kind, 0];
        for word in [value, index, length] {
            body.extend(word.to_le_bytes());
        }
        body.extend(data);
        self.say(&packet(kind::CONTROL, 77, &body)).unwrap();
        let said = self.said();
        assert_eq!((said.len(), said[0].kind, said[0].id), (1, kind::CONTROL, 77));
        let answer = &said[0].body;
        assert_eq!((answer[0], answer[1], answer[2], &answer[4..8]), (body[0], request, kind, &body[4..8]));
        (answer[3], answer[10..].to_vec())
    }

    fn edge(&mut self, code: Code, is_down: bool) -> Sent {
        self.device.edge(Edge { code, is_down }, NOW, &mut self.out)
    }

    fn moved(&mut self, moved: Move) -> Vec<Vec<u8>> {
        self.device.moved(&moved, NOW, &mut self.out);
        self.reports(Interface::Mouse)
    }

    /// Reports of one interface, put together from their packets.
    fn reports(&mut self, interface: Interface) -> Vec<Vec<u8>> {
        let mut reports = vec![Vec::new()];
        for said in self.said() {
            assert_eq!((said.kind, said.body[1]), (kind::INTERRUPT, 0));
            if said.body[0] == interface.endpoint() {
                let data = &said.body[4..];
                assert_eq!(usize::from(packet::u16_at(&said.body, 2)), data.len());
                reports.last_mut().unwrap().extend(data);
                if data.len() < 16 {
                    reports.push(Vec::new());
                }
            }
        }
        assert_eq!(reports.pop(), Some(vec![]), "a report that does not end");
        reports
    }
}

fn code(number: u16) -> Code {
    Code::new(number).unwrap()
}

#[test]
fn the_first_words_are_those_of_the_protocol() {
    let mut out = Vec::new();
    let mut device = Device::new(&mut out);
    assert_eq!(out[..12], words(&[0, 68, 0])[..]);
    assert!(out[12..].starts_with(b"frame-rx 0.") && out[75] == 0, "{out:?}");
    // Version of the device, filter, sizes of endpoints, ids of 64 bits, lengths of 32 bits.
    assert_eq!(out[76..], words(&[0b111_0110])[..]);
    out.clear();
    let hello = hello(0xff);
    assert_eq!(device.hear(&hello, NOW, &mut out).unwrap(), hello.len());
    assert!(device.is_met() && !device.lanes().any());
    let mut expected = words(&[5, 160, 0, 0]);
    let mut types = [255; 32];
    for (at, kind) in [(0, 0), (16, 0), (17, 3), (18, 3), (19, 3), (20, 3), (21, 3)] {
        types[at] = kind;
    }
    let mut intervals = [0; 32];
    intervals[17..22].fill(1);
    let mut interfaces = [0; 32];
    interfaces[17..21].copy_from_slice(&[0, 1, 2, 3]);
    let mut sizes = [0_u8; 64];
    (sizes[0], sizes[32]) = (64, 64);
    for at in [34, 36, 38, 40] {
        sizes[at] = 16;
    }
    // The one that guests are not told of.
    sizes[42] = 64;
    expected.extend([&types[..], &intervals, &interfaces, &sizes].concat());
    expected.extend(words(&[4, 132, 0, 0, 4]));
    for first in [[0, 1, 2, 3], [3, 3, 3, 3], [0, 0, 1, 0], [0, 0, 1, 0]] {
        expected.extend(first);
        expected.extend([0; 28]);
    }
    expected.extend(words(&[1, 10, 0, 0]));
    expected.extend([2, 0, 0, 0, 0x09, 0x12, 0x01, 0x00, 0x00, 0x01]);
    assert_eq!(out, expected);
}

#[test]
fn one_who_speaks_something_else_or_too_old_a_version_is_not_listened_to() {
    let check = |bytes: &[u8], is: fn(&SinkError) -> bool| {
        let mut bench = Bench { device: Device::new(&mut Vec::new()), out: Vec::new() };
        let error = bench.say(bytes).unwrap_err();
        assert!(is(&error) && bench.out.is_empty(), "{error}");
    };
    check(&hello(0b10), |e| matches!(e, SinkError::Garbage(_)));
    check(&words(&[0, 4, 0, 0]), |e| matches!(e, SinkError::Garbage(_)));
    check(&packet(kind::RESET, 0, &[0; 8]), |e| matches!(e, SinkError::Garbage(_)));
    check(&[0x55; 400], |e| matches!(e, SinkError::TooLarge { got: 0x5555_5555, .. }));
    let mut bench = Bench::met();
    assert!(bench.say(&packet(kind::HELLO, 0, &[0; 68])).is_err(), "a second HELLO");
    assert!(matches!(Bench::met().say(&packet(kind::FILTER_REJECT, 0, &[])), Err(SinkError::Missing(_))));
}

#[test]
fn the_descriptors_fit_each_other() {
    let mut bench = Bench::met();
    let device = bench.control(0x80, 6, 0x0100, 0, 64, &[]);
    assert_eq!((device.0, device.1.len(), device.1[0]), (0, 18, 18));
    let head = bench.control(0x80, 6, 0x0200, 0, 9, &[]).1;
    let total = packet::u16_at(&head, 2);
    let all = bench.control(0x80, 6, 0x0200, 0, 512, &[]).1;
    assert_eq!((head.len(), all.len(), usize::from(total)), (9, 9 + 4 * 25, all.len()));
    let mut at = 0;
    while at < all.len() {
        at += usize::from(all[at]);
    }
    assert_eq!(at, all.len());
    for (n, interface) in Interface::ALL.iter().enumerate() {
        let hid = &all[9 + n * 25 + 9..][..9];
        let (status, report) = bench.control(0x81, 6, 0x2200, n as u16, 1024, &[]);
        assert_eq!((status, usize::from(packet::u16_at(hid, 7))), (0, report.len()), "{interface:?}");
        assert_eq!(bench.control(0x81, 6, 0x2100, n as u16, 9, &[]).1, hid);
    }
    assert_eq!(bench.control(0x80, 6, 0x0300, 0, 255, &[]).1, [4, 3, 9, 4]);
    assert_eq!(bench.control(0x80, 6, 0x0301, 0x409, 255, &[]).1[..4], [18, 3, b'f', 0]);
    assert_eq!(bench.control(0x80, 6, 0x0600, 0, 10, &[]).1.len(), 10);
    for unknown in [(0x80, 6, 0x0700, 0), (0x81, 6, 0x2200, 9), (0x80, 6, 0x0305, 0), (0xc0, 1, 0, 0), (0x00, 3, 1, 0)]
    {
        let (kind, request, value, index) = unknown;
        assert_eq!(bench.control(kind, request, value, index, 64, &[]), (4, vec![]), "{unknown:?}");
    }
}

/// Bits that each report has by its descriptor, for each kind of main item: input, output, feature.
fn bits_of(descriptor: &[u8]) -> BTreeMap<(u8, u8), u32> {
    let (mut bits, mut size, mut count, mut id, mut at) = (BTreeMap::new(), 0, 0, 0, 0);
    while at < descriptor.len() {
        let (tag, length) = (descriptor[at] & 0xfc, [0, 1, 2, 4][usize::from(descriptor[at] & 3)]);
        let first = u32::from(*descriptor.get(at + 1).unwrap_or(&0));
        match tag {
            0x74 => size = first,
            0x94 => count = first,
            0x84 => id = first as u8,
            0x80 | 0x90 | 0xb0 => *bits.entry((id, tag)).or_default() += size * count,
            _ => {}
        }
        at += 1 + length;
    }
    assert_eq!(at, descriptor.len());
    bits
}

#[test]
fn reports_are_as_long_as_the_descriptors_say() {
    let pressed = Pressed::default();
    let (still, level) = (Motion::default(), Wheel::default());
    let bytes = |report: Report| 8 * report.bytes().len() as u32;
    let check = |interface: Interface, expected: &[((u8, u8), u32)]| {
        let bits = bits_of(&interface.report_descriptor());
        assert_eq!(bits, expected.iter().copied().collect(), "{interface:?}");
    };
    check(Interface::Keyboard, &[((0, 0x80), bytes(pressed.keyboard())), ((0, 0x90), 8)]);
    check(Interface::Mouse, &[((0, 0x80), bytes(pressed.mouse(still, level))), ((0, 0xb0), 8)]);
    // Less the byte with the report's number.
    check(Interface::Controls, &[((1, 0x80), bytes(pressed.consumer()) - 8), ((2, 0x80), bytes(pressed.system()) - 8)]);
    check(Interface::Pointer, &[((0, 0x80), bytes(pressed.pointer()))]);
}

#[test]
fn every_key_of_the_table_that_has_a_usage_is_told_as_itself() {
    let mut bench = Bench::live();
    let mut seen = BTreeMap::new();
    for code in keymap::keys() {
        let interface = match keymap::usage(code) {
            Usage::None => {
                assert_eq!(bench.edge(code, true), Sent::Unknown);
                continue;
            }
            Usage::Keyboard(_) => Interface::Keyboard,
            Usage::Consumer(_) | Usage::System(_) => Interface::Controls,
        };
        assert_eq!(bench.edge(code, true), Sent::Taken, "{:?}", keymap::name(code));
        let down = bench.reports(interface);
        assert_eq!(bench.edge(code, false), Sent::Taken);
        let up = bench.reports(interface);
        assert_eq!((down.len(), up.len()), (1, 1));
        let set: u32 = down[0].iter().zip(&up[0]).map(|(a, b)| (a ^ b).count_ones()).sum();
        assert_eq!(set, 1, "one bit for {:?}", keymap::name(code));
        assert_eq!(seen.insert((interface as u8, down[0].clone()), code), None);
        // The bit is where the descriptor has the usage.
        if let Usage::Keyboard(usage) = keymap::usage(code) {
            let bit = if usage >= 0xe0 { usize::from(usage - 0xe0) } else { 8 + usize::from(usage - 4) };
            assert_ne!(down[0][bit / 8] & 1 << (bit % 8), 0);
        }
    }
    assert!(seen.len() > 150, "{} keys", seen.len());
}

#[test]
fn all_buttons_and_both_wheels_are_told() {
    let mut bench = Bench::live();
    for bit in 0..16 {
        let button = code(0x110 + bit);
        assert_eq!(bench.edge(button, true), Sent::Taken);
        assert_eq!(bench.reports(Interface::Mouse), [[&(1_u16 << bit).to_le_bytes()[..], &[0; 8]].concat()]);
        bench.edge(button, false);
        assert_eq!(bench.reports(Interface::Mouse), [[0; 10]]);
    }
    assert_eq!((bench.edge(code(0x120), true), bench.edge(code(0x10f), true)), (Sent::Unknown, Sent::Unknown));
    assert_eq!(bench.device.wheel_units(), 120);
    let wheel = Wheel { vertical: 30, horizontal: -60 };
    let moved = bench.moved(Move { motion: Motion { dx: 500, dy: -300 }, position: None, wheel });
    assert_eq!(moved, [[0, 0, 0xf4, 1, 0xd4, 0xfe, 30, 0, 0xc4, 0xff]]);
    assert_eq!(bench.moved(Move::default()), Vec::<Vec<u8>>::new());
}

#[test]
fn a_guest_that_wants_no_fractions_of_one_wheel_gets_detents_of_it() {
    let mut bench = Bench::live();
    assert_eq!(bench.control(0xa1, 1, 0x0300, 0, 1, &[]), (0, vec![0x05]));
    bench.control(0x21, 9, 0x0300, 0, 1, &[0x01]);
    assert_eq!(bench.device.wheel_units(), 1);
    let moved = bench.moved(Move { wheel: Wheel { vertical: 2, horizontal: -1 }, ..Move::default() });
    assert_eq!(moved, [[0, 0, 0, 0, 0, 0, 240, 0, 0xff, 0xff]]);
}

#[test]
fn a_long_way_is_told_in_several_reports_and_nonsense_in_few() {
    let mut bench = Bench::live();
    let far = |dx| Move { motion: Motion { dx, dy: 0 }, ..Move::default() };
    let sum =
        |reports: Vec<Vec<u8>>| -> i64 { reports.iter().map(|r| i64::from(i16::from_le_bytes([r[2], r[3]]))).sum() };
    assert_eq!(sum(bench.moved(far(100_000))), 100_000);
    assert_eq!(sum(bench.moved(far(-40_000))), -40_000);
    assert_eq!(bench.moved(far(i32::MAX)).len(), 16);
    bench.device.moved(&far(i32::MIN), NOW, &mut bench.out);
    assert!(bench.out.len() <= STEP_MAX, "{} bytes", bench.out.len());
}

#[test]
fn a_place_is_told_by_the_pointer_and_not_by_the_mouse() {
    let mut bench = Bench::live();
    let place = Move { position: Some(Position { x: 32_767, y: 258 }), ..Move::default() };
    bench.device.moved(&place, NOW, &mut bench.out);
    assert_eq!(bench.reports(Interface::Pointer), [[0, 0xff, 0x7f, 2, 1]]);
}

#[test]
fn what_was_pressed_before_the_guest_listened_is_told_when_it_does() {
    let mut bench = Bench::met();
    bench.edge(Code::LEFT_CTRL, true);
    bench.edge(code(30), true);
    assert_eq!(bench.said(), []);
    let said = bench.start(Interface::Keyboard);
    assert_eq!(said[0], Said { kind: kind::INTERRUPT_STATUS, id: 9, body: vec![0, 0x83] });
    assert_eq!((said[1].body.len(), said[1].body[4], said[1].body[5]), (20, 1, 1));
    assert_eq!(said[2].body[2..4], [12, 0], "28 bytes are 16 and 12");
    // A release of what is up is said too: whoever asks for it fears that the first was lost.
    bench.edge(code(30), false);
    bench.edge(code(30), false);
    assert_eq!(bench.reports(Interface::Keyboard).len(), 2);
    // After a reset, as at a reboot, nothing is said until the guest listens again.
    bench.say(&packet(kind::RESET, 3, &[])).unwrap();
    bench.edge(Code::LEFT_CTRL, false);
    assert_eq!((bench.said(), bench.device.lanes().any()), (vec![], false));
    assert_eq!(bench.start(Interface::Keyboard)[1].body[4], 0);
}

#[test]
fn a_guest_that_does_not_listen_at_once_is_told_again_twice() {
    let mut bench = Bench::met();
    bench.edge(code(30), true);
    bench.start(Interface::Keyboard);
    for after in AGAIN {
        assert_eq!(bench.device.due(), Some(NOW + after));
        bench.device.tick(NOW + after - Duration::from_millis(1), &mut bench.out);
        assert_eq!(bench.said(), []);
        bench.device.tick(NOW + after, &mut bench.out);
        assert_eq!(bench.reports(Interface::Keyboard)[0][1], 1);
    }
    assert_eq!(bench.device.due(), None);
}

#[test]
fn firmware_gets_boot_reports_with_six_keys() {
    let mut bench = Bench::live();
    assert_eq!(bench.control(0xa1, 3, 0, 2, 1, &[]), (0, vec![1]));
    assert_eq!(bench.control(0x21, 11, 0, 2, 0, &[]), (0, vec![]));
    assert_eq!(bench.control(0x21, 11, 0, 0, 0, &[]).0, 4, "the mouse has no boot protocol");
    bench.edge(code(42), true);
    let mut last = Vec::new();
    for number in [30, 48, 46, 32, 18, 33] {
        bench.edge(code(number), true);
        last = bench.reports(Interface::Keyboard).pop().unwrap();
    }
    assert_eq!(last, [2, 0, 4, 5, 6, 7, 8, 9]);
    bench.edge(code(34), true);
    assert_eq!(bench.reports(Interface::Keyboard), [[2, 0, 1, 1, 1, 1, 1, 1]]);
    bench.say(&packet(kind::RESET, 3, &[])).unwrap();
    assert_eq!(bench.control(0xa1, 3, 0, 2, 1, &[]), (0, vec![1]), "a reset brings the other protocol back");
}

#[test]
fn a_guest_that_wants_repeated_reports_gets_them_while_a_key_is_down() {
    let mut bench = Bench::live();
    assert_eq!(bench.control(0x21, 10, 0x0800, 0, 0, &[]), (0, vec![]));
    assert_eq!(bench.control(0xa1, 2, 0, 2, 1, &[]), (0, vec![8]));
    assert_eq!(bench.device.due(), None);
    bench.edge(code(30), true);
    bench.said();
    let due = bench.device.due().unwrap();
    assert_eq!(due, NOW + Duration::from_millis(32));
    bench.device.tick(NOW + Duration::from_millis(31), &mut bench.out);
    assert_eq!(bench.said(), []);
    bench.device.tick(due, &mut bench.out);
    assert_eq!(bench.reports(Interface::Keyboard).len(), 1);
    assert_eq!(bench.device.due(), Some(due + Duration::from_millis(32)));
}

#[test]
fn lamps_are_heard() {
    let mut bench = Bench::live();
    for (byte, leds) in [
        (1, Leds { num: true, ..Leds::default() }),
        (2, Leds { caps: true, ..Leds::default() }),
        (0xe4, Leds { scroll: true, ..Leds::default() }),
    ] {
        assert_eq!(bench.control(0x21, 9, 0x0200, 2, 1, &[byte]), (0, vec![]));
        assert_eq!(bench.device.leds(), leds);
        assert_eq!(bench.control(0xa1, 1, 0x0200, 2, 1, &[]).1, [byte & 0x1f]);
    }
    assert_eq!(bench.control(0x21, 9, 0x0200, 2, 0, &[]).0, 4, "no byte came");
}

#[test]
fn the_other_questions_of_usbredir_are_answered() {
    let mut bench = Bench::met();
    let mut check = |kind: u32, body: &[u8], answer: u32, expected: &[u8]| {
        bench.say(&packet(kind, 5, body)).unwrap();
        assert_eq!(bench.said(), [Said { kind: answer, id: 5, body: expected.to_vec() }], "{kind}");
    };
    check(kind::SET_CONFIGURATION, &[1], kind::CONFIGURATION_STATUS, &[0, 1]);
    check(kind::SET_CONFIGURATION, &[2], kind::CONFIGURATION_STATUS, &[4, 1]);
    check(kind::GET_CONFIGURATION, &[], kind::CONFIGURATION_STATUS, &[0, 1]);
    check(kind::SET_ALT_SETTING, &[3, 0], kind::ALT_SETTING_STATUS, &[0, 3, 0]);
    check(kind::SET_ALT_SETTING, &[3, 1], kind::ALT_SETTING_STATUS, &[4, 3, 0]);
    check(kind::GET_ALT_SETTING, &[2], kind::ALT_SETTING_STATUS, &[0, 2, 0]);
    check(kind::START_INTERRUPT, &[0x85], kind::INTERRUPT_STATUS, &[4, 0x85]);
    check(kind::STOP_INTERRUPT, &[0x81], kind::INTERRUPT_STATUS, &[0, 0x81]);
    check(kind::INTERRUPT, &[1, 0, 2, 0, 9, 9], kind::INTERRUPT, &[1, 4, 0, 0]);
    for silent in [kind::CANCEL, kind::RESET, 23, 4711] {
        bench.say(&packet(silent, 5, &[0; 40])).unwrap();
        assert_eq!(bench.said(), []);
    }
}

#[test]
fn nothing_prints_what_is_pressed() {
    let after = |number| {
        let mut bench = Bench::live();
        bench.edge(code(number), true);
        format!("{:?} {:?}", bench.device, bench.device.guest.pressed.keyboard())
    };
    assert_eq!(after(30), after(48));
}

proptest! {
    /// Whatever comes in whatever pieces: no panic, no growth, and an answer that is bounded.
    #[test]
    fn garbage_in_any_pieces_does_no_harm(
        parts in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..300), 0_u32..700), 0..40),
        cuts in prop::collection::vec(1_usize..50, 1..20),
        is_met in any::<bool>(),
    ) {
        let mut device = Device::new(&mut Vec::new());
        let mut bytes = if is_met { hello(0xff) } else { Vec::new() };
        for (kind, body, lie) in &parts {
            let known = [0, 3, 6, 7, 9, 10, 15, 16, 21, 100, 100, 100, 101, 103, 5000];
            let kind = known[usize::from(*kind) % known.len()];
            let length = if *lie < 600 { body.len() as u32 } else { *lie };
            bytes.extend(words(&[kind, length, 1, 0]));
            bytes.extend(body);
        }
        let (mut at, mut n) = (0, 0);
        while at < bytes.len() {
            let end = (at + cuts[n % cuts.len()]).min(bytes.len());
            n += 1;
            let mut out = Vec::new();
            match device.hear(&bytes[at..end], NOW, &mut out) {
                Ok(taken) => {
                    prop_assert!(taken > 0 && taken <= end - at);
                    at += taken;
                }
                Err(_) => break,
            }
            prop_assert!(out.len() <= ANSWER_MAX, "{} bytes", out.len());
        }
    }

    /// The last report says exactly what is held, whatever came before and whenever the guest began to listen.
    #[test]
    fn the_last_report_is_the_truth(
        edges in prop::collection::vec((1_u16..0x120, any::<bool>()), 1..60),
        listens_after in 0_usize..60,
    ) {
        let mut bench = Bench::met();
        let (mut held, mut last) = (CodeSet::EMPTY, vec![0; 28]);
        for (n, (number, is_down)) in edges.iter().enumerate() {
            if n == listens_after {
                bench.start(Interface::Keyboard);
                bench.edge(code(42), false);
                held.remove(code(42));
                last = bench.reports(Interface::Keyboard).pop().unwrap();
            }
            let code = code(*number);
            if bench.edge(code, *is_down) == Sent::Taken && matches!(keymap::usage(code), Usage::Keyboard(_)) {
                if *is_down { held.insert(code); } else { held.remove(code); }
            }
            last = bench.reports(Interface::Keyboard).pop().unwrap_or(last);
        }
        if edges.len() > listens_after {
            let bits: u32 = last.iter().map(|byte| byte.count_ones()).sum();
            prop_assert_eq!(bits as usize, held.len());
        }
    }
}

/// All packets of a stream, which ends with the last of them. `is_wide`: its ids have 64 bits.
fn parsed(stream: &[u8], is_wide: bool) -> Vec<(u32, Vec<u8>)> {
    let (mut parser, mut at, mut all) = (Parser::new(), 0, Vec::new());
    if is_wide {
        parser.widen();
    }
    while at < stream.len() {
        let (taken, head) = parser.take(&stream[at..]).unwrap();
        at += taken;
        let kind = head.expect("whole packets").kind;
        all.push((kind, parser.body().to_vec()));
    }
    all
}

/// What a SPICE server may keep of one client and give to QEMU before the next one's HELLO, when ids are short.
#[test]
fn a_sheltered_report_is_itself_where_ids_are_long_and_a_report_to_nowhere_where_they_are_short() {
    let mut bench = Bench::live();
    for code in [30, 0x110, 115, 116].map(|number| Code::new(number).unwrap()) {
        bench.device.edge(Edge { code, is_down: true }, NOW, &mut bench.out);
    }
    bench.device.moved(&Move { motion: Motion { dx: 3, dy: -70_000 }, ..Move::default() }, NOW, &mut bench.out);
    let position = Some(Position { x: 100, y: 200 });
    bench.device.moved(&Move { position, ..Move::default() }, NOW, &mut bench.out);
    let (mut seen, mut stream) = (0, Vec::new());
    for packet in packet::each(&bench.out) {
        let mut message = Vec::new();
        packet::put_sheltered(packet, &mut message);
        assert!(message.len() + 6 <= packet.len() * packet::SHELTER);
        let wide = parsed(&message, true);
        let [(first, status), (second, report), (third, dropped)] = &wide[..] else { panic!("{wide:?}") };
        assert_eq!((*first, *second, *third), (kind::ISO_STATUS, kind::INTERRUPT, kind::INTERRUPT));
        assert_eq!((&status[..], &report[..], dropped[0]), (&[0, 0][..], &packet[16..], packet::NOWHERE));
        assert_eq!(usize::from(packet::u16_at(dropped, 2)), dropped.len() - 4);
        seen |= 1 << (report[0] & 0x0f);
        stream.extend(message);
    }
    assert_eq!(seen, 0b11110, "of all endpoints");
    let narrow = parsed(&stream, false);
    for pair in narrow.chunks(2) {
        let [(first, status), (second, report)] = pair else { panic!("{pair:?}") };
        assert_eq!((*first, &status[..], *second), (kind::ISO_STATUS, &[0, 0][..], kind::INTERRUPT));
        assert_eq!((report[0], report[1]), (packet::NOWHERE, 0));
        assert_eq!(usize::from(packet::u16_at(report, 2)), report.len() - 4);
    }
    assert!(Interface::ALL.iter().all(|interface| interface.endpoint() != packet::NOWHERE));
}

#[test]
fn what_is_no_report_goes_as_it_is() {
    let mut out = Vec::new();
    let mut device = Device::new(&mut out);
    device.hear(&hello(0xff), NOW, &mut out).unwrap();
    let mut message = Vec::new();
    packet::each(&out).for_each(|packet| packet::put_sheltered(packet, &mut message));
    assert_eq!((packet::each(&out).count(), message), (4, out.clone()));
    let refusal = packet(kind::INTERRUPT, 0x1234_5678, &[1, 4, 0, 0]);
    let mut message = Vec::new();
    packet::put_sheltered(&refusal, &mut message);
    assert_eq!(message, refusal);
    assert_eq!(packet::each(&[]).count() + packet::each(&out[..7]).count(), 0);
}
