//! Figures over the picture: rates, the time each stage took as percentiles and as a graph, why pictures were late, the
//! list of keys, and short notices. Built only while it is shown, four times a second. Pure.

use crate::picture::Size;
use crate::text::{self, TextBox};
use crate::trace::{GuestTook, Stage, Took, Trace};
use core::time::Duration;
use shm_proto::HostTime;
use std::fmt::Write;

/// Whether this build has it: the feature `overlay`. Without it only notices are shown.
pub const BUILT: bool = cfg!(feature = "overlay");
/// Between two looks at the figures.
const EVERY: Duration = Duration::from_millis(250);
/// How long a notice stands, and how long it takes to read a letter.
const NOTICE: Duration = Duration::from_secs(2);
const LETTER: Duration = Duration::from_millis(60);
/// Rows of the graph, in dots; the guide line stands in the middle.
const GRAPH_ROWS: u32 = 48;
/// The guide line.
const GUIDE: [u8; 4] = [0x80, 0x80, 0x80, 0xFF];
/// The colours of the stages, and of those that the guest tells of, each in a word.
const COLOUR_NAMES: [&str; 5] = ["blue", "green", "yellow", "red", "violet"];
const COLOURS: [[u8; 4]; 5] = [
    [0x4C, 0xA6, 0xFF, 0xFF],
    [0x5F, 0xD3, 0x6A, 0xFF],
    [0xF2, 0xC1, 0x4E, 0xFF],
    [0xE8, 0x6A, 0x5C, 0xFF],
    [0xB0, 0x7C, 0xE8, 0xFF],
];

/// What is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shown {
    /// No more than notices.
    #[default]
    Nothing,
    /// Figures.
    Figures,
    /// Figures and graph.
    Timings,
    /// The list of keys.
    Help,
}

impl Shown {
    /// One word for each that is worth keeping from one run to the next.
    const KEPT: [(&'static str, Shown); 2] = [("figures", Shown::Figures), ("timings", Shown::Timings)];

    /// The one with this name.
    pub fn named(name: &str) -> Option<Shown> {
        Shown::KEPT.iter().find(|(n, _)| *n == name).map(|(_, shown)| *shown)
    }

    /// Its name; empty if it has none.
    pub fn name(self) -> &'static str {
        Shown::KEPT.iter().find(|(_, shown)| *shown == self).map_or("", |(name, _)| name)
    }
}

/// The numbers of this moment.
#[derive(Debug)]
pub struct Facts<'a> {
    /// Pictures found so far.
    pub found: u64,
    /// Pictures shown so far.
    pub shown: u64,
    /// Pictures that were never shown, so far.
    pub dropped: u64,
    /// Late ones so far, by [`Stage::ALL`].
    pub late: [u64; 5],
    /// What the input tells of itself: nothing without any.
    pub input: Vec<String>,
    /// Picture, how it is scaled, and how it reaches the screen.
    pub words: String,
    /// The last pictures.
    pub trace: &'a Trace,
    /// How long a picture may take: the guide line.
    pub budget: Duration,
    /// How large the dots of letters are at least.
    pub dots: u32,
}

/// What is shown over the picture.
#[derive(Debug, Default)]
pub struct Overlay {
    shown: Shown,
    help: String,
    notice: Option<(String, HostTime)>,
    /// When to look again; nothing while nothing changes.
    next: Option<HostTime>,
    before: Option<(HostTime, u64, u64)>,
}

impl Overlay {
    /// One that shows this from the beginning.
    pub fn new(shown: Shown) -> Overlay {
        let mut overlay = Overlay::default();
        if shown != Shown::Nothing {
            overlay.toggle(shown);
        }
        overlay
    }

    /// What is shown that is worth keeping from one run to the next.
    pub fn kept(&self) -> Shown {
        if self.shown.name().is_empty() { Shown::Nothing } else { self.shown }
    }

