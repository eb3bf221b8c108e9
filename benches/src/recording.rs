//! What recorded pictures say (`frame-rx --record`): how often they came and how regularly, how much of each was new, which
//! sizes they had, and which region they need. Files are read picture by picture, two of which are held, and trusted as
//! little as a guest.

use crate::figure::{Better, Figure, Table};
use crate::report::CaseReport;
use frame_rx::picture::{PictureFormat, PixelFormat};
use frame_rx::record::{Frame, PlayError, Player};
use hdrhistogram::Histogram;
use rx_host::exit::{Explain, Failure};
use shm_proto::kvmfr::{PixelType, sizes};
use std::collections::BTreeMap;
use std::io::Read;

const HINT: &str = "recordings of pictures are made by `frame-rx run --record DIR`";
/// The longest time between two pictures that is told apart. Unit: µs. Longer ones count as this.
const MAX_US: u64 = 600_000_000;
/// Sizes and formats of one recording that are told apart; a guest that changes more often is told as "and others".
const MAX_FORMATS: usize = 16;
/// A guest that rested for so long was not late. Unit: µs.
const REST_US: u64 = 250_000;

/// What a recording said.
#[derive(Debug)]
struct Account {
    pictures: u64,
    bytes: u64,
    first_ns: u64,
    last: Option<Frame>,
    unseen: u64,
    same: u64,
    backwards: u64,
    apart_us: Histogram<u64>,
    /// Distances, to judge them by the most usual one. Bounded: see [`Account::add`].
    gaps_us: Vec<u64>,
    /// Of ten thousand.
    new_rows: Histogram<u64>,
    new_pixels: Histogram<u64>,
    formats: BTreeMap<String, (u64, u64)>,
    others: u64,
}

/// Distances that are kept to judge them: an hour and more of pictures.
const MAX_GAPS: usize = 1 << 20;
const WHOLE: u64 = 10_000;

impl Account {
    fn new() -> anyhow::Result<Account> {
        Ok(Account {
            pictures: 0,
            bytes: 0,
            first_ns: 0,
            last: None,
            unseen: 0,
            same: 0,
            backwards: 0,
            apart_us: Histogram::new_with_bounds(1, MAX_US, 3)?,
            gaps_us: Vec::new(),
            new_rows: Histogram::new_with_bounds(1, WHOLE, 3)?,
            new_pixels: Histogram::new_with_bounds(1, WHOLE, 3)?,
            formats: BTreeMap::new(),
            others: 0,
        })
    }

    fn add(&mut self, frame: Frame) {
        self.pictures += 1;
        self.bytes = self.bytes.saturating_add(frame.rows.len() as u64);
        self.note_format(&frame.format);
        match &self.last {
            None => self.first_ns = frame.found_ns,
            Some(before) => {
                self.unseen = self.unseen.saturating_add(frame.number.saturating_sub(before.number).saturating_sub(1));
                match frame.found_ns.checked_sub(before.found_ns) {
                    Some(ns) => {
                        self.apart_us.saturating_record(ns / 1000);
                        if self.gaps_us.len() < MAX_GAPS {
                            self.gaps_us.push(ns / 1000);
                        }
                    }
                    None => self.backwards += 1,
                }
                if before.format == frame.format {
                    let (rows, pixels) = changed(before, &frame);
                    self.new_rows.saturating_record(rows);
                    self.new_pixels.saturating_record(pixels);
                    self.same += u64::from(pixels == 0);
                }
            }
        }
        self.last = Some(frame);
    }

    fn note_format(&mut self, format: &PictureFormat) {
        let name = format!("{} {:?}", format.stored, format.pixel);
        if let Some((count, _)) = self.formats.get_mut(&name) {
            *count += 1;
        } else if self.formats.len() < MAX_FORMATS {
            // What is recorded has 32 bits for a pixel, whatever the guest had.
            let (width, height) = (format.stored.width, format.stored.height);
            let pixel = if format.pixel == PixelFormat::Rgba16F { PixelType::Rgba16F } else { PixelType::Bgra };
            self.formats.insert(name, (1, sizes::b7_documented_mib(width, height, pixel)));
        } else {
            self.others += 1;
        }
    }

