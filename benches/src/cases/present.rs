//! The way of a picture through the GPU without a window, stage by stage, through the library of `frame-rx`: staging
//! memory, upload, drawing or the direct copy, reading back. Beside a plain copy of the same bytes in memory.

use super::Task;
use crate::contest::{Candidate, Effort, hold};
use crate::figure::Table;
use crate::noise::Crew;
use crate::report::CaseReport;
use crate::stats::median;
use anyhow::Context;
use frame_rx::damage::Damage;
use frame_rx::gpu::scene::{Filter, Look};
use frame_rx::gpu::upload::StagingRows;
use frame_rx::gpu::{GpuChoice, GpuError};
use frame_rx::offscreen::Offscreen;
use frame_rx::picture::{PictureFormat, PixelFormat, Rect, Size};
use frame_rx::slots::{self, Intake, Outlet, Rows, Supply};
use frame_rx::turn::Turning;
use frame_rx::view::{self, Scale};
use std::cell::RefCell;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Pictures. The larger one is left out of a short run: a software GPU draws it five times a second.
const SIZES: [Size; 2] = [Size::new(1920, 1080), Size::new(3840, 2160)];
/// Blocks at the most: with a software GPU one takes most of a second.
const MAX_BLOCKS: u32 = 15;
/// A stage is repeated for so long in a block, and its median counts: so a block is long enough to tell what other programs
/// took of it from what a software GPU's own threads did.
const TURN: Duration = Duration::from_millis(100);
/// Rows of a picture that change when somebody types.
const TYPED_ROWS: u32 = 32;

/// A GPU with one picture, and the feed's end of the slots to it.
struct Stage {
    screen: Offscreen,
    intake: Intake<StagingRows>,
    outlet: Outlet<StagingRows>,
    format: PictureFormat,
    pixels: Vec<u8>,
}

impl Stage {
    fn open(size: Size) -> Result<Stage, GpuError> {
        let screen = Offscreen::open(&GpuChoice::Auto)?;
        let (intake, outlet) = slots::pair(Supply::Three);
        // The order of the memory that is drawn into, as a window has the guest's: only then can it be copied directly.
        let format = PictureFormat::upright(size, PixelFormat::Rgba8);
        let bytes = format.row_bytes() as usize * size.height as usize;
        // Neither one colour nor noise: a desktop.
        let pixels = (0..bytes).map(|at| ((at / 4) % 251) as u8 ^ ((at / 7680) % 7) as u8).collect();
        Ok(Stage { screen, intake, outlet, format, pixels })
    }

    /// The feed's part: what changed, into staging memory.
    fn write(&mut self, changed: &Damage) -> anyhow::Result<()> {
        let Stage { screen, intake, format, pixels, .. } = self;
        let staging = screen.staging();
        intake.prepare(format, |bytes| staging.make(bytes))?;
        let mut slot = intake.begin(*format, changed).context("no slot is free")?;
        let pixel_bytes = format.pixel.slot_bytes();
        let rects: Vec<Rect> = slot.damage.rects(format.stored).collect();
        for rect in rects {
            for y in rect.y..rect.bottom() {
                let from = (y * format.row_bytes() + rect.x * pixel_bytes) as usize;
                let row = pixels.get(from..from + (rect.width * pixel_bytes) as usize).unwrap_or_default();
                slot.rows.write(u64::from(y * format.slot_pitch_bytes() + rect.x * pixel_bytes), row);
            }
        }
        intake.publish(slot);
        Ok(())
    }

    /// The screen's part: to the GPU, and waits until it is there.
    fn upload(&mut self) -> anyhow::Result<()> {
        self.screen.take(&self.outlet, 0)?.context("the picture did not come").map(drop)
    }

    /// What a window of the picture's size would show, read back.
    fn show(&mut self, takes_copies: bool) -> anyhow::Result<usize> {
        let size = self.format.shown();
        let place = view::place(size, size, Scale::OneToOne);
        let look = Look { place, filter: Filter::Nearest, pointer: None, brightness: 255, turning: Turning::default() };
        self.screen.take_copies(takes_copies);
        Ok(self.screen.render(size, &look)?.len())
    }
}

