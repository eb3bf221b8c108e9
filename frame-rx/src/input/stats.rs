//! What the way to the guest counts. Only counts and times: never which key.

use super::sink::Leds;
use core::sync::atomic::{AtomicU8, Ordering};
use rx_host::report::{Counter, Figures, Histogram};
use std::sync::Arc;

/// The ways to the guest; the first is none.
const WAYS: [&str; 7] = ["none", "auto", "spice", "spice-usb", "usbhid", "qmp", "uinput"];

/// How it stands with the sink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum SinkState {
    /// No input was asked for.
    #[default]
    None = 0,
    /// Not there yet, or not any more.
    Connecting = 1,
    /// There is a way to the guest.
    Ready = 2,
    /// It needs the user: a wrong password, a socket that is not trusted.
    Refused = 3,
    /// Connected, but the machine stands still, or its guest does not listen yet.
    Waiting = 4,
}

impl SinkState {
    const ALL: [SinkState; 5] =
        [SinkState::None, SinkState::Connecting, SinkState::Ready, SinkState::Refused, SinkState::Waiting];

    /// In one word.
    pub fn name(self) -> &'static str {
        match self {
            SinkState::None => "none",
            SinkState::Connecting => "connecting",
            SinkState::Ready => "ready",
            SinkState::Refused => "refused",
            SinkState::Waiting => "waiting",
        }
    }
}

/// Counted by the input thread; read by any.
#[derive(Debug, Default)]
pub struct InputStats {
    /// Reports that sources made.
    pub reports: Counter,
    /// Keys and buttons sent down or up, without what was released once more.
    pub edges: Counter,
    /// Reports of motion sent.
    pub moves: Counter,
    /// Reports of motion that went with another.
    pub merged: Counter,
    /// Steps dropped: the sink went, or the queue was full.
    pub dropped: Counter,
    /// Times the queue was full.
    pub overflows: Counter,
    /// Keys, buttons and wheels that the sink does not have.
    pub unknown: Counter,
    /// Times everything that was touched was released once more.
    pub released_again: Counter,
    /// Times a source lost events and told its state anew.
    pub resyncs: Counter,
    /// Connections made to a sink.
    pub connections: Counter,
    /// Connections lost, and attempts that failed.
    pub losses: Counter,
    /// Times the guest got the input.
    pub captures: Counter,
    /// Devices that came.
    pub plugs: Counter,
    /// Devices that went.
    pub unplugs: Counter,
    /// From the kernel's stamp of a device's report to when it was read.
    pub heard: Histogram,
    /// From the stamp of an event to the end of the call that sent it.
    pub added: Histogram,
    /// Which way to the guest it is, without its address: its place in [`WAYS`].
    way: AtomicU8,
    state: AtomicU8,
    /// Bit 0 Scroll Lock, 1 Num Lock, 2 Caps Lock.
    leds: AtomicU8,
}

impl InputStats {
    /// Nothing counted yet.
    pub fn new() -> Arc<InputStats> {
        Arc::default()
    }

    /// Remembers which way it is; `auto` becomes another one once it is found.
    pub fn set_way(&self, name: &str) {
        let place = WAYS.iter().position(|way| *way == name).and_then(|place| u8::try_from(place).ok());
        self.way.store(place.unwrap_or(0), Ordering::Relaxed);
    }

