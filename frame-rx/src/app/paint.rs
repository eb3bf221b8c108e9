//! One drawing of the window: the newest picture to the GPU, pointer, words, present; and what is counted of it.

use crate::gpu::GpuError;
use crate::gpu::present::{Presented, Screen};
use crate::gpu::readback::Canvas;
use crate::gpu::scene::{Filter, Look};
use crate::gpu::upload::Uploader;
use crate::headless::explain_screenshot;
use crate::input::stats::InputStats;
use crate::link::ScreenEnd;
use crate::offscreen::{Taken, write_screenshot};
use crate::overlay::{Facts, Overlay};
use crate::pace::Seen;
use crate::picture::Size;
use crate::record::Recorder;
use crate::settings::{End, Show};
use crate::slots::Times;
use crate::state::GuestState;
use crate::stats::ScreenStats;
use crate::text;
use crate::trace::{Stage, Took, Trace};
use crate::turn::{self, Turned, Turning};
use crate::view::{self, Place, Scale};
use core::time::Duration;
use rx_host::clock;
use rx_host::exit::Failure;
use shm_proto::HostTime;
use std::path::Path;
use std::sync::Arc;

/// Brightness of a picture that stands still because its guest does.
const DIMMED: u8 = 90;
/// A refresh and a half at 60 Hz: a picture that takes longer misses the refresh after the next.
const LATE: Duration = Duration::from_millis(25);

/// What a run with a window leaves behind.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What was counted.
    pub stats: ScreenStats,
}

/// A window's GPU and what is on it.
#[derive(Debug)]
pub(super) struct Painter {
    pub(super) screen: Screen,
    uploader: Uploader,
    pub(super) scale: Scale,
    pub(super) filter: Filter,
    pub(super) turning: Turning,
    /// The picture that stands there is kept.
    pub(super) paused: bool,
    pub(super) overlay: Overlay,
    /// How large the dots of letters are at least.
    pub(super) dots: u32,
    trace: Trace,
    recorder: Option<Recorder>,
    /// How long a picture may take from the guest to the screen before it counts as late.
    budget: Duration,
    session: u64,
    /// The picture on the GPU that has not reached the screen yet, and when it was fetched.
    fresh: Option<(Times, HostTime)>,
    /// For which sentence and window the words were painted.
    words: Option<(String, Size, u32)>,
    shown_size: Option<Size>,
    /// Why the newest picture is not on the GPU.
    refused: Option<String>,
    stats: ScreenStats,
    /// What the input's thread counts.
    pub(super) input: Option<Arc<InputStats>>,
}

/// What came of one drawing.
#[derive(Debug, Default)]
pub(super) struct Drawn {
    /// Whether it reached the screen.
    pub is_shown: bool,
    /// There was nothing to draw.
    pub is_needless: bool,
    /// The picture has another size than the one before.
    pub new_size: Option<Size>,
    /// When the picture in it was found, if it is new.
    pub found: Option<HostTime>,
}

impl Painter {
    pub(super) fn new(screen: Screen, show: &Show, recorder: Option<Recorder>) -> Painter {
        Painter {
            recorder,
            screen,
            uploader: Uploader::new(),
            scale: show.scale,
            filter: show.filter,
            turning: Turning::new(show.rotate).with_more(show.more),
            paused: false,
            overlay: Overlay::new(show.figures),
            dots: 1,
            trace: Trace::default(),
            budget: LATE,
            session: 0,
            fresh: None,
            words: None,
            shown_size: None,
            refused: None,
            stats: ScreenStats::default(),
            input: None,
        }
    }

    pub(super) fn waits_for_screen(&self) -> bool {
        self.screen.waits_for_screen()
    }

    pub(super) fn shows_newest(&self) -> bool {
        self.screen.shows_newest()
    }

    pub(super) fn stats(&self) -> &ScreenStats {
        &self.stats
    }

    /// The picture's size as it is shown, turned.
    pub(super) fn picture_size(&self) -> Option<Size> {
        self.uploader.picture().map(|p| turn::format(p.format(), self.turned()).shown())
    }

    /// How the picture is turned.
    pub(super) fn turned(&self) -> Turned {
        self.turning.on(self.uploader.picture().map(|p| p.format().rotation).unwrap_or_default())
    }