pub(super) fn run(task: &Task<'_>) -> anyhow::Result<CaseReport> {
    let mut report = CaseReport::new("present");
    let sizes = if task.is_quick { &SIZES[..1] } else { &SIZES[..] };
    let mut table = Table::new(
        "Stages of a picture without a window, each waited for; a window overlaps them",
        &["picture", "stage", "ms", "GB/s"],
    );
    for size in sizes {
        let stage = match Stage::open(*size) {
            Ok(stage) => stage,
            Err(e) => {
                report.note =
                    Some(format!("no GPU, not even a software one, so nothing was measured: {e} ({})", e.hint()));
                return Ok(report);
            }
        };
        report.note.get_or_insert_with(|| format!("on {}", stage.screen.info()));
        contest(&mut report, &mut table, task, stage)?;
    }
    report.tables.push(table.headline());
    Ok(report)
}

fn timed<T>(act: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<f64> {
    let start = Instant::now();
    black_box(act()?);
    Ok(start.elapsed().as_nanos() as f64)
}

/// The median of as many measurements as there is time for, of one at least.
fn repeated(mut once: impl FnMut() -> anyhow::Result<f64>) -> impl FnMut() -> anyhow::Result<f64> {
    move || {
        let (start, mut times) = (Instant::now(), Vec::new());
        while times.is_empty() || start.elapsed() < TURN {
            times.push(once()?);
        }
        Ok(median(&times))
    }
}

fn contest(report: &mut CaseReport, table: &mut Table, task: &Task<'_>, mut stage: Stage) -> anyhow::Result<()> {
    let size = stage.format.stored;
    let bytes = stage.pixels.len() as u64;
    let typed = {
        let mut damage = Damage::none();
        damage.add(Rect { x: 0, y: size.height / 2, width: size.width, height: TYPED_ROWS });
        damage
    };
    stage.write(&Damage::everything())?;
    stage.upload()?;
    let mut copy = vec![0u8; stage.pixels.len()];
    let source = stage.pixels.clone();
    let stage = RefCell::new(stage);
    let plain = || {
        timed(|| {
            copy.copy_from_slice(black_box(&source));
            Ok(black_box(copy.first().copied()))
        })
    };
    let write = || {
        let mut stage = stage.borrow_mut();
        let taken = timed(|| stage.write(&Damage::everything()))?;
        stage.upload()?;
        Ok(taken)
    };
    let upload = |changed: Damage| {
        let stage = &stage;
        move || {
            let mut stage = stage.borrow_mut();
            stage.write(&changed)?;
            timed(|| stage.upload())
        }
    };
    let show = |takes_copies| {
        let stage = &stage;
        move || timed(|| stage.borrow_mut().show(takes_copies))
    };
    let grab = || timed(|| Ok(stage.borrow_mut().screen.grab()?));
    let candidates = vec![
        Candidate::new("copy in memory", repeated(plain)),
        Candidate::new("feed: into staging memory", repeated(write)),
        Candidate::new("upload", repeated(upload(Damage::everything()))),
        Candidate::new(format!("upload of {TYPED_ROWS} rows"), repeated(upload(typed))),
        Candidate::new("read back", repeated(grab)),
        Candidate::new("copy directly and read back", repeated(show(true))),
        Candidate::new("draw and read back", repeated(show(false))),
    ];
    // A GPU in software is a crew of threads of this process.
    let effort = Effort { blocks: task.effort.blocks.min(MAX_BLOCKS), crew: Crew::WithHelpers, ..task.effort.clone() };
    let outcome = hold(&effort, candidates)?;
    let doubt = outcome.doubt();
    for standing in &outcome.standings {
        report.add(&size.to_string(), "a copy in memory", bytes, &outcome, standing, None);
        if !standing.own_ns.is_finite() {
            continue;
        }
        let (ms, rate) = (standing.own_ns / 1e6, bytes as f64 / standing.own_ns);
        let rate = if standing.name.contains("rows") { String::new() } else { format!("{rate:.2}") };
        let told = if doubt.is_some() { ", inconclusive" } else { "" };
        table.rows.push(vec![size.to_string(), standing.name.clone(), format!("{ms:.2}{told}"), rate]);
    }
    if let Some(doubt) = doubt {
        report.doubt(&size.to_string(), doubt);
    }
    Ok(())
}
