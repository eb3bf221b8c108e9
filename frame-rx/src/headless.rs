//! Running without a window: pictures go to the GPU as they come, states to stderr; drawn is only what a screenshot or
//! the figures need.

use crate::announcer::Announcer;
use crate::cursor::Pointer;
use crate::gpu::GpuError;
use crate::link::ScreenEnd;
use crate::offscreen::{Offscreen, ScreenshotError, Taken};
use crate::record::Recorder;
use crate::recovery::Recovery;
use crate::settings::End;
use crate::state::GuestState;
use crate::stats::ScreenStats;
use core::time::Duration;
use rx_host::clock;
use rx_host::exit::{Explain, Failure};
use rx_host::signals::{Signals, Woken};
use shm_proto::HostTime;
use std::fs::File;
use std::io::{LineWriter, Write};

/// The longest sleep; everything that matters wakes the loop.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// The screen's end of a run without a window.
#[derive(Debug)]
pub struct Headless {
    screen: Offscreen,
    link: ScreenEnd,
    end: End,
    stats: ScreenStats,
    announcer: Announcer,
    guest: Option<GuestState>,
    refused: Option<String>,
    session: u64,
    last: Option<Taken>,
    pointer: Pointer,
    keeping: Keeping,
    begun: HostTime,
    recovery: Recovery,
    /// The GPU was lost; when to open one again.
    reopen_at: Option<HostTime>,
}

/// What is kept of each picture.
#[derive(Debug, Default)]
pub struct Keeping {
    /// The picture itself.
    pub recorder: Option<Recorder>,
    /// A line with its number, milliseconds since the start, size, and its hash; written at once.
    pub hashes: Option<LineWriter<File>>,
}

/// What a run without a window leaves behind.
#[derive(Debug)]
pub struct Outcome {
    /// What was counted.
    pub stats: ScreenStats,
    /// The last picture.
    pub last: Option<Taken>,
    /// What it looks like: see [`Offscreen::hash`].
    pub hash: Option<u64>,
}

impl Headless {
    /// Hands the GPU's memory to the feed.
    pub fn new(screen: Offscreen, link: ScreenEnd, end: End, keeping: Keeping) -> Headless {
        // The feed waits for it.
        let _ = link.staging.send(screen.staging());
        Headless {
            screen,
            link,
            end,
            stats: ScreenStats::default(),
            announcer: Announcer::new(),
            guest: None,
            refused: None,
            session: 0,
            last: None,
            pointer: Pointer::default(),
            keeping,
            begun: clock::now(),
            recovery: Recovery::default(),
            reopen_at: None,
        }
    }

    /// Shows until the end that the settings name, or until a stop is asked for.
    ///
    /// Blocks.
    ///
    /// # Errors
    /// [`GpuError`] when the GPU fails, and opening it again does not help.
    pub fn run(&mut self, signals: &Signals) -> Result<(), GpuError> {
        let ends = self.end.after.map(|after| clock::now() + after);
        let mut is_stopped = false;
        loop {
            let now = clock::now();
            self.reopen(now)?;
            if self.reopen_at.is_none()
                && let Err(error) = self.look_at_guest(now)
            {
                self.lost(error)?;
            }
            if is_stopped
                || self.end.frames.is_some_and(|frames| self.stats.shown.get() >= frames)
                || ends.is_some_and(|at| now >= at)
            {
                return Ok(());
            }
            let until = [ends, self.announcer.next(), self.reopen_at].into_iter().flatten().min();
            let wait = until.map_or(LONGEST_WAIT, |at| at.since(now).min(LONGEST_WAIT));
            // A picture that came just before the stop counts: one more look.
            is_stopped = signals.wait(wait) == Woken::Stop;
        }
    }

    /// Nothing can be done with the GPU any more. Plans to open it again, unless that was tried long enough.
    fn lost(&mut self, error: GpuError) -> Result<(), GpuError> {
        let Some(at) = self.recovery.failed(clock::now()) else { return Err(error) };
        tracing::warn!("{error}: it is opened again");
        self.reopen_at = Some(at);
        Ok(())
    }

    /// Opens a GPU again if one was lost and it is time to.
    fn reopen(&mut self, now: HostTime) -> Result<(), GpuError> {
        if self.reopen_at.is_none_or(|at| now < at) {
            return Ok(());
        }
        self.reopen_at = None;
        // Whatever waits is memory of the old one.
        drop(self.link.pictures.take());
        if let Err(error) = self.screen.reopen() {
            return self.lost(error);
        }
        if let Some(recorder) = &mut self.keeping.recorder {
            recorder.forget_gpu();
        }
        tracing::info!("drawing again, with {}", self.screen.info());
        self.recovery.opened(clock::now());
        self.stats.reopened.inc();
        // The feed is there as long as this loop is. It makes other slots, and asks the guest for its picture.
        let _ = self.link.staging.send(self.screen.staging());
        self.link.wishes.renew();
        Ok(())
    }