    /// Why the newest picture cannot be shown, if it cannot.
    pub(super) fn refused(&self) -> Option<&str> {
        self.refused.as_deref()
    }

    /// Opens a GPU again. Nothing of the old one is left: the feed needs memory of the new one, and the guest's picture has
    /// to come again.
    ///
    /// # Errors
    /// [`GpuError`]; it may be tried again.
    pub(super) fn reopen(&mut self, link: &ScreenEnd) -> Result<(), GpuError> {
        // Whatever waits, or is on its way, is memory of the old one.
        self.uploader = Uploader::new();
        drop(link.pictures.take());
        (self.words, self.fresh, self.refused) = (None, None, None);
        if let Some(recorder) = &mut self.recorder {
            recorder.forget_gpu();
        }
        self.screen.reopen()?;
        self.overlay.refresh();
        self.stats.reopened.inc();
        // The feed is there as long as the window is.
        let _ = link.staging.send(self.screen.gpu().staging());
        link.wishes.renew();
        Ok(())
    }

    pub(super) fn resize(&mut self, size: Size) {
        self.screen.resize(size);
    }

    /// Forgets the picture if its session is over, or if it shall not be kept in this state.
    pub(super) fn enter_session(&mut self, session: u64, keep: bool) {
        if session > self.session || !keep {
            self.uploader.forget_picture();
            self.fresh = None;
        }
        self.session = self.session.max(session);
    }

    /// Brings everything new to the GPU, draws, presents. `if_new`: only if there is a new picture; the feed takes one back that
    /// was not fetched for long, to bring it up to date.
    ///
    /// # Errors
    /// [`GpuError`] when nothing can be shown any more.
    pub(super) fn draw(&mut self, link: &ScreenEnd, state: &GuestState, if_new: bool) -> Result<Drawn, GpuError> {
        let start = clock::now();
        self.fetch(link)?;
        let mut drawn = Drawn { is_needless: if_new && self.fresh.is_none(), ..Drawn::default() };
        if drawn.is_needless {
            return Ok(drawn);
        }
        let pointer = link.pointer.look();
        link.pointer.take_shape(|shape| self.screen.scene().0.set_shape(shape));
        self.set_words(state);
        self.set_figures(link, start);
        let picture = self.picture_size();
        let place = picture.map_or(Place::default(), |size| view::place(size, self.screen.size(), self.scale));
        let is_live = state.is_live();
        let look = Look {
            place,
            filter: self.filter,
            pointer: is_live.then_some(pointer),
            brightness: if is_live { u8::MAX } else { DIMMED },
            turning: self.turning,
        };
        let drawing = clock::now();
        let presented = self.screen.present(&self.uploader, &look)?;
        drawn.is_shown = matches!(presented, Presented::Shown { .. });
        if presented == (Presented::Shown { copied: true }) {
            self.stats.direct.inc();
        }
        let end = clock::now();
        if drawn.is_shown {
            self.stats.drawn.inc();
            self.stats.draw.record_duration(end.since(start));
            if let Some((times, fetched)) = self.fresh.take() {
                drawn.found = Some(times.found);
                self.stats.shown.inc();
                self.stats.show.record_duration(end.since(times.copied));
                let took = Took::new(&times, fetched, drawing, end);
                let late = self.trace.add(took, times.found, self.budget);
                let blamed = late.and_then(|late| Stage::ALL.iter().position(|s| *s == late));
                if let Some(count) = blamed.and_then(|i| self.stats.late.get(i)) {
                    count.inc();
                }
            }
        }
        if picture.is_some() && picture != self.shown_size {
            self.shown_size = picture;
            drawn.new_size = picture;
        }
        Ok(drawn)
    }

    /// The window system told of a frame, with a new picture that was found at `found`; later than it was drawn for, or not.
    pub(super) fn seen(&mut self, seen: &Seen, found: Option<HostTime>, is_late: bool, told_by: &'static str) {
        if let Some(found) = found {
            self.stats.age.record_duration(seen.at.since(found));
            self.stats.age_told_by = Some(told_by);
        }
        if seen.aim.is_some_and(|aim| aim.is_held) {
            self.stats.held.inc();
        }
        if is_late {
            self.stats.held_late.inc();
        }
    }

