//! What the receiver counts, and the two forms in which it tells: figures for `--stats`, lines for people.

use crate::arrivals::Arrivals;
use crate::guest::GuestInfo;
use crate::trace::{GuestTook, Stage};
use rx_host::exit::Failure;
use rx_host::report::{Counter, Figures, Histogram};
use shm_proto::kvmfr::Counters as ViewerCounters;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Grows whenever a figure changes its name or its meaning.
pub const SCHEMA: u32 = 1;

/// Counted by the feed's thread; read by any.
#[derive(Debug, Default)]
pub struct FeedStats {
    /// Pictures that were announced and taken up.
    pub found: Counter,
    /// Pictures copied whole.
    pub copied: Counter,
    /// Pictures that changed while they were copied, or whose session ended.
    pub torn: Counter,
    /// Pictures whose pixels did not come in time.
    pub late: Counter,
    /// Pictures of a kind that cannot be shown, or for which there was no memory.
    pub refused: Counter,
    /// Copied, but replaced by a newer one before the screen fetched it.
    pub replaced: Counter,
    /// Bytes copied out of the region.
    pub copied_bytes: Counter,
    /// Bytes of the pixels that the guest said had changed, in pictures that were copied.
    pub changed_bytes: Counter,
    /// Sessions joined.
    pub sessions: Counter,
    /// Looks at the region that found nothing.
    pub idle_looks: Counter,
    /// From the last look that found nothing to the look that found the picture: the most it can have waited.
    pub pickup: Histogram,
    /// From finding a picture to having its rows, waiting for the guest to write them included.
    pub copy: Histogram,
    /// What the guest says of its own stages: see [`GuestTook::NAMES`].
    pub guest_stages: [Histogram; 4],
    /// How bright the display is that the newest picture was made for. Unit: cd/m2. 0: the guest does not say.
    hdr_nits: AtomicU64,
    viewer: [AtomicU64; 4],
    /// When pictures were complete.
    pub arrivals: Arrivals,
    /// Written when a session begins, never while pictures flow.
    guest: Mutex<Option<Arc<GuestInfo>>>,
}

/// What the protocol's viewer counted: frames passed over unread, serials that never came, messages that made no sense,
/// places taken anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// Acknowledged unread because a newer one was there.
    pub skipped: u64,
    /// Serials that never arrived.
    pub missed: u64,
    /// Frames and pointer messages that made no sense.
    pub corrupt: u64,
    /// Places in queues taken anew within a session.
    pub resubscribed: u64,
}

impl FeedStats {
    /// Nothing counted yet.
    pub fn new() -> Arc<FeedStats> {
        Arc::default()
    }

    /// Remembers what the viewer counted, on top of `before` from viewers of earlier regions. Real-time safe.
    pub fn set_viewer(&self, before: &Passed, c: &ViewerCounters) {
        let now = before.with(c);
        let values = [now.skipped, now.missed, now.corrupt, now.resubscribed];
        for (place, value) in self.viewer.iter().zip(values) {
            place.store(value, Ordering::Relaxed);
        }
    }

    /// Remembers what the guest says of a picture. Real-time safe.
    pub fn set_guest_stages(&self, took: Option<GuestTook>, hdr_nits: u32) {
        self.hdr_nits.store(hdr_nits.into(), Ordering::Relaxed);
        for (histogram, stage) in self.guest_stages.iter().zip(took.iter().flat_map(|took| took.stages)) {
            histogram.record_duration(stage);
        }
    }

    /// How bright the display is that the newest picture was made for, if the guest says so. Unit: cd/m2.
    pub fn hdr_nits(&self) -> Option<u64> {
        Some(self.hdr_nits.load(Ordering::Relaxed)).filter(|nits| *nits > 0)
    }

    /// Remembers who the guest of the session that begins is.
    pub fn set_guest(&self, guest: GuestInfo) {
        *self.guest.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(guest));
    }

    /// The guest of the last session, if there was one.
    pub fn guest(&self) -> Option<Arc<GuestInfo>> {
        self.guest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the viewers counted.
    pub fn passed(&self) -> Passed {
        let [skipped, missed, corrupt, resubscribed] = self.viewer.each_ref().map(|v| v.load(Ordering::Relaxed));
        Passed { skipped, missed, corrupt, resubscribed }
    }

    /// Pictures of the guest that were never shown, for whatever reason.
    pub fn dropped(&self) -> u64 {
        let Passed { skipped, missed, .. } = self.passed();
        self.torn.get() + self.late.get() + self.refused.get() + self.replaced.get() + skipped + missed
    }
}