    /// Shows the figures, or nothing if they are shown. Likewise below.
    pub fn toggle_figures(&mut self) {
        self.toggle(Shown::Figures);
    }

    /// Figures and graph.
    pub fn toggle_timings(&mut self) {
        self.toggle(Shown::Timings);
    }

    /// The list of keys.
    pub fn toggle_help(&mut self, help: &str) {
        help.clone_into(&mut self.help);
        self.toggle(Shown::Help);
    }

    fn toggle(&mut self, wanted: Shown) {
        self.shown = if self.shown == wanted || !BUILT { Shown::Nothing } else { wanted };
        self.before = None;
        self.next = Some(HostTime::ZERO);
    }

    /// Shows a few words for a moment.
    pub fn say(&mut self, words: String, now: HostTime) {
        let letters = u32::try_from(words.len()).unwrap_or(u32::MAX).min(200);
        self.notice = Some((words, now + NOTICE.max(LETTER * letters)));
        self.next = Some(HostTime::ZERO);
    }

    /// It is to be painted anew: the one before is lost.
    pub fn refresh(&mut self) {
        if self.shown != Shown::Nothing || self.notice.is_some() {
            self.next = Some(HostTime::ZERO);
        }
    }

    /// When it wants to be drawn again; nothing while it does not change.
    pub fn next(&self) -> Option<HostTime> {
        self.next
    }

    /// Whether anything of it changed by `now`; then [`Overlay::paint`] it.
    pub fn is_due(&self, now: HostTime) -> bool {
        self.next.is_some_and(|at| now >= at)
    }

    /// The box as of now, or nothing if nothing is shown.
    pub fn paint(&mut self, now: HostTime, window: Size, facts: &Facts<'_>) -> Option<TextBox> {
        self.notice.take_if(|(_, until)| now >= *until);
        let lives = matches!(self.shown, Shown::Figures | Shown::Timings);
        self.next = lives.then_some(now + EVERY).into_iter().chain(self.notice.as_ref().map(|n| n.1)).min();
        let mut words = self.notice.as_ref().map(|(words, _)| format!("{words}\n")).unwrap_or_default();
        match self.shown {
            Shown::Nothing => {}
            Shown::Help => words.push_str(&self.help),
            Shown::Figures | Shown::Timings => self.write_figures(now, facts, &mut words),
        }
        let painted = text::paint_small(&words, window, facts.dots)?;
        if self.shown != Shown::Timings {
            return Some(painted);
        }
        let ours = with_graph(painted, facts, |took| Some(&took.stages));
        let tells = facts.trace.last().any(|took| took.guest.is_some());
        Some(if tells { with_graph(ours, facts, |took| Some(&took.guest.as_ref()?.stages)) } else { ours })
    }

    fn write_figures(&mut self, now: HostTime, facts: &Facts<'_>, words: &mut String) {
        let rates = self.before.map(|(then, found, shown)| {
            let seconds = now.since(then).as_secs_f64().max(0.001);
            [facts.found.saturating_sub(found), facts.shown.saturating_sub(shown)].map(|n| n as f64 / seconds)
        });
        // A rate over less than half a second would flicker.
        if self.before.is_none_or(|(then, ..)| now.since(then) >= 2 * EVERY) {
            self.before = Some((now, facts.found, facts.shown));
        }
        let [found, shown] = rates.unwrap_or_default();
        // Writing to a string cannot fail.
        let _ = writeln!(words, "{}", facts.words);
        let _ = writeln!(words, "guest {found:.1}/s, shown {shown:.1}/s, dropped {}", facts.dropped);
        let ms = |d: Duration| d.as_secs_f64() * 1e3;
        // The graph's legend.
        let colours =
            COLOUR_NAMES.map(|name| if self.shown == Shown::Timings { format!(" ({name})") } else { "".into() });
        for (stage, colour) in Stage::ALL.into_iter().zip(&colours) {
            if let Some((p50, p99)) = facts.trace.percentiles(stage) {
                let _ = writeln!(words, "{}{colour} {:.2} ms, 99 % {:.2} ms", stage.name(), ms(p50), ms(p99));
            }
        }
        for (i, (name, colour)) in GuestTook::NAMES.iter().zip(&colours).enumerate() {
            if let Some((p50, p99)) = facts.trace.guest_percentiles(i) {
                let _ = writeln!(words, "guest's {name}{colour} {:.2} ms, 99 % {:.2} ms", ms(p50), ms(p99));
            }
        }
        if self.shown == Shown::Timings {
            let _ = writeln!(words, "dotted line: {:.1} ms", ms(facts.budget));
        }
        let late: Vec<String> = Stage::ALL
            .iter()
            .zip(facts.late)
            .filter(|(_, n)| *n > 0)
            .map(|(stage, n)| format!("{} {n}", stage.name()))
            .collect();
        let _ = writeln!(words, "late: {}", if late.is_empty() { "none".to_owned() } else { late.join(", ") });
        for line in &facts.input {
            let _ = writeln!(words, "{line}");
        }
    }
}

