//! The engine on the arrivals of a timing file: what would it have done, today, with what came then? Times alone; the sink
//! asks as it did, for as much, and says what it said of its delay.

use crate::channels::Layout;
use crate::counters::Counters;
use crate::ending::Length;
use crate::playout;
use crate::sink::{SinkFormat, Source};
use crate::stream::{self, Feed};
use crate::target::Wishes;
use crate::timing::{Event, Phase, Reader, TimingError, What};
use core::time::Duration;
use shm_proto::HostTime;
use std::io::BufRead;
use std::sync::Arc;

const START: HostTime = HostTime::from_ns(1 << 40);

/// What a file says, and what the engine makes of the same arrivals. Units: as in the names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Replay {
    /// From the first event to the last.
    pub seconds: f64,
    /// Pieces of sound that came.
    pub arrivals: u64,
    /// Times the sink asked.
    pub fills: u64,
    /// Events that were not recorded.
    pub lost_events: u64,
    /// The recording has an end, so nothing was cut off.
    pub complete: bool,
    /// As it was recorded.
    pub then: Course,
    /// As it is now.
    pub now: Course,
}

/// How it went.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Course {
    /// Shortest, mean and longest delay while it played.
    pub delay_ms: [f64; 3],
    /// Shortest and longest delay that was wanted.
    pub target_ms: [f64; 2],
    /// Furthest distance of the ratio from 1.
    pub ratio_ppm: f64,
    /// Frames made up.
    pub made_up: u64,
    /// Steps in the sound.
    pub moves: u64,
    fills: u64,
}

impl Course {
    fn note(&mut self, fill: &crate::timing::Fill) {
        self.made_up += u64::from(fill.missing);
        if fill.phase != Phase::Playing || fill.target_ns == 0 {
            return;
        }
        let (delay_ms, target_ms) = (fill.delay_ns as f64 * 1e-6, fill.target_ns as f64 * 1e-6);
        let first = self.fills == 0;
        self.fills += 1;
        let [low, mean, high] = self.delay_ms;
        let mean = mean + (delay_ms - mean) / self.fills as f64;
        self.delay_ms = [if first { delay_ms } else { low.min(delay_ms) }, mean, high.max(delay_ms)];
        let [low, high] = self.target_ms;
        self.target_ms = [if first { target_ms } else { low.min(target_ms) }, high.max(target_ms)];
        self.ratio_ppm = self.ratio_ppm.max((fill.ratio_ppb as f64 * 1e-3).abs());
    }
}

/// Runs the engine on a recording, with the user's wishes as they are now.
///
/// Blocks while it reads; memory does not grow with the file.
///
/// # Errors
/// [`TimingError`]: what is wrong with the file, and in which line.
pub fn replay(file: impl BufRead, wishes: Wishes) -> Result<Replay, TimingError> {
    let counters = Arc::<Counters>::default();
    let (mut engine, mut streams) = playout::engine(START, wishes, Length::Endless, Arc::clone(&counters));
    let mut report = Replay::default();
    let (mut sink, mut feed): (Option<SinkFormat>, Option<(u32, Feed)>) = (None, None);
    let (mut first_ns, mut last_ns) = (None, 0);
    let mut out = Vec::new();
    for event in Reader::new(file)? {
        let Event { at_ns, what } = event?;
        let at = START + Duration::from_nanos(at_ns);
        first_ns.get_or_insert(at_ns);
        last_ns = at_ns.max(last_ns);
        match what {
            What::Sink { rate_hz, channels } if rate_hz > 0 && channels > 0 => {
                let format = SinkFormat { rate_hz, layout: Layout::usual(usize::from(channels)) };
                engine.open(format);
                // Streams for another sink are of no use.
                feed = feed.filter(|(_, f)| f.sink() == format);
                sink = Some(format);
            }
            What::Stream { id, format } => {
                feed = None;
                if let Some((new, stream)) = sink.and_then(|sink| stream::open_times(format, sink).ok())
                    && streams.has_room()
                {
                    streams.send(stream);
                    feed = Some((id, new));
                }
            }
            What::Came { id, start, frames, quiet, .. } => {
                report.arrivals += 1;
                if let Some((_, feed)) = feed.as_mut().filter(|(open, _)| *open == id) {
                    feed.go_on_at(start);
                    feed.push_times(frames, quiet, at);
                }
            }
            What::Fill(fill) if sink.is_some() => {
                report.fills += 1;
                report.then.note(&fill);
                let channels = sink.map_or(1, |s| s.layout.channels());
                out.resize(fill.frames as usize * channels, 0.0);
                engine.fill(&mut out, at, Duration::from_nanos(fill.sink_delay_ns));
                report.now.note(&engine.told());
            }
            What::Move { .. } => report.then.moves += 1,
            What::Lost { events } => report.lost_events = report.lost_events.saturating_add(events),
            What::End => report.complete = true,
            What::Sink { .. } | What::Fill(_) => {}
        }
    }
    report.seconds = last_ns.saturating_sub(first_ns.unwrap_or(0)) as f64 * 1e-9;
    report.now.moves = counters.playout.moves.get() + counters.playout.trims.get();
    Ok(report)
}

impl core::fmt::Display for Replay {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let end = if self.complete { "" } else { ", cut off" };
        let lost = self.lost_events;
        writeln!(
            f,
            "{:.1} s, {} arrivals, {} fills, {lost} events lost{end}",
            self.seconds, self.arrivals, self.fills
        )?;
        for (name, c) in [("recorded", &self.then), ("replayed", &self.now)] {
            let ([low, mean, high], [least, most]) = (c.delay_ms, c.target_ms);
            writeln!(
                f,
                "{name}: delay {low:.2} / {mean:.2} / {high:.2} ms, wanted {least:.2} to {most:.2} ms, ratio within {:.0} \
                 ppm, {} frames made up, {} steps",
                c.ratio_ppm, c.made_up, c.moves
            )?;
        }
        Ok(())
    }
}
