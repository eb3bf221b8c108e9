//! A sentence for each picture: which region, how many slots, and what they cost. Pure.

use super::CellRow;
use super::reader::Behaviour;
use super::sweep::Subject;
use crate::protocol::{self, Protocol};
use shm_proto::kvmfr::sizes::{MIB, device_mib};
use std::fmt::Write;

/// Shares below this are none. Unit: percent.
const NOTHING_PERCENT: f64 = 0.05;

/// Whoever may hold up a guest, and how they are called here.
const DISTURBED: [(Behaviour, &str); 2] =
    [(Behaviour::Stalls, "a reader that stalls for 5 ms"), (Behaviour::SlowScreen, "one paced by a 60 Hz screen")];

/// The advice for a picture, from the cells that were measured for it.
pub fn sentence(subject: &Subject, rows: &[CellRow]) -> Option<String> {
    let parts: Vec<String> =
        protocol::ALL.into_iter().filter_map(|protocol| for_protocol(subject, protocol, rows)).collect();
    if parts.is_empty() {
        return None;
    }
    let name = format!("{} {} at {} Hz", subject.mode.size(), subject.pixel, subject.mode.rate_hz);
    Some(format!("{name}: {}.", parts.join("; ")))
}

fn for_protocol(subject: &Subject, protocol: &dyn Protocol, rows: &[CellRow]) -> Option<String> {
    let spec = subject.spec();
    let of = |slots: u32, behaviour: Behaviour| {
        rows.iter().find(|row| row.protocol == protocol.name() && row.slots == slots && row.reader == behaviour.name())
    };
    let mut slots: Vec<u32> = rows.iter().filter(|row| row.protocol == protocol.name()).map(|row| row.slots).collect();
    slots.sort_unstable();
    slots.dedup();
    if slots.is_empty() {
        return None;
    }
    let mib = |slots| protocol.needed_bytes(&spec, slots).map(device_mib);
    if let Some(stock) = protocol.stock_slots() {
        // A manual may say less than its program needs: that of KVMFR 34 does at 1280x720 and 1920x1200.
        let give = mib(stock)?.max(protocol.documented_mib(&spec).unwrap_or(0));
        let mut text = format!("{} {give} MiB, {stock} slots", protocol.name());
        for (behaviour, who) in DISTURBED {
            let Some(row) = of(stock, behaviour) else { continue };
            let percent = row.outcome.stalled_percent();
            let rate = row.mode.split_once('@').map_or("", |(_, rate)| rate);
            let faster =
                if rate == subject.mode.rate_hz.to_string() { String::new() } else { format!(" at {rate} Hz") };
            if percent < NOTHING_PERCENT {
                let _ = write!(text, ", {who} holds up no frame{faster}");
                continue;
            }
            let _ = write!(text, ", {who} holds up {percent:.1} % of the frames{faster}");
            let more = slots.iter().copied().filter(|n| *n > stock);
            let better = more.filter_map(|n| Some((n, of(n, behaviour)?.outcome.stalled_percent())));
            let enough = better.clone().find(|(_, p)| *p < NOTHING_PERCENT);
            match enough.or_else(|| better.min_by(|a, b| a.1.total_cmp(&b.1))) {
                Some((n, left)) if left < percent => {
                    let _ = write!(text, " ({n} slots, {} MiB, would leave {left:.1} %)", mib(n)?);
                }
                _ => {}
            }
        }
        return Some(text);
    }
    // A ring of ours: the fewest slots with which nothing is torn, whoever reads.
    let worst_torn = |n: u32| {
        let behaviours = [Behaviour::KeepsUp, Behaviour::Stalls, Behaviour::TwoReaders];
        let torn = behaviours.into_iter().filter_map(|b| Some(of(n, b)?.outcome.torn_percent()));
        torn.reduce(f64::max)
    };
    let (n, torn) = slots
        .iter()
        .filter_map(|n| Some((*n, worst_torn(*n)?)))
        .reduce(|best, next| if next.1 + NOTHING_PERCENT < best.1 { next } else { best })?;
    let bytes = protocol.needed_bytes(&spec, n)?;
    let mut text = format!("{} {} MiB, {n} slots", protocol.name(), device_mib(bytes));
    if device_mib(bytes) > bytes.div_ceil(MIB) + bytes.div_ceil(MIB) / 8 {
        let _ = write!(text, " (a file of {} MiB is enough)", bytes.div_ceil(MIB));
    }
    let words = if torn < NOTHING_PERCENT { ", nothing is torn".into() } else { format!(", {torn:.1} % are torn") };
    text.push_str(&words);
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::ring_size::cell::Outcome;
    use crate::mode::Mode;
    use shm_proto::kvmfr::PixelType;

    fn row(protocol: &str, slots: u32, reader: Behaviour, stalled: u64, torn: u64) -> CellRow {
        let outcome = Outcome { frames_due: 1000, frames_stalled: stalled, frames_torn: torn, ..Outcome::default() };
        CellRow {
            protocol: protocol.into(),
            mode: "3840x2160@60".into(),
            format: "BGRA".into(),
            slots,
            reader: reader.name().into(),
            region_bytes: 0,
            live: false,
            disturbed: false,
            outcome,
        }
    }

    #[test]
    fn the_sentence_names_size_slots_and_what_more_would_bring() {
        let subject = Subject { mode: Mode::new(3840, 2160, 60), pixel: PixelType::Bgra };
        let rows = [
            row("lgmp6", 2, Behaviour::Stalls, 12, 0),
            row("lgmp6", 3, Behaviour::Stalls, 0, 0),
            row("ring", 2, Behaviour::Stalls, 0, 30),
            row("ring", 3, Behaviour::Stalls, 0, 0),
            row("ring", 4, Behaviour::Stalls, 0, 0),
        ];
        let text = sentence(&subject, &rows).unwrap();
        let expected = "3840x2160 BGRA at 60 Hz: lgmp6 128 MiB, 2 slots, a reader that stalls for 5 ms holds up 1.2 % of the \
                        frames (3 slots, 128 MiB, would leave 0.0 %); ring 128 MiB, 3 slots (a file of 95 MiB is enough), \
                        nothing is torn.";
        assert_eq!(text, expected);
        assert_eq!(sentence(&subject, &[]), None);
        let small = Subject { mode: Mode::new(1280, 720, 60), pixel: PixelType::Bgra };
        let text = sentence(&small, &[row("lgmp12", 3, Behaviour::Stalls, 0, 0)]).unwrap();
        assert!(text.contains("lgmp12 32 MiB, 3 slots"), "the manual says 16: {text}");
    }
}