/// Adds a graph under the text: one column for each of the last pictures, the newest at the right, its stages on top of
/// each other; the guide line is the time a picture may take.
fn with_graph<const N: usize>(
    mut text: TextBox,
    facts: &Facts<'_>,
    stages: impl Fn(&Took) -> Option<&[Duration; N]>,
) -> TextBox {
    let (width, top) = (text.size.width as usize, text.size.height as usize);
    let paper: [u8; 4] = text.rgba.first_chunk().copied().unwrap_or([0; 4]);
    let rows = GRAPH_ROWS as usize;
    text.rgba.extend(core::iter::repeat_n(paper, width * rows).flatten());
    text.size.height += GRAPH_ROWS;
    let mut set = |x: usize, up: usize, colour: [u8; 4]| {
        let at = ((top + rows - 1 - up) * width + x) * 4;
        if let Some(pixel) = text.rgba.get_mut(at..at + 4) {
            pixel.copy_from_slice(&colour);
        }
    };
    let per_row = facts.budget.max(Duration::from_micros(100)) * 2 / GRAPH_ROWS;
    let columns = facts.trace.last().count();
    for (i, took) in facts.trace.last().enumerate() {
        let Some(x) = (i + width).checked_sub(columns) else { continue };
        let (mut up, mut sum) = (0, Duration::ZERO);
        for (stage, colour) in stages(took).into_iter().flatten().zip(COLOURS) {
            sum += *stage;
            let end = usize::try_from(sum.as_nanos() / per_row.as_nanos().max(1)).unwrap_or(rows).min(rows);
            for row in up..end {
                set(x, row, colour);
            }
            up = up.max(end);
        }
    }
    for x in (0..width).step_by(4) {
        set(x, rows / 2, GUIDE);
    }
    text
}

#[cfg(all(test, feature = "overlay"))]
mod tests {
    use super::*;

    const WINDOW: Size = Size::new(640, 360);

