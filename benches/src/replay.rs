//! What a timing file of `scream-rx --dump-timing` says: delay, its spread, steps, gaps, how regularly sound came. Files
//! are streamed in bounded memory and trusted as little as a guest. Recorded pictures go to [`recording`].

use crate::figure::{Better, Figure};
use crate::recording;
use crate::report::CaseReport;
use hdrhistogram::Histogram;
use rx_host::exit::{Explain, Failure};
use scream_rx::timing::{Fill, Phase, Reader, TimingError, What};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Seek};
use std::path::{Path, PathBuf};

/// The longest delay that is told apart. Unit: µs. Longer ones count as this.
const MAX_US: u64 = 60_000_000;
/// Files of a folder that are read; more would be another folder than a user meant.
const MAX_FILES: usize = 1000;
/// Streams of one file that are told apart at a time.
const MAX_STREAMS: usize = 16;

/// What a file said.
#[derive(Debug)]
struct Account {
    events: u64,
    first_ns: Option<u64>,
    last_ns: u64,
    fills: u64,
    playing: u64,
    delay_us: Histogram<u64>,
    off_target_us: Histogram<u64>,
    apart_us: Histogram<u64>,
    ratio_ppb: Option<(i64, i64)>,
    missing_frames: u64,
    gaps: u64,
    in_gap: bool,
    moves: u64,
    lost: u64,
    refused: u64,
    came_ns: BTreeMap<u32, u64>,
}

impl Account {
    fn new() -> anyhow::Result<Account> {
        let histogram = || Histogram::new_with_bounds(1, MAX_US, 3);
        Ok(Account {
            events: 0,
            first_ns: None,
            last_ns: 0,
            fills: 0,
            playing: 0,
            delay_us: histogram()?,
            off_target_us: histogram()?,
            apart_us: histogram()?,
            ratio_ppb: None,
            missing_frames: 0,
            gaps: 0,
            in_gap: false,
            moves: 0,
            lost: 0,
            refused: 0,
            came_ns: BTreeMap::new(),
        })
    }

    fn add(&mut self, at_ns: u64, what: What) {
        self.events += 1;
        self.first_ns.get_or_insert(at_ns);
        self.last_ns = self.last_ns.max(at_ns);
        match what {
            What::Came { id, stored, .. } => {
                if let Some(before) = self.came_ns.insert(id, at_ns) {
                    self.apart_us.saturating_record(at_ns.saturating_sub(before) / 1000);
                }
                while self.came_ns.len() > MAX_STREAMS {
                    self.came_ns.pop_first();
                }
                self.refused += u64::from(!stored);
            }
            What::Fill(fill) => self.fill(&fill),
            What::Move { .. } => self.moves += 1,
            What::Lost { events } => self.lost = self.lost.saturating_add(events),
            What::Sink { .. } | What::Stream { .. } | What::End => {}
        }
    }

    fn fill(&mut self, fill: &Fill) {
        self.fills += 1;
        if fill.phase != Phase::Playing {
            self.in_gap = false;
            return;
        }
        self.playing += 1;
        self.delay_us.saturating_record(fill.delay_ns / 1000);
        self.off_target_us.saturating_record(fill.delay_ns.abs_diff(fill.target_ns) / 1000);
        let (least, most) = self.ratio_ppb.unwrap_or((fill.ratio_ppb, fill.ratio_ppb));
        self.ratio_ppb = Some((least.min(fill.ratio_ppb), most.max(fill.ratio_ppb)));
        self.missing_frames = self.missing_frames.saturating_add(u64::from(fill.missing));
        let is_missing = fill.missing > 0;
        self.gaps += u64::from(is_missing && !self.in_gap);
        self.in_gap = is_missing;
    }