    /// The newest picture to the GPU.
    fn fetch(&mut self, link: &ScreenEnd) -> Result<(), GpuError> {
        let is_waiting = link.pictures.is_waiting() && !self.paused;
        if let Some(slot) = self.uploader.collect(self.screen.gpu(), is_waiting)? {
            link.pictures.give_back(slot);
        }
        let Some(slot) = is_waiting.then(|| link.pictures.take()).flatten() else { return Ok(()) };
        if !slot.rows.is_of(self.screen.gpu()) {
            // The feed did not know yet. It makes others, so this one is not given back.
            return Ok(());
        }
        if slot.session < self.session {
            link.pictures.give_back(slot);
            return Ok(());
        }
        self.enter_session(slot.session, true);
        let (times, fetched) = (slot.times, clock::now());
        let taken = Taken { session: slot.session, number: slot.number, format: slot.format, times };
        match self.uploader.begin(self.screen.gpu(), slot) {
            Ok(()) => {
                self.refused = None;
                if self.fresh.replace((times, fetched)).is_some() {
                    link.feed.replaced.inc();
                }
                match &mut self.recorder {
                    Some(recorder) => recorder.take(self.screen.gpu(), &self.uploader, &taken),
                    None => Ok(()),
                }
            }
            Err(error) if error.is_refusal() => {
                self.refused = Some(error.to_string());
                link.feed.refused.inc();
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// What is shown over the picture, if it changed.
    fn set_figures(&mut self, link: &ScreenEnd, now: HostTime) {
        if !self.overlay.is_due(now) {
            return;
        }
        let made_for = link.feed.hdr_nits().map(|nits| format!("\nmade for a display of {nits} cd/m2"));
        let age = self.stats.age_in_words().map(|age| format!("\nseen {age} after it came"));
        let beside = [age, made_for].into_iter().flatten().collect::<String>();
        let words = format!("{}\n{}{beside}", self.manner_in_words(), self.screen.gpu().info());
        let facts = Facts {
            found: link.feed.found.get(),
            shown: self.stats.shown.get(),
            dropped: link.feed.dropped(),
            late: self.stats.late.each_ref().map(|c| c.get()),
            input: self.input.as_ref().map(|input| input.short()).unwrap_or_default(),
            words,
            trace: &self.trace,
            budget: self.budget,
            dots: self.dots,
        };
        let painted = self.overlay.paint(now, self.screen.size(), &facts);
        let (scene, gpu) = self.screen.scene();
        scene.set_figures(gpu, painted.as_ref());
    }

    fn set_words(&mut self, state: &GuestState) {
        let wanted = (!state.is_live()).then(|| (state.sentence(), self.screen.size(), self.dots));
        if wanted != self.words {
            let painted = wanted.as_ref().and_then(|(sentence, size, dots)| text::paint_for(sentence, *size, *dots));
            let (scene, gpu) = self.screen.scene();
            scene.set_words(gpu, painted.as_ref());
            self.words = wanted;
        }
    }

    /// Writes the screenshot, if one is wanted.
    pub(super) fn finish(self, link: &ScreenEnd, end: &End, state: &GuestState) -> Result<Outcome, Failure> {
        if let Some(path) = &end.screenshot {
            self.write_screenshot(link, path, end.screenshot_pointer, state)?;
            tracing::info!("wrote {}", path.display());
        }
        Ok(Outcome { stats: self.stats })
    }

    /// Writes the picture pixel for pixel, turned as it is shown, with its pointer or without.
    pub(super) fn write_screenshot(
        &self,
        link: &ScreenEnd,
        path: &Path,
        with_pointer: bool,
        state: &GuestState,
    ) -> Result<(), Failure> {
        let gpu = self.screen.gpu();
        let mut canvas = Canvas::new(gpu);
        canvas.scene().set_shape(self.screen.shape());
        let pointer = with_pointer.then(|| link.pointer.look());
        write_screenshot(gpu, &self.uploader, &mut canvas, path, (self.turning, pointer))
            .map_err(|e| explain_screenshot(e, Some(state)))
    }
}
