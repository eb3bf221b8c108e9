//! What a user asks: which region and how many slots for a picture, what bothers the guest then, and what a further slot
//! would buy. As a table for all pictures, and as a sentence for each. Pure.

use super::CellRow;
use super::reader::Behaviour;
use super::sweep::Subject;
use crate::figure::Table;
use crate::mode::Mode;
use crate::protocol::{self, Protocol};
use shm_proto::kvmfr::sizes::{MIB, device_mib};

/// Shares below this are none. Unit: percent.
const NOTHING_PERCENT: f64 = 0.05;

/// What is advised for a picture over one protocol.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Choice {
    protocol: &'static str,
    /// What the VM is given. Unit: MiB.
    give_mib: u64,
    /// What a file for programs of the host needs. Unit: MiB.
    file_mib: u64,
    slots: u32,
    /// The writer waits for readers; otherwise it may overtake them.
    waits: bool,
    /// Pictures that reach a reader that nothing disturbs. Unit: 1/s.
    shown_per_s: Option<f64>,
    /// Frames that are held up or torn by a reader that stalls, alone or beside another. Unit: percent.
    stalls: Option<f64>,
    /// The same with a reader that is paced by its screen.
    screen: Option<f64>,
    /// How old a picture is when that reader has it: median. Unit: ms.
    screen_age_ms: Option<f64>,
    /// What more slots would leave of the worse of the two.
    more: Option<More>,
}

/// What more slots would bring.
#[derive(Clone, Copy, Debug, PartialEq)]
struct More {
    slots: u32,
    mib: u64,
    percent: f64,
}

/// The cells of one picture over one protocol.
struct Cells<'r> {
    protocol: &'static dyn Protocol,
    rows: Vec<&'r CellRow>,
}

impl Cells<'_> {
    fn slots(&self) -> Vec<u32> {
        let mut slots: Vec<u32> = self.rows.iter().map(|row| row.slots).collect();
        slots.sort_unstable();
        slots.dedup();
        slots
    }

    fn row(&self, slots: u32, behaviour: Behaviour) -> Option<&CellRow> {
        self.rows.iter().find(|row| row.slots == slots && row.reader == behaviour.name()).copied()
    }

    /// Frames that the guest had to wait for, or that came torn.
    fn percent(&self, slots: u32, behaviour: Behaviour) -> Option<f64> {
        let outcome = &self.row(slots, behaviour)?.outcome;
        Some(outcome.stalled_percent() + outcome.torn_percent())
    }

    fn worst(&self, slots: u32) -> Option<f64> {
        Behaviour::ALL.into_iter().filter_map(|behaviour| self.percent(slots, behaviour)).reduce(f64::max)
    }

    fn shown_per_s(&self, slots: u32) -> Option<f64> {
        let row = self.row(slots, Behaviour::KeepsUp)?;
        let rate_hz = f64::from(row.mode.parse::<Mode>().ok()?.rate_hz);
        Some(rate_hz * row.outcome.frames_taken as f64 / row.outcome.frames_due.max(1) as f64)
    }

    /// The fewest of `slots` with which nothing bothers the guest; where there is none, those with the least.
    fn best(&self, slots: impl Iterator<Item = u32>) -> Option<(u32, f64)> {
        let all = slots.filter_map(|n| Some((n, self.worst(n)?)));
        all.reduce(|best, next| if next.1 + NOTHING_PERCENT < best.1 { next } else { best })
    }
}

/// The advice for a picture, one for each protocol, from the cells that were measured for it.
pub(super) fn choices(subject: &Subject, rows: &[&CellRow]) -> Vec<Choice> {
    let of = |protocol: &'static dyn Protocol| {
        let rows = rows.iter().filter(|row| row.protocol == protocol.name()).copied().collect();
        choice(subject, &Cells { protocol, rows })
    };
    protocol::ALL.into_iter().filter_map(of).collect()
}

fn choice(subject: &Subject, cells: &Cells<'_>) -> Option<Choice> {
    let (protocol, spec) = (cells.protocol, subject.spec());
    let swept = cells.slots();
    let slots = match protocol.stock_slots() {
        Some(stock) => stock,
        None => cells.best(swept.iter().copied())?.0,
    };
    // Nothing was swept, or nothing that says anything of these slots.
    swept.first()?;
    let bytes = protocol.needed_bytes(&spec, slots)?;
    let (worst, stalls) = (cells.worst(slots), [Behaviour::Stalls, Behaviour::TwoReaders]);
    let more = worst.filter(|worst| *worst >= NOTHING_PERCENT).and_then(|worst| {
        let (n, percent) = cells.best(swept.into_iter().filter(|n| *n > slots))?;
        // What the manual says for fewer slots is not too much for more of them.
        let mib = device_mib(protocol.needed_bytes(&spec, n)?).max(protocol.documented_mib(&spec).unwrap_or(0));
        let more = More { slots: n, mib, percent };
        (percent + NOTHING_PERCENT < worst).then_some(more)
    });
    Some(Choice {
        protocol: protocol.name(),
        // A manual may say less than its program needs: that of KVMFR 34 does at 1280x720 and 1920x1200.
        give_mib: device_mib(bytes).max(protocol.documented_mib(&spec).unwrap_or(0)),
        file_mib: bytes.div_ceil(MIB),
        slots,
        waits: protocol.stock_slots().is_some(),
        shown_per_s: cells.shown_per_s(slots),
        stalls: stalls.into_iter().filter_map(|who| cells.percent(slots, who)).reduce(f64::max),
        screen: cells.percent(slots, Behaviour::SlowScreen),
        screen_age_ms: cells.row(slots, Behaviour::SlowScreen).map(|row| row.outcome.handover_us_p50 / 1e3),
        more,
    })
}