    fn report(&self, name: &str) -> CaseReport {
        let mut report = CaseReport::new(name);
        let mut add =
            |id: &str, value: f64, unit: &str, better| report.figures.push(Figure::exact(id, value, unit, better));
        let end_ns = self.last.as_ref().map_or(0, |last| last.found_ns);
        let seconds = end_ns.saturating_sub(self.first_ns) as f64 * 1e-9;
        add("length", seconds, "s", Better::Neither);
        add("pictures", self.pictures as f64, "in all", Better::Neither);
        if seconds > 0.0 {
            add("rate", (self.pictures - 1) as f64 / seconds, "1/s", Better::Neither);
            add("bytes", self.bytes as f64 / seconds / 1e6, "MB/s", Better::Neither);
        }
        add("pictures not in it, by their numbers", self.unseen as f64, "in all", Better::Lower);
        add("pictures in which nothing is new", self.same as f64, "in all", Better::Neither);
        add("times that run backwards", self.backwards as f64, "in all", Better::Lower);
        let ms = |histogram: &Histogram<u64>, quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        if !self.apart_us.is_empty() {
            for (id, quantile) in [("apart p50", 0.5), ("apart p99", 0.99)] {
                add(id, ms(&self.apart_us, quantile), "ms", Better::Neither);
            }
            add("apart max", self.apart_us.max() as f64 / 1e3, "ms", Better::Neither);
        }
        if let Some((late, beat_us)) = self.lateness() {
            add("beat", beat_us as f64 / 1e3, "ms", Better::Neither);
            for (id, quantile) in [("off the beat p50", 0.5), ("off the beat p99", 0.99)] {
                add(id, ms(&late, quantile), "ms", Better::Lower);
            }
            add("off the beat max", late.max() as f64 / 1e3, "ms", Better::Lower);
        }
        let percent = |histogram: &Histogram<u64>, quantile| histogram.value_at_quantile(quantile) as f64 / 100.0;
        for (what, histogram) in [("rows", &self.new_rows), ("pixels", &self.new_pixels)] {
            if !histogram.is_empty() {
                add(&format!("new {what} p50"), percent(histogram, 0.5), "%", Better::Neither);
                add(&format!("new {what} p99"), percent(histogram, 0.99), "%", Better::Neither);
                let mean = (histogram.mean() * 100.0).round() / 1e4;
                add(&format!("new {what}, mean"), mean, "%", Better::Neither);
            }
        }
        let mut table = Table::new("Sizes", &["picture", "times", "region by the manual of B7, MiB"]);
        table.rows = self.formats.iter().map(|(n, (c, mib))| vec![n.clone(), c.to_string(), mib.to_string()]).collect();
        if self.others > 0 {
            table.rows.push(vec!["others".into(), self.others.to_string(), String::new()]);
        }
        report.tables.push(table);
        report
    }

    /// How far each picture came off the beat of the one before, if there is one: the usual distance is the beat, and a
    /// picture may come some beats later, since nothing changed. With the beat. Unit: µs.
    fn lateness(&self) -> Option<(Histogram<u64>, u64)> {
        let mut sorted = self.gaps_us.clone();
        sorted.sort_unstable();
        let beat_us = sorted.get(sorted.len() / 2).copied().filter(|beat| (1..REST_US).contains(beat))?;
        let mut off = Histogram::new_with_bounds(1, MAX_US, 3).ok()?;
        for gap in self.gaps_us.iter().filter(|gap| **gap < REST_US) {
            let beats = ((gap + beat_us / 2) / beat_us).max(1);
            off.saturating_record(gap.abs_diff(beats * beat_us));
        }
        (!off.is_empty()).then_some((off, beat_us))
    }
}

/// Rows and pixels of a picture that are not those of the one before, of ten thousand; at least one if any are.
fn changed(before: &Frame, now: &Frame) -> (u64, u64) {
    let row_bytes = (now.format.row_bytes() as usize).max(1);
    let pixel_bytes = (now.format.pixel.slot_bytes() as usize).max(1);
    let (mut rows, mut pixels) = (0u64, 0u64);
    for (a, b) in before.rows.chunks(row_bytes).zip(now.rows.chunks(row_bytes)).filter(|(a, b)| a != b) {
        rows += 1;
        pixels += a.chunks(pixel_bytes).zip(b.chunks(pixel_bytes)).filter(|(a, b)| a != b).count() as u64;
    }
    let share = |part: u64, of: u64| (part * WHOLE).div_ceil(of.max(1));
    let all = now.format.stored.width as u64 * u64::from(now.format.stored.height);
    (share(rows, now.format.stored.height.into()), share(pixels, all))
}