impl Passed {
    /// These, and what a viewer counted.
    pub fn with(&self, c: &ViewerCounters) -> Passed {
        Passed {
            skipped: self.skipped + c.skipped,
            missed: self.missed + c.missed,
            corrupt: self.corrupt + c.corrupt + c.corrupt_sessions,
            resubscribed: self.resubscribed + c.resubscribed,
        }
    }
}

/// Counted by the thread that shows.
#[derive(Debug, Default)]
pub struct ScreenStats {
    /// Pictures that reached the screen; without a window, the GPU.
    pub shown: Counter,
    /// Times the window was drawn, for whatever cause.
    pub drawn: Counter,
    /// Of those, how often the picture was copied to the screen as it is, without a calculation.
    pub direct: Counter,
    /// Times a GPU was opened in place of one that was lost.
    pub reopened: Counter,
    /// Pictures that were late, by whose fault: see [`Stage::ALL`].
    pub late: [Counter; 5],
    /// From having a picture's rows to handing it to the screen (or, without a window, to the GPU having it).
    pub show: Histogram,
    /// How long one drawing took, waiting for the screen included.
    pub draw: Histogram,
    /// From finding a picture to its being seen, as the window system told; nothing where it tells nothing.
    pub age: Histogram,
    /// By what it told; by frame callbacks it tells when it took the frame up.
    pub age_told_by: Option<&'static str>,
    /// Drawings that were held back for a refresh, and told of.
    pub held: Counter,
    /// Of those, how many were shown later than at that refresh.
    pub held_late: Counter,
}

impl ScreenStats {
    /// How old pictures were when they were seen, if the window system tells.
    pub fn age_in_words(&self) -> Option<String> {
        let age = self.age.summary();
        let ms = |ns: u64| ns as f64 / 1e6;
        (age.count > 0).then(|| format!("{:.1} ms (99 % {:.1} ms)", ms(age.p50), ms(age.p99)))
    }
}

/// Figures without a picture, for what a run without one adds.
pub fn empty() -> Figures {
    Figures::new("frame-rx", env!("CARGO_PKG_VERSION"), SCHEMA)
}

/// All figures.
pub fn figures(feed: &FeedStats, screen: &ScreenStats) -> Figures {
    let passed = feed.passed();
    let mut f = empty();
    for (stage, late) in Stage::ALL.iter().zip(&screen.late) {
        f.count(&format!("late_by_{}", stage.name()), late.get());
    }
    f.count("frames_shown", screen.shown.get())
        .count("frames_dropped", feed.dropped())
        .count("frames_found", feed.found.get())
        .count("frames_copied", feed.copied.get())
        .count("frames_replaced", feed.replaced.get())
        .count("frames_torn", feed.torn.get())
        .count("frames_late", feed.late.get())
        .count("frames_refused", feed.refused.get())
        .count("frames_skipped", passed.skipped)
        .count("frames_missed", passed.missed)
        .count("messages_corrupt", passed.corrupt)
        .count("places_retaken", passed.resubscribed)
        .count("sessions", feed.sessions.get())
        .count("looks_idle", feed.idle_looks.get())
        .count("drawings", screen.drawn.get())
        .count("drawings_direct", screen.direct.get())
        .count("drawings_held", screen.held.get())
        .count("drawings_held_late", screen.held_late.get())
        .count("gpus_reopened", screen.reopened.get())
        .count("copied_bytes", feed.copied_bytes.get())
        .count("changed_bytes", feed.changed_bytes.get())
        .spread_ms("pickup", &feed.pickup.summary())
        .spread_ms("copy", &feed.copy.summary())
        .spread_ms("show", &screen.show.summary())
        .spread_ms("draw", &screen.draw.summary())
        .spread_ms("age", &screen.age.summary());
    if let Some(told_by) = screen.age_told_by {
        f.text("age_told_by", told_by);
    }
    for (name, histogram) in GuestTook::NAMES.iter().zip(&feed.guest_stages) {
        let summary = histogram.summary();
        if summary.count > 0 {
            f.spread_ms(&format!("guest_{name}"), &summary);
        }
    }
    if let Some(nits) = feed.hdr_nits() {
        f.count("hdr_display_nits", nits);
    }
    if let Some(guest) = feed.guest() {
        f.count("guest_lgmp_version", guest.lgmp.into()).count("guest_kvmfr_version", guest.kvmfr.into());
        let texts = [("guest_program", &guest.producer), ("guest_capture", &guest.capture), ("guest_os", &guest.os)];
        for (name, text) in texts {
            f.text(name, text);
        }
        if let Some(uuid) = &guest.uuid {
            f.text("guest_uuid", uuid);
        }
    }
    f
}