impl Choice {
    /// What happens to frames that a slow reader is in the way of.
    const fn deed(&self) -> &'static str {
        if self.waits { "held up" } else { "torn" }
    }

    fn words(&self) -> String {
        let Choice { protocol, give_mib, file_mib, slots, .. } = self;
        let mut text = format!("{protocol} {give_mib} MiB, {slots} slots");
        // A VM needs a power of two.
        if !self.waits && give_mib - file_mib > give_mib / 8 {
            text = format!("{protocol} {give_mib} MiB (a file: {file_mib}), {slots} slots");
        }
        let bothers = [("5 ms stalls", self.stalls), ("a 60 Hz screen", self.screen)];
        if self.stalls.or(self.screen).is_none() {
            return text;
        }
        let bothers: Vec<String> = bothers
            .into_iter()
            .filter_map(|(who, percent)| Some((who, percent.filter(|p| *p >= NOTHING_PERCENT)?)))
            .map(|(who, percent)| format!("{who}: {percent:.1} %"))
            .collect();
        if bothers.is_empty() {
            text += &format!(", none {}", self.deed());
        } else {
            text += &format!(", {} by {}", self.deed(), bothers.join(" and "));
        }
        if let Some(More { slots, mib, percent }) = self.more {
            let left = if percent < NOTHING_PERCENT { "none".into() } else { format!("{percent:.1} %") };
            text += &format!("; {slots} slots, {mib} MiB: {left}");
        }
        text
    }

    /// Whether both say the same, but for how many pictures come.
    fn is_like(&self, other: &Choice) -> bool {
        self.row(String::new()) == other.row(String::new())
    }

    fn row(&self, shown: String) -> Vec<String> {
        let tenths = |value: Option<f64>| value.map_or("–".into(), |v| format!("{v:.1}"));
        let further = match self.more {
            Some(More { slots, mib, percent }) => format!("{percent:.1} % with {slots}, {mib} MiB"),
            None if self.stalls.or(self.screen).is_none() => "–".into(),
            None => "nothing".into(),
        };
        let (mib, slots) = (self.give_mib.to_string(), self.slots.to_string());
        let figures = [self.stalls, self.screen, self.screen_age_ms].map(tenths);
        [vec![self.protocol.into(), mib, slots, shown], figures.to_vec(), vec![further]].concat()
    }
}

/// The advice for a picture in a sentence; nothing without any.
pub(super) fn sentence(subject: &Subject, choices: &[Choice]) -> Option<String> {
    let parts: Vec<String> = choices.iter().map(Choice::words).collect();
    let name = format!("{} at {} Hz", subject.picture(), subject.mode.rate_hz);
    (!parts.is_empty()).then(|| format!("{name}: {}.", parts.join(" | ")))
}

/// The advice for all pictures.
pub(super) fn table(all: &[(Subject, Vec<Choice>)]) -> Table {
    let head = [
        "picture",
        "Hz",
        "protocol",
        "MiB",
        "slots",
        "shown/s",
        "5 ms stalls %",
        "60 Hz screen %",
        "its age ms",
        "a further slot buys",
    ];
    let mut table = Table::new("Which region, how many slots", &head).legend(
        "MiB: what to give the VM. slots: those of the stock driver (lgmp6, lgmp12); of a ring, enough that nothing is torn. \
         shown/s: to a reader that keeps up. %: frames that the guest has to wait for (lgmp6, lgmp12) or that come torn and \
         are thrown away (ring), with a reader that stands still for 5 ms ten times a second, and with one that looks once in \
         each refresh of a 60 Hz screen, on a guest of 144 Hz; its age: how old the picture is that this one then has \
         (median). frame-rx is neither: it copies a picture as soon as it is there.",
    );
    for same in all.chunk_by(|a, b| a.0.picture() == b.0.picture()) {
        for protocol in protocol::ALL.into_iter().map(|protocol| protocol.name()) {
            let of = |(subject, choices): &(Subject, Vec<Choice>)| {
                let choice = choices.iter().find(|choice| choice.protocol == protocol)?.clone();
                Some((subject.mode.rate_hz, choice))
            };
            let rates: Vec<(u32, Choice)> = same.iter().filter_map(of).collect();
            let Some((subject, _)) = same.first() else { continue };
            table.rows.extend(rates.chunk_by(|a, b| a.1.is_like(&b.1)).map(|rates| line(subject, rates)));
        }
    }
    table
}