    fn look_at_guest(&mut self, now: HostTime) -> Result<(), GpuError> {
        while let Some(condition) = self.link.conditions.take() {
            if condition.session > self.session {
                self.screen.forget_picture();
                self.session = condition.session;
                if let Some(guest) = self.link.feed.guest().filter(|_| self.announcer.allows(now)) {
                    tracing::info!("{guest}");
                }
            }
            if let Some(sentence) = self.announcer.changed(now, &condition.state) {
                tracing::info!("{sentence}");
            }
            self.guest = Some(condition.state);
        }
        if let Some(sentence) = self.announcer.due(now) {
            tracing::info!("{sentence}");
        }
        self.pointer = self.link.pointer.look();
        let screen = &mut self.screen;
        self.link.pointer.take_shape(|shape| screen.set_shape(shape));
        while self.link.pictures.is_waiting() {
            match self.screen.take(&self.link.pictures, self.session) {
                Ok(None) => return Ok(()),
                Ok(Some(taken)) => {
                    self.count(taken);
                    self.keep(taken)?;
                }
                Err(error) if error.is_refusal() => self.refuse(error.to_string(), now),
                Err(error) => return Err(error),
            }
            if self.end.frames.is_some_and(|frames| self.stats.shown.get() >= frames) {
                return Ok(());
            }
        }
        Ok(())
    }

    fn count(&mut self, taken: Taken) {
        self.session = taken.session;
        self.refused = None;
        self.stats.shown.inc();
        self.stats.show.record_duration(clock::now().since(taken.times.copied));
        self.last = Some(taken);
    }

    /// Blocks for the GPU and, for hashes, the disk.
    fn keep(&mut self, taken: Taken) -> Result<(), GpuError> {
        if let Some(recorder) = &mut self.keeping.recorder {
            self.screen.record(recorder, &taken)?;
        }
        let Some(hashes) = &mut self.keeping.hashes else { return Ok(()) };
        let hash = self.screen.hash()?.unwrap_or_default();
        let ms = clock::now().since(self.begun).as_secs_f64() * 1e3;
        if let Err(error) =
            writeln!(hashes, "{} {ms:.3} {} {hash:016x}", taken.number, self.screen.shown_size(&taken.format))
        {
            tracing::warn!("no more hashes: {error}");
            self.keeping.hashes = None;
        }
        Ok(())
    }

    /// A picture that the GPU cannot hold: told once, until one that it can hold comes.
    fn refuse(&mut self, detail: String, now: HostTime) {
        self.link.feed.refused.inc();
        let state = GuestState::NoRoom { detail: detail.clone() };
        if self.refused.replace(detail).is_none()
            && let Some(sentence) = self.announcer.changed(now, &state)
        {
            tracing::info!("{sentence}");
        }
    }

    /// Writes the screenshot, if one is wanted, and tells what was counted.
    ///
    /// Blocks for the GPU and the disk.
    ///
    /// # Errors
    /// [`Failure`] if there is no picture, or the file cannot be written.
    pub fn finish(mut self) -> Result<Outcome, Failure> {
        if let Some(mut hashes) = self.keeping.hashes.take() {
            hashes.flush().or_environment("the hashes could not be written", "make room on the disk")?;
        }
        if let Some(path) = &self.end.screenshot {
            let pointer = self.end.screenshot_pointer.then_some(self.pointer);
            self.screen.screenshot(path, pointer).map_err(|e| explain_screenshot(e, self.guest.as_ref()))?;
            tracing::info!("wrote {}", path.display());
        }
        let hash = self.screen.hash().map_err(explain_gpu)?;
        Ok(Outcome { stats: self.stats, last: self.last, hash })
    }
}

/// What to tell about a screenshot that was not written. `state`: how it stood with the guest.
pub fn explain_screenshot(error: ScreenshotError, state: Option<&GuestState>) -> Failure {
    match error {
        ScreenshotError::NoPicture => {
            let why = state.map_or_else(|| "the guest was not seen".into(), GuestState::sentence);
            Failure::environment(format!("no screenshot, since no picture has arrived: {why}"), "see `frame-rx doctor`")
        }
        ScreenshotError::Gpu(error) => explain_gpu(error),
        ScreenshotError::Write(error) => {
            let hint = error.hint();
            Failure::environment(error, hint)
        }
    }
}

/// What to tell about a GPU that does not do it.
pub fn explain_gpu(error: GpuError) -> Failure {
    let hint = error.hint();
    Failure::environment("nothing can be drawn", hint).because(error)
}