/// The account of one recording, and what is wrong with it if it breaks off in the middle.
///
/// # Errors
/// [`Failure`] with exit code 2 if it is no recording, of another version, or holds no picture.
pub fn read(name: &str, from: impl Read) -> anyhow::Result<(CaseReport, Option<Failure>)> {
    let mut player = Player::open(from).or_environment(format!("cannot replay {name}"), HINT)?;
    let (mut account, mut torn) = (Account::new()?, None);
    loop {
        match player.next_frame() {
            Ok(Some(frame)) => account.add(frame),
            Ok(None) => break,
            Err(e) => {
                let what = format!("{name} is torn behind picture {}", account.pictures);
                let hint = match e {
                    PlayError::Read(_) => {
                        "record again, and end frame-rx by Ctrl-C or by closing its window, not by a kill"
                    }
                    PlayError::Foreign | PlayError::Corrupt { .. } => "the file was changed or damaged: record again",
                };
                torn = Some(Failure::environment(what, hint).because(e));
                break;
            }
        }
    }
    if account.pictures == 0 {
        return Err(match torn {
            Some(failure) => failure.into(),
            None => {
                let hint = "the guest has to draw while frame-rx records: `frame-rx run --record DIR`";
                Failure::environment(format!("{name} is an empty recording"), hint).into()
            }
        });
    }
    Ok((account.report(name), torn))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rx_host::exit::{Exit, classify};

    const HEAD: [u8; 16] = *b"RXFRAMES\x01\0\0\0\0\0\0\0";

    /// As frame-rx writes them: number, when it was found in ms, and a value for each row of four pixels.
    fn recording(pictures: &[(u64, u64, [u8; 4])]) -> Vec<u8> {
        let mut bytes = HEAD.to_vec();
        for (number, found_ms, rows) in pictures {
            bytes.extend(b"RXF1");
            for word in [4u32, 4, 0, 0, 0] {
                bytes.extend(word.to_le_bytes());
            }
            let found_ns = found_ms * 1_000_000;
            for long in [*number, 1, found_ns, found_ns + 1, 64] {
                bytes.extend(long.to_le_bytes());
            }
            rows.iter().for_each(|value| bytes.extend([*value; 16]));
        }
        bytes
    }

    fn figure(report: &CaseReport, id: &str) -> f64 {
        report.figures.iter().find(|f| f.id == id).unwrap_or_else(|| panic!("no {id}: {:?}", report.figures)).value
    }

    #[test]
    fn a_recording_says_its_rate_its_damage_and_what_is_missing() {
        let mut pictures: Vec<(u64, u64, [u8; 4])> = (0..101).map(|n| (n, 1000 + 20 * n, [n as u8, 1, 1, 1])).collect();
        // One that is late, one that the recorder missed, and one in which nothing changed.
        pictures[50].1 += 7;
        (80..101).for_each(|n| pictures[n].0 += 1);
        pictures[90].2 = pictures[89].2;
        let (report, torn) = read("a", &recording(&pictures)[..]).unwrap();
        assert!(torn.is_none());
        for (id, expected) in [
            ("length", 2.0),
            ("pictures", 101.0),
            ("rate", 50.0),
            ("pictures not in it, by their numbers", 1.0),
            ("pictures in which nothing is new", 1.0),
            ("new rows p50", 25.0),
            ("new pixels p50", 25.0),
            ("beat", 20.0),
            ("off the beat p50", 0.0),
        ] {
            assert!((figure(&report, id) - expected).abs() <= 0.02, "{id}: {}", figure(&report, id));
        }
        assert!((figure(&report, "off the beat max") - 7.0).abs() < 0.02);
        assert_eq!(report.tables[0].rows, [["4x4 Bgra8", "101", "16"].map(str::to_owned).to_vec()]);
    }

    #[test]
    fn an_empty_and_a_foreign_recording_end_with_code_2_and_what_to_do() {
        for (bytes, words) in [
            (&b""[..], "cannot replay"),
            (b"RXFRAMES\x09\0\0\0\0\0\0\0", "cannot replay"),
            (&HEAD, "is an empty recording"),
            (&recording(&[(1, 1, [0; 4])])[..60], "torn behind picture 0"),
        ] {
            let e = read("x", bytes).unwrap_err();
            let verdict = classify(&e);
            assert_eq!(verdict.exit, Exit::Environment, "{e:#}");
            assert!(e.to_string().contains(words) && verdict.hint.is_some(), "{e:#}");
        }
    }

    #[test]
    fn a_torn_recording_is_told_up_to_there_and_is_a_failure_all_the_same() {
        let whole = recording(&[(1, 10, [0; 4]), (2, 20, [1; 4]), (3, 30, [2; 4])]);
        let (report, torn) = read("x", &whole[..whole.len() - 5]).unwrap();
        let torn = torn.unwrap();
        assert_eq!((figure(&report, "pictures"), torn.exit()), (2.0, Exit::Environment));
        assert!(torn.to_string().contains("torn behind picture 2") && torn.hint().is_some_and(|h| h.contains("again")));
        let mut changed = whole;
        changed[16] = b'X';
        assert!(read("x", &changed[..]).unwrap_err().to_string().contains("torn behind picture 0"));
    }

    #[test]
    fn times_and_numbers_that_make_no_sense_are_counted_and_harm_nothing() {
        let wild = [(u64::MAX, 9_000_000, [0; 4]), (0, 3, [1; 4]), (u64::MAX, 18_000_000_000, [2; 4]), (5, 0, [3; 4])];
        let (report, torn) = read("x", &recording(&wild)[..]).unwrap();
        assert!(torn.is_none() && figure(&report, "times that run backwards") == 2.0);
        assert!(report.figures.iter().all(|f| f.value.is_finite()));
    }
}