    /// Which way it is, in one word.
    pub fn way(&self) -> &'static str {
        WAYS.get(usize::from(self.way.load(Ordering::Relaxed))).copied().unwrap_or_default()
    }

    /// Remembers how it stands with the sink.
    pub fn set_state(&self, state: SinkState) {
        self.state.store(state as u8, Ordering::Relaxed);
    }

    /// How it stands with the sink.
    pub fn state(&self) -> SinkState {
        SinkState::ALL.get(usize::from(self.state.load(Ordering::Relaxed))).copied().unwrap_or_default()
    }

    /// Remembers the guest's lamps.
    pub fn set_leds(&self, leds: Leds) {
        let bits = u8::from(leds.scroll) | u8::from(leds.num) << 1 | u8::from(leds.caps) << 2;
        self.leds.store(bits, Ordering::Relaxed);
    }

    /// The guest's lamps as last told.
    pub fn leds(&self) -> Leds {
        let bits = self.leds.load(Ordering::Relaxed);
        Leds { scroll: bits & 1 != 0, num: bits & 2 != 0, caps: bits & 4 != 0 }
    }

    /// Adds its figures.
    pub fn figures(&self, f: &mut Figures) {
        f.count("input_reports", self.reports.get())
            .count("input_edges", self.edges.get())
            .count("input_moves", self.moves.get())
            .count("input_moves_merged", self.merged.get())
            .count("input_steps_dropped", self.dropped.get())
            .count("input_overflows", self.overflows.get())
            .count("input_steps_unknown", self.unknown.get())
            .count("input_releases_repeated", self.released_again.get())
            .count("input_resyncs", self.resyncs.get())
            .count("input_connections", self.connections.get())
            .count("input_losses", self.losses.get())
            .count("input_captures", self.captures.get())
            .count("input_devices_plugged", self.plugs.get())
            .count("input_devices_unplugged", self.unplugs.get())
            .spread_us("input_heard", &self.heard.summary())
            .spread_us("input_added", &self.added.summary());
        f.text("input_way", self.way());
        f.text("input_sink", self.state().name());
        f.text("input_lamps", &self.lamps());
    }

    /// The names of the guest's lamps that are lit, with commas between.
    fn lamps(&self) -> String {
        let leds = self.leds();
        let lamps = [("caps", leds.caps), ("num", leds.num), ("scroll", leds.scroll)];
        lamps.iter().filter(|(_, is_lit)| *is_lit).map(|(name, _)| *name).collect::<Vec<_>>().join(",")
    }

    /// The most of it in three short lines, for over the picture.
    pub fn short(&self) -> Vec<String> {
        let ms = |ns: u64| ns as f64 / 1e6;
        let hop = |name: &str, hop: &Histogram| {
            let s = hop.summary();
            (s.count > 0).then(|| format!("{name} {:.3} ms, 99 % {:.3} ms", ms(s.p50), ms(s.p99)))
        };
        let hops: Vec<_> = [hop("read", &self.heard), hop("sent", &self.added)].into_iter().flatten().collect();
        let way = self.way();
        let state = if self.state() == SinkState::None { "not connected" } else { self.state().name() };
        let mut lines = vec![format!("input {way} {}: {} sent", state, self.edges.get() + self.moves.get())];
        if !hops.is_empty() {
            lines.push(format!("input {}", hops.join("; ")));
        }
        let (merged, dropped, unknown) = (self.merged.get(), self.dropped.get(), self.unknown.get());
        let (overflows, resyncs) = (self.overflows.get(), self.resyncs.get());
        lines.push(format!(
            "input merged {merged}, dropped {dropped}, overflows {overflows}, unknown {unknown}, resyncs {resyncs}"
        ));
        lines
    }

    /// The same in lines for people.
    pub fn lines(&self) -> Vec<String> {
        let us = |ns: u64| format!("{:.0} us", ns as f64 / 1e3);
        let spread = |histogram: &Histogram| {
            let s = histogram.summary();
            match s.count {
                0 => "-".to_owned(),
                _ => format!("median {}, 99 % within {}, at most {}", us(s.p50), us(s.p99), us(s.max)),
            }
        };
        vec![
            format!(
                "input sink      {} by {} ({} connections, {} lost or not made)",
                self.state().name(),
                self.way(),
                self.connections.get(),
                self.losses.get()
            ),
            format!(
                "input sent      {} presses and releases, {} motions ({} more merged into them), all released again {} times",
                self.edges.get(),
                self.moves.get(),
                self.merged.get(),
                self.released_again.get()
            ),
            format!(
                "input lost      {} dropped with a lost sink or in {} overflows, {} that the sink does not have, {} resyncs of devices",
                self.dropped.get(),
                self.overflows.get(),
                self.unknown.get(),
                self.resyncs.get()
            ),
            format!(
                "input devices   {} came, {} went; from the kernel's stamp to the read: {}",
                self.plugs.get(),
                self.unplugs.get(),
                spread(&self.heard)
            ),
            format!("input delay     from the stamp to the end of the call that sent it: {}", spread(&self.added)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    #[test]
    fn the_short_lines_tell_way_state_hops_and_losses() {
        let stats = InputStats::new();
        assert_eq!(stats.short().len(), 2, "no hop was measured");
        stats.set_way("spice");
        stats.set_state(SinkState::Ready);
        stats.edges.add(3);
        stats.merged.add(7);
        stats.dropped.inc();
        stats.heard.record_duration(Duration::from_micros(20));
        stats.added.record_duration(Duration::from_micros(90));
        let lines = stats.short().join("\n");
        for part in ["input spice ready: 3 sent", "read 0.02", "sent 0.09", "merged 7, dropped 1, overflows 0"] {
            assert!(lines.contains(part), "{part} in\n{lines}");
        }
    }
}