    fn report(&self, name: &str, ended: Option<String>) -> CaseReport {
        let mut report = CaseReport::new(name);
        let mut add =
            |id: &str, value: f64, unit: &str, better| report.figures.push(Figure::exact(id, value, unit, better));
        let seconds = self.last_ns.saturating_sub(self.first_ns.unwrap_or(0)) as f64 * 1e-9;
        add("length", seconds, "s", Better::Neither);
        add("fills", self.fills as f64, "in all", Better::Neither);
        add("fills that played", 100.0 * self.playing as f64 / self.fills.max(1) as f64, "%", Better::Neither);
        let ms = |histogram: &Histogram<u64>, quantile| histogram.value_at_quantile(quantile) as f64 / 1e3;
        if !self.delay_us.is_empty() {
            for (id, quantile) in [("delay p1", 0.01), ("delay p50", 0.5), ("delay p99", 0.99)] {
                add(id, ms(&self.delay_us, quantile), "ms", Better::Lower);
            }
            add("delay max", self.delay_us.max() as f64 / 1e3, "ms", Better::Lower);
            let spread = ms(&self.delay_us, 0.99) - ms(&self.delay_us, 0.01);
            add("delay spread, p99 - p1", spread, "ms", Better::Lower);
            add("off the target, p99", ms(&self.off_target_us, 0.99), "ms", Better::Lower);
        }
        if let Some((least, most)) = self.ratio_ppb {
            add("ratio, least", least as f64 / 1e3, "ppm", Better::Neither);
            add("ratio, most", most as f64 / 1e3, "ppm", Better::Neither);
        }
        add("gaps", self.gaps as f64, "in all", Better::Lower);
        add("frames made up", self.missing_frames as f64, "in all", Better::Lower);
        add("steps in the sound", self.moves as f64, "in all", Better::Lower);
        add("pieces that had no room", self.refused as f64, "in all", Better::Lower);
        if !self.apart_us.is_empty() {
            add("from piece to piece p50", ms(&self.apart_us, 0.5), "ms", Better::Neither);
            add("from piece to piece p99", ms(&self.apart_us, 0.99), "ms", Better::Lower);
            add("from piece to piece max", self.apart_us.max() as f64 / 1e3, "ms", Better::Lower);
        }
        add("events that nobody wrote down", self.lost as f64, "in all", Better::Lower);
        report.note = ended;
        report
    }
}

/// The account of one recording. A file that goes wrong in the middle is told up to there, with a note.
///
/// # Errors
/// [`Failure`] with exit code 2 if it is no timing file, of another schema, or holds no event.
fn read(name: &str, from: impl BufRead) -> anyhow::Result<CaseReport> {
    const HINT: &str = "timing files are written by `scream-rx --dump-timing FILE`";
    let reader = Reader::new(from).or_environment(format!("cannot replay {name}"), HINT)?;
    let (mut account, mut ended) = (Account::new()?, None);
    for event in reader {
        match event {
            Ok(event) => account.add(event.at_ns, event.what),
            Err(TimingError::Io(e)) => return Err(e).or_environment(format!("cannot read {name}"), HINT)?,
            Err(e) => ended = Some(format!("only what stands before {e}")),
        }
    }
    if account.events == 0 {
        return Err(Failure::environment(format!("{name} is an empty recording"), HINT).into());
    }
    Ok(account.report(name, ended))
}

/// What recordings said.
#[derive(Debug)]
pub struct Replayed {
    /// By name.
    pub cases: Vec<CaseReport>,
    /// One of them is torn: what stands before is told.
    pub torn: Option<Failure>,
}

/// What `path` says: a timing file, recorded pictures, or every one of a folder, by name. Other files of a folder are
/// told on stderr and passed over.
///
/// # Errors
/// [`Failure`] with exit code 2: nothing there, or nothing of it a recording.
pub fn replay(path: &Path) -> anyhow::Result<Replayed> {
    let hint = "name a file of `scream-rx --dump-timing` or a folder of `frame-rx --record`";
    let tried = format!("cannot read {}", path.display());
    let meta = std::fs::metadata(path).or_environment(&tried, hint)?;
    if !meta.is_dir() {
        let (case, torn) = read_file(path)?;
        return Ok(Replayed { cases: vec![case], torn });
    }
    let mut files: Vec<PathBuf> = std::fs::read_dir(path)
        .or_environment(&tried, hint)?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|file| file.is_file())
        .take(MAX_FILES)
        .collect();
    files.sort();
    let (mut cases, mut torn, mut last) = (Vec::new(), None, None);
    for file in &files {
        match read_file(file) {
            Ok((case, broken)) => {
                cases.push(case);
                torn = torn.or(broken);
            }
            Err(e) => {
                rx_host::term::write_lines(&format!("passed over: {e:#}\n"));
                last = Some(e);
            }
        }
    }
    match last {
        // The only file there is: what is wrong with it is what is wrong.
        Some(e) if files.len() == 1 => Err(e),
        _ if cases.is_empty() => {
            Err(Failure::environment(format!("there is no recording in {}", path.display()), hint).into())
        }
        _ => Ok(Replayed { cases, torn }),
    }
}