/// A line for rates of one picture that need the same.
fn line(subject: &Subject, rates: &[(u32, Choice)]) -> Vec<String> {
    let joined = |of: fn(&(u32, Choice)) -> String| {
        let mut parts: Vec<String> = rates.iter().map(of).collect();
        parts.dedup();
        parts.join(", ")
    };
    let shown = joined(|(_, choice)| choice.shown_per_s.map_or("–".into(), |v| format!("{v:.0}")));
    let head = vec![subject.picture(), joined(|(rate_hz, _)| rate_hz.to_string())];
    let row = rates.first().map(|(_, choice)| choice.row(shown)).unwrap_or_default();
    [head, row].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::ring_size::cell::Outcome;
    use shm_proto::kvmfr::PixelType;

    fn row(protocol: &str, slots: u32, reader: Behaviour, stalled: u64, torn: u64) -> CellRow {
        let (frames_due, frames_taken) = (1000, 500);
        let outcome =
            Outcome { frames_due, frames_taken, frames_stalled: stalled, frames_torn: torn, ..Outcome::default() };
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

    fn advice(subject: &Subject, rows: &[CellRow]) -> (Option<String>, Table) {
        let choices = choices(subject, &rows.iter().collect::<Vec<_>>());
        (sentence(subject, &choices), table(&[(*subject, choices)]))
    }

    #[test]
    fn sentence_and_table_name_size_slots_and_what_more_would_bring() {
        let subject = Subject { mode: Mode::new(3840, 2160, 60), pixel: PixelType::Bgra };
        let rows = [
            row("lgmp6", 2, Behaviour::KeepsUp, 0, 0),
            row("lgmp6", 2, Behaviour::Stalls, 12, 0),
            row("lgmp6", 2, Behaviour::SlowScreen, 500, 0),
            row("lgmp6", 3, Behaviour::Stalls, 0, 0),
            row("lgmp6", 3, Behaviour::SlowScreen, 0, 0),
            row("ring", 2, Behaviour::Stalls, 0, 30),
            row("ring", 3, Behaviour::Stalls, 0, 0),
            row("ring", 4, Behaviour::Stalls, 0, 0),
        ];
        let (text, table) = advice(&subject, &rows);
        let expected = "3840x2160 BGRA at 60 Hz: lgmp6 128 MiB, 2 slots, held up by 5 ms stalls: 1.2 % and a 60 Hz screen: \
                        50.0 %; 3 slots, 128 MiB: none | ring 128 MiB (a file: 95), 3 slots, none torn.";
        assert_eq!(text.as_deref(), Some(expected));
        let picture = ["3840x2160 BGRA", "60"];
        let lgmp = ["lgmp6", "128", "2", "30", "1.2", "50.0", "0.0", "0.0 % with 3, 128 MiB"];
        let ring = ["ring", "128", "3", "–", "0.0", "–", "–", "nothing"];
        assert_eq!(table.rows, [[&picture[..], &lgmp].concat(), [&picture[..], &ring].concat()]);
        assert_eq!(table.head.len(), table.rows[0].len());
    }

    #[test]
    fn without_cells_there_is_no_advice_and_where_a_manual_says_too_little_it_says_more() {
        let subject = Subject { mode: Mode::new(1280, 720, 60), pixel: PixelType::Bgra };
        assert_eq!(advice(&subject, &[]).0, None);
        let text = advice(&subject, &[row("lgmp12", 3, Behaviour::Stalls, 0, 0)]).0.unwrap();
        assert!(text.contains("lgmp12 32 MiB, 3 slots, none held up"), "the manual says 16: {text}");
    }

    #[test]
    fn rates_that_need_the_same_share_a_line() {
        let at = |rate_hz| Subject { mode: Mode::new(3840, 2160, rate_hz), pixel: PixelType::Bgra };
        let rows = [row("lgmp6", 2, Behaviour::KeepsUp, 0, 0), row("lgmp6", 2, Behaviour::Stalls, 0, 0)];
        let bad = [row("lgmp6", 2, Behaviour::Stalls, 12, 0)];
        let of = |rate_hz, rows: &[CellRow]| (at(rate_hz), choices(&at(rate_hz), &rows.iter().collect::<Vec<_>>()));
        let table = table(&[of(60, &rows), of(144, &rows), of(240, &bad)]);
        let shown: Vec<String> = table.rows.iter().map(|row| row[1..7].join(" ")).collect();
        assert_eq!(shown, ["60, 144 lgmp6 128 2 30 0.0", "240 lgmp6 128 2 – 1.2"]);
    }

    /// Where a third of the frames is torn whatever the slots, more of them are not sold as a cure.
    #[test]
    fn slots_that_change_nothing_are_not_advised() {
        let subject = Subject { mode: Mode::new(3840, 2160, 60), pixel: PixelType::Bgra };
        let rows = [2, 3, 4].map(|slots| row("lgmp6", slots, Behaviour::Stalls, 300, 0));
        assert_eq!(advice(&subject, &rows).1.rows[0].last().unwrap(), "nothing");
    }
}