    fn facts(trace: &Trace, found: u64) -> Facts<'_> {
        let words = "1920x1080, fit, linear, mailbox".to_owned();
        let late = [0, 3, 0, 1, 0];
        let input = vec!["input spice ready".to_owned()];
        Facts { found, shown: found, dropped: 2, late, input, words, trace, budget: Duration::from_millis(25), dots: 1 }
    }

    fn at(ms: u64) -> HostTime {
        HostTime::from_ns(1_000_000_000 + ms * 1_000_000)
    }

    #[test]
    fn what_is_not_shown_asks_for_nothing() {
        let mut overlay = Overlay::default();
        let trace = Trace::default();
        assert_eq!((overlay.next(), overlay.is_due(at(0))), (None, false));
        assert_eq!(overlay.paint(at(0), WINDOW, &facts(&trace, 0)), None);
        overlay.toggle_figures();
        assert!(overlay.is_due(at(0)));
        assert!(overlay.paint(at(0), WINDOW, &facts(&trace, 0)).is_some());
        overlay.toggle_figures();
        assert!(overlay.is_due(at(1)), "it must vanish");
        assert_eq!(overlay.paint(at(1), WINDOW, &facts(&trace, 0)), None);
        assert_eq!(overlay.next(), None);
    }

    #[test]
    fn a_notice_vanishes_by_itself() {
        let mut overlay = Overlay::default();
        let trace = Trace::default();
        overlay.say("turned".into(), at(0));
        assert!(overlay.paint(at(0), WINDOW, &facts(&trace, 0)).is_some());
        assert_eq!(overlay.next(), Some(at(2000)));
        overlay.say("n".repeat(100), at(0));
        overlay.paint(at(0), WINDOW, &facts(&trace, 0));
        assert_eq!(overlay.next(), Some(at(6000)), "long enough to be read");
        overlay.say("turned".into(), at(0));
        assert_eq!(overlay.paint(at(2000), WINDOW, &facts(&trace, 0)), None);
        assert_eq!(overlay.next(), None);
    }

    #[test]
    fn figures_are_rates_percentiles_and_the_causes_of_lateness() {
        let (mut overlay, mut trace) = (Overlay::default(), Trace::default());
        for i in 0..100 {
            let stages = [1, 2, 3, 4, 0].map(Duration::from_millis);
            let guest = Some(GuestTook { stages: [5, 6, 7, 8].map(Duration::from_millis) });
            trace.add(Took { stages, guest }, at(i * 10), Duration::from_millis(25));
        }
        let mut words = String::new();
        overlay.write_figures(at(0), &facts(&trace, 100), &mut words);
        words.clear();
        overlay.write_figures(at(500), &facts(&trace, 130), &mut words);
        for part in [
            "guest 60.0/s, shown 60.0/s, dropped 2",
            "copy 2.00 ms, 99 % 2.00 ms",
            "compositor 4.00 ms",
            "guest's process 6.00 ms, 99 % 6.00 ms",
            "late: copy 3, compositor 1\ninput spice ready\n",
        ] {
            assert!(words.contains(part), "{part} in\n{words}");
        }
        overlay.toggle_timings();
        words.clear();
        overlay.write_figures(at(1000), &facts(&trace, 160), &mut words);
        for part in
            ["copy (green) 2.00 ms", "compositor (red) 4.00 ms", "guest's process (green) 6.00 ms", "line: 25.0 ms"]
        {
            assert!(words.contains(part), "the legend has {part} in\n{words}");
        }
    }

    #[test]
    fn the_graph_stacks_the_stages_of_the_newest_picture_at_the_right() {
        let mut trace = Trace::default();
        // The graph is 50 ms high: 48 rows. 10, 5, 0 and 10 ms are 9, 5, 0 and 10 rows, rounded at their ends.
        let stages = [10, 5, 0, 10, 0].map(Duration::from_millis);
        trace.add(Took { stages, guest: None }, at(0), Duration::from_millis(25));
        let size = Size::new(8, 2);
        let text = TextBox { size, rgba: vec![7; 64] };
        let graph = with_graph(text, &facts(&trace, 1), |took| Some(&took.stages));
        assert_eq!(graph.size, Size::new(8, 50));
        let pixel = |x: usize, up: usize| {
            let at = ((49 - up) * 8 + x) * 4;
            <[u8; 4]>::try_from(&graph.rgba[at..at + 4]).unwrap()
        };
        let column: Vec<[u8; 4]> = (0..24).map(|up| pixel(7, up)).collect();
        assert!(column[..9].iter().all(|c| *c == COLOURS[0]), "{column:?}");
        assert!(column[9..14].iter().all(|c| *c == COLOURS[1]), "{column:?}");
        assert!(column[14..24].iter().all(|c| *c == COLOURS[3]), "{column:?}");
        assert_eq!((pixel(6, 3), pixel(7, 30), pixel(4, 24)), ([7; 4], [7; 4], GUIDE));
    }
}