/// The same in lines for people.
pub fn lines(feed: &FeedStats, screen: &ScreenStats) -> Vec<String> {
    let passed = feed.passed();
    let ms = |ns: u64| format!("{:.2} ms", ns as f64 / 1e6);
    let spread = |h: &Histogram| {
        let s = h.summary();
        match s.count {
            0 => "-".to_owned(),
            _ => format!("median {}, 99 % within {}, at most {}", ms(s.p50), ms(s.p99), ms(s.max)),
        }
    };
    let mut lines = vec![
        match screen.drawn.get() {
            0 => format!("frames shown    {} (brought to the GPU; there was no window)", screen.shown.get()),
            drawn => format!("frames shown    {} (the window was drawn {drawn} times)", screen.shown.get()),
        },
        format!(
            "frames dropped  {}: {} replaced by newer ones, {} passed over, {} missed, {} torn, {} late, {} refused",
            feed.dropped(),
            feed.replaced.get(),
            passed.skipped,
            passed.missed,
            feed.torn.get(),
            feed.late.get(),
            feed.refused.get()
        ),
        format!("pickup delay    {}", spread(&feed.pickup)),
        format!("copy time       {}", spread(&feed.copy)),
        format!("to the screen   {}", spread(&screen.show)),
    ];
    if screen.age.summary().count > 0 {
        lines.push(format!("seen, old       {}", spread(&screen.age)));
    }
    lines
}

/// Writes the figures of a run.
///
/// # Errors
/// [`Failure`] with what to do.
pub fn write(figures: &Figures, path: &Path) -> Result<(), Failure> {
    figures.write(path).map_err(|e| {
        let hint = e.hint();
        Failure::environment(e, hint)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_not_to_show_a_picture_counts_as_dropped() {
        let feed = FeedStats::new();
        feed.torn.inc();
        feed.late.add(2);
        feed.refused.add(4);
        feed.replaced.add(8);
        let counted = ViewerCounters { skipped: 16, missed: 32, repeated: 1000, ..ViewerCounters::default() };
        feed.set_viewer(&Passed { skipped: 64, ..Passed::default() }, &counted);
        assert_eq!(feed.dropped(), 127);
    }

    #[test]
    fn figures_have_units_in_their_names() {
        let (feed, screen) = (FeedStats::new(), ScreenStats::default());
        feed.pickup.record(2_000_000);
        screen.shown.inc();
        let f = figures(&feed, &screen);
        assert_eq!(f.get("frames_shown").unwrap(), 1);
        assert_eq!(f.get("schema").unwrap(), SCHEMA);
        assert_eq!(f.get("pickup_ms_p50").unwrap(), 2.0);
        assert!(f.get("copy_ms_p50").unwrap().is_null(), "nothing was copied");
        assert_eq!((lines(&feed, &screen).len(), screen.age_in_words()), (5, None), "no window system told anything");
        screen.age.record(12_300_000);
        assert!(f.get("age_ms_p50").unwrap().is_null());
        assert_eq!(figures(&feed, &screen).get("age_count").unwrap(), 1);
        assert_eq!(lines(&feed, &screen).len(), 6);
        assert!(screen.age_in_words().unwrap().starts_with("12.3 ms"), "{:?}", screen.age_in_words());
    }
}