fn read_file(path: &Path) -> anyhow::Result<(CaseReport, Option<Failure>)> {
    let shown = rx_host::term::printable(&path.display().to_string()).into_owned();
    let file = File::open(path).or_environment(format!("cannot open {shown}"), "see that you may read it")?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(Failure::environment(format!("{shown} is not a file"), "name a timing file").into());
    }
    let mut file = BufReader::new(file);
    let is_pictures = file.fill_buf()?.starts_with(frame_rx::record::MAGIC);
    file.rewind()?;
    if is_pictures { recording::read(&shown, file) } else { Ok((read(&shown, file)?, None)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use scream_rx::timing::{Event, Writer};

    fn recording(fills: &[(u64, u32)]) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new()).unwrap();
        for (n, (delay_ms, missing)) in (0u64..).zip(fills) {
            let at_ns = n * 5_000_000;
            let came = What::Came { id: 1, start: n * 240, frames: 240, stored: true, quiet: false };
            writer.write(&Event { at_ns, what: came }).unwrap();
            let fill = Fill {
                frames: 240,
                phase: Phase::Playing,
                delay_ns: delay_ms * 1_000_000,
                target_ns: 38_000_000,
                missing: *missing,
                ..Fill::default()
            };
            writer.write(&Event { at_ns, what: What::Fill(fill) }).unwrap();
        }
        writer.finish().unwrap()
    }

    fn figure(report: &CaseReport, id: &str) -> f64 {
        report.figures.iter().find(|f| f.id == id).unwrap_or_else(|| panic!("no {id}")).value
    }

    #[test]
    fn a_recording_says_its_delay_its_gaps_and_how_regularly_sound_came() {
        let mut fills = vec![(38, 0); 200];
        (fills[50], fills[51], fills[120]) = ((38, 10), (38, 5), (90, 7));
        let report = read("a", &recording(&fills)[..]).unwrap();
        assert_eq!((figure(&report, "gaps"), figure(&report, "frames made up")), (2.0, 22.0));
        assert!((figure(&report, "delay p50") - 38.0).abs() < 0.1 && (figure(&report, "delay max") - 90.0).abs() < 0.1);
        assert!((figure(&report, "from piece to piece p99") - 5.0).abs() < 0.01);
        assert!((figure(&report, "length") - 0.995).abs() < 1e-9);
        assert_eq!(report.note, None);
    }

    #[test]
    fn what_is_no_recording_ends_with_code_2_and_what_breaks_off_is_told_up_to_there() {
        let exit = |bytes: &[u8]| rx_host::exit::classify(&read("x", bytes).unwrap_err()).exit;
        let header = b"scream-rx timing, schema 1\n";
        for bytes in [&b""[..], b"hello\n", b"scream-rx timing, schema 9\n", header] {
            assert_eq!(exit(bytes), rx_host::exit::Exit::Environment, "{bytes:?}");
        }
        let broken = [&recording(&[(38, 0), (38, 0)])[..], b"jump,1\n"].concat();
        let cut: Vec<u8> = String::from_utf8(broken).unwrap().replace("end,5000000\n", "").into_bytes();
        let report = read("x", &cut[..]).unwrap();
        assert!(report.note.is_some_and(|note| note.contains("no such kind")));
        assert_eq!(report.figures.iter().find(|f| f.id == "fills").map(|f| f.value), Some(2.0));
    }

    #[test]
    fn a_folder_is_read_by_name_and_a_folder_without_recordings_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("notes.txt"), "hello").unwrap();
        assert!(replay(dir.path()).unwrap_err().to_string().contains("cannot replay"));
        std::fs::write(dir.path().join("more.txt"), "").unwrap();
        assert!(replay(dir.path()).unwrap_err().to_string().contains("there is no recording"));
        for name in ["b.csv", "a.csv"] {
            std::fs::write(dir.path().join(name), recording(&[(38, 0)])).unwrap();
        }
        let names: Vec<String> = replay(dir.path()).unwrap().cases.into_iter().map(|report| report.name).collect();
        assert!(names.len() == 2 && names[0].ends_with("a.csv") && names[1].ends_with("b.csv"), "{names:?}");
        assert!(replay(&dir.path().join("none")).is_err());
    }
}
